// The vocabulary of the option schema. One declaration yields the TypeScript type, the default, the YAML, environment and
// flag spellings, the JSON Schema and the documentation (see read.ts and the renderers beside it).

import { expression } from './expression.ts'
import { readable } from './readable.ts'

/** One option: how a value is read, and its texts. `parse` throws an Error whose message follows the option's name. */
export interface Kind<Value> {
  readonly kind: 'scalar' | 'list' | 'section'
  /** One sentence for --help and docs/options.md. */
  readonly about: string
  /** The form of a value, for people: "a duration such as 10s". */
  readonly expects: string
  /** JSON Schema of one value. */
  readonly json: Readonly<Record<string, unknown>>
  readonly default: Value
  /** An OTEL_… variable that is read when no flag, PILLION_ variable or file sets the option. */
  readonly otel?: string
  /** The value that the OTEL_ variable means, where it is written in another way there; throws as `parse` does. */
  standard?(text: string): Exclude<Value, undefined>
  /**
   * Whether the OTEL_ variable is read at all. `given` tells what a flag, a PILLION_ variable or the file has set an option to:
   * undefined if none has; for a list of mappings, whether it has items.
   */
  applies?(given: (path: string) => unknown): boolean
  /** Never printed: print-config shows [redacted]. */
  readonly secret?: boolean
  /** Can change while the sidecar runs; the part that has it takes the new value in `prepare`. */
  readonly live?: boolean
  parse(value: unknown): Exclude<Value, undefined>
  /**
   * The value as it is written in YAML, so that `parse(write(value))` is the value; absent where both are the same. Undefined
   * is an option that is not set.
   */
  write?(value: Value): string | number | boolean | undefined
  /** A second check of a value that some source gave, if it needs the machine or a library. Rejects as `parse` throws. */
  verify?(value: Exclude<Value, undefined>): Promise<unknown>
}

export interface ListKind<Value> extends Kind<readonly Value[]> {
  readonly kind: 'list'
  readonly item: Kind<Value> | Section<Fields>
}

// biome-ignore lint/suspicious/noExplicitAny: a Kind is invariant in its value, so a bag of mixed kinds has no other type
export type Field = Kind<any> | Section<Fields>
export type Fields = { readonly [name: string]: Field }

export interface Section<F extends Fields> {
  readonly kind: 'section'
  readonly about: string
  readonly fields: F
  /**
   * Faults of the values together, after each of them was parsed. `origins` has where each option comes from, by its
   * full path.
   */
  check?(values: unknown, origins: Origins): Faults
  /** Everything in it can change while the sidecar runs. */
  readonly live?: boolean
}

/** An option with a value that cannot work. */
export interface Fault {
  /** Below the section that is checked: "url", "probes[1].headers[0]"; '' is the section itself. */
  readonly path: string
  /** To follow the name of the option: "must be HOST:PORT, not …", "is missing; give …". */
  readonly message: string
}

export type Faults = readonly Fault[] | Promise<readonly Fault[]>

/** The full path of each option → where its value comes from: "flag --…", "env …", "default". */
export type Origins = ReadonlyMap<string, string>

export function isSection(field: Field): field is Section<Fields> {
  return field.kind === 'section'
}

// biome-ignore lint/suspicious/noExplicitAny: as above
export function isList(field: Field): field is ListKind<any> {
  return field.kind === 'list'
}

/** The type of the values that a section describes. */
export type Values<S> =
  S extends Section<infer F> ? { readonly [K in keyof F]: Values<F[K]> } : S extends Kind<infer V> ? V : never

/** The option, or all options of the section, can change while the sidecar runs. */
export function live<F extends Field>(field: F): F {
  return { ...field, live: true }
}

interface More<Value> {
  readonly default?: Value
  readonly otel?: string
  readonly secret?: boolean
}

export function section<const F extends Fields>(about: string, fields: F): Section<F> {
  return { kind: 'section', about, fields }
}

/**
 * The section with a check over its values, for what no option can tell by itself. All its faults are reported at once, each
 * with the place where its option is written. An option that could not be parsed has its default here; faults of it are dropped.
 */
export function checked<F extends Fields>(
  section: Section<F>,
  check: (values: Values<Section<F>>) => Faults,
): Section<F> {
  // The reader gives a check the values that it made from the same section.
  return { ...section, check: values => check(values as Values<Section<F>>) }
}

export function text(about: string, more?: More<string>): Kind<string | undefined>
export function text(about: string, more: More<string> & { default: string }): Kind<string>
export function text(about: string, more: More<string> = {}): Kind<string | undefined> {
  return scalar(about, 'a string', { type: 'string' }, more, value => {
    if (typeof value !== 'string') throw new Error(`must be a string, not ${shown(value)}`)
    return value
  })
}

/** The name of a file that must be readable when the sidecar starts. */
export function file(about: string, more: More<string> = {}): Kind<string | undefined> {
  return { ...text(about, more), expects: 'the name of a file', verify: readable }
}

/** A regular expression, given as its source; expression.ts compiles it. */
export function pattern(about: string, more: More<string> = {}): Kind<string | undefined> {
  const expects = "a regular expression in RE2's syntax"
  const kind = scalar(about, expects, { type: 'string' }, more, value => {
    if (typeof value !== 'string') throw new Error(`must be ${expects}, not ${shown(value)}`)
    return value
  })
  return { ...kind, verify: expression }
}

/**
 * An absolute http: or https: URL; other schemes can be allowed. HOST:PORT means http://HOST:PORT, as for curl. The value is
 * the normalised URL as a string.
 */
export function url(
  about: string,
  more: More<string> & { schemes?: readonly string[] } = {},
): Kind<string | undefined> {
  const schemes = more.schemes ?? ['http', 'https']
  const http = schemes.includes('http')
  const expects = `a URL (${schemes.map(s => `${s}://…`).join(' or ')})`
  const json = { type: 'string', ...(http ? {} : { format: 'uri' }) }
  return scalar(about, expects, json, more, value => {
    const whole = http && isHostPort(value) ? `http://${value}` : value
    const parsed = typeof whole === 'string' ? URL.parse(whole) : null
    if (!parsed || !schemes.includes(parsed.protocol.slice(0, -1)))
      throw new Error(`must be ${expects}, not ${shown(value)}`)
    return parsed.href
  })
}

/** "localhost:8080", "[::1]:8080/path": an address without a scheme, which a URL parser takes for a scheme and its rest. */
export function isHostPort(value: unknown): value is string {
  return typeof value === 'string' && /^(?:[\w.-]+|\[[\da-f:.]+\]):\d{1,5}(?:[/?#]|$)/i.test(value)
}

export function integer(
  about: string,
  more: More<number> & { default: number; min?: number; max?: number },
): Kind<number>
export function integer(about: string, more?: More<number> & { min?: number; max?: number }): Kind<number | undefined>
export function integer(
  about: string,
  more: More<number> & { min?: number; max?: number } = {},
): Kind<number | undefined> {
  const { min = 0, max = Number.MAX_SAFE_INTEGER } = more
  const expects =
    max === Number.MAX_SAFE_INTEGER ? `a whole number from ${min}` : `a whole number from ${min} to ${max}`
  return scalar(about, expects, { type: 'integer', minimum: min, maximum: max }, more, value => {
    // A leading zero means octal in YAML 1.1 and decimal in YAML 1.2, so it is refused.
    const number = typeof value === 'string' && /^(0|[1-9]\d*)$/.test(value) ? Number(value) : value
    if (typeof number !== 'number' || !Number.isSafeInteger(number) || number < min || number > max)
      throw new Error(`must be ${expects}, not ${shown(value)}`)
    return number
  })
}

/** A part of a whole: a number from 0 to 1, or a percentage such as "5%". The value is the number. */
export function share(about: string, more: More<number> & { default: number }): Kind<number> {
  const expects = 'a number from 0 to 1, or a percentage such as 5%'
  const json = { type: ['number', 'string'], minimum: 0, maximum: 1, pattern: SHARE.source }
  return scalar<number>(about, expects, json, more, value => {
    const [, number, percent] = (typeof value === 'string' && SHARE.exec(value)) || []
    const part = number === undefined ? value : percent ? Number(number) / 100 : Number(number)
    if (typeof part !== 'number' || !(part >= 0 && part <= 1))
      throw new Error(`must be ${expects}, not ${shown(value)}`)
    return part
  }) as Kind<number>
}

const SHARE = /^(\d+(?:\.\d+)?)(%)?$/

export function flag(about: string, more: More<boolean> & { default: boolean }): Kind<boolean> {
  return scalar<boolean>(about, 'true or false', { type: 'boolean' }, more, value => {
    if (value === true || value === 'true') return true
    if (value === false || value === 'false') return false
    throw new Error(`must be true or false, not ${shown(value)}`)
  }) as Kind<boolean>
}

export function choice<const Value extends string>(
  about: string,
  values: readonly Value[],
  more: More<Value> & { default: Value },
): Kind<Value> {
  return scalar<Value>(about, values.join(' | '), { enum: values }, more, value => {
    const found = values.find(each => each === value)
    if (found === undefined) throw new Error(`must be one of ${values.join(', ')}, not ${shown(value)}`)
    return found
  }) as Kind<Value>
}

const UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }

/** A span of time, written with its unit ("500ms", "10s", "1m30s"); the value is in milliseconds. */
export function duration(
  about: string,
  more: { default: string; min?: string; max?: string; otel?: string },
): Kind<number> {
  const min = milliseconds(more.min ?? '0s')
  const max = milliseconds(more.max ?? '365d')
  const bounds = [more.min && `at least ${more.min}`, more.max && `at most ${more.max}`].filter(Boolean).join(', ')
  const expects = `a duration such as ${more.default === '0s' ? '10s' : more.default}${bounds && ` (${bounds})`}`
  const rest = { default: milliseconds(more.default), ...(more.otel ? { otel: more.otel } : {}) }
  const kind = scalar<number>(about, expects, { type: 'string', pattern: DURATION.source }, rest, value => {
    const ms = typeof value === 'string' ? milliseconds(value) : Number.NaN
    const unit = /^\d+$/.test(String(value)) ? `; add a unit, as in ${value}s` : ''
    if (!(ms >= min && ms <= max)) throw new Error(`must be ${expects}, not ${shown(value)}${unit}`)
    return ms
  }) as Kind<number>
  return { ...kind, write: writeDuration }
}

const DURATION = /^(?:\d+(?:\.\d+)?(?:ms|[smhd]))+$/

function milliseconds(text: string): number {
  if (!DURATION.test(text)) return Number.NaN
  let total = 0
  for (const [, number, unit] of text.matchAll(/(\d+(?:\.\d+)?)(ms|[smhd])/g)) total += Number(number) * UNITS[unit!]!
  return total
}

function writeDuration(ms: number): string {
  if (ms === 0) return '0s'
  if (ms % 1000 !== 0) return `${ms}ms`
  const parts = [
    [Math.floor(ms / 86_400_000), 'd'],
    [Math.floor(ms / 3_600_000) % 24, 'h'],
    [Math.floor(ms / 60_000) % 60, 'm'],
    [Math.floor(ms / 1000) % 60, 's'],
  ]
  return parts.map(([count, unit]) => (count ? `${count}${unit}` : '')).join('')
}

const SIZES: Readonly<Record<string, number>> = { B: 1, KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3 }

/** A size in bytes, written with a binary unit ("16MiB") or as a plain number of bytes. */
export function bytes(about: string, more: { default: string; min?: string; max?: string }): Kind<number>
export function bytes(about: string, more: { min?: string; max?: string }): Kind<number | undefined>
export function bytes(about: string, more: { default?: string; min?: string; max?: string }): Kind<number | undefined> {
  const min = size(more.min ?? '0B')
  const max = size(more.max ?? '1024GiB')
  const expects = `a size such as ${more.default ?? '64MiB'} (at least ${more.min ?? '0B'}, at most ${more.max ?? '1024GiB'})`
  const json = { type: ['string', 'integer'], minimum: min, maximum: max, pattern: SIZE.source }
  const preset = more.default === undefined ? {} : { default: size(more.default) }
  const kind = scalar<number>(about, expects, json, preset, value => {
    const count = typeof value === 'number' ? value : typeof value === 'string' ? size(value) : Number.NaN
    if (!Number.isSafeInteger(count) || count < min || count > max)
      throw new Error(`must be ${expects}, not ${shown(value)}`)
    return count
  })
  return { ...kind, write: writeSize } as Kind<number | undefined>
}

const SIZE = /^(\d+)(B|KiB|MiB|GiB)?$/

function size(text: string): number {
  const [, number, unit = 'B'] = SIZE.exec(text) ?? []
  return number === undefined ? Number.NaN : Number(number) * SIZES[unit]!
}

function writeSize(count: number | undefined): string | undefined {
  if (count === undefined) return undefined
  const [unit, factor] = Object.entries(SIZES).findLast(([, each]) => count >= each && count % each === 0) ?? ['B', 1]
  return `${count / factor}${unit}`
}

/** The address of a listener; undefined is "off". */
export interface Listen {
  readonly host: string
  readonly port: number
}

/** "HOST:PORT", ":PORT" (all addresses), "PORT" (127.0.0.1), "[::1]:PORT", or "off". Port 0 lets the kernel choose. */
export function listen(about: string, more: { default: string; otel?: string }): Kind<Listen | undefined> {
  const parse = (value: unknown): Listen | undefined => {
    if (value === 'off' || value === false) return undefined
    const [, host, port] = /^(?:(\[[^\]]+\]|[^:\s]*):)?(\d{1,5})$/.exec(String(value)) ?? []
    if (port === undefined || Number(port) > 65535)
      throw new Error(`must be HOST:PORT, :PORT, PORT or off, not ${shown(value)}`)
    const name = host === undefined ? '127.0.0.1' : host === '' ? '::' : host.replace(/^\[|\]$/g, '')
    return { host: name, port: Number(port) }
  }
  const json = {
    anyOf: [
      { type: 'string', pattern: '^(?:off|(?:(?:\\[[^\\]]+\\]|[^:\\s]*):)?\\d{1,5})$' },
      { type: 'integer', minimum: 0, maximum: 65535 },
      { const: false },
    ],
  }
  return {
    kind: 'scalar',
    about,
    expects: 'HOST:PORT, :PORT, PORT or off',
    json,
    default: parse(more.default),
    ...(more.otel ? { otel: more.otel } : {}),
    // "off" is a value here, and it is undefined: the reader knows from the sources whether the option was set.
    parse: parse as (value: unknown) => Listen,
    write: writeListen,
  }
}

function writeListen(value: Listen | undefined): string {
  if (value === undefined) return 'off'
  if (value.host === '::') return `:${value.port}`
  return value.host.includes(':') ? `[${value.host}]:${value.port}` : `${value.host}:${value.port}`
}

/** A list; with a section as item, a list of mappings (`health.probes[]`). In variables and flags, items are separated by commas. */
export function list<Value>(
  about: string,
  item: Kind<Value>,
  more?: { default: readonly Exclude<Value, undefined>[] },
): ListKind<Exclude<Value, undefined>>
export function list<const F extends Fields>(about: string, item: Section<F>): ListKind<Values<Section<F>>>
export function list(
  about: string,
  item: Kind<unknown> | Section<Fields>,
  more: { default?: readonly unknown[] } = {},
): ListKind<unknown> {
  return {
    kind: 'list',
    about,
    expects: item.kind === 'section' ? 'a list of mappings' : `a list, each ${item.expects}`,
    json: { type: 'array' },
    default: more.default ?? [],
    item,
    parse: () => {
      throw new Error('lists are read by read.ts, item by item, so that an error names its place')
    },
  }
}

function scalar<Value>(
  about: string,
  expects: string,
  json: Record<string, unknown>,
  more: More<Value>,
  parse: (value: unknown) => Value,
): Kind<Value | undefined> {
  return {
    kind: 'scalar',
    about,
    expects,
    json,
    default: more.default,
    ...(more.otel ? { otel: more.otel } : {}),
    ...(more.secret ? { secret: true } : {}),
    parse: parse as (value: unknown) => Exclude<Value | undefined, undefined>,
  }
}

/** A value as it is quoted in messages: short, on one line, and without user name and password of a URL. */
export function shown(value: unknown): string {
  const quoted = withoutUserinfo(JSON.stringify(value) ?? String(value))
  return quoted.length > 60 ? `${quoted.slice(0, 57)}…` : quoted
}

// Greedy up to the last @, since a password may contain an unescaped / or @: better to hide too much than too little.
function withoutUserinfo(text: string): string {
  return text.replaceAll(/(:\/\/)\S*@/g, '$1[redacted]@')
}
