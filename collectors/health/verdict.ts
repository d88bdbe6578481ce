// What one probe found, as a value: a probe is (target, signal, context) → Promise<Verdict>, and nothing that an
// application can do makes it throw.

import type { Clock } from '../collector.ts'
import type { HealthDocument } from './document.ts'

/** Every way to fail. A closed list, because it is a label. */
export const REASONS = [
  'timeout',
  'dns',
  'refused',
  'unreachable',
  'reset',
  'tls',
  'status',
  'header',
  'body',
  'too_large',
  'protocol',
  'blocked',
  'exec',
  'local',
] as const
export type Reason = (typeof REASONS)[number]

export const PHASES = ['resolve', 'connect', 'tls', 'processing', 'transfer', 'remainder'] as const
export type Phase = (typeof PHASES)[number]

interface Observed {
  /** From the start of the probe to its verdict: exactly the sum of the phases. */
  readonly seconds: number
  readonly phases: Readonly<Record<Phase, number>>
  /** HTTP status, gRPC status or exit code, where there was one. */
  readonly status?: number
  /** When the first certificate of the presented chain expires, in seconds since the epoch. */
  readonly notAfter?: number
  readonly document?: HealthDocument
}

export interface Failure {
  readonly ok: false
  readonly reason: Reason
  /** For the log and the page, never a label: what was seen, short and on one line. */
  readonly detail: string
}
export type Verdict = Observed & ({ readonly ok: true } | Failure)

export interface ProbeContext {
  readonly clock: Clock
  readonly userAgent: string
  /** W3C trace context of this probe, sent along so that the application's server span joins. */
  readonly traceparent: string
  readonly tracestate: string
}

/** `signal` is the probe's one deadline over everything. Its abort is the outcome `timeout`. */
export type Probe<Target> = (target: Target, signal: AbortSignal, context: ProbeContext) => Promise<Verdict>

/** Cuts a probe's time into phases; what belongs to none is the remainder, so that they always add up to the total. */
export class Stopwatch {
  readonly #clock: Clock
  readonly #phases: Record<Phase, number> = { resolve: 0, connect: 0, tls: 0, processing: 0, transfer: 0, remainder: 0 }
  #current: Phase = 'remainder'
  #since: number

  constructor(clock: Clock) {
    this.#clock = clock
    this.#since = clock.monotonic()
  }

  enter(phase: Phase): void {
    const now = this.#clock.monotonic()
    this.#phases[this.#current] += (now - this.#since) / 1000
    this.#current = phase
    this.#since = now
  }

  /** Stops and gives the verdict. The time of a failure belongs to the phase that failed. */
  stop(outcome: { ok: true } | Failure, seen: Omit<Observed, 'seconds' | 'phases'> = {}): Verdict {
    this.enter('remainder')
    const seconds = PHASES.reduce((sum, phase) => sum + this.#phases[phase], 0)
    return { ...seen, ...outcome, seconds, phases: { ...this.#phases } }
  }
}

export function failed(reason: Reason, detail: string): Failure {
  return { ok: false, reason, detail: oneLine(detail) }
}

/** The reason behind an error of a socket or a parser. An aborted signal explains every error that follows it. */
export function failure(error: unknown, signal: AbortSignal): Failure {
  if (signal.aborted) return failed('timeout', 'no answer within the timeout')
  const code = error instanceof Error && 'code' in error ? String(error.code) : ''
  const detail = error instanceof Error ? error.message : String(error)
  return failed(REASON_OF[code] ?? REASON_OF_PREFIX.find(([prefix]) => code.startsWith(prefix))?.[1] ?? 'local', detail)
}

const REASON_OF: Readonly<Record<string, Reason>> = {
  ENOTFOUND: 'dns',
  ECONNREFUSED: 'refused',
  EHOSTUNREACH: 'unreachable',
  ENETUNREACH: 'unreachable',
  EHOSTDOWN: 'unreachable',
  ENETDOWN: 'unreachable',
  // A packet filter that rejects "administratively prohibited".
  EACCES: 'unreachable',
  EPERM: 'unreachable',
  // The kernel's own timeout, when ours is longer.
  ETIMEDOUT: 'timeout',
  ECONNRESET: 'reset',
  ECONNABORTED: 'reset',
  EPIPE: 'reset',
  ERR_STREAM_PREMATURE_CLOSE: 'reset',
  HPE_HEADER_OVERFLOW: 'too_large',
  EPROTO: 'tls',
  NGHTTP2_REFUSED_STREAM: 'protocol',
}

const REASON_OF_PREFIX: readonly (readonly [string, Reason])[] = [
  ['EAI_', 'dns'],
  ['HPE_', 'protocol'],
  ['ERR_HTTP', 'protocol'],
  ['ERR_SSL', 'tls'],
  ['ERR_TLS', 'tls'],
  // Everything else is on our side of the socket (EMFILE, ENOBUFS, EADDRNOTAVAIL): `local`.
]

function oneLine(text: string): string {
  const line = text.replace(/[\x00-\x1f\x7f]+/g, ' ').trim()
  return line.length > 200 ? `${line.slice(0, 199)}…` : line
}
