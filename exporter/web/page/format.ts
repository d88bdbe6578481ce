// Numbers and times as people write them. Every figure on the page passes through here, so that one unit has one spelling.

/** Thin, and never broken: between a number and its unit. */
const GAP = '\u202f'

/** A duration, from seconds: "950 µs", "12.3 ms", "1.24 s", "2 min 5 s". */
export function duration(seconds: number | undefined): string {
  if (seconds === undefined || !Number.isFinite(seconds)) return '–'
  const size = Math.abs(seconds)
  if (size === 0) return `0${GAP}s`
  if (size < 0.999_5e-6) return `${digits(seconds * 1e9)}${GAP}ns`
  if (size < 0.999_5e-3) return `${digits(seconds * 1e6)}${GAP}µs`
  if (size < 0.999_5) return `${digits(seconds * 1e3)}${GAP}ms`
  return size < 59.95 ? `${digits(seconds)}${GAP}s` : age(seconds)
}

/** A long time by its two largest units: "3 d 4 h", "12 min". */
export function age(seconds: number): string {
  const units = [
    ['d', 86_400],
    ['h', 3600],
    ['min', 60],
    ['s', 1],
  ] as const
  let left = Math.floor(Math.abs(seconds))
  const first = units.findIndex(([, size]) => left >= size)
  if (first < 0) return `0${GAP}s`
  const parts = units.slice(first, first + 2).map(([unit, size]) => {
    const whole = Math.floor(left / size)
    left -= whole * size
    return whole === 0 ? '' : `${whole}${GAP}${unit}`
  })
  return parts.filter(Boolean).join(' ')
}

/** "135 MiB". */
export function bytes(count: number | undefined): string {
  if (count === undefined || !Number.isFinite(count)) return '–'
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB']
  const power = Math.abs(count) < 1024 ? 0 : Math.min(Math.floor(Math.log2(Math.abs(count)) / 10), units.length - 1)
  return `${digits(count / 1024 ** power)}${GAP}${units[power]}`
}

/** A rate: "12.3/s"; one below 0.1/s by the minute or the hour. */
export function rate(perSecond: number | undefined): string {
  if (perSecond === undefined || !Number.isFinite(perSecond)) return '–'
  if (perSecond === 0) return '0/s'
  if (perSecond >= 0.1) return `${digits(perSecond)}/s`
  return perSecond * 60 >= 0.1 ? `${digits(perSecond * 60)}/min` : `${digits(perSecond * 3600)}/h`
}

/** A share of 1: "4.2 %". */
export function percent(ratio: number | undefined): string {
  if (ratio === undefined || !Number.isFinite(ratio)) return '–'
  const value = ratio * 100
  // A share just below 100 %, or just above 0, must not read as these.
  if (value > 99.9 && value < 100) return `>99.9${GAP}%`
  if (value > 0 && value < 0.01) return `<0.01${GAP}%`
  return `${digits(value)}${GAP}%`
}

/** A number of things: "1,234,567". */
export function count(value: number | undefined): string {
  if (value === undefined || !Number.isFinite(value)) return '–'
  return Number.isInteger(value) ? grouped(value) : digits(value)
}

/** As toLocaleString('en-US'), whose first call takes longer than all else before the first rows of a trace. */
function grouped(value: number): string {
  return Math.abs(value) < 1e21 ? String(value).replace(/\B(?=(?:\d{3})+$)/g, ',') : value.toPrecision(3)
}

/** A number of things where there is little room: "1.23 M". */
export function short(value: number | undefined): string {
  if (value === undefined || !Number.isFinite(value)) return '–'
  const size = Math.abs(value)
  if (size < 10_000) return Number.isInteger(value) ? String(value) : digits(value)
  const [power, unit] = size < 1e6 ? [1e3, 'k'] : size < 1e9 ? [1e6, 'M'] : [1e9, 'G']
  return `${digits(value / power)}${GAP}${unit}`
}

/** Three digits, without zeros at the end. */
export function digits(value: number): string {
  const size = Math.abs(value)
  if (size >= 1e21) return value.toPrecision(3)
  if (size >= 100) return grouped(Math.round(value))
  return String(Number(value.toPrecision(3)))
}

export type Unit = 'bytes' | 'seconds' | 'ratio' | 'cores' | 'perSecond' | 'count'

/** A number of this unit. */
export function figure(value: number | undefined, unit: Unit): string {
  switch (unit) {
    case 'bytes':
      return bytes(value)
    case 'seconds':
      return duration(value)
    case 'ratio':
      return percent(value)
    case 'perSecond':
      return rate(value)
    case 'cores':
      return value === undefined || !Number.isFinite(value) ? '–' : digits(value)
    case 'count':
      return short(value)
  }
}

export type Zone = 'local' | 'utc'

/** The time of day, from milliseconds since the epoch: "12:03:05", with `millis` "12:03:05.123". */
export function clockTime(ms: number, zone: Zone, millis = false): string {
  const { hour, minute, second, fraction } = parts(ms, zone)
  return `${hour}:${minute}:${second}${millis ? `.${fraction}` : ''}`
}

/** Day and time: "2026-11-28 12:03:05". */
export function dayTime(ms: number, zone: Zone, millis = false): string {
  const { year, month, day } = parts(ms, zone)
  return `${year}-${month}-${day} ${clockTime(ms, zone, millis)}`
}

function parts(
  ms: number,
  zone: Zone,
): Record<'year' | 'month' | 'day' | 'hour' | 'minute' | 'second' | 'fraction', string> {
  const date = new Date(ms)
  const local = new Date(ms - (zone === 'local' ? date.getTimezoneOffset() * 60_000 : 0))
  // 2026-11-28T12:03:05.123Z
  const text = Number.isNaN(local.getTime()) ? '0000-00-00T00:00:00.000Z' : local.toISOString()
  return {
    year: text.slice(0, 4),
    month: text.slice(5, 7),
    day: text.slice(8, 10),
    hour: text.slice(11, 13),
    minute: text.slice(14, 16),
    second: text.slice(17, 19),
    fraction: text.slice(20, 23),
  }
}
