// The recorder: looks twice a second at what has happened, and writes a record when there is a reason. One record is
// written at a time.

import { setTimeout as sleep } from 'node:timers/promises'
import type { Allotment } from '../../telemetry/memory.ts'
import type { Finding } from '../../telemetry/part.ts'
import { type Event, Events } from './events.ts'
import { FAILURES, failures, LIMITS, records, removed, skipped, TRIGGERS } from './families.ts'
import { type Bounds, Files, type Kept } from './files.ts'
import { gather } from './gather.ts'
import type { FlightHost } from './host.ts'
import { AGAIN_MS, Keeper } from './keeper.ts'
import { type About, embedded, extracted, type FlightRecord } from './record.ts'
import { type Found, recover } from './recover.ts'
import { type Redact, redacted } from './redact.ts'
import { orderly, summary } from './words.ts'

const LOOK_MS = 500
/** Between two records of one kind. */
const EVERY_MS = 300_000
/** The longest that a stop waits for its record here; parts are then stopped within the bound of the sidecar's drain. */
const LEAVE_MS = 500
/** The process collector may wait for the status of an end for a moment. */
const UNTOLD_MS = 400
/** Memory for making a record; without it the record is made without texts. */
const RECORD_BYTES = 4 * 2 ** 20
const NAMES = { record: 'a flight record', ring: 'the ring of the flight recorder' } as const
type What = keyof typeof NAMES

export interface RecorderOptions extends Bounds {
  readonly dir: string
  readonly logs: boolean
}

export class Recorder implements AsyncDisposable {
  readonly files: Files
  readonly #host: FlightHost
  readonly #options: RecorderOptions
  readonly #redact: Redact
  readonly #memory: Allotment
  readonly #events: Events
  readonly #keeper: Keeper
  readonly #stop = new AbortController()
  readonly #counters
  #timer: NodeJS.Timeout | undefined
  /** The last of the records that are being written; never rejects. */
  #writing: Promise<unknown> = Promise.resolve()
  #recovering: Promise<void> = Promise.resolve()
  /** Files that cannot be written, by kind, and why. */
  readonly #troubles = new Map<What, string>()
  /** When one of each kind was written. */
  readonly #written = new Map<string, number>()
  /** The last record of an end, until the application is back. */
  #gone: { readonly name: string; readonly pid: number | undefined } | undefined

  constructor(options: RecorderOptions, host: FlightHost, redact: Redact) {
    this.#options = options
    this.#host = host
    this.#redact = redact
    this.#memory = host.memory.allot('flight', 2 * RECORD_BYTES)
    const { metrics } = host
    this.#counters = {
      records: metrics.counter(records),
      skipped: metrics.counter(skipped),
      failures: metrics.counter(failures),
      removed: metrics.counter(removed),
    }
    for (const reason of TRIGGERS) {
      this.#counters.records.inc({ reason }, 0)
      this.#counters.skipped.inc({ reason }, 0)
    }
    for (const what of FAILURES) this.#counters.failures.inc({ what }, 0)
    for (const limit of LIMITS) this.#counters.removed.inc({ limit }, 0)
    this.files = new Files(options.dir, options, limit => this.#counters.removed.inc({ limit }))
    this.#events = new Events(host)
    this.#keeper = new Keeper(host, this.#events, {
      files: this.files,
      redact,
      logs: options.logs,
      failed: error => this.#fail('ring', error),
      mended: () => void this.#troubles.delete('ring'),
    })
  }

  start(): void {
    this.#recovering = this.#recover()
    this.#timer = setInterval(() => this.look(), LOOK_MS).unref()
  }

  set bounds(bounds: Bounds) {
    this.files.bounds = bounds
    void this.files.prune().catch(error => this.#fail('record', error))
  }

  findings(): readonly Finding[] {
    return [...this.#troubles.values()].map(text => ({ level: 'warning', text }))
  }

  async kept(): Promise<readonly Kept[]> {
    return await this.files.list()
  }

  /** Writes a record because somebody asked for it; rejects with the reason if it cannot be written. */
  async ask(): Promise<string> {
    const cause = { reason: 'asked', evidence: 'none', text: '' }
    const about = this.#events.about()
    return await this.#write({ trigger: 'asked', at: this.#host.clock.now(), cause, about, kind: undefined })
  }

  /**
   * The sidecar is about to end: what has happened is written. If it ends before the application, what was known until then
   * is written too, and waited for no longer than for LEAVE_MS: a stop is short.
   */
  async finish(signal: AbortSignal): Promise<void> {
    this.look()
    const late = new Promise<void>(resolve => signal.addEventListener('abort', () => resolve(), { once: true }))
    const stopping = this.#events.stopping()
    if (stopping) {
      const short = sleep(LEAVE_MS)
      await Promise.race([this.#put(stopping).then(() => this.written()), short, late])
      return
    }
    for (const due = performance.now() + UNTOLD_MS; this.#events.untold && performance.now() < due; this.look())
      await sleep(20)
    await Promise.race([this.written(), late])
  }

  /** Resolves when the records under way are written, or cannot be. */
  async written(): Promise<void> {
    await this.#writing
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#timer)
    this.#stop.abort()
    await this.#recovering
    await this.#writing
    await this.#keeper.close()
  }

  /** One turn. An exception here is a defect, and must not end the recording. */
  look(): void {
    try {
      for (const event of this.#events.look()) void this.#put(event)
      const { pid } = this.#host.app
      if (pid !== undefined && this.#gone && this.#gone.pid !== pid) {
        this.#tellOfReturn(this.#gone.name, pid)
        this.#gone = undefined
      }
      this.#keeper.look()
    } catch (error) {
      this.#host.log.error('error in the flight recorder, which goes on', { error })
    }
  }

  /** Writes an event, unless one of its kind was written a short while ago; never rejects. */
  async #put(event: Event): Promise<void> {
    const { app, clock } = this.#host
    const { trigger, kind, about } = event
    const now = clock.monotonic()
    const recent =
      (kind !== undefined && now - (this.#written.get(kind) ?? Number.NEGATIVE_INFINITY) < EVERY_MS) ||
      (trigger === 'stopping' && (await this.#stoppedLately(about)))
    if (recent) this.#counters.skipped.inc({ reason: trigger })
    else {
      if (kind !== undefined) this.#written.set(kind, now)
      const name = await this.#write(event).catch(() => undefined)
      // A record that could not be written does not keep the next of its kind from being written.
      if (name === undefined && kind !== undefined) this.#written.delete(kind)
      if (trigger === 'gone' && name !== undefined) this.#gone = { name, pid: about.pid }
    }
    // It has been told, so that a ring that is left behind says nothing of it.
    if (trigger === 'gone' && this.#events.observed?.pid === about.pid && app.pid !== about.pid)
      this.#events.observed = undefined
  }

  /** Whether a sidecar before this one has said the same of this process: one that is started again and again fills the folder. */
  async #stoppedLately({ pid, startTicks }: About): Promise<boolean> {
    try {
      const last = (await this.files.list()).find(each => each.trigger === 'stopping')
      if (!last || Math.abs(this.#host.clock.now() - last.at) >= EVERY_MS) return false
      const text = await this.files.read(last.name)
      if (!text) return false
      const { application } = extracted(text.toString('utf8'))
      return application.pid === pid && application.startTicks === startTicks
    } catch {
      // No folder yet, or a damaged file.
      return false
    }
  }

  /** Writes a record behind those under way; rejects if it cannot be written, which is logged and counted then. */
  #write(event: Event): Promise<string> {
    return this.#inTurn(async () => {
      const whole = this.#memory.hold(RECORD_BYTES)
      try {
        const { logs } = this.#options
        return await this.#save(await gather(event, this.#host, { whole, logs }, this.#stop.signal))
      } finally {
        if (whole) this.#memory.add(-RECORD_BYTES)
      }
    })
  }

  #inTurn<Result>(work: () => Promise<Result>): Promise<Result> {
    const done = this.#writing.then(work)
    this.#writing = done.catch(() => {})
    return done
  }

  async #save(gathered: FlightRecord, ring?: string): Promise<string> {
    const { log } = this.#host
    const record = redacted(gathered, this.#redact)
    const why = summary(record)
    const { trigger, at } = record
    let name: string | undefined
    try {
      await this.files.prepare()
      name = await this.files.put(trigger, at, await drawn(record), ring)
      this.#counters.records.inc({ reason: trigger })
      this.#troubles.delete('record')
      log[orderly(record) ? 'info' : 'warn']('flight record written', { reason: trigger, file: name, why })
      return name
    } catch (error) {
      this.#fail('record', error)
      log.warn('flight record not written', { reason: trigger, why })
      throw error
    } finally {
      await this.#send(record, name)
    }
  }

  /** The summary as a log record, for those upstream. */
  async #send(record: FlightRecord, name: string | undefined): Promise<void> {
    try {
      const { logRequest } = await import('./upstream.ts')
      const bytes = logRequest(record, name)
      for (let tries = 0; tries < 3; tries++) {
        const answer = await this.#host.intake().offer('logs', bytes)
        if (answer?.kind !== 'later') return
        await this.#host.clock.sleep(Math.min(answer.ms, 500), this.#stop.signal)
      }
    } catch (error) {
      if (!this.#stop.signal.aborted) this.#host.log.warn('cannot send the summary of a flight record', { error })
    }
  }

  #tellOfReturn(name: string, pid: number): void {
    const at = this.#host.clock.now()
    this.#inTurn(async () => {
      const text = await this.files.read(name)
      if (text) await this.files.replace(name, await drawn({ ...extracted(text.toString('utf8')), back: { at, pid } }))
    }).catch(error => this.#fail('record', error))
  }

  async #recover(): Promise<void> {
    const { clock, proc, log, version = 'unknown' } = this.#host
    const host = {
      proc,
      clock,
      version,
      own: () => this.#keeper.name,
      write: async ({ record, ring }: Found) => void (await this.#inTurn(() => this.#save(record, ring))),
      nothing: (why: string) => log.info(why),
      unreadable: (name: string, error: unknown) => {
        this.#counters.failures.inc({ what: 'ring' })
        log.warn('cannot read what a sidecar has left behind, and removed it', { file: name, error })
      },
    }
    try {
      await this.files.prepare()
      await this.files.sweep(clock.now() - AGAIN_MS)
      await recover(this.files, host, this.#stop.signal)
    } catch (error) {
      if (!this.#stop.signal.aborted) this.#fail('ring', error)
    }
  }

  #fail(what: What, error: unknown): void {
    this.#counters.failures.inc({ what })
    const why = error instanceof Error ? error.message : String(error)
    const text = `cannot write ${NAMES[what]} in ${this.#options.dir}: ${why}; check flight.dir and the room on its disk`
    if (this.#troubles.get(what) !== text) this.#host.log.warn(text)
    this.#troubles.set(what, text)
  }
}

/** The text of a file. In two turns, each of some ten milliseconds for a large record. */
async function drawn(record: FlightRecord): Promise<string> {
  const { report } = await import('./report.ts')
  const data = embedded(record)
  await new Promise(resolve => setImmediate(resolve))
  return report(record, data)
}
