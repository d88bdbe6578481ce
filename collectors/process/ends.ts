// Ends of the main process: gathers the evidence for each, and counts, logs and marks it with its reason.

import type { Host } from '../../telemetry/host.ts'
import type { End } from '../../telemetry/incident.ts'
import type { MomentsHost } from '../../telemetry/moment.ts'
import type { Kills } from './cgroup.ts'
import { type Exit, type ExitStatus, exits, judge, PAIRS, statusOf, waited } from './exit.ts'
import { loggedEnd } from './kernel-log.ts'
import { Witness } from './witness.ts'

/** A process that was lost, as far as it was known then. */
export interface Departed {
  readonly pid: number
  /** Since boot. */
  readonly startSeconds: number
  /** Its /proc/PID/stat, if that was read between its end and its parent's wait. */
  readonly stat: string | undefined
  /** Whether the kernel shows us what it shows only to the same user. */
  readonly readable: boolean
  readonly kills: Kills | 'none' | undefined
  /** Memory as a share of the limit at the last look. */
  readonly memoryShare: number
}

/** An end that was found, before it is judged. */
interface Pending extends Departed {
  readonly at: number
  readonly monotonic: number
  readonly witness: Witness | undefined
}

/** The supervisor of our own child, or a witness, tells its status soon after its end. */
const WAIT_MS = 2000
/** The same when the sidecar is about to end. */
const LAST_MS = 250
/** A witness that was lost, or could not be started, is replaced after this time. */
const AGAIN_MS = 60_000
/** Ends that are remembered. */
const KEPT = 16

export class Ends implements Disposable {
  /** The last end in words; undefined after `forget`. */
  last: string | undefined
  /** The newest first. */
  readonly all: End[] = []
  readonly #host: Host & Partial<MomentsHost>
  readonly #exits
  readonly #helper: string | undefined
  #pending: Pending | undefined
  /** The witness of the process that is observed, and when it was started. */
  #witness: Witness | undefined
  #witnessAt = 0
  /** Whether the end of the child of `pillion run` has been counted. */
  #childTold = false

  /** `helper`: the program that a witness is; without it, there is none. */
  constructor(host: Host & Partial<MomentsHost>, helper?: string) {
    this.#host = host
    this.#helper = helper
    this.#exits = host.metrics.counter(exits)
    for (const [reason, evidence] of PAIRS) this.#exits.inc({ reason, evidence }, 0)
  }

  /**
   * Has the end of a process that is not our child witnessed. To be called again while it lives: it starts another witness
   * if the last one was lost.
   */
  watch(pid: number, startTicks: number): void {
    if (this.#helper === undefined) return
    const now = this.#host.clock.monotonic()
    if (this.#witness && !(this.#witness.lost && now - this.#witnessAt >= AGAIN_MS)) return
    this.#witness = new Witness(this.#helper, pid, startTicks)
    this.#witnessAt = now
  }

  /** The process may live on, and is not observed any more. */
  leave(): void {
    this.#witness?.[Symbol.dispose]()
    this.#witness = undefined
  }

  /** Why the status of the observed process will not be known, as far as a witness has told. */
  get trouble(): string | undefined {
    return this.#witness?.trouble
  }

  add(departed: Departed): void {
    this.settle(true)
    const { clock } = this.#host
    // Before the sampler has rows of another process.
    const memoryShare = Math.max(departed.memoryShare || 0, this.#memoryShare())
    const witness = this.#witness
    this.#witness = undefined
    this.#pending = { ...departed, memoryShare, at: clock.now(), monotonic: clock.monotonic(), witness }
    void witness?.done.then(() => this.settle())
    this.last = `the application's process ${departed.pid} ended`
    this.settle()
  }

  /** Another process has been found. An end whose status may still come is judged later. */
  forget(): void {
    this.settle()
    this.last = undefined
  }

  /** The application that `pillion run` started has ended, even if it was over before it could be found. */
  async finish(signal: AbortSignal): Promise<void> {
    const { witness } = this.#pending ?? {}
    if (witness) await Promise.race([witness.done, this.#host.clock.sleep(LAST_MS, signal).catch(() => undefined)])
    this.settle(true)
    const { outcome, child } = this.#host.app
    if (this.#childTold || outcome?.code === undefined) return
    this.#childTold = true
    const exit = judge({ status: this.#status(), kills: undefined, logged: undefined, memoryShare: Number.NaN })
    this.last = this.#tell(child, exit, outcome.at)
  }

  [Symbol.dispose](): void {
    this.leave()
    this.#pending?.witness?.[Symbol.dispose]()
  }

  /** Judges an end that was found, once its status has come or, with `now`, without it. */
  settle(now = false): void {
    const { clock, app, proc } = this.#host
    const pending = this.#pending
    if (!pending) return
    const { pid, witness } = pending
    const child = pid === app.child
    const moments = this.#host.moments?.()
    const seen = moments?.ended?.pid === pid ? moments.ended : undefined
    const status =
      (child ? this.#status() : undefined) ??
      (witness?.status === undefined ? undefined : waited(witness.status)) ??
      statusOf(pending.stat ?? seen?.stat ?? '', pending.readable)
    const comes = witness ? status === undefined && witness.waiting : child && !app.outcome
    if (comes && !now && clock.monotonic() - pending.monotonic < WAIT_MS) return
    this.#pending = undefined
    witness?.[Symbol.dispose]()
    if (child) this.#childTold = true
    const exit = judge({
      status,
      kills: pending.kills,
      logged: loggedEnd(proc, pid, pending.startSeconds),
      memoryShare: pending.memoryShare,
    })
    const text = this.#tell(pid, exit, seen?.at ?? pending.at)
    // Otherwise, another process is there already.
    if (this.last !== undefined) this.last = text
  }

  /** Returns it in words. */
  #tell(pid: number | undefined, exit: Exit, at: number): string {
    const { reason, evidence } = exit
    const text = `the application's process${pid === undefined ? '' : ` ${pid}`} ended${exit.text}`
    const ended = { at, pid, reason, evidence, text }
    this.all.unshift(ended)
    if (this.all.length > KEPT) this.all.pop()
    this.#host.app.ended = ended
    this.#exits.inc({ reason, evidence })
    // The supervisor of our own child logs its status.
    if (this.#host.app.outcome?.code === undefined || evidence !== 'status')
      this.#host.log[reason === 'clean' ? 'info' : 'warn'](text, { reason, evidence })
    this.#host.moments?.()?.note('end', `${text} (${reason}, by ${evidence})`, at)
    return text
  }

  /** The exit status of our own child. */
  #status(): ExitStatus | undefined {
    const { code, signal } = this.#host.app.outcome ?? {}
    return code === undefined ? undefined : { code, signal }
  }

  /** In the newest row of the sampler, which is of the process that has ended; 0 if it is not known. */
  #memoryShare(): number {
    const ring = this.#host.moments?.()?.ring
    if (!ring || ring.next === ring.first) return 0
    return ring.value('memory', ring.next - 1) / ring.value('memoryLimit', ring.next - 1) || 0
  }
}
