// Parameters of a request as Tempo reads them. A value that cannot be read is a BadQuery, which names the parameter.

import { NANOSECONDS } from '../../../options/units.ts'
import { BadQuery } from '../../../traceql/reading.ts'

/** The most that Grafana sends is a few thousand characters. */
const LONGEST_TARGET = 131_072

export class Params {
  readonly #params: URLSearchParams

  /** `target` is path and query. */
  constructor(target: string) {
    const at = target.indexOf('?')
    if (target.length > LONGEST_TARGET) throw new BadQuery(`the request is longer than ${LONGEST_TARGET} characters`)
    this.#params = new URLSearchParams(at < 0 ? '' : target.slice(at))
  }

  /** Undefined if it is absent or empty. */
  text(name: string): string | undefined {
    return this.#params.get(name) || undefined
  }

  integer(name: string, otherwise: number, least: number, most: number): number {
    const text = this.text(name)
    if (text === undefined) return otherwise
    const value = /^-?\d{1,12}$/.test(text) ? Number(text) : Number.NaN
    if (value >= least && value <= most) return value
    throw new BadQuery(`invalid ${name}: must be a number from ${least} to ${most}, not ${shown(text)}`)
  }

  /** Seconds since the epoch: seconds, seconds with a fraction, nanoseconds, or a date of RFC 3339. */
  time(name: string): number | undefined {
    const text = this.text(name)
    if (text === undefined) return undefined
    const nanos = /^\d{11,19}$/.test(text)
    const seconds = nanos
      ? Number(text) / 1e9
      : /^\d{1,10}(?:\.\d{1,12})?$/.test(text)
        ? Number(text)
        : /^\d{4}-\d\d-\d\dT/.test(text)
          ? Date.parse(text) / 1000
          : Number.NaN
    if (Number.isNaN(seconds))
      throw new BadQuery(`invalid ${name}: must be a Unix time in seconds or nanoseconds, not ${shown(text)}`)
    // Grafana's form sends 0 where it means none.
    return seconds === 0 ? undefined : seconds
  }

  /** Nanoseconds: a duration such as 15s or 1h30m, or a number of seconds. */
  duration(name: string): number | undefined {
    const text = this.text(name)
    if (text === undefined) return undefined
    const nanos = /^\d+(?:\.\d+)?$/.test(text) ? Number(text) * 1e9 : durationNanos(text)
    if (nanos > 0) return Math.round(nanos)
    throw new BadQuery(`invalid ${name}: must be a duration such as 15s, not ${shown(text)}`)
  }

  /** Start and end in seconds; the start must be before the end. */
  range(): { readonly from: number | undefined; readonly to: number | undefined } {
    const [from, to] = [this.time('start'), this.time('end')]
    if (from !== undefined && to !== undefined && from >= to)
      throw new BadQuery('invalid start: must be before end; both are Unix times')
    return { from, to }
  }
}

/** NaN if it is not a duration. */
export function durationNanos(text: string): number {
  if (!/^(?:\d+(?:\.\d+)?(?:ns|us|µs|ms|[smhdw]))+$/.test(text)) return Number.NaN
  let total = 0
  for (const [, number, unit] of text.matchAll(/(\d+(?:\.\d+)?)(ns|us|µs|ms|[smhdw])/g))
    total += Number(number) * NANOSECONDS[unit!]!
  return total
}

/** The text that a client sent, cut and quoted for an error. */
export function shown(text: string): string {
  return JSON.stringify(text.length > 64 ? `${text.slice(0, 64)}…` : text)
}
