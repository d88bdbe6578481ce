// A search: the newest traces in which a query leaves spans. The spans held are looked at from the newest to the oldest, each
// by itself; a trace is loaded as a whole only if one of its spans may belong to the answer, and only if it can be among the
// newest, so most spans cost what their part of the filter costs.

import { STATUS } from '../telemetry/span.ts'
import type { Facts, Read } from './field.ts'
import { Evaluation, mentioned, type Spanset, TooLong, TraceFacts } from './pipeline.ts'
import type { Prepared } from './prepare.ts'
import { type Cursor, MOST_AT_ONCE, type Pace, type Source, type Texts } from './reading.ts'
import type { FoundSpan, FoundSpanset, FoundTrace, Labelled, SearchLimits, SearchResult } from './results.ts'
import type { Intrinsic } from './tree.ts'

/** They have places of their own in an answer. */
const PLACED = new Set<Intrinsic>([
  'name',
  'duration',
  'traceDuration',
  'rootName',
  'rootServiceName',
  'trace:id',
  'span:id',
])

/** Finds at most `limit` traces. Rejects with a Refusal if the query fails on a trace, and with what the pace says. */
export async function search(
  prepared: Prepared,
  source: Source,
  pace: Pace,
  { from, to, limit, spss, accept }: SearchLimits,
): Promise<SearchResult> {
  const evaluation = new Evaluation(prepared)
  const { candidate } = evaluation
  const show = shown(prepared, evaluation)
  const trace = source.trace()
  const facts = new TraceFacts(trace)
  const found = new Newest(limit)
  const looked = new Set<string>()
  let inspectedBytes = 0
  let partial: string | undefined
  for (const segment of source.segments) {
    const cursor = segment.cursor()
    let late = false
    for (let number = segment.next - 1; number >= segment.oldest; number--) {
      if (late || ((number & 7) === 0 && pace.due())) {
        late = false
        await pace.turn()
        // Spans may have gone.
        if (number < segment.oldest) break
      }
      cursor.at(number)
      // One in 64 stands for the others: this loop is passed for every span held.
      if ((number & 63) === 0) inspectedBytes += 64 * (cursor.spanEnd - cursor.spanStart)
      // A trace starts no later than any of its spans.
      if (cursor.startSeconds <= found.floor || !candidate(cursor, facts)) continue
      const id = cursor.bytes.toString('latin1', cursor.traceId, cursor.traceId + 16)
      if (looked.has(id)) continue
      looked.add(id)
      if (trace.load(cursor.bytes, cursor.traceId, MOST_AT_ONCE) < 0)
        await trace.loadHeld(Buffer.from(id, 'latin1'), 0, pace)
      if (trace.size === 0) continue
      // A large trace takes as long as its spans would one by one.
      for (let i = 0; i < trace.size; i++) late = pace.due() || late
      const { startSeconds } = trace
      if (startSeconds <= found.floor) continue
      if (to !== undefined && startSeconds > to) continue
      if (from !== undefined && startSeconds + trace.durationNanos / 1e9 < from) continue
      if (accept && !accept(trace)) continue
      facts.begin()
      try {
        const sets = evaluation.run(facts)
        if (sets.length) found.add(startSeconds, summary(facts, sets, spss, show))
      } catch (error) {
        if (!(error instanceof TooLong)) throw error
        partial = `trace ${Buffer.from(id, 'latin1').toString('hex')} has ${trace.size} spans, too many for this query`
      }
    }
  }
  return { traces: found.traces, inspectedBytes, ...(partial ? { partial } : {}) }
}

/** Whether a span may belong to the answer of a query, as far as the span alone tells: for the values of tags. */
export function spanFilter(prepared: Prepared): (cursor: Cursor) => boolean {
  const { candidate } = new Evaluation(prepared)
  // A condition on the trace counts as true and never looks at it.
  return cursor => candidate(cursor, undefined as unknown as Facts)
}

/** The newest by their starts, sorted. */
class Newest {
  readonly traces: FoundTrace[] = []
  /** Traces that start no later than this need not be looked at. */
  floor = Number.NEGATIVE_INFINITY
  readonly #starts: number[] = []
  readonly #limit: number

  constructor(limit: number) {
    this.#limit = limit
  }

  add(start: number, trace: FoundTrace): void {
    let at = this.#starts.length
    while (at > 0 && this.#starts[at - 1]! < start) at--
    this.#starts.splice(at, 0, start)
    this.traces.splice(at, 0, trace)
    if (this.traces.length > this.#limit) {
      this.#starts.pop()
      this.traces.pop()
    }
    if (this.#starts.length === this.#limit) this.floor = this.#starts[this.#limit - 1]!
  }
}

type Shown = readonly (readonly [key: string, read: Read])[]

function shown({ query }: Prepared, { fields }: Evaluation): Shown {
  return mentioned(query.pipeline).flatMap(attribute =>
    attribute.kind === 'intrinsic' && PLACED.has(attribute.name)
      ? []
      : [[attribute.name, fields.read(attribute)] as const],
  )
}

interface Stats {
  spans: number
  errors: number
}

function summary(facts: TraceFacts, sets: readonly Spanset[], spss: number, show: Shown): FoundTrace {
  const { trace } = facts
  const services = new Map<string, Stats>()
  // A service has a number in each segment.
  const numbered = new Map<Texts, Map<number, Stats>>()
  for (let i = 0; i < trace.size; i++) {
    const { segment, service, status } = trace.span(i, 1)
    const known = numbered.get(segment.services) ?? new Map<number, Stats>()
    if (known.size === 0) numbered.set(segment.services, known)
    let stats = known.get(service)
    if (!stats) {
      const name = segment.services.text(service)
      stats = services.get(name) ?? { spans: 0, errors: 0 }
      services.set(name, stats)
      known.set(service, stats)
    }
    stats.spans++
    if (status === STATUS.error) stats.errors++
  }
  const first = trace.span(0, 1)
  return {
    id: hex(first, first.traceId, 16),
    rootService: trace.rootService(),
    rootName: trace.rootName(),
    startNanos: trace.startNanos,
    durationNanos: trace.durationNanos,
    spansets: sets.map(set => spanset(facts, set, spss, show)),
    services,
  }
}

function spanset(facts: TraceFacts, { spans, attributes }: Spanset, spss: number, show: Shown): FoundSpanset {
  return {
    matched: spans.length,
    spans: spans.slice(0, spss).map(position => found(facts, position, show)),
    attributes,
  }
}

function found(facts: TraceFacts, position: number, show: Shown): FoundSpan {
  const cursor = facts.at(position)
  const attributes: Labelled[] = []
  for (const [key, read] of show) {
    const value = read(cursor, facts)
    if (value.type !== 'nil') attributes.push([key, value])
  }
  return {
    id: hex(cursor, cursor.spanId, 8),
    name: cursor.segment.names.text(cursor.name),
    startNanos: cursor.startNanos(),
    durationNanos: cursor.durationNanos,
    attributes,
  }
}

function hex({ bytes }: Cursor, at: number, size: number): string {
  return bytes.toString('hex', at, at + size)
}
