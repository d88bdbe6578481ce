// The vocabulary of the option schema. One declaration yields the TypeScript type, the default, the YAML, environment and
// flag spellings, the JSON Schema and the documentation (see read.ts and the renderers beside it).

/** One option: how a value is read, and what is said about it. `parse` throws an Error whose message completes "app.url …". */
export interface Kind<Value> {
  readonly kind: 'scalar' | 'list' | 'section'
  /** One sentence for --help and docs/options.md. */
  readonly about: string
  /** What a value looks like, for people: "a duration such as 10s". */
  readonly expects: string
  /** JSON Schema of one value. */
  readonly json: Readonly<Record<string, unknown>>
  readonly default: Value
  /** An OTEL_… variable that is read when nothing nearer sets the option. */
  readonly otel?: string
  /** Never printed: print-config shows [redacted]. */
  readonly secret?: boolean
  parse(value: unknown): Exclude<Value, undefined>
  /** The value as it is written in YAML, so that `parse(write(value))` is the value; left out where both are the same. */
  write?(value: Value): string | number | boolean
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
}

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

interface More<Value> {
  readonly default?: Value
  readonly otel?: string
  readonly secret?: boolean
}

export function section<const F extends Fields>(about: string, fields: F): Section<F> {
  return { kind: 'section', about, fields }
}

export function text(about: string, more?: More<string>): Kind<string | undefined>
export function text(about: string, more: More<string> & { default: string }): Kind<string>
export function text(about: string, more: More<string> = {}): Kind<string | undefined> {
  return scalar(about, 'a text', { type: 'string' }, more, value => {
    if (typeof value !== 'string') throw new Error(`must be a text, not ${shown(value)}`)
    return value
  })
}

/** A regular expression, given as its source text. */
export function pattern(about: string, more: More<string> = {}): Kind<string | undefined> {
  return scalar(about, 'a regular expression', { type: 'string', format: 'regex' }, more, value => {
    if (typeof value !== 'string') throw new Error(`must be a regular expression, not ${shown(value)}`)
    try {
      new RegExp(value, 'u')
    } catch (cause) {
      throw new Error(`is not a regular expression: ${shown(value)}`, { cause })
    }
    return value
  })
}

/** An absolute http: or https: URL; other schemes can be allowed. The value is kept as its normalised text. */
export function url(
  about: string,
  more: More<string> & { schemes?: readonly string[] } = {},
): Kind<string | undefined> {
  const schemes = more.schemes ?? ['http', 'https']
  const expects = `a URL (${schemes.map(s => `${s}://…`).join(' or ')})`
  return scalar(about, expects, { type: 'string', format: 'uri' }, more, value => {
    const parsed = typeof value === 'string' ? URL.parse(value) : null
    if (!parsed || !schemes.includes(parsed.protocol.slice(0, -1)))
      throw new Error(`must be ${expects}, not ${shown(value)}`)
    return parsed.href
  })
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
    // A leading zero is octal in YAML 1.1 and decimal in YAML 1.2; refusing it is the only reading nobody misunderstands.
    const number = typeof value === 'string' && /^(0|[1-9]\d*)$/.test(value) ? Number(value) : value
    if (typeof number !== 'number' || !Number.isSafeInteger(number) || number < min || number > max)
      throw new Error(`must be ${expects}, not ${shown(value)}`)
    return number
  })
}

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
export function bytes(about: string, more: { default: string; min?: string; max?: string }): Kind<number> {
  const min = size(more.min ?? '0B')
  const max = size(more.max ?? '1024GiB')
  const expects = `a size such as ${more.default} (at least ${more.min ?? '0B'}, at most ${more.max ?? '1024GiB'})`
  const json = { type: ['string', 'integer'], minimum: min, maximum: max, pattern: SIZE.source }
  const kind = scalar<number>(about, expects, json, { default: size(more.default) }, value => {
    const count = typeof value === 'number' ? value : typeof value === 'string' ? size(value) : Number.NaN
    if (!Number.isSafeInteger(count) || count < min || count > max)
      throw new Error(`must be ${expects}, not ${shown(value)}`)
    return count
  }) as Kind<number>
  return { ...kind, write: writeSize }
}

const SIZE = /^(\d+)(B|KiB|MiB|GiB)?$/

function size(text: string): number {
  const [, number, unit = 'B'] = SIZE.exec(text) ?? []
  return number === undefined ? Number.NaN : Number(number) * SIZES[unit]!
}

function writeSize(count: number): string {
  const [unit, factor] = Object.entries(SIZES).findLast(([, each]) => count >= each && count % each === 0) ?? ['B', 1]
  return `${count / factor}${unit}`
}

/** Where a door listens; undefined is "off". */
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
    // "off" is a value here, and it is undefined: the reader tells it from an unset option by whether a source named it.
    parse: parse as (value: unknown) => Listen,
    write: writeListen,
  }
}

function writeListen(value: Listen | undefined): string {
  if (value === undefined) return 'off'
  if (value.host === '::') return `:${value.port}`
  return value.host.includes(':') ? `[${value.host}]:${value.port}` : `${value.host}:${value.port}`
}

/** A list; a section as item makes a list of tables (`health.probes[]`). In the environment and in flags, items are joined by commas. */
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
    expects: item.kind === 'section' ? 'a list of tables' : `a list, each ${item.expects}`,
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

/** A value as it is quoted in messages: short, on one line, and without what stands before the @ of a URL. */
export function shown(value: unknown): string {
  const quoted = withoutUserinfo(JSON.stringify(value) ?? String(value))
  return quoted.length > 60 ? `${quoted.slice(0, 57)}…` : quoted
}

// Greedy up to the last @, since a password may hold an unescaped / or @: rather too much is hidden than too little.
function withoutUserinfo(text: string): string {
  return text.replaceAll(/(:\/\/)\S*@/g, '$1[redacted]@')
}
