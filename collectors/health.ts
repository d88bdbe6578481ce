// Health: asks the application on a schedule of its own whether it works, how long the answer takes and what it says.
// Stateful, unlike a probe that a scrape sets off: thresholds, counters and histograms see every probe.

import { isDeepStrictEqual } from 'node:util'
import type { Application, Collector, Finding, Host, Running } from './collector.ts'
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
  start(options: HealthOptions, host: Host, extras?: HealthExtras): HealthRunning
}

export interface HealthRunning extends Running {
  /**
   * Judges new options and returns what puts them in effect, which cannot fail; throws for what an operator must mend, with
   * nothing changed. Probes that stay as they are go on undisturbed, and all counters go on.
   */
  prepare(options: HealthOptions): () => Promise<void>
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
    const plan = read(options, host.app)
    const around: Surroundings = {
      host,
      series: new Series(host.metrics),
      spans: extras.spans ?? UNRECORDED,
      userAgent: extras.version === undefined ? 'pillion-health' : `pillion-health/${extras.version}`,
      startedAt: host.clock.monotonic(),
    }
    return new Health(plan, around)
  },
}

type Plan = readonly Setup[] | 'guess'

function read(options: HealthOptions, { url }: Application): Plan {
  const setups = readProbes(options.probes)
  // Judged now, where an operator is looking.
  if (setups.length === 0 && url !== undefined) httpTarget(url, 'app.url')
  return setups.length === 0 && options.guess ? 'guess' : setups
}

class Health implements HealthRunning {
  readonly #around: Surroundings
  #running: Configured | Guessed

  constructor(plan: Plan, around: Surroundings) {
    this.#around = around
    this.#running = begun(plan, around)
  }

  prepare(options: HealthOptions): () => Promise<void> {
    const { host } = this.#around
    const plan = read(options, host.app)
    return async () => {
      const before = this.#running
      if (plan === 'guess' ? before instanceof Guessed : before instanceof Configured) {
        if (before instanceof Configured && plan !== 'guess') before.change(plan)
        return
      }
      await before[Symbol.asyncDispose]()
      before.forget()
      this.#running = begun(plan, { ...this.#around, startedAt: host.clock.monotonic() })
    }
  }

  findings(): readonly Finding[] {
    return this.#running.findings()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#running[Symbol.asyncDispose]()
  }
}

function begun(plan: Plan, around: Surroundings): Configured | Guessed {
  return plan === 'guess' ? new Guessed(around) : new Configured(plan, around)
}

/** A configured probe under way. */
interface Going {
  readonly setup: Setup
  readonly prober: Prober
  readonly stop: AbortController
  readonly done: Promise<void>
}

class Configured implements Running {
  readonly #around: Surroundings
  #going: readonly Going[] = []

  constructor(setups: readonly Setup[], around: Surroundings) {
    this.#around = around
    this.#going = setups.map(setup => go(setup, around))
  }

  /** Ends the probes that are no more, or no more the same, and begins the new ones. */
  change(setups: readonly Setup[]): void {
    const { series, host } = this.#around
    const stays = (each: Going): boolean => setups.some(setup => isDeepStrictEqual(setup, each.setup))
    for (const each of this.#going.filter(each => !stays(each))) {
      // A probe that is interrupted writes nothing down.
      each.stop.abort()
      series.forget(each.setup.name)
    }
    const kept = new Map(this.#going.filter(stays).map(each => [each.setup.name, each]))
    const around = { ...this.#around, startedAt: host.clock.monotonic() }
    this.#going = setups.map(setup => kept.get(setup.name) ?? go(setup, around))
  }

  findings(): readonly Finding[] {
    if (this.#going.length === 0) return [{ level: 'info', text: 'no probe is configured (health.probes)' }]
    return this.#going.flatMap(each => each.prober.findings())
  }

  forget(): void {
    for (const { setup } of this.#going) this.#around.series.forget(setup.name)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { stop } of this.#going) stop.abort()
    await Promise.all(this.#going.map(each => each.done))
  }
}

function go(setup: Setup, around: Surroundings): Going {
  const stop = new AbortController()
  const prober = new Prober(setup.name, asking(setup.target), setup.timing, around)
  return { setup, prober, stop, done: prober.run(stop.signal) }
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

  forget(): void {
    for (const prober of [this.#liveness, this.#readiness?.prober]) if (prober) this.#around.series.forget(prober.name)
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
