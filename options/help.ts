// The text of `pillion --help`.

import { COMMANDS } from './commandline.ts'
import { type Fields, isSection, type Section } from './kinds.ts'
import { flagOf, isSwitch, type Leaf, tableOf } from './names.ts'
import { defaultText } from './write.ts'

export function helpText(schema: Section<Fields>): string {
  const commands = Object.entries(COMMANDS).map(([name, [usage, about]]) => {
    const words = ['pillion', name, usage].filter(Boolean).join(' ')
    return `  ${words.padEnd(39)} ${about}`
  })
  return `${[
    'Pillion rides beside an application and makes it observable: health, process, requests.',
    ['Usage:', ...commands].join('\n'),
    [
      'Where options come from, the nearest first: a flag; its PILLION_… variable (--app.url is PILLION_APP_URL);',
      'pillion.yaml in the working directory, or the file named by --config FILE or PILLION_CONFIG; for some an OTEL_…',
      'variable; the default. The parts of a list are separated by commas; tables of a list are numbered from 0.',
    ].join('\n'),
    ...groups(schema, ''),
    'Exit codes: 0 done, 1 failure, 64 wrong usage, 69 a port is taken, 78 wrong configuration; from run the',
  ].join(
    '\n\n',
  )}\napplication's own, 128 + n when signal n ended it, 127 if it was not found and 126 if it cannot be executed.\n`
}

function groups(section: Section<Fields>, prefix: string): string[] {
  const own: string[] = []
  const deeper: string[] = []
  for (const [name, field] of Object.entries(section.fields)) {
    const path = prefix + name
    const table = tableOf(field)
    if (table) deeper.push(...groups(table, isSection(field) ? `${path}.` : `${path}[].`))
    else own.push(option(path, field as Leaf)) // not a table, so not a section
  }
  return own.length ? [[section.about, ...own].join('\n'), ...deeper] : deeper
}

function option(path: string, leaf: Leaf): string {
  const names = isSwitch(leaf) ? `${flagOf(path)}, --no-${flagOf(path).slice(2)}` : flagOf(path)
  const fallback = [leaf.otel, defaultText(leaf)].filter(Boolean).join(', else ')
  return `  ${names}  ${leaf.expects}${fallback && `; default ${fallback}`}\n        ${leaf.about}`
}
