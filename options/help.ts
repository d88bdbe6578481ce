// The texts of `pillion help`: the commands and the options that most people need, one section or command, or everything.

import { COMMANDS, type Command } from './commandline.ts'
import type { Field, Fields, Section } from './kinds.ts'
import { entries, entryOf, flagOf, isSwitch, type Leaf } from './names.ts'
import { nearest, suggestion } from './nearest.ts'
import { defaultText } from './write.ts'

/** The commands, and only the options with these paths (items of lists as `[]`). */
export function helpText(schema: Section<Fields>, first: readonly string[]): string {
  const all = [...options(schema, '')]
  const shown = first.flatMap(path => all.filter(([each]) => each === path))
  return text([
    'Pillion rides beside an application and makes it observable: health, process, requests.',
    commands(Object.keys(COMMANDS)),
    ['The options to begin with:', ...shown.map(([path, leaf]) => option(path, leaf))].join('\n'),
    [
      `There are ${all.length} options. pillion help SECTION lists those of one section, pillion help --all lists all of them.`,
      `Sections: ${Object.keys(schema.fields).join(', ')}.`,
    ].join('\n'),
    SOURCES,
    EXIT_CODES,
  ])
}

/** Every command and every option. */
export function wholeHelp(schema: Section<Fields>): string {
  return text([commands(Object.keys(COMMANDS)), SOURCES, ...groups(schema, ''), EXIT_CODES])
}

export type Topic = { readonly ok: true; readonly text: string } | { readonly ok: false; readonly message: string }

/** The help about one command, one section such as `health` or `health.probes`, or one option. */
export function topicHelp(schema: Section<Fields>, topic: string): Topic {
  const field = find(schema, topic)
  // `metrics` is a command and a section.
  const blocks = [
    ...(topic && Object.hasOwn(COMMANDS, topic) ? [commands([topic])] : []),
    ...(field ? about(field, topic) : []),
  ]
  if (blocks.length > 0) return { ok: true, text: text([...blocks, SEE]) }
  const sections = [...new Set([...options(schema, '')].flatMap(([each]) => each.split('.').slice(0, -1)))]
  const near = suggestion(nearest(topic, [...Object.keys(COMMANDS).filter(Boolean), ...sections]))
  const known = Object.keys(schema.fields).join(', ')
  return { ok: false, message: `${topic}: no such section or command${near || `; sections are ${known}`}` }
}

function about(field: Field, topic: string): string[] {
  const { path, table, leaf } = entryOf(field, withoutIndexes(topic).join('.'))
  return table ? groups(table, path) : [option(path, leaf)]
}

const SEE = 'pillion help lists the commands and the options to begin with.'

const SOURCES = [
  'An option can be given as a flag, as a PILLION_… variable (--app.url is PILLION_APP_URL), and in pillion.yaml in the',
  'working directory or in the file named by --config FILE or PILLION_CONFIG; some are also read from an OTEL_… variable.',
  'The first of these that is set wins. In a flag, items of a list are separated by commas; mappings in a list are',
  'numbered from 0.',
].join('\n')

const EXIT_CODES = [
  'Exit codes: 0 done, 1 failure, 64 wrong usage, 69 port taken, 78 wrong configuration. run ends with the exit code of the',
  'application, with 128 + n if signal n ended it, 127 if it was not found, and 126 if it cannot be executed.',
].join('\n')

/** The column width of a command with its usage; its explanation stands beside it, or below a longer one. */
const WIDTH = 39

function commands(names: readonly string[]): string {
  const lines = names.map(name => {
    const [usage, about] = COMMANDS[name as Command] // callers pass keys of COMMANDS
    const words = ['pillion', name, usage].filter(Boolean).join(' ')
    return `  ${words.length > WIDTH ? `${words}\n${' '.repeat(WIDTH + 2)}` : words.padEnd(WIDTH)} ${about}`
  })
  return ['Usage:', ...lines].join('\n')
}

function find(schema: Section<Fields>, path: string): Field | undefined {
  let at: Field | undefined = schema
  for (const name of withoutIndexes(path)) {
    const table: Section<Fields> | undefined = at && entryOf(at, '').table
    at = table && Object.hasOwn(table.fields, name) ? table.fields[name] : undefined
  }
  return path ? at : undefined
}

function withoutIndexes(path: string): readonly string[] {
  return path.split('.').filter(part => !/^\d+$/.test(part))
}

/** Every option below the section, with its path. */
function* options(section: Section<Fields>, above: string): Generator<readonly [string, Leaf]> {
  for (const { path, table, leaf } of entries(section, above))
    if (table) yield* options(table, path)
    else yield [path, leaf]
}

function groups(section: Section<Fields>, above: string): string[] {
  const own: string[] = []
  const deeper: string[] = []
  for (const { path, table, leaf } of entries(section, above))
    if (table) deeper.push(...groups(table, path))
    else own.push(option(path, leaf))
  return own.length ? [[section.about, ...own].join('\n'), ...deeper] : deeper
}

function option(path: string, leaf: Leaf): string {
  const names = isSwitch(leaf) ? `${flagOf(path)}, --no-${flagOf(path).slice(2)}` : flagOf(path)
  const fallback = [leaf.otel, defaultText(leaf)].filter(Boolean).join(', else ')
  return `  ${names}  ${leaf.expects}${fallback && `; default ${fallback}`}\n        ${leaf.about}`
}

function text(blocks: readonly string[]): string {
  return `${blocks.join('\n\n')}\n`
}
