// Reads the options: flags, PILLION_… variables, the file, OTEL_… variables and defaults become one value of the type
// that the schema describes, and every part of it knows where it came from. All mistakes of all sources are told at once.

import { readEnvironment } from './environment.ts'
import type { Environment } from './expand.ts'
import type { ConfigFile } from './file.ts'
import { type Field, type Fields, isList, isSection, type Section, type Values } from './kinds.ts'
import { type Given, Layer, parseText } from './layer.ts'
import { flagOf, type Leaf, Names } from './names.ts'
import { opaqueFields, opaqueList } from './opaque.ts'
import { type Problem, Problems } from './problems.ts'
import { isSecret } from './write.ts'
import { readYaml } from './yaml.ts'

/** A flag of the command line that names an option. */
export interface Flag {
  /** As it was written, without its value: "--app.url", "--no-x". */
  readonly written: string
  readonly path: string
  readonly leaf: Leaf
  readonly value: string
}

export interface Sources {
  readonly flags?: readonly Flag[]
  readonly environment?: Environment
  readonly file?: ConfigFile | undefined
}

export type Reading<Value> =
  | {
      readonly ok: true
      readonly values: Value
      /** Path of each option → "flag --app.url", "env PILLION_…", "file pillion.yaml:3:5", "env OTEL_…", "default". */
      readonly origins: ReadonlyMap<string, string>
      /** What was passed over: an OTEL_ variable may be meant for the application, so a bad one is no error. */
      readonly warnings: readonly string[]
    }
  | { readonly ok: false; readonly problems: readonly Problem[] }

/** Loads the YAML parser only if there is a file. Never rejects for what stands in a source. */
export async function read<S extends Section<Fields>>(schema: S, sources: Sources): Promise<Reading<Values<S>>> {
  const { flags = [], environment = {}, file } = sources
  const names = new Names(schema)
  const problems = new Problems()
  const layers = [readFlags(flags, problems), readEnvironment(environment, names, problems)]
  if (file) layers.push(await readYaml(file, { schema, names, environment, problems }))
  const settled = new Settled(layers, environment, problems)
  // The values are built field by field from the schema, each by its kind's own parse or default: this is Values<S>.
  const values = settled.value(schema, '') as Values<S>
  if (problems.list.length > 0) return { ok: false, problems: problems.list }
  return { ok: true, values, origins: settled.origins, warnings: settled.warnings }
}

function readFlags(flags: readonly Flag[], problems: Problems): Layer {
  const layer = new Layer()
  for (const { written, path, leaf, value } of flags) {
    const parsed = parseText(leaf, value)
    const before = layer.values.get(path)
    if (!parsed.ok) problems.add('flag', `${written}: ${parsed.message}`)
    else if (before && !isList(leaf)) problems.add('flag', `${written}: is given twice; keep one of them`)
    else layer.set(path, before ? [before.value, parsed.value].flat() : parsed.value, `flag ${written}`, written)
  }
  return layer
}

/** Lays the layers over one another, the nearest first, each option by itself. */
class Settled {
  readonly origins = new Map<string, string>()
  readonly warnings: string[] = []
  readonly #layers: readonly Layer[]
  readonly #environment: Environment
  readonly #problems: Problems

  constructor(layers: readonly Layer[], environment: Environment, problems: Problems) {
    this.#layers = layers
    this.#environment = environment
    this.#problems = problems
  }

  value(field: Field, path: string): unknown {
    if (isSection(field)) {
      const prefix = path && `${path}.`
      const values = Object.entries(field.fields).map(
        ([name, each]) => [name, this.value(each, prefix + name)] as const,
      )
      const secrets = Object.entries(field.fields).filter(
        ([, each]) => !isSection(each) && !isList(each) && each.secret,
      )
      return Object.freeze(
        opaqueFields(
          Object.fromEntries(values),
          secrets.map(([name]) => name),
        ),
      )
    }
    if (isList(field) && isSection(field.item)) return this.#tables(field.item, path)
    const { value, origin } = this.#given(path) ?? this.#fallback(field, path)
    this.origins.set(path, origin)
    return Array.isArray(value) && isSecret(field) ? opaqueList(value) : value
  }

  #tables(item: Section<Fields>, path: string): readonly unknown[] {
    const places = new Map<number, string>()
    for (const layer of this.#layers) {
      for (const [index, place] of layer.items.get(path) ?? []) if (!places.has(index)) places.set(index, place)
    }
    const values: unknown[] = []
    for (const [index, place] of [...places].sort(([a], [b]) => a - b)) {
      if (index !== values.length) {
        const from = place.startsWith('--') ? 'flag' : 'environment'
        const missing = `${path}[${values.length}]`
        this.#problems.add(from, `${place}: there is no ${missing} before it; number the items from 0 without gaps`)
        break
      }
      values.push(this.value(item, `${path}[${index}]`))
    }
    return Object.freeze(values)
  }

  #given(path: string): Given | undefined {
    for (const layer of this.#layers) {
      const given = layer.values.get(path)
      if (given) return given
    }
    return undefined
  }

  #fallback(leaf: Leaf, path: string): Given {
    const text = leaf.otel && this.#environment[leaf.otel]
    if (!text) return { value: leaf.default, origin: 'default' }
    const parsed = parseText(leaf, text)
    if (parsed.ok) return { value: parsed.value, origin: `env ${leaf.otel}` }
    this.warnings.push(`${leaf.otel}: ${parsed.message}; it is passed over, set ${flagOf(path)} instead`)
    return { value: leaf.default, origin: 'default' }
  }
}
