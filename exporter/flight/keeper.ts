// Keeps the ring on disk up to date: makes it, writes what is new twice a second, and makes another when it is lost.

import type { Mark } from '../../telemetry/moment.ts'
import { shownUrl } from '../../telemetry/status.ts'
import type { Events } from './events.ts'
import type { Files } from './files.ts'
import type { FlightHost } from './host.ts'
import { ourselves } from './owner.ts'
import type { Redact } from './redact.ts'
import { Ring, type RingState } from './ring.ts'

/** Texts of other parts are asked for, and the state is written again, though nothing has changed. */
const TEXTS_MS = 1000
const STATE_MS = 5000
/** After a failure, and to see whether somebody has removed the ring. */
export const AGAIN_MS = 60_000
/** Log records of the last seconds that go into the ring, each time. */
const LOGS = 16
const SINCE_MS = 10_000
const KNOWN_TEXTS = 256
const LONGEST_SERVICE = 40
/** In a state, which must fit into its block however it is escaped. */
const LONGEST = { name: 100, url: 500, reason: 300 }

export interface KeeperHost {
  readonly files: Files
  readonly redact: Redact
  readonly logs: boolean
  /** The ring cannot be written. */
  failed(error: unknown): void
  /** It can be written again. */
  mended(): void
}

export class Keeper {
  readonly #host: FlightHost
  readonly #events: Events
  readonly #around: KeeperHost
  readonly #stop = new AbortController()
  #ring: Ring | undefined
  #opening: Promise<void> | undefined
  #openDue = 0
  #checkDue = 0
  #stateAt = Number.NEGATIVE_INFINITY
  #state = ''
  #textsAt = Number.NEGATIVE_INFINITY
  #marks = new WeakSet<Mark>()
  readonly #texts = new Set<string>()

  constructor(host: FlightHost, events: Events, around: KeeperHost) {
    this.#host = host
    this.#events = events
    this.#around = around
  }

  /** The name of its file. */
  get name(): string | undefined {
    return this.#ring && `ring-${this.#ring.id}.bin`
  }

  /** Writes what is new, or makes the ring if it is time. */
  look(): void {
    const now = this.#host.clock.monotonic()
    const ring = this.#ring
    if (ring && ring.failed === undefined) this.#write(ring, now)
    else if (ring) {
      this.#lose(ring)
      this.#openDue = now + AGAIN_MS
      this.#around.failed(ring.failed)
    } else if (now >= this.#openDue) this.#opening ??= this.#open(now)
  }

  async close(): Promise<void> {
    this.#stop.abort()
    await this.#opening
    await this.#ring?.close()
    this.#ring = undefined
  }

  async #open(now: number): Promise<void> {
    const { proc, clock, version = 'unknown' } = this.#host
    const { files } = this.#around
    try {
      await files.prepare()
      const ring = await Ring.create(files.dir, { version, made: clock.now(), owner: ourselves(proc) })
      if (this.#stop.signal.aborted) return await ring.close()
      this.#ring = ring
      this.#state = ''
      this.#marks = new WeakSet()
      this.#texts.clear()
      this.#checkDue = now + AGAIN_MS
      this.#around.mended()
    } catch (error) {
      this.#openDue = now + AGAIN_MS
      this.#around.failed(error)
    } finally {
      this.#opening = undefined
    }
  }

  #lose(ring: Ring): void {
    if (this.#ring === ring) this.#ring = undefined
    void ring.close()
  }

  #write(ring: Ring, now: number): void {
    const moments = this.#host.moments()
    if (moments?.ring) ring.row(moments.ring)
    const state = this.#stateNow()
    const text = JSON.stringify({ ...state, at: 0 })
    if (text !== this.#state || now - this.#stateAt >= STATE_MS) {
      this.#state = text
      this.#stateAt = now
      ring.state(state)
    }
    for (const mark of moments?.marks ?? []) {
      if (this.#marks.has(mark)) continue
      this.#marks.add(mark)
      ring.text({ at: mark.at, kind: mark.kind, text: this.#around.redact(mark.text) })
    }
    if (now - this.#textsAt >= TEXTS_MS) {
      this.#textsAt = now
      void this.#writeTexts(ring)
    }
    if (now < this.#checkDue) return
    this.#checkDue = now + AGAIN_MS
    // Somebody may have cleared the folder.
    void ring.there().then(
      there => there || this.#lose(ring),
      error => this.#around.failed(error),
    )
  }

  async #writeTexts(ring: Ring): Promise<void> {
    const { clock } = this.#host
    const { redact, logs: withLogs } = this.#around
    const recall = { since: clock.now() - SINCE_MS, most: LOGS, cheap: true }
    const { logs = [], episodes = [] } = await this.#host.recall(recall, this.#stop.signal)
    for (const { at, severity, service, body, traceId } of withLogs ? logs.toReversed() : []) {
      if (!this.#isNew(`${at} ${body}`)) continue
      const names = { service: service.slice(0, LONGEST_SERVICE), trace: traceId }
      ring.text({ at: at ?? 0, kind: `log ${severity}`, text: redact(body), ...names })
    }
    for (const { from, sentence } of episodes.toReversed())
      if (this.#isNew(sentence)) ring.text({ at: from, kind: 'episode', text: redact(sentence) })
  }

  #isNew(text: string): boolean {
    const key = text.slice(0, 200)
    if (this.#texts.has(key)) return false
    this.#texts.add(key)
    const [oldest] = this.#texts
    if (this.#texts.size > KNOWN_TEXTS && oldest !== undefined) this.#texts.delete(oldest)
    return true
  }

  #stateNow(): RingState {
    const { service, app, clock } = this.#host
    const { observed, ended } = this.#events
    const { redact } = this.#around
    return {
      at: clock.now(),
      name: service?.slice(0, LONGEST.name),
      url: app.url === undefined ? undefined : shownUrl(app.url).slice(0, LONGEST.url),
      ...(observed && { application: observed }),
      ...(observed &&
        ended?.pid === observed.pid && {
          ended: { ...ended, text: redact(ended.text).slice(0, LONGEST.reason) },
        }),
    }
  }
}
