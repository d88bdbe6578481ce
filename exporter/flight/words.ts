// A record in words: the first screen of a file, the line in the log, the body of the log record. Numbers, no
// adjectives.

import type { Trigger } from './families.ts'
import type { FlightRecord } from './record.ts'
import { column, lately } from './samples.ts'

const TITLES: Readonly<Record<Trigger, string>> = {
  gone: 'The application ended',
  both: 'The application and its sidecar ended',
  failing: 'A health probe failed',
  dying: 'A resource runs out',
  stopping: 'The sidecar was told to stop',
  asked: 'A record that was asked for',
}

export function title({ trigger, application: { name } }: FlightRecord): string {
  return `${TITLES[trigger]}${name === undefined ? '' : `: ${name}`}`
}

/** The certainty of the reason, by its evidence. */
const SURE: Readonly<Record<string, string>> = {
  status: 'proven by its exit status',
  oom_counter: 'proven by the counter of its cgroup',
  kernel_log: 'proven by the log of the kernel',
  inferred: 'likely, not proven',
  none: 'the reason is not known',
}

/** One paragraph: what happened, when, and how sure that is. */
export function summary(record: FlightRecord): string {
  const { trigger, at, cause, application } = record
  const { name = 'the application', pid, since } = application
  const up = since === undefined ? '' : `, seen for ${duration(at - since)}`
  const who = pid === undefined ? name : `${name} (pid ${pid}${up})`
  const sure = SURE[cause.evidence] ?? cause.evidence
  const why = cause.text === '' ? '' : ` ${sentence(cause.text)}`
  switch (trigger) {
    case 'gone':
      return `${who} ended at ${instant(at)}: ${cause.reason} (${sure}).${why}`
    case 'both':
      return `${who} was last seen at ${instant(at)}: ${cause.reason} (${sure}).${why}`
    case 'asked':
      return `The state of ${who} at ${instant(at)}.${why}`
    default:
      return `${who}, at ${instant(at)}.${why}`
  }
}

/** The last minute in numbers, one sentence each. */
export function lastMinute(record: FlightRecord): readonly string[] {
  const { samples, at } = record
  const end = samples.times.at(-1)
  if (end === undefined) return []
  const said: string[] = []
  const say = (text: string, ...values: readonly number[]): void => {
    if (values.every(value => Number.isFinite(value))) said.push(text)
  }
  say(`The last sample was taken ${Math.max(0, (at - end) / 1000).toFixed(1)} s before, at ${instant(end)}.`, at - end)
  const memory = column(samples, 'memory').at(-1)!
  const limit = column(samples, 'memoryLimit').at(-1)!
  const slope = lately(samples, 'memory', 60_000)
  const of = Number.isFinite(limit) ? ` of ${bytes(limit)} (${percent(memory / limit)})` : ''
  const grew = Number.isFinite(slope.rate)
    ? `, ${slope.rate < 0 ? '−' : '+'}${bytes(Math.abs(slope.rate))} a second over ${last(slope)}`
    : ''
  say(`Memory: ${bytes(memory)}${of}${grew}.`, memory)
  const cpu = lately(samples, 'allRun', 10_000)
  say(`CPU over ${last(cpu)}: ${percent(cpu.rate)} of a core.`, cpu.rate)
  const throttled = lately(samples, 'throttled', 60_000)
  if (throttled.rate > 0.01) said.push(`Throttled by its CPU quota: ${percent(throttled.rate)} of ${last(throttled)}.`)
  const collecting = lately(samples, 'gcRun', 10_000)
  if (collecting.rate > 0.05)
    said.push(`Garbage collection: ${percent(collecting.rate)} of a core over ${last(collecting)}.`)
  const faults = lately(samples, 'majorFaults', 10_000)
  if (faults.rate > 10) said.push(`Pages read from disk: ${faults.rate.toFixed(0)} a second over ${last(faults)}.`)
  const threads = column(samples, 'threads').at(-1)!
  say(`Threads: ${threads}.`, threads)
  return said
}

/** The time over which a growth was measured: the process may be younger than the time that is looked at. */
function last({ seconds }: { readonly seconds: number }): string {
  if (seconds >= 58) return 'the last minute'
  return seconds < 1 ? 'less than a second' : `the last ${Math.round(seconds)} s`
}

/** The last things that were noted, the newest first. */
export function oddities({ marks }: FlightRecord, most = 5): readonly string[] {
  return marks
    .slice(-most)
    .toReversed()
    .map(({ at, text }) => `${instant(at)} ${text}`)
}

/** Nothing has gone wrong. */
export function orderly({ trigger, cause }: FlightRecord): boolean {
  return (
    trigger === 'asked' ||
    trigger === 'stopping' ||
    (trigger === 'gone' && (cause.reason === 'clean' || cause.reason === 'terminated'))
  )
}

export function instant(ms: number): string {
  // Beyond what a Date can hold, a file is wrong, and must still be shown.
  return Math.abs(ms) <= 8.64e15 ? new Date(ms).toISOString().replace('T', ' ') : '(no time)'
}

export function duration(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000))
  if (seconds < 60) return `${seconds} s`
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${seconds % 60} s`
  const hours = Math.floor(seconds / 3600)
  return hours < 48
    ? `${hours} h ${Math.floor((seconds % 3600) / 60)} min`
    : `${Math.floor(hours / 24)} d ${hours % 24} h`
}

export function bytes(value: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB']
  let unit = 0
  let rest = value
  while (rest >= 1024 && unit < units.length - 1) {
    rest /= 1024
    unit++
  }
  return `${rest >= 100 || unit === 0 ? rest.toFixed(0) : rest.toFixed(1)} ${units[unit]}`
}

export function percent(share: number): string {
  return `${(share * 100).toFixed(share < 0.1 ? 1 : 0)} %`
}

function sentence(text: string): string {
  const first = text.charAt(0).toUpperCase() + text.slice(1)
  return /[.!?]$/.test(first) ? first : `${first}.`
}
