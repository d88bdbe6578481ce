// The result of one probe as a value: a probe is (target, signal, context) → Promise<Verdict>, and nothing that an
// application does can make it throw.

import type { Failure as ClientFailure } from '../../client/failure.ts'
import type { Exchanged } from '../../telemetry/client.ts'
import type { Clock } from '../../telemetry/host.ts'
import type { HealthDocument } from './document.ts'

/** All reasons of failure. The list is closed, since it is a label. */
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
  'silent',
  'local',
] as const
export type Reason = (typeof REASONS)[number]

interface Observed extends Exchanged {
  /** HTTP status, gRPC status or exit code, where there was one. */
  readonly status?: number
  readonly document?: HealthDocument
}

export type Failure = ClientFailure<Reason>
export type Verdict = Observed & ({ readonly ok: true } | Failure)

export interface ProbeContext {
  readonly clock: Clock
  readonly userAgent: string
  /** W3C trace context of this probe, sent along so that the application's server span joins; undefined sends none. */
  readonly traceparent: string | undefined
  readonly tracestate: string
}

/** The headers that carry the trace context. */
export function propagation({ traceparent, tracestate }: ProbeContext): Readonly<Record<string, string>> {
  return traceparent === undefined ? {} : { traceparent, tracestate }
}

/** `signal` is the deadline of the whole probe. Its abort is the outcome `timeout`. */
export type Probe<Target> = (target: Target, signal: AbortSignal, context: ProbeContext) => Promise<Verdict>
