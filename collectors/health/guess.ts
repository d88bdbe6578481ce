// Without configured probes, the application is asked, once it answers, for the well-known health paths. Each path that it does
// not have leaves a 404 in its log and its metrics, so there are few requests, in the order of likelihood, and the answer is
// remembered. Until the application answers, the first question is the liveness probe: one request at a time, on the
// schedule of a probe.

import type { Application, Clock } from '../../telemetry/host.ts'
import { probe, type Question } from './prober.ts'
import { type ActiveTarget, describe, httpTarget, type Timing } from './target.ts'
import type { ProbeContext, Verdict } from './verdict.ts'

/** A health path and, where it exists, what exists beside it by the same convention. */
interface Convention {
  readonly path: string
  /** Asked for only if `path` exists. */
  readonly readiness?: string
  /** More exact than `path`; asked for only if `readiness` exists, since the two come together. */
  readonly liveness?: string
}

const USUAL: readonly Convention[] = [
  { path: 'healthz', readiness: 'readyz', liveness: 'livez' },
  { path: 'health', readiness: 'health/ready', liveness: 'health/live' },
  { path: 'livez', readiness: 'readyz' },
]
/** Spring Boot and Quarkus. */
const JAVA: readonly Convention[] = [
  { path: 'actuator/health', readiness: 'actuator/health/readiness', liveness: 'actuator/health/liveness' },
  { path: 'q/health', readiness: 'q/health/ready', liveness: 'q/health/live' },
]
const RARE: readonly Convention[] = [{ path: 'api/health' }, { path: 'readyz' }]

/** Runtimes whose programs never answer at the paths of Spring Boot and Quarkus; native images of those have any name. */
const NOT_JAVA = /^(?:node|bun|deno|python[\d.]*|gunicorn|uvicorn|ruby|puma|php[\w.-]*|dotnet|beam\.smp)$/

// No application has it. An application that answers this with success says nothing by answering a health path with success.
export const NOWHERE = 'pillion-looks-for-a-missing-page'

// After so many fruitless turns, an open port that does not speak HTTP is asked over TCP.
const PATIENCE = 3

export const GUESSED_TIMING: Timing = {
  interval: 10_000,
  failingInterval: 2_000,
  timeout: 2_000,
  initialDelay: 0,
  successThreshold: 1,
  failureThreshold: 3,
}

export interface GuessedProbes {
  readonly liveness: ActiveTarget
  readonly readiness: ActiveTarget | undefined
  /** The way it was found, for people. */
  readonly how: string
}

export interface GuessOptions {
  readonly app: Application
  /** The name of the program that the application's process runs, if it is known. */
  readonly program: () => string | undefined
  readonly onFound: (found: GuessedProbes) => void
}

/** The result of one turn; with `found`, the search is over. */
interface Look {
  readonly verdict: Verdict
  readonly found?: GuessedProbes
}

export class Guess implements Question {
  readonly #options: GuessOptions
  #found: (GuessedProbes & { readonly base: string }) | undefined
  #asked: string | undefined
  /** Verdicts of the paths requested so far: with a slow application the next turn continues where this one stopped. */
  #verdicts = new Map<string, Verdict>()
  /** The last turn found an application that answers 5xx to everything. */
  #unready = false
  #fruitless = 0
  /** The result at an earlier base: an application that comes back on another port has the same paths, or none again. */
  #remembered: Convention | undefined
  /** The reason if there was none. */
  #without: string | undefined

  constructor(options: GuessOptions) {
    this.#options = options
  }

  get found(): GuessedProbes | undefined {
    return this.#found
  }

  /** Resolves when there is something to ask: a configured URL or port, or a discovered port. */
  async base(clock: Clock, signal: AbortSignal): Promise<void> {
    while (baseOf(this.#options.app) === undefined) await clock.sleep(500, signal)
  }

  target(): ActiveTarget {
    const base = this.#base()
    return this.#found?.base === base ? this.#found.liveness : httpTarget(base)
  }

  async ask(signal: AbortSignal, context: ProbeContext): Promise<Verdict> {
    const base = this.#base()
    // A restarted application may have chosen another port.
    if (base !== this.#asked) this.#begin(base)
    if (this.#found?.base === base) return probe(this.#found.liveness, signal, context)
    const { verdict, found } = await this.#look(base, signal, context)
    if (found && !signal.aborted) {
      this.#found = { ...found, base }
      this.#options.onFound(found)
    }
    return verdict
  }

  #base(): string {
    return baseOf(this.#options.app) ?? this.#asked ?? 'http://127.0.0.1/'
  }

  #begin(base: string): void {
    this.#asked = base
    this.#found = undefined
    this.#unready = false
    this.#verdicts.clear()
    this.#fruitless = 0
  }

  async #look(base: string, signal: AbortSignal, context: ProbeContext): Promise<Look> {
    const ask = (path: string): Promise<Verdict> => this.#try(base, path, signal, context)
    if (this.#unready) {
      const verdict = await ask(NOWHERE)
      if (unserved(verdict)) return this.#notReady(verdict)
      this.#unready = false
    }
    if (this.#without !== undefined) return this.#withoutPath(base, this.#without, signal, context)
    let [answered, everywhere] = [false, false]
    for (const convention of this.#order()) {
      const verdict = await ask(convention.path)
      // Out of time: the verdicts are kept, and the next turn continues from there.
      if (signal.aborted) return { verdict }
      if (verdict.status === undefined && !answered) return this.#silent(base, verdict, signal, context)
      answered = true
      this.#fruitless = 0
      if (!verdict.ok && (verdict.status ?? 0) < 500) continue
      const missing = verdict.document ? undefined : await ask(NOWHERE)
      if (signal.aborted) return { verdict }
      if (missing && unserved(missing)) return this.#notReady(missing)
      everywhere ||= missing?.ok === true
      if (tells(verdict, missing)) return this.#take(convention, base, ask, signal)
    }
    this.#without = everywhere
      ? 'every path is answered with success, even one that cannot exist, so a health path proves nothing'
      : 'no well-known health path'
    return this.#withoutPath(base, this.#without, signal, context)
  }

  #order(): readonly Convention[] {
    const program = this.#options.program()
    const likely =
      program === 'java'
        ? [...JAVA, ...USUAL, ...RARE]
        : program !== undefined && NOT_JAVA.test(program)
          ? [...USUAL, ...RARE]
          : [...USUAL, ...JAVA, ...RARE]
    const first = this.#remembered
    return first === undefined ? likely : [first, ...likely.filter(each => each !== first)]
  }

  /** The application answers 5xx even to a missing page. The next turn starts again. */
  #notReady(verdict: Verdict): Look {
    this.#unready = true
    this.#verdicts.clear()
    return { verdict }
  }

  /** Nothing answers, or not in HTTP. The next turn starts again. */
  async #silent(base: string, verdict: Verdict, signal: AbortSignal, context: ProbeContext): Promise<Look> {
    this.#verdicts.clear()
    const connected = !verdict.ok && ['protocol', 'reset', 'timeout', 'too_large'].includes(verdict.reason)
    const explicit = this.#options.app.url !== undefined
    if (explicit || !connected || ++this.#fruitless < PATIENCE) return { verdict }
    return settle(tcpTarget(base), 'the port does not answer HTTP', signal, context)
  }

  async #take(
    convention: Convention,
    base: string,
    ask: (path: string) => Promise<Verdict>,
    signal: AbortSignal,
  ): Promise<Look> {
    const missing = this.#verdicts.get(NOWHERE)
    const exists = async (path: string | undefined): Promise<boolean> =>
      path !== undefined && tells(await ask(path), missing)
    const ready = await exists(convention.readiness)
    const live = ready && (await exists(convention.liveness))
    const path = (live && convention.liveness) || convention.path
    const verdict = this.#verdicts.get(path) ?? (await ask(path))
    if (signal.aborted) return { verdict }
    this.#remembered = convention
    return {
      verdict,
      found: {
        liveness: at(base, path),
        readiness: ready && convention.readiness !== undefined ? at(base, convention.readiness) : undefined,
        how: 'guessed from well-known paths',
      },
    }
  }

  async #withoutPath(base: string, why: string, signal: AbortSignal, context: ProbeContext): Promise<Look> {
    if (this.#options.app.url === undefined)
      return settle(tcpTarget(base), `${why}; only the port is asked`, signal, context)
    const itself = httpTarget(base)
    const verdict = await probe(itself, signal, context)
    if (verdict.status === undefined || verdict.status < 400 || verdict.status >= 500)
      return { verdict, found: { liveness: itself, readiness: undefined, how: `${why}; app.url itself is asked` } }
    // An API without a page at its root is not unhealthy for that.
    return settle(
      tcpTarget(base),
      `${why}, and app.url answers ${verdict.status}; only the port is asked`,
      signal,
      context,
    )
  }

  async #try(base: string, path: string, signal: AbortSignal, context: ProbeContext): Promise<Verdict> {
    const known = this.#verdicts.get(path)
    if (known) return known
    const verdict = await probe({ ...at(base, path), statuses: [[200, 299]] }, signal, context)
    if (!signal.aborted) this.#verdicts.set(path, verdict)
    return verdict
  }
}

async function settle(liveness: ActiveTarget, how: string, signal: AbortSignal, context: ProbeContext): Promise<Look> {
  return { verdict: await probe(liveness, signal, context), found: { liveness, readiness: undefined, how } }
}

/** No answer, or one that says that the server cannot serve. */
function unserved({ status }: Verdict): boolean {
  return status === undefined || status >= 500
}

/**
 * Whether an answer shows that there is a health endpoint: a success that a missing page does not get, a health document, or
 * 503, by which health endpoints say "down".
 */
function tells(verdict: Verdict, missing: Verdict | undefined): boolean {
  return verdict.status === 503 || (verdict.ok && (verdict.document !== undefined || missing?.ok !== true))
}

/** A sentence about a guess for the operator. */
export function told(found: GuessedProbes): string {
  const second = found.readiness ? `, readiness ${describe(found.readiness)}` : ''
  return `liveness ${describe(found.liveness)}${second} (${found.how}); configure health.probes to choose`
}

function baseOf({ url, port, select }: Application): string | undefined {
  const known = port ?? select.port
  return url ?? (known === undefined ? undefined : `http://127.0.0.1:${known}/`)
}

function at(base: string, path: string): ActiveTarget & { kind: 'http' } {
  const url = new URL(base)
  url.pathname = `${url.pathname.replace(/\/$/, '')}/${path}`
  url.search = ''
  url.hash = ''
  return httpTarget(url.href)
}

function tcpTarget(base: string): ActiveTarget {
  const { endpoint } = httpTarget(base)
  return { kind: 'tcp', endpoint: { ...endpoint, tls: undefined }, send: undefined, expect: undefined }
}
