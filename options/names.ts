// One path, three spellings: `health.probes[0].url` in messages, `--health.probes.0.url` as a flag and
// `PILLION_HEALTH_PROBES_0_URL` in the environment. The way back needs the schema, since `_` also stands inside names.

import { type Field, type Fields, isList, isSection, type Kind, type ListKind, type Section } from './kinds.ts'

/** An option that can be given a value of its own: a scalar, or a list of scalars. */
export type Leaf = Kind<unknown> | ListKind<unknown>

export interface NamedLeaf {
  /** With the indexes filled in: `health.probes[0].url`. */
  readonly path: string
  readonly leaf: Leaf
}

/** The flag of a path; `[]`, which means any item of a list, becomes the first one. */
export function flagOf(path: string): string {
  return `--${path.replaceAll('[]', '[0]').replaceAll('[', '.').replaceAll(']', '')}`
}

/** The environment variable of a path. */
export function variableOf(path: string): string {
  return `PILLION_${flagOf(path).slice(2).replaceAll('.', '_').toUpperCase()}`
}

/** Whether the option is a boolean: its flag needs no value and can be negated by `--no-`. */
export function isSwitch(leaf: Leaf): boolean {
  return leaf.json['type'] === 'boolean'
}

/** A place in the schema with its path: an option, or the section of a mapping or of the items of a list. */
export type Entry = { readonly path: string; readonly live: boolean } & (
  | { readonly table: Section<Fields>; readonly leaf?: undefined }
  | { readonly table?: undefined; readonly leaf: Leaf }
)

/** The items of a list are `[]` in the path; the text about the list comes before theirs. */
export function entryOf(field: Field, path: string): Entry {
  const live = field.live === true
  if (isSection(field)) return { path, live, table: field }
  if (!isList(field) || !isSection(field.item)) return { path, live, leaf: field }
  const { item } = field
  return { path: `${path}[]`, live, table: { ...item, about: `${field.about} ${item.about}` } }
}

/** The entries of a section. */
export function entries(section: Section<Fields>, path: string): readonly Entry[] {
  return Object.entries(section.fields).map(([name, field]) => entryOf(field, path ? `${path}.${name}` : name))
}

/** Looks options up by flag and by variable. */
export class Names {
  readonly #leaves = new Map<string, Leaf>()
  readonly #flags = new Map<string, string>()
  readonly #variables = new Map<string, string>()

  constructor(schema: Section<Fields>) {
    this.#add(schema, '')
  }

  /** `health.probes.0.url` → its option. */
  flag(name: string): NamedLeaf | undefined {
    return this.#find(this.#flags, name, /(?<=\.)(?:0|[1-9]\d{0,2})(?=\.)/g)
  }

  /** `PILLION_HEALTH_PROBES_0_URL` → its option. */
  variable(name: string): NamedLeaf | undefined {
    return this.#find(this.#variables, name, /(?<=_)(?:0|[1-9]\d{0,2})(?=_)/g)
  }

  /** Every option, items of lists as `[]`. */
  paths(): string[] {
    return [...this.#leaves.keys()]
  }

  #add(section: Section<Fields>, above: string): void {
    for (const { path, table, leaf } of entries(section, above))
      if (table) this.#add(table, path)
      else this.#addLeaf(path, leaf)
  }

  #addLeaf(path: string, leaf: Leaf): void {
    const marked = path.replaceAll('[]', '[#]')
    const rival = this.#variables.get(variableOf(marked))
    if (rival) throw new Error(`cannot name ${path}: ${variableOf(marked)} is already ${rival}; rename one of them`)
    this.#leaves.set(path, leaf)
    this.#flags.set(flagOf(marked).slice(2), path)
    this.#variables.set(variableOf(marked), path)
  }

  #find(names: ReadonlyMap<string, string>, name: string, index: RegExp): NamedLeaf | undefined {
    const path = names.get(name) ?? names.get(name.replaceAll(index, '#'))
    const leaf = path === undefined ? undefined : this.#leaves.get(path)
    if (path === undefined || leaf === undefined) return undefined
    const indexes = names.has(name) ? [] : (name.match(index) ?? [])
    return { path: path.replaceAll('[]', () => `[${indexes.shift()}]`), leaf }
  }
}
