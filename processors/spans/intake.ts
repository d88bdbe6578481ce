// The consumer of spans: leaves out those of our own probes, determines how many spans each one stands for, and hands it to
// the request metrics and the service graph.

import type { ProbeFilter } from '../../otlp/probe.ts'
import type { SpanConsumer, SpanView } from '../../telemetry/consumer.ts'
import type { ExemplarChoice } from '../../telemetry/exemplar.ts'
import type { Clock } from '../../telemetry/host.ts'
import type { Running } from '../../telemetry/part.ts'
import type { Route } from '../../telemetry/route.ts'
import type { Fact } from '../../telemetry/status.ts'
import type { ServiceGraph } from './graph.ts'
import type { RequestMetrics } from './requests.ts'
import type { Targets } from './targets.ts'
import type { Weights } from './weight.ts'

/**
 * Why a span is not counted: the sidecar made it itself, the application to answer one of its probes, or its kind is
 * not wanted.
 */
export const EXCLUSIONS = ['own', 'probe', 'kind'] as const
export type Exclusion = (typeof EXCLUSIONS)[number]

export interface Parts {
  readonly requests: RequestMetrics
  readonly graph: ServiceGraph | undefined
  readonly targets: Targets
  /** Undefined to count the spans of probes, and the sidecar's own, like any others. */
  readonly probes: ProbeFilter | undefined
  /** Is told how many spans were left out. */
  readonly excluded: (reason: Exclusion, spans: number) => void
  readonly facts: () => Promise<readonly Fact[]>
  /** Its routes over HTTP; `collect` brings the numbers up to date. */
  readonly routes: (collect: () => void) => readonly Route[]
  /** Undefined to count each span once. */
  readonly weights: Weights | undefined
  readonly exemplars: ExemplarChoice
  /** The kinds of spans that the request metrics count, as KIND numbers. */
  readonly kinds: readonly number[]
  /** Is told how many spans were counted once although they claim more. */
  readonly unweighted: (reason: 'span' | 'resource', spans: number) => void
}

export class SpanIntake implements SpanConsumer, Running {
  readonly name = 'spans'
  readonly consumes: { readonly spans: readonly SpanConsumer[] } = { spans: [this] }
  readonly facts: () => Promise<readonly Fact[]>
  readonly routes: readonly Route[]
  readonly #requests: RequestMetrics
  readonly #graph: ServiceGraph | undefined
  readonly #targets: Targets
  readonly #probes: ProbeFilter | undefined
  readonly #excluded: Parts['excluded']
  readonly #leftOut = { own: 0, probe: 0, kind: 0 }
  /** One bit for each kind that is counted. */
  readonly #kinds: number
  readonly #weights: Weights | undefined
  readonly #unweighted: Parts['unweighted']
  readonly #exemplars: ExemplarChoice
  readonly #clock: Clock

  constructor(parts: Parts, clock: Clock) {
    this.#requests = parts.requests
    this.#graph = parts.graph
    this.#targets = parts.targets
    this.#probes = parts.probes
    this.#excluded = parts.excluded
    this.facts = parts.facts
    this.routes = parts.routes(() => this.collect())
    this.#weights = parts.weights
    this.#unweighted = parts.unweighted
    this.#exemplars = parts.exemplars
    this.#kinds = parts.kinds.reduce((bits, kind) => bits | (1 << kind), 0)
    this.#clock = clock
  }

  begin(): void {
    const now = this.#clock.monotonic()
    this.#weights?.begin()
    this.#requests.begin(now)
    this.#graph?.begin(now)
    this.#targets.begin(now)
  }

  span(view: SpanView): void {
    if (this.#probes?.own(view)) {
      this.#leftOut.own++
      return
    }
    this.#targets.span(view)
    if (this.#probes?.has(view)) {
      this.#leftOut.probe++
      return
    }
    const weight = this.#weights?.of(view) ?? 1
    const exemplar = this.#exemplars.may(view)
    if (((this.#kinds >> view.kind) & 1) === 0) {
      // The service graph goes on: without client spans, for instance, it would be another one.
      this.#leftOut.kind++
      this.#graph?.span(view, weight, this.#requests.bucket(view), exemplar)
      return
    }
    const bucket = this.#requests.span(view, weight, exemplar)
    this.#graph?.span(view, weight, bucket, exemplar)
  }

  /**
   * Ends the waiting of halves and removes what has expired, even if no more spans come in. The counters of prom-client are
   * updated here rather than with each request, where they took an eighth of the time (row intake-http at 20 spans).
   */
  collect(): void {
    const now = this.#clock.monotonic()
    this.#requests.expire(now)
    this.#graph?.expire(now)
    this.#targets.expire(now)
    this.#graph?.publish()
    this.#targets.publish()
    for (const reason of EXCLUSIONS) {
      if (this.#leftOut[reason] > 0) this.#excluded(reason, this.#leftOut[reason])
      this.#leftOut[reason] = 0
    }
    if (!this.#weights) return
    const { exceeded } = this.#weights
    for (const reason of ['span', 'resource'] as const) {
      this.#unweighted(reason, exceeded[reason])
      exceeded[reason] = 0
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}
