// Points in time as the readers of logs write them.

const SECOND = 1_000_000_000n

/**
 * Nanoseconds since the epoch. Reads seconds with or without a fraction, whole nanoseconds (a number of more than 15 digits,
 * as Loki's clients send), and RFC 3339; undefined for anything else.
 */
export function nanoseconds(text: string): bigint | undefined {
  const number = /^(\d{1,19})(?:\.(\d+))?$/.exec(text)
  if (number) {
    const [, whole = '', fraction = ''] = number
    if (fraction === '' && whole.length > 15) return BigInt(whole)
    return BigInt(whole) * SECOND + BigInt(fraction.slice(0, 9).padEnd(9, '0'))
  }
  const date = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d+))?(Z|[+-]\d\d:\d\d)$/.exec(text)
  const ms = date ? Date.parse(`${date[1]}${date[3]}`) : Number.NaN
  return ms >= 0 ? BigInt(ms) * 1_000_000n + BigInt((date?.[2] ?? '').slice(0, 9).padEnd(9, '0')) : undefined
}

/** RFC 3339 to the millisecond. */
export function milliseconds(time: bigint): string {
  // Beyond the year 275760 there is no Date; the largest fixed64 is in 2554.
  return new Date(Number(time / 1_000_000n)).toISOString()
}
