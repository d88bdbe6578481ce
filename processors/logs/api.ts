// GET /api/logs: the kept log records as JSON, newest first, by severity, service, text, trace and time (docs/logs.md).

import type { Route } from '../../telemetry/route.ts'
import { answer, parameters, refuse } from './answer.ts'
import type { Cursor, Ring } from './ring.ts'
import { visit } from './search.ts'
import { levelOf, SEVERITIES, severityOf } from './severity.ts'
import { milliseconds, nanoseconds } from './time.ts'

const DEFAULT_LIMIT = 100
const MOST = 1000
const LONGEST_TEXT = 1000

export function logsRoute(ring: Ring | undefined): Route {
  return {
    path: '/api/logs',
    methods: ['GET'],
    access: 'operator',
    async handle({ target }, response, signal) {
      const query = queryOf(parameters(target))
      if (typeof query === 'string') return refuse(response, query)
      const found = await find(ring, query, signal)
      answer(response, { ...found, kept: kept(ring) })
    },
  }
}

interface LogQuery {
  readonly matches: (record: Cursor) => boolean
  readonly limit: number
  readonly before: number | undefined
  readonly after: number
}

interface Found {
  readonly records: readonly object[]
  /** For the parameter `before`: where the next older records begin; absent when there are none. */
  readonly next?: number
}

async function find(
  ring: Ring | undefined,
  { matches, limit, before, after }: LogQuery,
  signal: AbortSignal,
): Promise<Found> {
  const records: object[] = []
  let next: number | undefined
  if (!ring) return { records }
  await visit(
    ring,
    record => {
      if (record.number <= after) return false
      if (!matches(record)) return true
      if (records.length < limit) records.push(shown(record))
      else next = record.number + 1
      return next === undefined
    },
    signal,
    before,
  )
  return { records, ...(next !== undefined && { next }) }
}

function shown(record: Cursor): object {
  const { time, traceId, spanId } = record
  return {
    number: record.number,
    ...(time > 0n && { time: milliseconds(time), timeUnixNano: String(time) }),
    severity: severityOf(record.severity),
    severityNumber: record.severity,
    service: record.service,
    ...(traceId !== '' && { traceId }),
    ...(spanId !== '' && { spanId }),
    body: record.body,
  }
}

/** The extent of the records in memory. */
function kept(ring: Ring | undefined): object {
  return {
    newest: ring?.newest ?? 0,
    records: ring?.records ?? 0,
    bytes: ring?.bytes ?? 0,
    evicted: ring?.evicted ?? 0,
  }
}

/** Each parameter and what it demands; undefined is a value that it cannot have. */
const FILTERS: Readonly<Record<string, (value: string) => ((record: Cursor) => boolean) | undefined>> = {
  severity(value) {
    const least = (SEVERITIES as readonly string[]).indexOf(value.toUpperCase())
    return least < 0 ? undefined : record => levelOf(record.severity) >= least
  },
  service: value => record => record.service === value,
  text(value) {
    if (value.length > LONGEST_TEXT) return undefined
    const wanted = value.toLowerCase()
    return record => record.body.toLowerCase().includes(wanted)
  },
  trace(value) {
    const id = /^[0-9a-f]{1,32}$/i.test(value) ? Buffer.from(value.padStart(32, '0'), 'hex') : undefined
    return id && (record => record.inTrace(id))
  },
  span(value) {
    const id = value.toLowerCase().padStart(16, '0')
    return /^[0-9a-f]{1,16}$/i.test(value) ? record => record.spanId === id : undefined
  },
  since(value) {
    const time = nanoseconds(value)
    return time === undefined ? undefined : record => record.time >= time
  },
  until(value) {
    const time = nanoseconds(value)
    return time === undefined ? undefined : record => record.time < time
  },
}

const DEMANDS: Readonly<Record<string, string>> = {
  severity: `one of ${SEVERITIES.slice(1).join(', ').toLowerCase()}`,
  text: `text of at most ${LONGEST_TEXT} characters`,
  trace: 'a trace id: at most 32 hexadecimal digits',
  span: 'a span id: at most 16 hexadecimal digits',
  since: 'a time: seconds since the epoch, or as in 2026-11-28T12:00:00Z',
  until: 'a time: seconds since the epoch, or as in 2026-11-28T12:00:00Z',
  limit: `a number from 1 to ${MOST}`,
  before: 'the number that an answer gave as "next"',
  after: 'the number of a record',
}

/** The query of a URL, or one line that says what is wrong with it. */
function queryOf(given: URLSearchParams): LogQuery | string {
  const filters: ((record: Cursor) => boolean)[] = []
  const numbers = { limit: DEFAULT_LIMIT, before: undefined as number | undefined, after: 0 }
  for (const [name, value] of given) {
    const number = /^\d{1,15}$/.test(value) ? Number(value) : undefined
    if (name === 'limit') {
      if (!number || number > MOST) return wrong(name)
      numbers.limit = number
    } else if (name === 'before' || name === 'after') {
      if (number === undefined) return wrong(name)
      numbers[name] = number
    } else {
      if (!Object.hasOwn(FILTERS, name))
        return `there is no parameter ${JSON.stringify(name.slice(0, 40))}; there are ${[...Object.keys(FILTERS), 'limit', 'before', 'after'].join(', ')}`
      const filter = FILTERS[name]?.(value)
      if (!filter) return wrong(name)
      filters.push(filter)
    }
  }
  return { ...numbers, matches: record => filters.every(filter => filter(record)) }
}

function wrong(name: string): string {
  return `${name} must be ${DEMANDS[name]}`
}
