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
  /** Called for each span that is left out. */
  readonly excluded: () => void
  /** Undefined to count each span once. */
  readonly weights: { readonly budget: Budget; readonly exceeded: (spans: number) => void } | undefined
}

export class SpanIntake implements SpanConsumer, Running {
  readonly wants: SpanConsumer['wants']
  readonly #parts: Parts
  readonly #clock: Clock

  constructor(parts: Parts, clock: Clock) {
    this.#parts = parts
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
    const { requests, graph, targets, weights } = this.#parts
    const now = this.#clock.monotonic()
    weights?.budget.refill()
    requests.begin()
    graph?.begin(now)
    targets.begin(now)
  }

  span(view: SpanView): void {
    const { requests, graph, targets, probes, excluded, weights } = this.#parts
    targets.span(view)
    if (probes?.has(view)) {
      excluded()
      return
    }
    const weight =
      weights && view.traceStateEnd > 0 ? adjustedCount(view.bytes, view.traceStateStart, view.traceStateEnd) : 1
    requests.span(view, weight)
    graph?.span(view, weight)
  }

  end(): void {
    this.#publish()
  }

  /** Halves of requests are given up, and silent resources forgotten, even if no spans come in any more. */
  collect(): void {
    const now = this.#clock.monotonic()
    this.#parts.weights?.budget.refill()
    this.#parts.graph?.expire(now)
    this.#parts.targets.expire(now)
    this.#publish()
  }

  async [Symbol.asyncDispose](): Promise<void> {}

  #publish(): void {
    const { graph, weights } = this.#parts
    graph?.publish()
    if (!weights || weights.budget.exceeded === 0) return
    weights.exceeded(weights.budget.exceeded)
    weights.budget.exceeded = 0
  }

  #attributeReaders(): (ProbeSpans | RequestMetrics | ServiceGraph)[] {
    const { requests, graph, probes } = this.#parts
    return [requests, graph, probes].filter(part => part !== undefined)
  }
}
