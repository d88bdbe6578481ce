// Loki's HTTP API for the kept log records, as far as a Grafana data source needs it to follow a trace to its logs
// (https://grafana.com/docs/loki/latest/reference/loki-http-api/, docs/logs.md, docs/decisions/0024-logs-for-grafana.md).

import type { ServerResponse } from 'node:http'
import type { Route, RouteRequest } from '../../telemetry/route.ts'
import { answer, parameters, refuse } from './answer.ts'
import { type Count, type Line, LogqlError, parse, type Query } from './logql.ts'
import type { Cursor, Ring } from './ring.ts'
import { visit } from './search.ts'
import { severityOf } from './severity.ts'
import { nanoseconds } from './time.ts'

const DEFAULT_LIMIT = 100
/** As Loki's own max_entries_limit_per_query. */
const MOST = 5000
/** As Loki's own limit of points per series. */
const MOST_STEPS = 11_000
const MOST_SERIES = 500
const HOUR = 3_600_000_000_000n

/** A request that cannot be answered; the message says why. */
class Refusal extends Error {}

type Answer = (query: Parameters, signal: AbortSignal) => Promise<object> | object

export function lokiRoute(ring: Ring | undefined, now: () => number): Route {
  const records = new Records(ring)
  const get = (name: string): Answer | undefined => {
    const value = /^label\/([^/]+)\/values$/.exec(name)
    return value ? (query, signal) => records.values(decoded(value[1] ?? ''), query, signal) : answers[name]
  }
  const answers: Readonly<Record<string, Answer>> = {
    query_range: (query, signal) => records.range(query, signal),
    query: (query, signal) => records.instant(query, signal),
    labels: () => success([...STREAM]),
    series: (query, signal) => records.series(query, signal),
    'index/stats': (query, signal) => records.stats(query, signal),
    'status/buildinfo': () => ({
      version: '3.0.0',
      revision: '',
      branch: '',
      buildUser: '',
      buildDate: '',
      goVersion: '',
    }),
  }
  return {
    path: ROOT,
    methods: ['GET'],
    access: 'operator',
    async handle(request, response, signal) {
      const found = get(request.path.slice(ROOT.length))
      if (!found) return missing(response)
      try {
        answer(response, await found(new Parameters(request, now), signal))
      } catch (error) {
        if (!(error instanceof Refusal || error instanceof LogqlError)) throw error
        refuse(response, error.message)
      }
    },
  }
}

const ROOT = '/loki/api/v1/'
const STREAM = ['service_name', 'level'] as const

function missing(response: ServerResponse): void {
  const text = `only ${ROOT}query_range, query, labels, label/NAME/values, series and index/stats are answered here\n`
  response
    .writeHead(404, { 'Content-Type': 'text/plain; charset=utf-8', 'Content-Length': Buffer.byteLength(text) })
    .end(text)
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    throw new Refusal(`cannot read the name of the label: ${text.slice(0, 100)}`)
  }
}

/** The parameters that the paths share. */
class Parameters {
  readonly #given: URLSearchParams
  readonly #now: bigint
  /** Grafana asks for the labels of a stream and the metadata of a record apart. */
  readonly categorized: boolean

  constructor({ target, headers }: RouteRequest, now: () => number) {
    this.#given = parameters(target)
    this.#now = BigInt(Math.round(now())) * 1_000_000n
    this.categorized = String(headers['x-loki-response-encoding-flags'] ?? '').includes('categorize-labels')
  }

  get query(): string {
    return this.#given.get('query') ?? ''
  }

  get selectors(): readonly string[] {
    return [...this.#given.getAll('match[]'), ...this.#given.getAll('match')]
  }

  get end(): bigint {
    return this.#time('end') ?? this.#now
  }

  /** An hour before the end if it is not given, as Loki has it. */
  get start(): bigint {
    const start = this.#time('start') ?? this.end - HOUR
    if (start > this.end) throw new Refusal('end must not be before start')
    return start
  }

  get time(): bigint {
    return this.#time('time') ?? this.#now
  }

  get limit(): number {
    const text = this.#given.get('limit') ?? String(DEFAULT_LIMIT)
    const limit = /^\d{1,9}$/.test(text) ? Number(text) : 0
    if (limit < 1) throw new Refusal('limit must be a positive number')
    return Math.min(limit, MOST)
  }

  get forward(): boolean {
    return this.#given.get('direction')?.toLowerCase() === 'forward'
  }

  /** Nanoseconds between two points; without it, 250 points. */
  step(start: bigint, end: bigint): bigint {
    const text = this.#given.get('step')
    if (!text) return max((end - start) / 250n, 1_000_000_000n)
    const unit = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)?$/.exec(text)
    const seconds = Number(unit?.[1]) * (SECONDS[unit?.[2] ?? 's'] ?? Number.NaN)
    if (!(seconds >= 1e-3 && seconds < 1e9)) throw new Refusal('step must be a duration such as 5s')
    return BigInt(Math.round(seconds * 1e9))
  }

  #time(name: string): bigint | undefined {
    const text = this.#given.get(name)
    if (!text) return undefined
    const time = nanoseconds(text)
    if (time === undefined)
      throw new Refusal(`${name} must be a time: nanoseconds, seconds, or as in 2026-11-28T12:00:00Z`)
    return time
  }
}

const SECONDS: Readonly<Record<string, number>> = { ms: 1e-3, s: 1, m: 60, h: 3600, d: 86_400 }

/** A record as LogQL sees it, read when it is asked for. */
class RecordLine implements Line {
  readonly record: Cursor
  constructor(record: Cursor) {
    this.record = record
  }

  get text(): string {
    return this.record.body
  }

  label(name: string): string {
    switch (name) {
      case 'service_name':
        return this.record.service
      case 'level':
      case 'detected_level':
        return levelName(this.record)
      case 'severity_number':
        return String(this.record.severity)
      case 'trace_id':
        return this.record.traceId
      case 'span_id':
        return this.record.spanId
      default:
        return ''
    }
  }
}

/** As Loki detects levels. */
function levelName({ severity }: Cursor): string {
  const name = severityOf(severity)
  return name === 'UNSPECIFIED' ? 'unknown' : name.toLowerCase()
}

interface Kept {
  readonly time: bigint
  readonly stream: Readonly<Record<string, string>>
  readonly metadata: Readonly<Record<string, string>>
  readonly text: string
}

class Records {
  readonly #ring: Ring | undefined

  constructor(ring: Ring | undefined) {
    this.#ring = ring
  }

  async range(parameters: Parameters, signal: AbortSignal): Promise<object> {
    const query = await parse(parameters.query)
    const { start, end } = parameters
    if (query.kind === 'scalar') return vector(query.value, end)
    if (query.kind === 'count') {
      const step = parameters.step(start, end)
      return result('matrix', await this.#matrix(query, start, end, step, signal))
    }
    return this.#streams(query, { start, end }, parameters, signal)
  }

  async instant(parameters: Parameters, signal: AbortSignal): Promise<object> {
    const query = await parse(parameters.query)
    const { time } = parameters
    if (query.kind === 'scalar') return vector(query.value, time)
    if (query.kind === 'logs') return this.#streams(query, { start: 0n, end: time }, parameters, signal)
    const series = await this.#matrix(query, time, time, 1n, signal)
    return result(
      'vector',
      series.map(({ metric, values }) => ({ metric, value: values[0] })),
    )
  }

  async values(name: string, parameters: Parameters, signal: AbortSignal): Promise<object> {
    const seen = new Set<string>()
    await this.#within(parameters, signal, ({ line }) => seen.add(line.label(name)))
    seen.delete('')
    return success([...seen].sort())
  }

  async series(parameters: Parameters, signal: AbortSignal): Promise<object> {
    const queries = await Promise.all(parameters.selectors.map(parse))
    const seen = new Map<string, object>()
    await this.#within(parameters, signal, ({ line }) => {
      if (queries.length > 0 && !queries.some(query => query.kind === 'logs' && query.matches(line))) return
      const stream = streamOf(line.record)
      seen.set(JSON.stringify(stream), stream)
    })
    return success([...seen.values()].slice(0, MOST_SERIES))
  }

  async stats(parameters: Parameters, signal: AbortSignal): Promise<object> {
    const query: Query = parameters.query === '' ? ALL : await parse(parameters.query)
    const [streams, counted] = [new Set<string>(), { entries: 0, bytes: 0 }]
    await this.#within(parameters, signal, ({ line }) => {
      if (query.kind !== 'logs' || !query.matches(line)) return
      streams.add(JSON.stringify(streamOf(line.record)))
      counted.entries++
      counted.bytes += line.text.length
    })
    return { streams: streams.size, chunks: streams.size, ...counted }
  }

  async #within(
    { start, end }: { readonly start: bigint; readonly end: bigint },
    signal: AbortSignal,
    each: (found: { readonly line: RecordLine; readonly time: bigint }) => unknown,
  ): Promise<void> {
    if (!this.#ring) return
    await visit(
      this.#ring,
      record => {
        const { time } = record
        if (time >= start && time <= end) each({ line: new RecordLine(record), time })
        return true
      },
      signal,
    )
  }

  /** All records in the range are looked at: they stand in the order in which they came, not in that of their times. */
  async #streams(
    query: { readonly matches: (line: Line) => boolean },
    range: { readonly start: bigint; readonly end: bigint },
    { limit, forward, categorized }: Parameters,
    signal: AbortSignal,
  ): Promise<object> {
    const sign = forward ? 1 : -1
    const compare = (a: Kept, b: Kept): number => (a.time < b.time ? -sign : a.time > b.time ? sign : 0)
    let kept: Kept[] = []
    await this.#within(range, signal, ({ line, time }) => {
      if (!query.matches(line)) return
      kept.push({ time, stream: streamOf(line.record), metadata: metadataOf(line), text: line.text })
      // Sorted when twice as many are held as are wanted, so that memory is bounded and each record is moved seldom.
      if (kept.length >= 2 * limit + 100) kept = kept.sort(compare).slice(0, limit)
    })
    return streams(kept.sort(compare).slice(0, limit), categorized)
  }

  async #matrix(
    { matches, rangeNs, rate, by }: Count,
    start: bigint,
    end: bigint,
    step: bigint,
    signal: AbortSignal,
  ): Promise<{ readonly metric: object; readonly values: readonly (readonly [number, string])[] }[]> {
    const steps = Number((end - start) / step) + 1
    if (steps > MOST_STEPS) throw new Refusal(`more than ${MOST_STEPS} points; ask with a longer step`)
    // By label set: how much the number grows at each step, since a record counts from one step to another.
    const series = new Map<string, { readonly metric: object; readonly change: Int32Array }>()
    await this.#within({ start: start - rangeNs, end }, signal, ({ line, time }) => {
      // A step at t counts the records of (t − range, t].
      const first = time <= start ? 0 : Number((time - start + step - 1n) / step)
      const last = Number((time + rangeNs - 1n - start) / step)
      if (time + rangeNs <= start || first >= steps || first > last || !matches(line)) return
      const metric = by
        ? Object.fromEntries(by.map(name => [name, line.label(name)]).filter(([, value]) => value))
        : streamOf(line.record)
      const key = JSON.stringify(metric)
      let found = series.get(key)
      if (!found) {
        if (series.size >= MOST_SERIES) throw new Refusal(`more than ${MOST_SERIES} series; narrow the selector`)
        found = { metric, change: new Int32Array(steps + 1) }
        series.set(key, found)
      }
      found.change[first]!++
      found.change[Math.min(last + 1, steps)]!--
    })
    const per = rate ? Number(rangeNs) / 1e9 : 1
    return [...series.values()].map(({ metric, change }) => {
      const values: [number, string][] = []
      let count = 0
      for (let i = 0; i < steps; i++) {
        count += change[i]!
        if (count > 0) values.push([Number((start + BigInt(i) * step) / 1_000_000n) / 1000, String(count / per)])
      }
      return { metric, values }
    })
  }
}

const ALL: Query = { kind: 'logs', matches: () => true }

function streamOf(record: Cursor): Record<string, string> {
  return { service_name: record.service, level: levelName(record) }
}

function metadataOf(line: RecordLine): Record<string, string> {
  const names = ['detected_level', 'severity_number', 'trace_id', 'span_id'] as const
  return Object.fromEntries(names.map(name => [name, line.label(name)]).filter(([, value]) => value !== ''))
}

/** Records with the same labels are one stream. */
function streams(kept: readonly Kept[], categorized: boolean): object {
  const all = new Map<string, { readonly stream: object; readonly values: unknown[] }>()
  for (const { time, stream, metadata, text } of kept) {
    const labels = categorized ? stream : { ...stream, ...metadata }
    const key = JSON.stringify(labels)
    const found = all.get(key) ?? { stream: labels, values: [] }
    all.set(key, found)
    found.values.push([String(time), text, ...(categorized ? [{ structuredMetadata: metadata }] : [])])
  }
  const flags = categorized ? { encodingFlags: ['categorize-labels'] } : {}
  return success({ resultType: 'streams', ...flags, result: [...all.values()], stats: {} })
}

function vector(value: number, time: bigint): object {
  return result('vector', [{ metric: {}, value: [Number(time / 1_000_000n) / 1000, String(value)] }])
}

function result(resultType: string, result: readonly object[]): object {
  return success({ resultType, result, stats: {} })
}

function success(data: unknown): object {
  return { status: 'success', data }
}

function max(a: bigint, b: bigint): bigint {
  return a > b ? a : b
}
