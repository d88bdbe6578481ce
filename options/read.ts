// Reads the options: flags, PILLION_… variables, the file, OTEL_… variables and defaults become one value of the type
// that the schema describes, with the origin of each option. The mistakes of all sources are reported at once.

import { readEnvironment } from './environment.ts'
import type { Environment } from './expand.ts'
import { faults } from './faults.ts'
import type { ConfigFile } from './file.ts'
import { type Field, type Fields, isList, isSection, type Section, type Values } from './kinds.ts'
import { type Given, Layer, parseStandard, parseText } from './layer.ts'
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
      /** Ignored OTEL_ variables with a bad value, which is no error, since they may be meant for the application. */
      readonly warnings: readonly string[]
    }
  | { readonly ok: false; readonly problems: readonly Problem[] }

/** Loads the YAML parser only if there is a file. Never rejects because of the content of a source. */
export async function read<S extends Section<Fields>>(schema: S, sources: Sources): Promise<Reading<Values<S>>> {
  const { flags = [], environment = {}, file } = sources
  const names = new Names(schema)
  const problems = new Problems()
  const layers = [readFlags(flags, problems), readEnvironment(environment, names, problems)]
  if (file) layers.push(await readYaml(file, { schema, names, environment, problems }))
  const settled = new Settled(layers, environment, problems)
  // The values are built field by field from the schema, each by its kind's own parse or default: this is Values<S>.
  const values = settled.value(schema, '') as Values<S>
  for (const { path, message } of await faults(schema, values, settled.origins))
    if (!problems.touch(path)) settled.fault(path, message)
  if (problems.list.length > 0) return { ok: false, problems: problems.list }
  return { ok: true, values, origins: settled.origins, warnings: settled.warnings }
}

function readFlags(flags: readonly Flag[], problems: Problems): Layer {
  const layer = new Layer('flag')
  for (const { written, path, leaf, value } of flags) {
    const parsed = parseText(leaf, value)
    const before = layer.values.get(path)
    if (!parsed.ok) problems.add('flag', `${written}: ${parsed.message}`, path)
    else if (before && !isList(leaf)) problems.add('flag', `${written}: is given twice; keep one of them`)
    else layer.set(path, before ? [before.value, parsed.value].flat() : parsed.value, `flag ${written}`, written)
  }
  return layer
}

/** Combines the layers: each option takes its value from the first layer that has one. */
class Settled {
  readonly origins = new Map<string, string>()
  readonly warnings: string[] = []
  readonly #layers: readonly Layer[]
  readonly #environment: Environment
  readonly #problems: Problems
  /** The values of OTEL_ variables. */
  readonly #standard = new Layer('environment')

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
    if (isList(field) && isSection(field.item)) return this.#mappings(field.item, path)
    const { value, origin } = this.#given(path) ?? this.#fallback(field, path)
    this.origins.set(path, origin)
    return Array.isArray(value) && isSecret(field) ? opaqueList(value) : value
  }

  /** Reports a fault at the place of the option, or at that of the nearest item or mapping around it. */
  fault(path: string, message: string): void {
    for (let around = path; around !== ''; around = around.replace(/(?:^|\.|\[)[^.[]*$/, ''))
      for (const layer of [...this.#layers, this.#standard]) {
        const place = layer.places.get(around)
        if (place === undefined) continue
        const whole = around === path && layer.from !== 'file' ? message : `${path}: ${message}`
        this.#problems.add('check', `${place}: ${whole}`)
        return
      }
    this.#problems.add('check', `${path}: ${message}`)
  }

  #mappings(item: Section<Fields>, path: string): readonly unknown[] {
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

  #set(path: string): unknown {
    return this.#given(path)?.value ?? (this.#layers.some(layer => layer.items.has(path)) || undefined)
  }

  #fallback(leaf: Leaf, path: string): Given {
    const text = leaf.otel && this.#environment[leaf.otel]
    if (!text || leaf.applies?.(other => this.#set(other)) === false) return { value: leaf.default, origin: 'default' }
    const parsed = parseStandard(leaf, text)
    if (parsed.ok) {
      const origin = `env ${leaf.otel}`
      this.#standard.set(path, parsed.value, origin, String(leaf.otel))
      return { value: parsed.value, origin }
    }
    this.warnings.push(`${leaf.otel}: ${parsed.message}; it is ignored, set ${flagOf(path)} instead`)
    return { value: leaf.default, origin: 'default' }
  }
}
