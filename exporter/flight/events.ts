// Events of the application that are a reason for a record, read from what other parts have said.

import type { Ending, Failing } from '../../telemetry/host.ts'
import { shownUrl } from '../../telemetry/status.ts'
import type { Trigger } from './families.ts'
import { Growth } from './growth.ts'
import type { FlightHost } from './host.ts'
import { type Identity, identity } from './owner.ts'
import type { About, Cause } from './record.ts'

/** A reason to write a record. */
export interface Event {
  readonly trigger: Trigger
  readonly at: number
  readonly cause: Cause
  readonly about: About
  /** Two of one kind are not written soon after each other. */
  readonly kind: string | undefined
}

/** The process that is observed now, or was until a moment ago. */
export type Observed = Identity & { readonly child: boolean; readonly since: number; port: number | undefined }

/** A resource used by more than this is about to run out; it is armed again below the other. */
const ALMOST = 0.95
const ROOM_AGAIN = 0.9
const RESOURCES = ['descriptors', 'threads'] as const
/** A probe that fails because its process has ended says nothing new. */
const AFTER_END_MS = 30_000

export class Events {
  observed: Observed | undefined
  /** The last end that was told as an event. */
  ended: Ending | undefined
  readonly #host: FlightHost
  #endedAt = Number.NEGATIVE_INFINITY
  #failing: Failing | undefined
  readonly #almost = new Set<string>()
  /** Of each resource, in the process that is observed. */
  readonly #growths = new Map<string, Growth>()
  /** Resources that were said to run out soon; once for each growth. */
  readonly #soon = new Set<string>()

  constructor(host: FlightHost) {
    this.#host = host
    // Events before the start are not ours to tell.
    this.ended = host.app.ended
    this.#failing = host.app.failing
  }

  /** The events since the last look. */
  look(): readonly Event[] {
    this.#follow()
    const now = this.#host.clock.monotonic()
    return [...this.#end(now), ...this.#fail(now), ...this.#run(now)]
  }

  /** The sidecar is told to stop while the application runs; undefined if it does not. */
  stopping(): Event | undefined {
    const { app, proc, clock } = this.#host
    const running = app.pid === undefined || app.outcome ? undefined : identity(proc, app.pid)
    if (!running) return undefined
    const text = 'the sidecar was told to stop while the application was running'
    const cause = { reason: 'stopping', evidence: 'none', text }
    const about = { ...this.about(), startTicks: running.ticks }
    return { trigger: 'stopping', at: clock.now(), cause, about, kind: 'stopping' }
  }

  /** Whether the application has gone, and nobody has said yet why. */
  get untold(): boolean {
    const { observed, ended } = this
    return observed !== undefined && this.#host.app.pid === undefined && ended?.pid !== observed.pid
  }

  /** The application as it is known now. */
  about(): About {
    const { app, service } = this.#host
    return {
      name: service,
      pid: app.pid ?? this.observed?.pid,
      port: app.port ?? this.observed?.port,
      url: app.url === undefined ? undefined : shownUrl(app.url),
      since: this.observed?.since,
    }
  }

  #follow(): void {
    const { app, proc, clock } = this.#host
    const { pid, port, child } = app
    if (pid === undefined) return
    if (this.observed?.pid === pid) this.observed.port = port ?? this.observed.port
    else {
      this.#growths.clear()
      this.#soon.clear()
      // Where there is no /proc the number must do.
      this.observed = { ticks: 0, pid, ...identity(proc, pid), child: pid === child, since: clock.now(), port }
    }
  }

  #end(now: number): Event[] {
    const { ended } = this.#host.app
    if (!ended || ended === this.ended) return []
    this.ended = ended
    this.#endedAt = now
    const { pid, reason, evidence, text, at } = ended
    const same = this.observed?.pid === pid
    const about = { ...this.about(), pid, ...(!same && { since: undefined, port: undefined }) }
    return [{ trigger: 'gone', at, cause: { reason, evidence, text }, about, kind: `gone ${reason}` }]
  }

  #fail(now: number): Event[] {
    const { failing, pid } = this.#host.app
    if (!failing || failing === this.#failing) return []
    this.#failing = failing
    if (pid === undefined && now - this.#endedAt < AFTER_END_MS) return []
    const { probe, failures, why, at } = failing
    const text = `probe ${probe} failed ${failures} times in a row (${why})`
    const cause = { reason: 'failing', evidence: 'none', text }
    return [{ trigger: 'failing', at, cause, about: this.about(), kind: `failing ${probe}` }]
  }

  #run(now: number): Event[] {
    const found: Event[] = []
    for (const [resource, share] of this.#shares()) {
      const soon = this.#grows(resource, now, share)
      if (share < ROOM_AGAIN) this.#almost.delete(resource)
      if (share > ALMOST && !this.#almost.has(resource)) this.#almost.add(resource)
      else if (soon === undefined) continue
      const used = `${resource}: ${Math.floor(share * 100)} % of the limit is used`
      const text =
        soon === undefined
          ? used
          : `${used}, and all of it in ${Math.round(soon / 1000)} s if it goes on growing like this`
      const cause = { reason: 'dying', evidence: 'none', text }
      found.push({
        trigger: 'dying',
        at: this.#host.clock.now(),
        cause,
        about: this.about(),
        kind: `dying ${resource}`,
      })
    }
    return found
  }

  /** In how many milliseconds it reaches its limit, if that is soon and was not said before. */
  #grows(resource: string, now: number, share: number): number | undefined {
    const growth = this.#growths.get(resource) ?? new Growth()
    this.#growths.set(resource, growth)
    const soon = growth.add(now, share)
    if (soon === undefined) this.#soon.delete(resource)
    else if (!this.#soon.has(resource)) {
      this.#soon.add(resource)
      return soon
    }
    return undefined
  }

  #shares(): readonly (readonly [string, number])[] {
    const { app } = this.#host
    const ring = this.#host.moments()?.ring
    if (app.pid === undefined) return []
    const memory =
      ring && ring.next > ring.first
        ? ring.value('memory', ring.next - 1) / ring.value('memoryLimit', ring.next - 1)
        : Number.NaN
    const others = RESOURCES.map(name => {
      const [used, limit] = app.uses?.get(name) ?? [Number.NaN, Number.NaN]
      return [name, used / limit] as const
    })
    return [['memory', memory], ...others]
  }
}
