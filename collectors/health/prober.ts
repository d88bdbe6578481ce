// One probe over time: asks on its schedule, keeps the state, and writes down what it found.

import type { Finding, Host } from '../collector.ts'
import { withDeadline } from './deadline.ts'
import { exec } from './exec.ts'
import { grpc } from './grpc.ts'
import { http } from './http.ts'
import { schedule } from './schedule.ts'
import type { Series } from './series.ts'
import { State } from './state.ts'
import { describe, type Target, type Timing } from './target.ts'
import { tcp } from './tcp.ts'
import { type ProbeSpans, TRACESTATE } from './trace.ts'
import { failed, type Probe, type ProbeContext, Stopwatch, type Verdict } from './verdict.ts'

/** The kinds of probes. */
const PROBES: { readonly [Kind in Target['kind']]: Probe<Extract<Target, { kind: Kind }>> } = { http, tcp, grpc, exec }

export function probe(target: Target, signal: AbortSignal, context: ProbeContext): Promise<Verdict> {
  // PROBES pairs each kind with the probe for targets of that kind, which is more than TypeScript follows.
  const ask = PROBES[target.kind] as Probe<Target>
  return ask(target, signal, context)
}

/** What a prober asks at a turn. A guess learns its target while it is asked. */
export interface Question {
  target(): Target
  ask(signal: AbortSignal, context: ProbeContext): Promise<Verdict>
}

export interface Surroundings {
  readonly host: Host
  readonly series: Series
  readonly spans: ProbeSpans
  readonly userAgent: string
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
        log.error('cannot write down a probe', { probe: this.name, error })
        return { well: false }
      })
    return schedule(this.#timing, turn, clock, stop)
  }

  /** One probe, from asking to having written down the verdict. */
  async turn(stop: AbortSignal): Promise<{ well: boolean }> {
    const { host, series, spans, userAgent } = this.#around
    const { clock } = host
    const target = this.#question.target()
    const span = spans.begin({ name: this.name, kind: target.kind, target: describe(target) })
    const context: ProbeContext = { clock, userAgent, traceparent: span.traceparent, tracestate: TRACESTATE }
    const { result: verdict, loopDelayMs } = await withDeadline(clock, this.#timing.timeout, stop, signal =>
      this.#question.ask(signal, context).catch(error => this.#unexpected(error)),
    )
    span.end(verdict)
    // What a stop interrupted says nothing about the application.
    if (stop.aborted) return { well: true }
    // Nor does a probe that the sidecar could not make.
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
    else
      host.log.warn('application is down', { ...fields, failures: this.#state.consecutiveFailures, why: this.#trouble })
  }

  /** A probe gives a verdict whatever the application does, so this is a fault of ours; it must not end the schedule. */
  #unexpected(error: unknown): Verdict {
    this.#around.host.log.error('cannot probe', { probe: this.name, error })
    return new Stopwatch(this.#around.host.clock).stop(failed('local', `cannot probe: ${error}`))
  }
}
