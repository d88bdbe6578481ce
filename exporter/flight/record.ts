// A flight record: all that is written about one event. It stands as JSON inside the file, so its shape is public
// (docs/flight.md). Times are milliseconds since the epoch.

import type { RememberedEpisode, RememberedLog, RememberedTrace } from '../../telemetry/flight.ts'
import type { Mark } from '../../telemetry/moment.ts'
import type { Fact, Status } from '../../telemetry/status.ts'
import { TRIGGERS, type Trigger } from './families.ts'

export const FORMAT = 1

export interface FlightRecord {
  readonly format: typeof FORMAT
  readonly trigger: Trigger
  /** When it happened, and when this was written. */
  readonly at: number
  readonly written: number
  readonly application: About
  /** Values as of app_process_exits_total for an end; else `reason` is the trigger. */
  readonly cause: Cause
  readonly samples: Samples
  readonly marks: readonly Mark[]
  readonly episodes: readonly RememberedEpisode[]
  readonly traces: readonly RememberedTrace[]
  readonly logs: readonly RememberedLog[]
  /** The parts of the sidecar, as on its page. */
  readonly parts: Status['parts']
  /** Sentences that say which parts are not here, and why. */
  readonly missing: readonly string[]
  readonly sidecar: { readonly version: string }
  /** The application that came after it. */
  readonly back?: { readonly at: number; readonly pid: number }
}

export interface About {
  readonly name?: string | undefined
  readonly pid?: number | undefined
  readonly port?: number | undefined
  readonly url?: string | undefined
  /** Since when it was observed. */
  readonly since?: number | undefined
  /** When it started, in clock ticks since the machine did: its pid alone may be another one's by now. */
  readonly startTicks?: number | undefined
}

export interface Cause {
  readonly reason: string
  readonly evidence: string
  /** One line. */
  readonly text: string
}

/** Moments of the sampler, the oldest first. Names and units of the columns are those of telemetry/moment.ts. */
export interface Samples {
  readonly times: readonly number[]
  readonly columns: Readonly<Record<string, readonly (number | null)[]>>
}

const FACT_UNITS = ['bytes', 'seconds', 'ratio', 'cores'] as const

export const NO_SAMPLES: Samples = { times: [], columns: {} }

/** The element of the file that holds the data. */
export const DATA_BEGIN = '<script type="application/json" id="pillion-flight">'
export const DATA_END = '</script>'

/** As it stands in the file: no text in it can end the element, or begin a comment. */
export function embedded(record: FlightRecord): string {
  return JSON.stringify(record).replaceAll('<', '\\u003c').replaceAll('>', '\\u003e').replaceAll('&', '\\u0026')
}

/**
 * The record in the text of a file. Throws an Error that says what is wrong. Anybody may have written the file, so that
 * everything that is read from it is looked at.
 */
export function extracted(text: string): FlightRecord {
  const begin = text.indexOf(DATA_BEGIN)
  const end = text.indexOf(DATA_END, begin)
  if (begin < 0 || end < 0) throw new Error('this is no flight record: it has no data of one inside')
  let value: unknown
  try {
    value = JSON.parse(text.slice(begin + DATA_BEGIN.length, end))
  } catch (cause) {
    throw new Error('the data in this flight record are damaged', { cause })
  }
  const record = object(value)
  if (record['format'] !== FORMAT)
    throw new Error(
      `this flight record has format ${String(record['format']).slice(0, 20)}; this version of pillion reads ${FORMAT}`,
    )
  const trigger = TRIGGERS.find(each => each === record['trigger'])
  if (!trigger) throw new Error('the data in this flight record are damaged: it does not say why it was written')
  const application = object(record['application'])
  const cause = object(record['cause'])
  const back = object(record['back'])
  return {
    format: FORMAT,
    trigger,
    at: number(record['at']) ?? 0,
    written: number(record['written']) ?? 0,
    application: {
      name: text_(application['name']),
      pid: number(application['pid']),
      port: number(application['port']),
      url: text_(application['url']),
      since: number(application['since']),
      startTicks: number(application['startTicks']),
    },
    cause: {
      reason: text_(cause['reason']) ?? 'unknown',
      evidence: text_(cause['evidence']) ?? 'none',
      text: text_(cause['text']) ?? '',
    },
    samples: samples(record['samples']),
    marks: list(record['marks']).flatMap(each => {
      const at = number(each['at'])
      const kind = text_(each['kind'])
      return at === undefined || kind === undefined
        ? []
        : [{ at, kind: kind as Mark['kind'], text: text_(each['text']) ?? '' }]
    }),
    episodes: list(record['episodes']).map(each => ({
      from: number(each['from']) ?? 0,
      to: number(each['to']) ?? null,
      cause: text_(each['cause']) ?? '',
      sentence: text_(each['sentence']) ?? '',
    })),
    traces: list(record['traces']).map(each => ({
      traceId: text_(each['traceId']) ?? '',
      at: number(each['at']) ?? 0,
      ms: number(each['ms']) ?? 0,
      service: text_(each['service']) ?? '',
      name: text_(each['name']) ?? '',
      spans: number(each['spans']) ?? 0,
      errors: number(each['errors']) ?? 0,
    })),
    logs: list(record['logs']).map(each => ({
      at: number(each['at']),
      severity: text_(each['severity']) ?? '',
      service: text_(each['service']) ?? '',
      body: text_(each['body']) ?? '',
      traceId: text_(each['traceId']) ?? '',
    })),
    parts: list(record['parts']).map(each => ({
      name: text_(each['name']) ?? '',
      state: each['state'] === 'failed' || each['state'] === 'warning' ? each['state'] : 'ok',
      facts: list(each['facts']).map(factOf),
      findings: list(each['findings']).map(finding => ({
        level: finding['level'] === 'warning' ? ('warning' as const) : ('info' as const),
        text: text_(finding['text']) ?? '',
      })),
    })),
    missing: Array.isArray(record['missing']) ? record['missing'].filter(each => typeof each === 'string') : [],
    sidecar: { version: text_(object(record['sidecar'])['version']) ?? '' },
    ...(number(back['at']) !== undefined && { back: { at: number(back['at'])!, pid: number(back['pid']) ?? 0 } }),
  }
}

function factOf(fact: Fields): Fact {
  const name = text_(fact['name']) ?? ''
  const value = number(fact['value'])
  if (value === undefined) return { name, value: text_(fact['value']) ?? '' }
  const unit = FACT_UNITS.find(each => each === fact['unit'])
  return { name, value, ...(unit && { unit }) }
}

type Fields = Readonly<Record<string, unknown>>

function object(value: unknown): Fields {
  return typeof value === 'object' && value !== null ? (value as Fields) : {}
}

function list(value: unknown): readonly Fields[] {
  return Array.isArray(value) ? value.map(object) : []
}

function number(value: unknown): number | undefined {
  return typeof value === 'number' && Number.isFinite(value) ? value : undefined
}

function text_(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined
}

/** Columns as long as the times; others are left out. */
function samples(value: unknown): Samples {
  const { times, columns } = object(value)
  if (!Array.isArray(times) || !times.every(each => number(each) !== undefined)) return NO_SAMPLES
  const all = Object.entries(object(columns)).filter(
    (entry): entry is [string, unknown[]] => Array.isArray(entry[1]) && entry[1].length === times.length,
  )
  return {
    times,
    columns: Object.fromEntries(all.map(([name, values]) => [name, values.map(each => number(each) ?? null)])),
  }
}
