// One probe over time: it runs on its schedule, keeps its state, and records each verdict.

import { failed } from '../../client/failure.ts'
import { Stopwatch } from '../../client/stopwatch.ts'
import type { Host } from '../../telemetry/host.ts'
import type { MomentsHost } from '../../telemetry/moment.ts'
import type { Finding } from '../../telemetry/part.ts'
import { PROBE_TRACESTATE } from '../../telemetry/probe.ts'
import type { Tracer } from '../../telemetry/tracer.ts'
import { withDeadline } from './deadline.ts'
import { exec } from './exec.ts'
import { grpc } from './grpc.ts'
import { http } from './http.ts'
import { schedule } from './schedule.ts'
import type { Series } from './series.ts'
import { State } from './state.ts'
import { type ActiveTarget, describe, type Target, type Timing } from './target.ts'
import { tcp } from './tcp.ts'
import { beginProbe, endProbe, sent, type Traceparent } from './trace.ts'
import type { Probe, ProbeContext, Verdict } from './verdict.ts'

/** The kinds of probes that ask. */
const PROBES: { readonly [Kind in ActiveTarget['kind']]: Probe<Extract<ActiveTarget, { kind: Kind }>> } = {
  http,
  tcp,
  grpc,
  exec,
}

export function probe(target: ActiveTarget, signal: AbortSignal, context: ProbeContext): Promise<Verdict> {
  // PROBES pairs each kind with the probe for targets of that kind, which is more than TypeScript follows.
  const ask = PROBES[target.kind] as Probe<ActiveTarget>
  return ask(target, signal, context)
}

/** The target of a prober at a turn. A guess finds its target while it is asked. */
export interface Question {
  target(): Target
  /** Undefined if there is nothing to judge by; then the probe says nothing. */
  ask(signal: AbortSignal, context: ProbeContext): Promise<Verdict | undefined>
}

export interface Surroundings {
  readonly host: Host & Partial<MomentsHost>
  readonly series: Series
  readonly tracer: Tracer
  readonly userAgent: string
  readonly traceparent: Traceparent
  /** When the sidecar started, on the monotonic clock. */
  readonly startedAt: number
}

export class Prober {
  readonly name: string
  readonly #question: Question
  readonly #timing: Timing
  readonly #around: Surroundings
  readonly #state: State
  #succeeded = false
  #trouble: string | undefined

  constructor(name: string, question: Question, timing: Timing, around: Surroundings) {
    this.name = name
    this.#question = question
    this.#timing = timing
    this.#around = around
    this.#state = new State(timing)
    around.series.begin(name)
    around.series.asks(name, question.target().kind, describe(question.target()))
  }

  /** Resolves after `stop` aborts. */
  run(stop: AbortSignal): Promise<void> {
    const { clock, log } = this.#around.host
    const turn = (): Promise<{ well: boolean }> =>
      this.turn(stop).catch(error => {
        log.error('cannot record a probe', { probe: this.name, error })
        return { well: false }
      })
    return schedule(this.#timing, turn, clock, stop)
  }

  /** One probe, up to the recorded verdict. */
  async turn(stop: AbortSignal): Promise<{ well: boolean }> {
    const { host, series, tracer, userAgent } = this.#around
    const { clock } = host
    const target = this.#question.target()
    const span = beginProbe(tracer, { name: this.name, kind: target.kind, target: describe(target) })
    const traceparent = sent(span.traceparent, this.#around.traceparent)
    const context: ProbeContext = { clock, userAgent, traceparent, tracestate: PROBE_TRACESTATE }
    const { result: verdict, loopDelayMs } = await withDeadline(clock, this.#timing.timeout, stop, signal =>
      this.#question.ask(signal, context).catch(error => this.#unexpected(error)),
    )
    if (verdict) endProbe(span, verdict)
    else span.end()
    // A probe that was interrupted by a stop says nothing about the application, nor does one without anything to judge by.
    if (stop.aborted || !verdict) return { well: true }
    // Neither does a probe that the sidecar could not make.
    const local = !verdict.ok && verdict.reason === 'local'
    const step = local ? 'same' : this.#state.take(verdict.ok)
    series.record(this.name, verdict, this.#state.consecutiveFailures, loopDelayMs, clock.now())
    const asked = this.#question.target()
    series.asks(this.name, asked.kind, describe(asked))
    if (verdict.ok && !this.#succeeded) {
      this.#succeeded = true
      series.firstSuccess(this.name, (clock.monotonic() - this.#around.startedAt) / 1000)
    }
    this.#trouble = verdict.ok ? undefined : `${verdict.reason}: ${verdict.detail}`
    if (!verdict.ok) host.moments?.()?.note('health', `${this.name} failed (${this.#trouble})`)
    else if (step === 'changed') host.moments?.()?.note('health', `${this.name} is up again`)
    if (step !== 'same') this.#announce(step === 'changed')
    return { well: verdict.ok && this.#state.up === true }
  }

  findings(): readonly Finding[] {
    const target = describe(this.#question.target())
    const { up, consecutiveFailures: failures } = this.#state
    if (up !== false && this.#trouble === undefined)
      return [{ level: 'info', text: `probe ${this.name}: ${target} ${up ? 'is up' : 'is not decided yet'}` }]
    const state = up === undefined ? 'not decided yet' : up ? 'still up' : 'down'
    const why = this.#trouble ?? 'recovering'
    return [
      { level: 'warning', text: `probe ${this.name}: ${target} is ${state}, ${failures} failures in a row (${why})` },
    ]
  }

  #announce(changed: boolean): void {
    const { host, series } = this.#around
    const up = this.#state.up === true
    series.decide(this.name, up, changed)
    const fields = { probe: this.name, target: describe(this.#question.target()) }
    if (up) host.log.info('application is up', fields)
    else {
      const { consecutiveFailures: failures } = this.#state
      host.log.warn('application is down', { ...fields, failures, why: this.#trouble })
      if (changed)
        host.app.failing = { probe: this.name, at: host.clock.now(), failures, why: this.#trouble ?? 'unknown' }
    }
  }

  /** A probe always resolves with a verdict, so this is a defect of ours; it must not end the schedule. */
  #unexpected(error: unknown): Verdict {
    this.#around.host.log.error('cannot probe', { probe: this.name, error })
    return new Stopwatch(this.#around.host.clock).stop(failed('local', `cannot probe: ${error}`))
  }
}
