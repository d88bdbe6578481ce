// One path, three spellings: `health.probes[0].url` in messages, `--health.probes.0.url` as a flag and
// `PILLION_HEALTH_PROBES_0_URL` in the environment. The way back needs the schema, since `_` also stands inside names.

import { type Field, type Fields, isList, isSection, type Kind, type ListKind, type Section } from './kinds.ts'

/** An option that can be given a value of its own: a scalar, or a list of scalars. */
export type Leaf = Kind<unknown> | ListKind<unknown>

export interface Found {
  /** With the indexes filled in: `health.probes[0].url`. */
  readonly path: string
  readonly leaf: Leaf
}

/** The flag of a path; `[]`, any item of a list, is shown as its first one. */
export function flagOf(path: string): string {
  return `--${path.replaceAll('[]', '[0]').replaceAll('[', '.').replaceAll(']', '')}`
}

/** The environment variable of a path. */
export function variableOf(path: string): string {
  return `PILLION_${flagOf(path).slice(2).replaceAll('.', '_').toUpperCase()}`
}

/** A boolean, which as a flag needs no value and can be negated by `--no-`. */
export function isSwitch(leaf: Leaf): boolean {
  return leaf.json['type'] === 'boolean'
}

/** The table below this field, if it is a section or a list of tables; what is said about a list stands before its item's. */
export function tableOf(field: Field): Section<Fields> | undefined {
  if (isSection(field)) return field
  if (!isList(field) || !isSection(field.item)) return undefined
  return { ...field.item, about: `${field.about} ${field.item.about}` }
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
  flag(name: string): Found | undefined {
    return this.#find(this.#flags, name, /(?<=\.)(?:0|[1-9]\d{0,2})(?=\.)/g)
  }

  /** `PILLION_HEALTH_PROBES_0_URL` → its option. */
  variable(name: string): Found | undefined {
    return this.#find(this.#variables, name, /(?<=_)(?:0|[1-9]\d{0,2})(?=_)/g)
  }

  /** Every option, items of lists as `[]`. */
  paths(): string[] {
    return [...this.#leaves.keys()]
  }

  #add(section: Section<Fields>, prefix: string): void {
    for (const [name, field] of Object.entries(section.fields)) {
      const path = prefix + name
      const table = tableOf(field)
      if (table) this.#add(table, isSection(field) ? `${path}.` : `${path}[].`)
      else this.#addLeaf(path, field as Leaf) // not a table, so not a section
    }
  }

  #addLeaf(path: string, leaf: Leaf): void {
    const marked = path.replaceAll('[]', '[#]')
    const rival = this.#variables.get(variableOf(marked))
    if (rival) throw new Error(`cannot name ${path}: ${variableOf(marked)} is already ${rival}; rename one of them`)
    this.#leaves.set(path, leaf)
    this.#flags.set(flagOf(marked).slice(2), path)
    this.#variables.set(variableOf(marked), path)
  }

  #find(names: ReadonlyMap<string, string>, name: string, index: RegExp): Found | undefined {
    const path = names.get(name) ?? names.get(name.replaceAll(index, '#'))
    const leaf = path === undefined ? undefined : this.#leaves.get(path)
    if (path === undefined || leaf === undefined) return undefined
    const indexes = names.has(name) ? [] : (name.match(index) ?? [])
    return { path: path.replaceAll('[]', () => `[${indexes.shift()}]`), leaf }
  }
}
