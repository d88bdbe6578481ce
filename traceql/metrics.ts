// Metrics: the spans that a pipeline leaves, counted by the interval in which they start. If the pipeline only filters spans,
// they are looked at one by one where they stand; otherwise trace by trace, as in a search.

import { Aggregator, type Observer } from './aggregate.ts'
import { Comparison } from './compare.ts'
import { needsTrace } from './field.ts'
import { Intervals } from './intervals.ts'
import { Evaluation, TooLong, TraceFacts } from './pipeline.ts'
import type { Prepared } from './prepare.ts'
import { MOST_AT_ONCE, type Pace, type Source } from './reading.ts'
import { Refusal } from './refusal.ts'
import type { MetricsLimits, SeriesResult } from './results.ts'
import { after } from './seconds.ts'
import { Seen } from './seen.ts'
import type { Metrics, Query } from './tree.ts'

/** Rejects with a Refusal if the query has no metrics or fails on a trace, and with what the pace says. */
export async function metrics(
  prepared: Prepared,
  source: Source,
  pace: Pace,
  limits: MetricsLimits,
): Promise<SeriesResult> {
  const { query } = prepared
  if (!query.metrics)
    throw new Refusal(
      query.source,
      query.source.length,
      'not a metrics query: it needs | rate() or another function of time',
    )
  const evaluation = new Evaluation(prepared)
  const intervals = new Intervals(limits)
  const exemplars = exemplarsOf(query, limits.exemplars)
  const observer: Observer =
    query.metrics.kind === 'compare'
      ? new Comparison(query.metrics, intervals, evaluation.fields)
      : new Aggregator(query.metrics, intervals, evaluation.fields, exemplars)
  const spanwise = evaluation.spanwise && !asksForTrace(query.metrics)
  const run = new Run(evaluation, source, pace, intervals, observer)
  await (spanwise ? run.bySpan() : run.byTrace())
  const partial = run.partial ?? observer.partial
  return {
    series: after(
      query.seconds,
      observer.series().filter(({ samples }) => samples.length > 0),
    ),
    inspectedBytes: run.inspectedBytes,
    ...(partial ? { partial } : {}),
  }
}

/** Whether what is counted needs the whole trace. */
function asksForTrace(metrics: Metrics): boolean {
  // The name and the service of the root are among what is compared.
  if (metrics.kind === 'compare') return true
  return [...metrics.by, ...(metrics.attribute ? [metrics.attribute] : [])].some(needsTrace)
}

/** `with(exemplars=false)`, `with(exemplars=10)` */
function exemplarsOf({ hints }: Query, most: number): number {
  const hint = hints.findLast(({ name }) => name === 'exemplars')?.value
  if (hint?.type === 'boolean') return hint.value ? most : 0
  return hint?.type === 'int' ? Math.max(0, Math.min(most, Number(hint.value))) : most
}

class Run {
  inspectedBytes = 0
  partial: string | undefined
  readonly #evaluation: Evaluation
  readonly #source: Source
  readonly #pace: Pace
  readonly #intervals: Intervals
  readonly #observer: Observer
  readonly #facts: TraceFacts
  readonly #seen = new Seen()

  constructor(evaluation: Evaluation, source: Source, pace: Pace, intervals: Intervals, observer: Observer) {
    this.#evaluation = evaluation
    this.#source = source
    this.#pace = pace
    this.#intervals = intervals
    this.#observer = observer
    this.#facts = new TraceFacts(source.trace())
  }

  async bySpan(): Promise<void> {
    const { candidate } = this.#evaluation
    const facts = this.#facts
    const pace = this.#pace
    for (const segment of this.#source.segments) {
      const cursor = segment.cursor()
      for (let number = segment.next - 1; number >= segment.oldest; number--) {
        if ((number & 7) === 0 && pace.due()) {
          await pace.turn()
          if (number < segment.oldest) break
        }
        cursor.at(number)
        if ((number & 63) === 0) this.inspectedBytes += 64 * (cursor.spanEnd - cursor.spanStart)
        const interval = this.#intervals.of(cursor)
        if (interval < 0 || !candidate(cursor, facts) || !this.#seen.add(cursor)) continue
        this.#observer.observe(cursor, facts, interval)
      }
    }
  }

  async byTrace(): Promise<void> {
    const { candidate } = this.#evaluation
    const facts = this.#facts
    const { trace } = facts
    const pace = this.#pace
    const looked = new Set<string>()
    for (const segment of this.#source.segments) {
      const cursor = segment.cursor()
      let late = false
      for (let number = segment.next - 1; number >= segment.oldest; number--) {
        if (late || ((number & 7) === 0 && pace.due())) {
          late = false
          await pace.turn()
          if (number < segment.oldest) break
        }
        cursor.at(number)
        if ((number & 63) === 0) this.inspectedBytes += 64 * (cursor.spanEnd - cursor.spanStart)
        if (!candidate(cursor, facts)) continue
        const id = cursor.bytes.toString('latin1', cursor.traceId, cursor.traceId + 16)
        if (looked.has(id)) continue
        looked.add(id)
        if (trace.load(cursor.bytes, cursor.traceId, MOST_AT_ONCE) < 0)
          await trace.loadHeld(Buffer.from(id, 'latin1'), 0, pace)
        if (trace.size === 0) continue
        this.#evaluate()
        // A large trace took as long as its spans would have one by one.
        for (let i = 0; i < trace.size; i++) late = pace.due() || late
      }
    }
  }

  #evaluate(): void {
    const facts = this.#facts
    try {
      facts.begin()
      for (const { spans } of this.#evaluation.run(facts))
        for (const position of spans) {
          const cursor = facts.at(position)
          const interval = this.#intervals.of(cursor)
          if (interval >= 0) this.#observer.observe(cursor, facts, interval)
        }
    } catch (error) {
      if (!(error instanceof TooLong)) throw error
      this.partial = `a trace with ${facts.trace.size} spans was left out, too many for this query`
    }
  }
}
