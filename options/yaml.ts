// The configuration file as a layer of values. The YAML tree is walked along the schema rather than turned into objects, so
// every message has a line and a column, and only names of the schema are used as names.

import type * as Yaml from 'yaml'
import { type Environment, expand } from './expand.ts'
import type { ConfigFile } from './file.ts'
import { type Field, type Fields, isList, isSection, type ListKind, type Section, shown } from './kinds.ts'
import { Layer, type Parsed, parseOne } from './layer.ts'
import type { Leaf, Names } from './names.ts'
import { nearest, suggestion } from './nearest.ts'
import type { Problems } from './problems.ts'
import { syntax } from './syntax.ts'

/** The schema and the surroundings that a file is read with. */
export interface YamlContext {
  readonly schema: Section<Fields>
  readonly names: Names
  /** For `${env:NAME}`. */
  readonly environment: Environment
  readonly problems: Problems
}

/** Loads the YAML parser (13 MiB of memory) and reads the file with it. */
export async function readYaml(file: ConfigFile, context: YamlContext): Promise<Layer> {
  const yaml = await import('yaml')
  const walk = new Walk(yaml, file, context)
  walk.document()
  return walk.layer
}

class Walk {
  readonly layer = new Layer('file')
  readonly #yaml: typeof Yaml
  readonly #file: ConfigFile
  readonly #context: YamlContext
  readonly #lines: Yaml.LineCounter

  constructor(yaml: typeof Yaml, file: ConfigFile, context: YamlContext) {
    this.#yaml = yaml
    this.#file = file
    this.#context = context
    this.#lines = new yaml.LineCounter()
  }

  document(): void {
    const control = /[\0-\x08\x0b\x0c\x0e-\x1f\x7f]/.exec(this.#file.text)
    const document = this.#yaml.parseDocument(this.#file.text, {
      version: '1.2',
      schema: 'core',
      lineCounter: this.#lines,
      // Keys are names: `no: 1` and `10: 1` are unknown keys, not booleans and numbers.
      stringKeys: true,
      resolveKnownTags: false,
      // The parser's own check compares each key with all others; #pairs finds repeated keys in one pass.
      uniqueKeys: false,
      // The pretty form quotes source lines, which may contain secrets.
      prettyErrors: false,
    })
    // Later errors mostly follow from the first one, and the tree below it is a guess.
    const wrong = [...document.errors.slice(0, 1), ...document.warnings]
    const { explicit, version } = document.directives?.yaml ?? {}
    for (const { pos, code } of wrong) this.#add(pos[0], syntax(code), '')
    if (control) this.#add(control.index, 'has a control character; remove it', '')
    // In YAML 1.1 `no` is false and 010 is 8, so the same file would mean something else.
    else if (explicit && version === '1.1') this.#add(0, 'YAML 1.1 is not supported; remove the %YAML line', '')
    else if (wrong.length === 0) this.#root(document.contents)
  }

  #root(node: unknown): void {
    this.#mapping(node, this.#start(node) ?? 0, this.#context.schema, '')
  }

  #field(node: unknown, at: number, field: Field, path: string): void {
    if (isSection(field)) this.#mapping(node, at, field, path)
    else if (isList(field)) this.#list(node, at, field, path)
    else {
      const parsed = this.#scalar(node, at, field, path)
      if (parsed?.ok) this.#set(path, parsed.value, at)
    }
  }

  #mapping(node: unknown, at: number, section: Section<Fields>, path: string): void {
    // A section whose lines are all commented out is empty, which is allowed.
    if (!this.#written(node, at, path) || this.#empty(node)) return
    this.layer.at(path, this.#place(at))
    if (this.#yaml.isMap(node)) this.#pairs(node, at, section, path)
    else {
      const some = Object.keys(section.fields).slice(0, 3).join(', ')
      const colon = this.#yaml.isScalar(node) && /^[\w.]+:(?!\/\/)\S/.test(String(node.value))
      const hint = colon ? '; put a space after the colon' : ''
      this.#add(at, `${path && `${path}: `}must be a mapping (${some}, …), not ${this.#what(node)}${hint}`, path)
    }
  }

  #pairs(table: Yaml.YAMLMap, at: number, section: Section<Fields>, path: string): void {
    const seen = new Map<string, number>()
    for (const { key, value } of table.items) {
      if (this.#context.problems.full) return
      const here = this.#start(key) ?? at
      if (!this.#written(key, here, path)) continue
      const name = this.#yaml.isScalar(key) ? String(key.value) : ''
      const below = path ? `${path}.${name}` : name
      const earlier = seen.get(name)
      seen.set(name, here)
      const field = Object.hasOwn(section.fields, name) ? section.fields[name] : undefined
      if (earlier !== undefined)
        this.#add(here, `${below}: is given twice; it is already on line ${this.#lines.linePos(earlier).line}`)
      else if (field) this.#field(value, this.#empty(value) ? here : (this.#start(value) ?? here), field, below)
      else this.#unknown(here, name, value, section, path)
    }
  }

  #list(node: unknown, at: number, list: ListKind<unknown>, path: string): void {
    if (!this.#written(node, at, path)) return
    if (this.#yaml.isSeq(node)) this.#items(node, at, list, path)
    else {
      const message = this.#empty(node)
        ? 'is empty; write [] for an empty list, or remove the line'
        : `must be a list, not ${this.#what(node)}; write each item on a line of its own after "- "`
      this.#add(at, `${path}: ${message}`, path)
    }
  }

  #items(items: Yaml.YAMLSeq, at: number, list: ListKind<unknown>, path: string): void {
    const { item } = list
    const values: unknown[] = []
    for (const [index, each] of items.items.entries()) {
      if (this.#context.problems.full) return
      const here = this.#start(each) ?? at
      if (isSection(item)) {
        this.layer.item(path, index, this.#place(here))
        this.#mapping(each, here, item, `${path}[${index}]`)
      } else {
        const parsed = this.#scalar(each, here, item, `${path}[${index}]`)
        this.layer.at(`${path}[${index}]`, this.#place(here))
        if (parsed?.ok) values.push(parsed.value)
      }
    }
    if (!isSection(item)) this.#set(path, values, at)
  }

  #scalar(node: unknown, at: number, leaf: Leaf, path: string): Parsed | undefined {
    if (!this.#written(node, at, path)) return undefined
    const fail = (message: string): undefined => this.#add(at, `${path}: ${message}`, path)
    if (this.#empty(node)) return fail(`is empty; give it ${leaf.expects}, or remove the line`)
    if (!this.#yaml.isScalar(node)) return fail(`must be ${leaf.expects}, not ${this.#what(node)}`)
    const { value, source = String(value) } = node
    if (typeof value !== 'string') {
      const parsed = parseOne(leaf, value)
      if (parsed.ok && (typeof value !== 'number' || PLAIN_NUMBER.test(source))) return parsed
      return fail(unquoted(leaf, parsed, source))
    }
    const text = expand(value, this.#context.environment)
    if (!text.ok) return fail(text.message)
    const parsed = parseOne(leaf, text.text, !text.expanded)
    if (parsed.ok) return parsed
    return fail(text.expanded ? `${parsed.message}, which ${shown(hideDefaults(value))} is not` : parsed.message)
  }

  #set(path: string, value: unknown, at: number): void {
    const place = this.#place(at)
    this.layer.set(path, value, `file ${place}`, place)
  }

  /** Whether the node is neither an alias nor an anchor, of which a few lines can expand to gigabytes. */
  #written(node: unknown, at: number, path: string): boolean {
    const anchored = this.#yaml.isAlias(node) || (this.#yaml.isNode(node) && 'anchor' in node && Boolean(node.anchor))
    if (anchored)
      this.#add(at, `${path && `${path}: `}anchors and aliases (& and *) are not supported; write the value out`, path)
    return !anchored
  }

  #unknown(here: number, name: string, value: unknown, section: Section<Fields>, path: string): void {
    const near = nearest(name, Object.keys(section.fields))
    const [meant = name] = near
    const hint = this.#nested(name, path) || suggestion(near) || this.#elsewhere(name, value, section, path)
    this.#add(here, `${path && `${path}.`}${name}: unknown key${hint}`, path ? `${path}.${meant}` : meant)
  }

  #nested(name: string, path: string): string {
    const dot = name.lastIndexOf('.')
    if (dot <= 0 || !this.#context.names.flag(path ? `${path}.${name}` : name)) return ''
    return `; names are nested in the file: write ${name.slice(dot + 1)} indented below ${name.slice(0, dot)}`
  }

  #elsewhere(name: string, value: unknown, section: Section<Fields>, path: string): string {
    if (path === '' && this.#yaml.isMap(value) && COLLECTOR.includes(name))
      return '; it belongs to the configuration of an OpenTelemetry Collector, which is another format'
    // An option takes no mapping, so a mapping of the same name is something else.
    const paths = this.#yaml.isMap(value) ? [] : this.#context.names.paths().filter(each => each.endsWith(`.${name}`))
    return suggestion(paths.slice(0, 3)) || `; known here: ${Object.keys(section.fields).join(', ')}`
  }

  #empty(node: unknown): boolean {
    return node === null || node === undefined || (this.#yaml.isScalar(node) && node.value === null)
  }

  #what(node: unknown): string {
    if (this.#empty(node)) return 'nothing'
    if (this.#yaml.isMap(node)) return 'a mapping'
    if (this.#yaml.isSeq(node)) return 'a list'
    const type = this.#yaml.isScalar(node) ? typeof node.value : undefined
    return type === 'number' ? 'a number' : type === 'boolean' ? 'true or false' : 'a string'
  }

  #start(node: unknown): number | undefined {
    return this.#yaml.isNode(node) ? node.range?.[0] : undefined
  }

  #place(offset: number): string {
    const { line, col } = this.#lines.linePos(offset)
    return `${this.#file.name}:${line}:${col}`
  }

  #add(offset: number, message: string, path?: string): undefined {
    this.#context.problems.add('file', `${this.#place(offset)}: ${message}`, path)
  }
}

/** Top-level keys of a Collector's file that are no sections here, or mean something else. */
const COLLECTOR: readonly string[] = ['receivers', 'processors', 'exporters', 'connectors', 'extensions', 'service']

// YAML also reads 010, 0x10, 0o10, 1e3, +1 and .inf as numbers, but not every reader does so in the same way.
const PLAIN_NUMBER = /^-?(?:0|[1-9]\d*)(?:\.\d+)?$/

/** Why a number or a boolean is refused; `source` is its spelling in the file. */
function unquoted(leaf: Leaf, parsed: Parsed, source: string): string {
  const seen = leaf.secret ? '' : `, not ${source.slice(0, 60)}`
  if (parsed.ok) return `must be a number in plain decimal digits${seen}`
  if (parseOne(leaf, source).ok) return `must be ${leaf.expects}${seen}; put it in quotes`
  // The message of the kind may be more precise, but it quotes the number as it was parsed.
  return String(Number(source)) === source ? parsed.message : `must be ${leaf.expects}${seen}`
}

function hideDefaults(text: string): string {
  return text.replaceAll(/:-[^}]*\}/g, ':-…}')
}
