// Reasons to keep a trace, as far as one span tells them: an error, a slow or rare operation, an application in
// trouble.

import { ofProbe } from '../../otlp/trace-state.ts'
import type { SpanView } from '../../telemetry/consumer.ts'
import type { Keys } from '../../telemetry/keys.ts'
import type { SamplingOptions } from '../../telemetry/sampler.ts'
import { STATUS } from '../../telemetry/span.ts'
import { Operations } from './operations.ts'
import { ERROR, RARE, SLOW } from './strata.ts'

export interface FactsHost {
  readonly keys: Keys
  /** Whether the application was in trouble at some time between two, in milliseconds since the epoch. */
  troubled?(from: number, to: number): boolean
}

export class Facts {
  readonly #options: SamplingOptions
  readonly #host: FactsHost
  readonly #operations: Operations

  constructor(options: SamplingOptions, host: FactsHost) {
    this.#options = options
    this.#host = host
    this.#operations = new Operations(host.keys)
  }

  /** The strata, as bits, in which this span puts its trace. `stated`: it has a tracestate. */
  of(view: SpanView, root: boolean, stated: boolean, now: number): number {
    const { slow, rare, errors } = this.#options
    let facts = errors && view.status === STATUS.error ? 1 << ERROR : 0
    const bySpan = typeof slow === 'number'
    if (bySpan && view.seconds * 1000 >= slow) facts |= 1 << SLOW
    // The answer to one of our own probes is nothing rare, and how long it takes is a metric of its own.
    const probe = stated && ofProbe(view.bytes, view.traceStateStart, view.traceStateEnd)
    if (root && !probe && this.#options.troubled) {
      const end = view.endSeconds * 1000
      if (this.#host.troubled?.(end - view.seconds * 1000, end)) facts |= 1 << SLOW
    }
    if (!root || (slow !== 'p99' && rare === 0) || probe) return probe ? facts & (1 << ERROR) : facts
    const operation = this.#operations.of(view, now)
    // Beyond the limit of operations nobody knows what is usual.
    if (operation === 0) return facts
    if (rare > 0 && this.#operations.count(operation, now) < rare) facts |= 1 << RARE
    if (slow === 'p99' && this.#operations.slow(operation, view.seconds)) facts |= 1 << SLOW
    return facts
  }
}
