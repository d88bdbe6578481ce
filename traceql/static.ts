// Values of TraceQL: constants in a query, attributes of spans, and what is computed from them. Integers and durations are
// 64-bit, as in OTLP: a number while it is exact, a bigint beyond.

/** A 64-bit integer: a number if that is exact, otherwise a bigint. */
export type Int = number | bigint

export type Static =
  | { readonly type: 'nil' }
  | { readonly type: 'int'; readonly value: Int }
  | { readonly type: 'float'; readonly value: number }
  | { readonly type: 'string'; readonly value: string }
  | { readonly type: 'boolean'; readonly value: boolean }
  /** Nanoseconds. */
  | { readonly type: 'duration'; readonly value: Int }
  | { readonly type: 'status'; readonly value: Status }
  | { readonly type: 'kind'; readonly value: Kind }
  | { readonly type: 'array'; readonly value: readonly Static[] }

export type Status = 'error' | 'ok' | 'unset'
export type Kind = 'unspecified' | 'internal' | 'server' | 'client' | 'producer' | 'consumer'

/** The type of an expression; 'attribute' is known only when a span is looked at. */
export type Type = Exclude<Static['type'], 'array'> | 'attribute'

export const NIL: Static = { type: 'nil' }
export const TRUE: Static = { type: 'boolean', value: true }
export const FALSE: Static = { type: 'boolean', value: false }

/** The statuses and kinds by their numbers in OTLP. */
export const STATUSES: readonly Status[] = ['unset', 'ok', 'error']
export const KINDS: readonly Kind[] = ['unspecified', 'internal', 'server', 'client', 'producer', 'consumer']

export const MAX_INT = 2n ** 63n - 1n
export const MIN_INT = -(2n ** 63n)

export function isNumeric(type: Type | 'array'): boolean {
  return type === 'int' || type === 'float' || type === 'duration'
}

/** Reduces to 64 bits, as overflow does in Go. */
export function int(value: bigint): Int {
  const wrapped = BigInt.asIntN(64, value)
  const short = Number(wrapped)
  return Number.isSafeInteger(short) ? short : wrapped
}

/** The value as a float, durations in nanoseconds; NaN for everything that is no number. */
export function float(value: Static): number {
  if (value.type === 'int' || value.type === 'duration') return Number(value.value)
  return value.type === 'float' ? value.value : Number.NaN
}

/** The same value always has the same key, different values have different ones. */
export function keyOf(value: Static): string {
  switch (value.type) {
    case 'nil':
      return ''
    case 'array':
      return `a${JSON.stringify(value.value.map(keyOf))}`
    default:
      return value.type.slice(0, 2) + String(value.value)
  }
}

/** Orders as the bytes of UTF-8 do: JavaScript's own order differs where a character needs two units. */
export function compareText(a: string, b: string): number {
  const end = Math.min(a.length, b.length)
  for (let i = 0; i < end; i++) {
    let x = a.charCodeAt(i)
    let y = b.charCodeAt(i)
    if (x === y) continue
    // Surrogates stand for characters above all others.
    if (x >= 0xd800 && y >= 0xd800) {
      x += x >= 0xe000 ? -0x800 : 0x2000
      y += y >= 0xe000 ? -0x800 : 0x2000
    }
    return x - y
  }
  return a.length - b.length
}

/** Orders two values; those of different types by their types. */
export function compare(a: Static, b: Static): number {
  if (isNumeric(a.type) && isNumeric(b.type)) {
    if (a.type === 'float' || b.type === 'float') return sign(float(a), float(b))
    const [x, y] = [(a as { value: Int }).value, (b as { value: Int }).value]
    return x < y ? -1 : x > y ? 1 : 0
  }
  if (a.type === 'string' && b.type === 'string') return compareText(a.value, b.value)
  if (a.type === 'boolean' && b.type === 'boolean') return Number(a.value) - Number(b.value)
  const [x, y] = [a.type + keyOf(a), b.type + keyOf(b)]
  return x < y ? -1 : x > y ? 1 : 0
}

function sign(a: number, b: number): number {
  return a < b ? -1 : a > b ? 1 : 0
}

/** As Go's time.Duration prints itself: `1h0m0.5s`, `1.5ms`, `0s`. */
export function durationText(nanoseconds: Int): string {
  const whole = BigInt(nanoseconds)
  const minus = whole < 0n ? '-' : ''
  const ns = whole < 0n ? -whole : whole
  if (ns === 0n) return '0s'
  if (ns < 1000n) return `${minus}${ns}ns`
  if (ns < 1_000_000n) return `${minus}${decimal(ns, 3)}µs`
  if (ns < 1_000_000_000n) return `${minus}${decimal(ns, 6)}ms`
  const minute = 60_000_000_000n
  const seconds = `${decimal(ns % minute, 9)}s`
  const minutes = ns / minute
  if (minutes === 0n) return minus + seconds
  return minutes < 60n ? `${minus}${minutes}m${seconds}` : `${minus}${minutes / 60n}h${minutes % 60n}m${seconds}`
}

/** The digits with a point `places` from the right, without zeros at the end. */
function decimal(digits: bigint, places: number): string {
  const unit = 10n ** BigInt(places)
  const rest = String(digits % unit)
    .padStart(places, '0')
    .replace(/0+$/, '')
  return rest ? `${digits / unit}.${rest}` : String(digits / unit)
}

/** A float that cannot be taken for an integer: `1.0`, `1e+06`. The form that Go's shortest `%g` has. */
export function floatText(value: number): string {
  if (Number.isNaN(value)) return 'NaN'
  if (!Number.isFinite(value)) return value > 0 ? '+Inf' : '-Inf'
  if (Object.is(value, -0)) return '-0.0'
  const [mantissa = '', exponent = '0'] = value.toExponential().split('e')
  const power = Number(exponent)
  if (power < -4 || power >= 6) return scientific(mantissa, power)
  // Between these powers JavaScript writes no exponent either.
  const plain = String(value)
  return plain.includes('.') ? plain : `${plain}.0`
}

function scientific(mantissa: string, power: number): string {
  return `${mantissa}e${power < 0 ? '-' : '+'}${String(Math.abs(power)).padStart(2, '0')}`
}
