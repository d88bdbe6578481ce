// Which resources have several processes that write the same cumulative series: workers forked from one process send
// with one identity, and the value of a series is that of whichever sent last.

import type { Clock, Log } from '../../telemetry/host.ts'
import type { Finding } from '../../telemetry/part.ts'
import type { Resource } from './streams.ts'

/** Resources that are named; the others are only counted. */
const MOST_NAMED = 5
/** Resources remembered. */
const MOST = 100
const LONGEST = 100

/** A restart after the clock was set back explains one start time of a series that goes back, but not two. */
const CERTAIN = 2

interface Conflict {
  readonly text: string
  last: number
}

export class Writers {
  readonly #clock: Pick<Clock, 'monotonic'>
  readonly #log: Pick<Log, 'warn'>
  readonly #expiryMs: number
  /** By job and instance. */
  readonly #conflicts = new Map<string, Conflict>()

  /** A conflict ends if it is not seen again within the expiry. */
  constructor(clock: Pick<Clock, 'monotonic'>, log: Pick<Log, 'warn'>, expiryMs: number) {
    this.#clock = clock
    this.#log = log
    this.#expiryMs = expiryMs
  }

  /** A series went back to another process; `times` counts how often it has. */
  returned({ job, instance }: Resource, metric: string, times: number): void {
    if (times < CERTAIN) return
    const last = this.#clock.monotonic()
    const identity = `${job}\n${instance}`
    const known = this.#conflicts.get(identity)
    if (known) known.last = last
    else if (this.#conflicts.size < MOST) {
      const text = told(job, instance, metric)
      this.#conflicts.set(identity, { text, last })
      if (this.#conflicts.size <= MOST_NAMED) this.#log.warn(text)
    }
  }

  findings(): readonly Finding[] {
    const horizon = this.#clock.monotonic() - this.#expiryMs
    for (const [identity, { last }] of this.#conflicts) if (last < horizon) this.#conflicts.delete(identity)
    const named = [...this.#conflicts.values()].slice(0, MOST_NAMED).map(({ text }) => text)
    const more = this.#conflicts.size - named.length
    if (more > 0) named.push(`OTLP metrics of ${more} more resources are written by several processes each`)
    return named.map(text => ({ level: 'warning', text }))
  }
}

function told(job: string, instance: string, metric: string): string {
  const who = instance === '' ? 'without service.instance.id' : `with service.instance.id ${quoted(instance)}`
  return (
    `several processes send the cumulative metrics of ${quoted(job)} ${who}, and replace each other’s values (${metric}); ` +
    'give each process its own service.instance.id, ' +
    'or set OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE=delta to have them added up'
  )
}

function quoted(text: string): string {
  return JSON.stringify(text.length > LONGEST ? `${text.slice(0, LONGEST - 1)}…` : text)
}
