// Points in time as logs write them, to the nanosecond: whole seconds since the epoch, and the rest. A double would
// lose what is below a quarter of a microsecond.

export class Time {
  seconds = 0
  nanos = 0

  get known(): boolean {
    return this.seconds > 0
  }

  get ms(): number {
    return this.seconds * 1000 + this.nanos / 1e6
  }

  clear(): void {
    this.seconds = 0
    this.nanos = 0
  }

  copy({ seconds, nanos }: Time): void {
    this.seconds = seconds
    this.nanos = nanos
  }

  setMs(ms: number): void {
    this.seconds = Math.floor(ms / 1000)
    this.nanos = Math.round((ms - this.seconds * 1000) * 1e6)
    if (this.nanos >= 1e9) {
      this.seconds++
      this.nanos -= 1e9
    }
  }

  /** Goes back by so many seconds. */
  back(seconds: number): void {
    const whole = Math.floor(seconds)
    this.seconds -= whole
    this.nanos -= Math.round((seconds - whole) * 1e9)
    if (this.nanos < 0) {
      this.seconds--
      this.nanos += 1e9
    }
  }

  /** A number since the epoch, in seconds, milliseconds, microseconds or nanoseconds: its size says in which. */
  setEpoch(value: number): boolean {
    if (!(value > 1e8 && value < 1e19)) return false
    if (value < 1e11) {
      this.seconds = Math.floor(value)
      // Decimal fractions are not exact in a double: what is below a microsecond is not what was written.
      this.nanos = Math.min(Math.round((value - this.seconds) * 1e6), 999_999) * 1000
      return true
    }
    const unit = value < 1e14 ? 1e3 : value < 1e17 ? 1e6 : 1e9
    this.seconds = Math.floor(value / unit)
    this.nanos = Math.round((value - this.seconds * unit) * (1e9 / unit))
    return true
  }
}

/** The two halves of the nanoseconds since the epoch, exactly. */
export const HALVES = { low: 0, high: 0 }
export function halves({ seconds, nanos }: Time): typeof HALVES {
  // seconds · 10⁹ has more than 53 bits, so it is put together from two numbers of fewer.
  const upper = Math.floor(seconds / 65_536) * 1e9
  const lower = (seconds % 65_536) * 1e9 + nanos + (upper % 65_536) * 65_536
  HALVES.low = lower % 0x100000000
  HALVES.high = Math.floor(upper / 65_536) + Math.floor(lower / 0x100000000)
  return HALVES
}

const ZERO = 48
const MONTHS = 'JanFebMarAprMayJunJulAugSepOctNovDec'

/**
 * Reads the time at the beginning of a text and returns the offset after it, or -1 if there is none:
 *
 *   2026-11-28T22:01:02.123456Z   2026-11-28 22:01:02,123   2026/11/28 22:01:02   …+01:00   each also after "["
 *   28/Nov/2026:22:01:02 +0000    Nov 28 22:01:02           Fri Nov 28 22:01:02.123456 2026
 *
 * Without an offset it is local time. `now` is in milliseconds since the epoch, for a time without a year.
 */
export function readTime(text: string, start: number, out: Time, now: number): number {
  let at = start
  if (text.charCodeAt(at) === 91) at++
  const first = text.charCodeAt(at)
  if (first >= 48 && first <= 57) return text.charCodeAt(at + 2) === 47 ? common(text, at, out) : iso(text, at, out)
  if (first < 65 || first > 90) return -1
  // The day of the week stands before the month, and the year after the time.
  const dayed = MONTHS.indexOf(text.slice(at, at + 3)) < 0
  return named(text, dayed ? at + 4 : at, out, now, dayed)
}

function iso(text: string, at: number, out: Time): number {
  const separator = text.charCodeAt(at + 4)
  if (separator !== 45 && separator !== 47) return -1
  if (text.charCodeAt(at + 7) !== separator || text.charCodeAt(at + 13) !== 58 || text.charCodeAt(at + 16) !== 58)
    return -1
  const between = text.charCodeAt(at + 10)
  if (between !== 84 && between !== 32 && between !== 116) return -1
  const year = number(text, at, 4)
  const month = number(text, at + 5, 2)
  const day = number(text, at + 8, 2)
  const clock = clockAt(text, at + 11)
  if (!valid(year, month, day, clock)) return -1
  return zone(text, fraction(text, at + 19, out), out, year, month, day, clock)
}

/** A time of the common log format. */
function common(text: string, at: number, out: Time): number {
  const month = monthAt(text, at + 3)
  const day = number(text, at, 2)
  const year = number(text, at + 7, 4)
  const clock = clockAt(text, at + 12)
  if (text.charCodeAt(at + 6) !== 47 || text.charCodeAt(at + 11) !== 58 || !valid(year, month, day, clock)) return -1
  out.nanos = 0
  return zone(text, at + 20, out, year, month, day, clock)
}

/** A time of syslog, and with the day and the year of Apache's error log. */
function named(text: string, at: number, out: Time, now: number, dayed: boolean): number {
  const month = monthAt(text, at)
  const day = text.charCodeAt(at + 4) === 32 ? number(text, at + 5, 1) : number(text, at + 4, 2)
  const clock = clockAt(text, at + 7)
  if (text.charCodeAt(at + 3) !== 32 || text.charCodeAt(at + 6) !== 32) return -1
  let end = fraction(text, at + 15, out)
  let year = new Date(now).getFullYear()
  if (dayed) {
    year = number(text, end + 1, 4)
    end += 5
  }
  if (!valid(year, month, day, clock)) return -1
  out.seconds = local(year, month, day, clock)
  // In January, a line of December is of last year.
  if (!dayed && out.seconds * 1000 > now + 86_400_000) out.seconds = local(year - 1, month, day, clock)
  return end
}

function number(text: string, at: number, digits: number): number {
  let value = 0
  for (let i = at; i < at + digits; i++) {
    const digit = text.charCodeAt(i) - ZERO
    if (!(digit >= 0 && digit <= 9)) return Number.NaN
    value = value * 10 + digit
  }
  return value
}

function monthAt(text: string, at: number): number {
  const place = MONTHS.indexOf(text.slice(at, at + 3))
  return place >= 0 && place % 3 === 0 ? place / 3 + 1 : Number.NaN
}

/** Seconds of the day. */
function clockAt(text: string, at: number): number {
  const [hour, minute, second] = [number(text, at, 2), number(text, at + 3, 2), number(text, at + 6, 2)]
  return hour < 24 && minute < 60 && second < 61 ? hour * 3600 + minute * 60 + second : Number.NaN
}

function valid(year: number, month: number, day: number, clock: number): boolean {
  return year >= 1970 && month >= 1 && month <= 12 && day >= 1 && day <= 31 && clock >= 0
}

/** Reads ".123456" or ",123", and returns the offset after it. */
function fraction(text: string, at: number, out: Time): number {
  out.nanos = 0
  const point = text.charCodeAt(at)
  if (point !== 46 && point !== 44) return at
  let unit = 1e8
  let i = at + 1
  for (; ; i++) {
    const digit = text.charCodeAt(i) - ZERO
    if (!(digit >= 0 && digit <= 9)) break
    out.nanos += digit * Math.floor(unit)
    unit /= 10
  }
  return i === at + 1 ? at : i
}

function zone(text: string, at: number, out: Time, year: number, month: number, day: number, clock: number): number {
  const spaced = text.charCodeAt(at) === 32 ? at + 1 : at
  const sign = text.charCodeAt(spaced)
  if (text.charCodeAt(at) === 90 || text.charCodeAt(at) === 122) {
    out.seconds = days(year, month, day) * 86_400 + clock
    return at + 1
  }
  if (sign === 43 || sign === 45) {
    const hours = number(text, spaced + 1, 2)
    const colon = text.charCodeAt(spaced + 3) === 58 ? 1 : 0
    const minutes = number(text, spaced + 3 + colon, 2)
    // "2026-11-28 22:01:02 - started" has no offset.
    if (hours < 24 && (minutes < 60 || colon === 0)) {
      const offset = hours * 3600 + (minutes < 60 ? minutes * 60 : 0)
      out.seconds = days(year, month, day) * 86_400 + clock - (sign === 43 ? offset : -offset)
      return spaced + (minutes < 60 ? 5 + colon : 3)
    }
  }
  out.seconds = local(year, month, day, clock)
  return at
}

/** Days since the epoch, in the Gregorian calendar (http://howardhinnant.github.io/date_algorithms.html). */
function days(year: number, month: number, day: number): number {
  const y = month <= 2 ? year - 1 : year
  const era = Math.floor(y / 400)
  const yoe = y - era * 400
  const doy = Math.floor((153 * (month + (month > 2 ? -3 : 9)) + 2) / 5) + day - 1
  return era * 146_097 + yoe * 365 + Math.floor(yoe / 4) - Math.floor(yoe / 100) + doy - 719_468
}

/** The last hour that was asked for, and what to add to it: the zone's rules are slow to ask. */
let [knownHour, knownOffset] = [Number.NaN, 0]

function local(year: number, month: number, day: number, clock: number): number {
  const utc = days(year, month, day) * 86_400 + clock
  const hour = Math.floor(utc / 900)
  if (hour !== knownHour) {
    const date = new Date(year, month - 1, day, Math.floor(clock / 3600), Math.floor(clock / 60) % 60, clock % 60)
    knownHour = hour
    knownOffset = Math.round(date.getTime() / 1000) - utc
  }
  return utc + knownOffset
}
