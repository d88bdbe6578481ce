// Episodes: times in which an application had many slow requests, each told in one sentence with numbers. A single verdict may
// be wrong; the sum over many requests rarely is.

import type { Episode as Told } from '../../telemetry/incident.ts'
import { said, UNEXPLAINED } from './causes.ts'

/** So many slow requests within so long make an episode; it ends when so long none came. */
const REQUESTS = 5
const WITHIN_MS = 30_000
/** Episodes that are remembered. */
const KEPT = 64
/** Slow requests of a service that are remembered, and of which the sentence tells. */
const MOST = 500
/** The cause of an episode explains at least this share. */
const ENOUGH = 0.3
/** So many of the last requests with another cause, which explains so much, begin another episode. */
const TURN = 8
const MOST_OF_IT = 0.6

export interface Slow {
  readonly service: string
  readonly operation: string
  /** Start and end, in milliseconds since the epoch. */
  readonly from: number
  readonly to: number
  /** When it was judged, by our own clock. */
  readonly at: number
  readonly ms: number
  readonly usualMs: number
  readonly beyond: number
  readonly parts: ReadonlyMap<string, number>
  readonly process: boolean
  readonly periods: number
  readonly throttledPeriods: number
  readonly trace: string
}

/** As it is told, and goes on changing until it has ended. */
type Episode = { -readonly [Key in keyof Told]: Told[Key] }

/** The recent slow requests of a service. */
interface Recent {
  /** In the order in which they were judged, the newest last. */
  slow: Slow[]
  episode: Episode | undefined
  /** Slow requests that the sentence does not tell of yet. */
  untold: boolean
}

export class Episodes {
  /** From the oldest to the newest. */
  readonly all: Episode[] = []
  readonly #services = new Map<string, Recent>()
  readonly #told: (episode: Episode, began: boolean) => void
  #count = 0

  /** `told` is called when an episode has begun, and when it has ended. */
  constructor(told: (episode: Episode, began: boolean) => void) {
    this.#told = told
  }

  /** Takes in a slow request, soon after its end. */
  add(slow: Slow): void {
    let recent = this.#services.get(slow.service)
    if (!recent) {
      recent = { slow: [], episode: undefined, untold: false }
      this.#services.set(slow.service, recent)
    }
    const all = recent.slow
    all.push(slow)
    if (all.length >= 2 * MOST) all.splice(0, all.length - MOST)
    const { episode } = recent
    if (!episode) {
      const first = all.findIndex(each => each.at >= slow.at - WITHIN_MS)
      if (first > 0) all.splice(0, first)
      if (all.length >= REQUESTS) this.#begin(recent)
      return
    }
    recent.untold = true
    const turn = all.length >= 2 * TURN ? turned(all, episode.cause) : undefined
    if (!turn) return
    // Another cause took over: another episode.
    this.#end(recent, turn[0]!.from)
    recent.slow = turn
    this.#begin(recent)
  }

  /** Whether an episode touches this time. */
  troubled(from: number, to: number): boolean {
    for (let i = this.all.length - 1; i >= 0; i--) {
      const each = this.all[i]!
      if (each.from <= to && (each.to ?? Number.POSITIVE_INFINITY) >= from) return true
    }
    return false
  }

  /** Brings the sentences up to date, and ends what has been quiet. `now` is wall time in milliseconds. */
  pass(now: number): void {
    for (const [service, recent] of this.#services) {
      if (recent.episode && recent.untold) this.#tell(recent.episode, recent)
      const last = recent.slow.at(-1)
      if (last && now - last.at < WITHIN_MS) continue
      if (recent.episode)
        this.#end(
          recent,
          recent.slow.reduce((most, each) => Math.max(most, each.to), 0),
        )
      this.#services.delete(service)
    }
  }

  #end(recent: Recent, to: number): void {
    const { episode } = recent
    if (!episode) return
    if (recent.untold) this.#tell(episode, recent)
    episode.to = Math.max(episode.from, Math.min(to, recent.slow.at(-1)?.at ?? to))
    recent.episode = undefined
    this.#told(episode, false)
  }

  #begin(recent: Recent): void {
    const { service } = recent.slow[0]!
    // Spans of another clock may lie in the future.
    const from = recent.slow.reduce((least, each) => Math.min(least, each.from, each.at), Number.POSITIVE_INFINITY)
    const episode: Episode = {
      id: `${Math.round(from)}-${++this.#count}`,
      from,
      to: null,
      service,
      operation: '',
      cause: UNEXPLAINED,
      sentence: '',
      trace_id: null,
      requests: 0,
    }
    this.#tell(episode, recent)
    recent.episode = episode
    this.all.push(episode)
    if (this.all.length > KEPT) this.all.shift()
    this.#told(episode, true)
  }

  /** Says what the episode is, by all its requests so far. */
  #tell(episode: Episode, recent: Recent): void {
    recent.untold = false
    const by = Map.groupBy(recent.slow, each => each.operation)
    const [operation, some] = [...by].reduce((a, b) => (lost(b[1]) > lost(a[1]) ? b : a))
    // The cause is one for all operations of the process.
    const { cause, share } = foremost(recent.slow)
    episode.operation = operation
    episode.cause = share >= ENOUGH ? cause : UNEXPLAINED
    episode.requests = recent.slow.length
    episode.trace_id = some.reduce((a, b) => (b.ms > a.ms ? b : a)).trace
    episode.sentence = sentence(operation, episode.cause, some)
  }
}

/** The cause of most of the time beyond the usual, and its share. */
function foremost(some: readonly Slow[]): { readonly cause: string; readonly share: number } {
  const parts = new Map<string, number>()
  for (const each of some) for (const [cause, ms] of each.parts) parts.set(cause, (parts.get(cause) ?? 0) + ms)
  parts.delete(UNEXPLAINED)
  const [cause, ms] = [...parts].reduce((a, b) => (b[1] > a[1] ? b : a), [UNEXPLAINED, 0] as const)
  return { cause, share: ms / lost(some) }
}

function lost(some: readonly Slow[]): number {
  return some.reduce((sum, each) => sum + each.beyond, 0)
}

/** The last requests, if another cause explains most of their time. */
function turned(recent: readonly Slow[], cause: string): Slow[] | undefined {
  const last = recent.slice(-TURN)
  const now = foremost(last)
  return now.cause !== cause && now.share >= MOST_OF_IT ? last : undefined
}

/** "p99 of GET /x rose from 14 to 31 ms: 15.5 of 17 ms throttled (in 24 of 28 periods of its quota), 12 slow requests". */
function sentence(operation: string, cause: string, some: readonly Slow[]): string {
  const mean = (of: (each: Slow) => number) => some.reduce((sum, each) => sum + of(each), 0) / some.length
  const sorted = some.map(each => each.ms).sort((a, b) => a - b)
  const p99 = sorted[Math.min(sorted.length - 1, Math.floor(0.99 * sorted.length))]!
  const part = mean(each => each.parts.get(cause) ?? 0)
  const process = some.some(each => each.process)
  const rose = `${operation} took up to ${shown(p99)} instead of ${shown(mean(each => each.usualMs))}`
  const why =
    cause === UNEXPLAINED
      ? `what the ${shown(mean(each => each.beyond))} went to is not known`
      : `${shown(part)} of the ${shown(mean(each => each.beyond))} more were ${said(cause, process)}`
  const periods = mean(each => each.periods)
  const quota =
    cause === 'throttled' && periods > 0
      ? ` (in ${Math.round(some.length * mean(each => each.throttledPeriods))} of ${Math.round(some.length * periods)} periods of its quota)`
      : ''
  return `${rose}: ${why}${quota}; ${some.length} slow ${some.length === 1 ? 'request' : 'requests'}`
}

function shown(ms: number): string {
  if (ms >= 10_000) return `${(ms / 1000).toFixed(0)} s`
  if (ms >= 1000) return `${(ms / 1000).toFixed(1)} s`
  return `${ms >= 100 ? ms.toFixed(0) : ms.toFixed(1)} ms`
}
