// Health: asks the application on a schedule of its own whether it works, how long the answer takes and what it says.
// Stateful, unlike a probe that a scrape sets off: thresholds, counters and histograms see every probe.

import type { Collector, Finding, Host, Running } from './collector.ts'
import { healthFamilies } from './health/families.ts'
import { type Found, GUESSED_TIMING, Guess, told } from './health/guess.ts'
import { HEALTH_OPTIONS, type HealthOptions } from './health/options.ts'
import { Prober, probe, type Question, type Surroundings } from './health/prober.ts'
import { Series } from './health/series.ts'
import type { Upstream } from './health/spans.ts'
import { httpTarget, readProbes, type Setup } from './health/target.ts'
import { type ProbeSpans, UNRECORDED } from './health/trace.ts'

export * from './health/families.ts'
export type { HealthOptions } from './health/options.ts'
export { type ProbeSpan, type ProbeSpans, TRACESTATE } from './health/trace.ts'
export { PHASES, REASONS, type Verdict } from './health/verdict.ts'

export interface HealthExtras {
  /** Records the sidecar's own span of each probe; without it nothing is recorded, and `traceparent` is sent all the same. */
  readonly spans?: ProbeSpans
  /** The sidecar's version, for the user agent "pillion-health/VERSION". */
  readonly version?: string
}

export interface HealthCollector extends Collector<HealthOptions> {
  start(options: HealthOptions, host: Host, extras?: HealthExtras): Running
}

/** Records the probes' spans upstream; the SDK is loaded here, so call it only when there is an upstream. The caller disposes. */
export async function openProbeSpans(upstream: Upstream): Promise<ProbeSpans & AsyncDisposable> {
  const { openSpans } = await import('./health/spans.ts')
  return openSpans(upstream)
}

export const health: HealthCollector = {
  name: 'health',
  about: 'Whether the application answers, how fast and in which phase, by probes over HTTP, TCP, gRPC or a program.',
  families: healthFamilies,
  options: HEALTH_OPTIONS,
  start(options, host, extras = {}) {
    const setups = readProbes(options.probes)
    const around: Surroundings = {
      host,
      series: new Series(host.metrics),
      spans: extras.spans ?? UNRECORDED,
      userAgent: extras.version === undefined ? 'pillion-health' : `pillion-health/${extras.version}`,
      startedAt: host.clock.monotonic(),
    }
    if (setups.length > 0) return new Configured(setups, around)
    // Judged now, where an operator is looking.
    if (host.app.url !== undefined) httpTarget(host.app.url, 'app.url')
    return options.guess ? new Guessed(around) : new Configured([], around)
  },
}

class Configured implements Running {
  readonly #stop = new AbortController()
  readonly #probers: readonly Prober[]
  readonly #done: Promise<unknown>

  constructor(setups: readonly Setup[], around: Surroundings) {
    this.#probers = setups.map(({ name, target, timing }) => new Prober(name, asking(target), timing, around))
    this.#done = Promise.all(this.#probers.map(prober => prober.run(this.#stop.signal)))
  }

  findings(): readonly Finding[] {
    if (this.#probers.length === 0) return [{ level: 'info', text: 'no probe is configured (health.probes)' }]
    return this.#probers.flatMap(prober => prober.findings())
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort()
    await this.#done
  }
}

/** A liveness probe that finds out what to ask, and a readiness probe when that finds one. */
class Guessed implements Running {
  readonly #stop = new AbortController()
  readonly #around: Surroundings
  readonly #guess: Guess
  #liveness: Prober | undefined
  #readiness: { prober: Prober; stop: AbortController; done: Promise<void> } | undefined
  readonly #done: Promise<void>

  constructor(around: Surroundings) {
    this.#around = around
    this.#guess = new Guess(around.host.app, found => this.#found(found))
    this.#done = this.#run()
  }

  async #run(): Promise<void> {
    const stop = this.#stop.signal
    try {
      await this.#guess.base(this.#around.host.clock, stop)
    } catch {
      // Stopped before there was anything to ask.
      return
    }
    this.#liveness = new Prober('liveness', this.#guess, GUESSED_TIMING, this.#around)
    await this.#liveness.run(stop)
  }

  #found(found: Found): void {
    this.#around.host.log.info(`health: ${told(found)}`)
    this.#readiness?.stop.abort()
    if (this.#readiness) this.#around.series.forget(this.#readiness.prober.name)
    this.#readiness = undefined
    if (found.readiness === undefined) return
    const stop = new AbortController()
    const prober = new Prober('readiness', asking(found.readiness), GUESSED_TIMING, this.#around)
    this.#readiness = { prober, stop, done: prober.run(stop.signal) }
  }

  findings(): readonly Finding[] {
    const none = 'nothing to ask yet; set app.url or health.probes, or wait until the application listens'
    if (!this.#liveness) return [{ level: 'info', text: none }]
    const how: Finding[] = this.#guess.found ? [{ level: 'info', text: told(this.#guess.found) }] : []
    return [...how, ...this.#liveness.findings(), ...(this.#readiness?.prober.findings() ?? [])]
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort()
    this.#readiness?.stop.abort()
    await Promise.all([this.#done, this.#readiness?.done])
  }
}

function asking(target: Setup['target']): Question {
  return { target: () => target, ask: (signal, context) => probe(target, signal, context) }
}
