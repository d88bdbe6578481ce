// The one consumer that the OTLP door sees: leaves out the spans of our own probes, finds how many spans each one stands
// for, and hands it on to the request metrics and the service graph.

import type { Clock, Running } from '../collector.ts'
import type { ExportRequest, SpanConsumer, SpanView } from '../otlp.ts'
import type { ServiceGraph } from './graph.ts'
import type { ProbeSpans } from './probe.ts'
import type { RequestMetrics } from './requests.ts'
import type { Targets } from './targets.ts'
import { adjustedCount } from './trace-state.ts'
import type { Budget } from './weight.ts'

export interface Parts {
  readonly requests: RequestMetrics
  readonly graph: ServiceGraph | undefined
  readonly targets: Targets
  /** Undefined to count the spans of probes like any others. */
  readonly probes: ProbeSpans | undefined
  /** Told how many spans were left out. */
  readonly excluded: (spans: number) => void
  /** Undefined to count each span once. */
  readonly weights: { readonly budget: Budget; readonly exceeded: (spans: number) => void } | undefined
}

export class SpanIntake implements SpanConsumer, Running {
  readonly wants: SpanConsumer['wants']
  readonly #requests: RequestMetrics
  readonly #graph: ServiceGraph | undefined
  readonly #targets: Targets
  readonly #probes: ProbeSpans | undefined
  readonly #excluded: (spans: number) => void
  #leftOut = 0
  readonly #weights: Parts['weights']
  readonly #clock: Clock

  constructor(parts: Parts, clock: Clock) {
    this.#requests = parts.requests
    this.#graph = parts.graph
    this.#targets = parts.targets
    this.#probes = parts.probes
    this.#excluded = parts.excluded
    this.#weights = parts.weights
    this.#clock = clock
    const wants = this.#attributeReaders().map(part => part.wants)
    this.wants = {
      span: [...new Set(wants.flatMap(each => each.span))],
      resource: [...new Set(wants.flatMap(each => each.resource))],
    }
  }

  bound({ span, resource }: { readonly span: readonly number[]; readonly resource: readonly number[] }): void {
    for (const part of this.#attributeReaders())
      part.bound({
        span: part.wants.span.map(key => span[this.wants.span.indexOf(key)]!),
        resource: part.wants.resource.map(key => resource[this.wants.resource.indexOf(key)]!),
      })
  }

  begin(_request: ExportRequest): void {
    const now = this.#clock.monotonic()
    this.#weights?.budget.refill()
    this.#requests.begin(now)
    this.#graph?.begin(now)
    this.#targets.begin(now)
  }

  span(view: SpanView): void {
    this.#targets.span(view)
    if (this.#probes?.has(view)) {
      this.#leftOut++
      return
    }
    let weight = 1
    if (this.#weights && view.traceStateEnd > 0)
      weight = adjustedCount(view.bytes, view.traceStateStart, view.traceStateEnd)
    this.#requests.span(view, weight)
    this.#graph?.span(view, weight)
  }

  /**
   * Halves of requests are given up, and what is silent is forgotten, even if no spans come in any more. Counters of
   * prom-client are brought up to date here and not with each request, where they took an eighth of the time (row
   * intake-http at 20 spans).
   */
  collect(): void {
    const now = this.#clock.monotonic()
    this.#weights?.budget.refill()
    this.#requests.expire(now)
    this.#graph?.expire(now)
    this.#targets.expire(now)
    this.#graph?.publish()
    this.#targets.publish()
    if (this.#leftOut > 0) this.#excluded(this.#leftOut)
    this.#leftOut = 0
    if (!this.#weights || this.#weights.budget.exceeded === 0) return
    this.#weights.exceeded(this.#weights.budget.exceeded)
    this.#weights.budget.exceeded = 0
  }

  async [Symbol.asyncDispose](): Promise<void> {}

  #attributeReaders(): (ProbeSpans | RequestMetrics | ServiceGraph)[] {
    return [this.#requests, this.#graph, this.#probes].filter(part => part !== undefined)
  }
}
