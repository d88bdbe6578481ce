// Health: probes the application on a schedule of its own and records whether it works, how long the answer takes and its
// content. Unlike a probe made by a scrape it has state: thresholds, counters and histograms see every probe.

import { readFileSync } from 'node:fs'
import { basename } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { checked } from '../options/kinds.ts'
import type { Host } from '../telemetry/host.ts'
import type { MomentsHost } from '../telemetry/moment.ts'
import type { Finding, Part, Running, Step } from '../telemetry/part.ts'
import { probeAgent } from '../telemetry/probe.ts'
import type { Answers } from '../telemetry/seen.ts'
import type { Fact } from '../telemetry/status.ts'
import { type Tracer, UNRECORDED } from '../telemetry/tracer.ts'
import { healthFamilies, healthUp, probeFailures } from './health/families.ts'
import { guessFault, healthFaults } from './health/faults.ts'
import { GUESSED_TIMING, Guess, type GuessedProbes, told } from './health/guess.ts'
import { HEALTH_OPTIONS, type HealthOptions } from './health/options.ts'
import { passive } from './health/passive.ts'
import { Prober, probe, type Question, type Surroundings } from './health/prober.ts'
import { Series } from './health/series.ts'
import { readProbes, type Setup } from './health/target.ts'
import type { Traceparent } from './health/trace.ts'

export { refusal } from './health/address.ts'
export * from './health/families.ts'
export { guessFault, headerFault, urlFault } from './health/faults.ts'
export { header, unbracketed } from './health/notation.ts'
export type { HealthOptions } from './health/options.ts'
export { REASONS, type Verdict } from './health/verdict.ts'

/** The outside world, and what else the probes can use. */
export interface HealthHost extends Host, Partial<MomentsHost> {
  /** Records the sidecar's own span of each probe; without it none is recorded, and `traceparent` is sent as not sampled. */
  readonly tracer?: Tracer
  /** The application's answers as access logs and taps see them; without it, passive probes see none. */
  readonly seen?: Answers
  /** The sidecar's version, for the user agent (see `probeAgent`). */
  readonly version?: string
}

export interface HealthRunning extends Running<HealthOptions> {
  /** Probes that stay as they are continue undisturbed, and all counters continue. */
  prepare(next: HealthOptions): Promise<Step>
}

export const health = {
  name: 'health',
  about: 'Whether the application answers, how fast and in which phase, by probes over HTTP, TCP, gRPC or a program.',
  families: healthFamilies,
  options: checked(HEALTH_OPTIONS, healthFaults),
  async start(options: HealthOptions, host: HealthHost): Promise<HealthRunning> {
    const plan = await read(options, host)
    const around: Around = {
      host,
      series: new Series(host.metrics),
      tracer: host.tracer ?? UNRECORDED,
      userAgent: probeAgent(host.version),
      startedAt: host.clock.monotonic(),
    }
    return new Health(plan, around)
  },
} satisfies Part<HealthOptions, HealthHost>

/** The options, read. */
interface Plan {
  readonly probes: readonly Setup[] | 'guess'
  readonly traceparent: Traceparent
}

type Around = Omit<Surroundings, 'traceparent'> & { readonly host: HealthHost }

async function read(options: HealthOptions, { app }: Host): Promise<Plan> {
  const found = [...healthFaults(options).map(({ path, message }) => `health.${path} ${message}`)]
  const guess = guessFault(options, app.url)
  if (guess) found.push(`app.url ${guess}`)
  if (found.length > 0) throw new Error(found.join('\n'))
  const setups = await readProbes(options.probes)
  return { probes: setups.length === 0 && options.guess ? 'guess' : setups, traceparent: options.traceparent }
}

class Health implements HealthRunning {
  readonly #around: Around
  #plan: Plan
  #running: Configured | Guessed

  constructor(plan: Plan, around: Around) {
    this.#around = around
    this.#plan = plan
    this.#running = begun(plan, around)
  }

  async prepare(options: HealthOptions): Promise<Step> {
    const { host } = this.#around
    const plan = await read(options, host)
    return async () => {
      const before = this.#running
      const same = plan.traceparent === this.#plan.traceparent
      this.#plan = plan
      if (same && plan.probes === 'guess' && before instanceof Guessed) return
      if (same && plan.probes !== 'guess' && before instanceof Configured) return before.change(plan.probes)
      await before[Symbol.asyncDispose]()
      before.forget()
      this.#running = begun(plan, { ...this.#around, startedAt: host.clock.monotonic() })
    }
  }

  findings(): readonly Finding[] {
    return this.#running.findings()
  }

  async facts(): Promise<readonly Fact[]> {
    const { metrics } = this.#around.host
    const failures = await metrics.samples(probeFailures)
    return (await metrics.samples(healthUp)).flatMap(({ labels: { probe }, value }) => {
      const failed = failures.filter(({ labels }) => labels['probe'] === probe)
      return [
        { name: `${probe}`, value: value === 1 ? 'up' : 'down' },
        { name: `${probe}, failed probes`, value: failed.reduce((sum, each) => sum + each.value, 0) },
      ]
    })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#running[Symbol.asyncDispose]()
  }
}

function begun({ probes, traceparent }: Plan, around: Around): Configured | Guessed {
  const surroundings = { ...around, traceparent }
  return probes === 'guess' ? new Guessed(surroundings) : new Configured(probes, surroundings)
}

/** A configured probe that runs. */
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

  /** Stops the probes that were removed or changed, and starts the new ones. */
  change(setups: readonly Setup[]): void {
    const { series, host } = this.#around
    const stays = (each: Going): boolean => setups.some(setup => isDeepStrictEqual(setup, each.setup))
    for (const each of this.#going.filter(each => !stays(each))) {
      // An interrupted probe records nothing.
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
  const prober = new Prober(setup.name, asking(setup.target, around.host), setup.timing, around)
  return { setup, prober, stop, done: prober.run(stop.signal) }
}

/** A liveness probe that finds out what to ask, and a readiness probe if it finds that too. */
class Guessed implements Running {
  readonly #stop = new AbortController()
  readonly #around: Surroundings
  readonly #guess: Guess
  #liveness: Prober | undefined
  #readiness: { prober: Prober; stop: AbortController; done: Promise<void> } | undefined
  readonly #done: Promise<void>

  constructor(around: Surroundings) {
    this.#around = around
    const { host } = around
    this.#guess = new Guess({
      app: host.app,
      program: () => programOf(host),
      onFound: found => this.#found(found),
    })
    this.#done = this.#run()
  }

  async #run(): Promise<void> {
    const stop = this.#stop.signal
    try {
      await this.#guess.base(this.#around.host.clock, stop)
    } catch {
      // Stopped before there was anything to probe.
      return
    }
    this.#liveness = new Prober('liveness', this.#guess, GUESSED_TIMING, this.#around)
    await this.#liveness.run(stop)
  }

  #found(found: GuessedProbes): void {
    this.#around.host.log.info(`health: ${told(found)}`)
    this.#readiness?.stop.abort()
    if (this.#readiness) this.#around.series.forget(this.#readiness.prober.name)
    this.#readiness = undefined
    if (found.readiness === undefined) return
    const stop = new AbortController()
    const prober = new Prober('readiness', asking(found.readiness, this.#around.host), GUESSED_TIMING, this.#around)
    this.#readiness = { prober, stop, done: prober.run(stop.signal) }
  }

  findings(): readonly Finding[] {
    const none = 'nothing to probe yet; set app.url or health.probes, or wait until the application listens'
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

function asking(target: Setup['target'], { seen = UNSEEN }: HealthHost): Question {
  if (target.kind === 'passive')
    return { target: () => target, ask: async (_signal, context) => passive(target, seen, context) }
  return { target: () => target, ask: (signal, context) => probe(target, signal, context) }
}

const UNSEEN: Answers = { within: () => ({ answers: 0, failures: 0, meanSeconds: 0 }) }

/** The name of the program that the application's process runs, such as "java". */
function programOf({ proc, app }: Host): string | undefined {
  if (app.pid === undefined) return undefined
  try {
    const [command = ''] = readFileSync(`${proc}/${app.pid}/cmdline`, 'utf8').split('\0', 1)
    return basename(command) || undefined
  } catch {
    // It has ended, or may not be read.
    return undefined
  }
}
