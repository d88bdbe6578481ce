// Without configured probes, the application is asked once, when it first answers, which of the well-known health paths
// it has. Until then the question itself is the liveness probe: one request at a time, on the schedule of a probe.

import type { Application, Clock } from '../collector.ts'
import { probe, type Question } from './prober.ts'
import { describe, httpTarget, type Target, type Timing } from './target.ts'
import type { ProbeContext, Verdict } from './verdict.ts'

/** In order of preference: the endpoint made for the question comes before the general one. */
const LIVENESS = ['livez', 'healthz', 'actuator/health/liveness', 'q/health/live', 'health/live', 'health'].concat(
  'actuator/health',
  'q/health',
  'api/health',
)
const READINESS = ['readyz', 'actuator/health/readiness', 'q/health/ready', 'health/ready']

// No application has it. What answers even this with success proves nothing by answering a health path with success.
const NOWHERE = 'pillion-looks-for-a-missing-page'

// After that many fruitless turns, an open port that does not speak HTTP is taken for what it is.
const PATIENCE = 3

export const GUESSED_TIMING: Timing = {
  interval: 10_000,
  failingInterval: 2_000,
  timeout: 2_000,
  initialDelay: 0,
  successThreshold: 1,
  failureThreshold: 3,
}

export interface Found {
  readonly liveness: Target
  readonly readiness: Target | undefined
  /** How it was found, for people. */
  readonly how: string
}

export class Guess implements Question {
  readonly #app: Application
  readonly #onFound: (found: Found) => void
  #found: (Found & { readonly base: string }) | undefined
  #asked: string | undefined
  /** Verdicts of the paths asked so far: a slow application is asked on at the next turn, not all over again. */
  #verdicts = new Map<string, Verdict>()
  #fruitless = 0

  constructor(app: Application, onFound: (found: Found) => void) {
    this.#app = app
    this.#onFound = onFound
  }

  get found(): Found | undefined {
    return this.#found
  }

  /** Resolves when there is something to ask: a configured URL, or a discovered port. */
  async base(clock: Clock, signal: AbortSignal): Promise<void> {
    while (baseOf(this.#app) === undefined) await clock.sleep(500, signal)
  }

  target(): Target {
    const base = baseOf(this.#app) ?? this.#asked ?? 'http://127.0.0.1/'
    return this.#found?.base === base ? this.#found.liveness : httpTarget(base, 'app.url')
  }

  async ask(signal: AbortSignal, context: ProbeContext): Promise<Verdict> {
    const base = baseOf(this.#app) ?? this.#asked ?? 'http://127.0.0.1/'
    // A restarted application may have chosen another port.
    if (base !== this.#asked) this.#begin(base)
    if (this.#found?.base === base) return probe(this.#found.liveness, signal, context)
    const { verdict, found } = await this.#look(base, signal, context)
    if (found && !signal.aborted) {
      this.#found = { ...found, base }
      this.#onFound(found)
    }
    return verdict
  }

  #begin(base: string): void {
    this.#asked = base
    this.#found = undefined
    this.#verdicts.clear()
    this.#fruitless = 0
  }

  async #look(base: string, signal: AbortSignal, context: ProbeContext): Promise<{ verdict: Verdict; found?: Found }> {
    const explicit = this.#app.url !== undefined
    const nowhere = await this.#try(base, NOWHERE, signal, context)
    if (nowhere.status === undefined || nowhere.status >= 500) {
      // Not there, not ready, or not HTTP. The next turn asks again, from the beginning.
      this.#verdicts.clear()
      const connected = !nowhere.ok && ['protocol', 'reset', 'timeout', 'too_large'].includes(nowhere.reason)
      if (explicit || !connected || ++this.#fruitless < PATIENCE) return { verdict: nowhere }
      return this.#settle(tcpTarget(base), undefined, 'the port does not answer HTTP', signal, context)
    }
    this.#fruitless = 0
    const liveness = await this.#first(base, LIVENESS, nowhere, signal, context)
    const readiness = await this.#first(base, READINESS, nowhere, signal, context)
    // Out of time: what was learned is kept, and the next turn goes on from there.
    if (signal.aborted) return { verdict: [...this.#verdicts.values()].at(-1) ?? nowhere }
    const alive = liveness ?? readiness
    if (alive) {
      const verdict = this.#verdicts.get(alive)!
      const ready = liveness === undefined ? undefined : readiness
      const found = {
        liveness: at(base, alive),
        readiness: ready === undefined ? undefined : at(base, ready),
        how: 'guessed from well-known paths',
      }
      return { verdict, found }
    }
    const itself = httpTarget(base, 'app.url')
    if (!explicit) return this.#settle(tcpTarget(base), undefined, 'no well-known health path', signal, context)
    const verdict = await probe(itself, signal, context)
    const how = 'no well-known health path; app.url itself is asked'
    if (verdict.status === undefined || verdict.status < 400 || verdict.status >= 500)
      return { verdict, found: { liveness: itself, readiness: undefined, how } }
    // An API without a page at its root is not unhealthy for that.
    const why = `no well-known health path, and app.url answers ${verdict.status}; only the port is asked`
    return this.#settle(tcpTarget(base), undefined, why, signal, context)
  }

  async #settle(
    liveness: Target,
    readiness: Target | undefined,
    how: string,
    signal: AbortSignal,
    context: ProbeContext,
  ): Promise<{ verdict: Verdict; found: Found }> {
    return { verdict: await probe(liveness, signal, context), found: { liveness, readiness, how } }
  }

  /**
   * The first path that answers 2xx, or else the first that answers 503, which is how a health endpoint says "down".
   * Neither counts when a missing page gets the same answer, unless a health document comes with it.
   */
  async #first(
    base: string,
    paths: readonly string[],
    nowhere: Verdict,
    signal: AbortSignal,
    context: ProbeContext,
  ): Promise<string | undefined> {
    let down: string | undefined
    for (const path of paths) {
      const verdict = await this.#try(base, path, signal, context)
      if (signal.aborted) return undefined
      const telling = nowhere.ok ? verdict.document !== undefined : true
      if (verdict.ok && telling) return path
      if (verdict.status === 503) down ??= path
    }
    return down
  }

  async #try(base: string, path: string, signal: AbortSignal, context: ProbeContext): Promise<Verdict> {
    const known = this.#verdicts.get(path)
    if (known) return known
    const verdict = await probe({ ...at(base, path), statuses: [[200, 299]] }, signal, context)
    if (!signal.aborted) this.#verdicts.set(path, verdict)
    return verdict
  }
}

/** What the operator is told about a guess. */
export function told(found: Found): string {
  const second = found.readiness ? `, readiness ${describe(found.readiness)}` : ''
  return `liveness ${describe(found.liveness)}${second} (${found.how}); configure health.probes to choose`
}

function baseOf(app: Application): string | undefined {
  return app.url ?? (app.port === undefined ? undefined : `http://127.0.0.1:${app.port}/`)
}

function at(base: string, path: string): Target & { kind: 'http' } {
  const url = new URL(base)
  url.pathname = `${url.pathname.replace(/\/$/, '')}/${path}`
  url.search = ''
  url.hash = ''
  return httpTarget(url.href, 'app.url')
}

function tcpTarget(base: string): Target {
  const { endpoint } = httpTarget(base, 'app.url')
  return { kind: 'tcp', endpoint: { ...endpoint, tls: undefined }, send: undefined, expect: undefined }
}
