// Failures as values: a reason from a closed list, and a line for people.

import type { ClientReason } from '../telemetry/client.ts'

export interface Failure<Reason extends string = ClientReason> {
  readonly ok: false
  readonly reason: Reason
  /** One short line about what was seen: for the log and the page, never a label. */
  readonly detail: string
}

export function failed<Reason extends string>(reason: Reason, detail: string): Failure<Reason> {
  return { ok: false, reason, detail: oneLine(detail) }
}

/** The reason behind an error of a socket or a parser. An aborted signal explains every error that follows it. */
export function failure(error: unknown, signal: AbortSignal): Failure {
  if (signal.aborted) return failed('timeout', 'no answer within the timeout')
  const code = error instanceof Error && 'code' in error ? String(error.code) : ''
  const detail = error instanceof Error ? error.message : String(error)
  return failed(REASON_OF[code] ?? REASON_OF_PREFIX.find(([prefix]) => code.startsWith(prefix))?.[1] ?? 'local', detail)
}

const REASON_OF: Readonly<Record<string, ClientReason>> = {
  ENOTFOUND: 'dns',
  ECONNREFUSED: 'refused',
  // No Unix domain socket of that name.
  ENOENT: 'refused',
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
  EPROTO: 'tls',
  NGHTTP2_REFUSED_STREAM: 'protocol',
}

const REASON_OF_PREFIX: readonly (readonly [string, ClientReason])[] = [
  ['EAI_', 'dns'],
  ['ERR_HTTP', 'protocol'],
  ['ERR_SSL', 'tls'],
  ['ERR_TLS', 'tls'],
  // Everything else is on the sidecar's side of the socket (EMFILE, ENOBUFS, EADDRNOTAVAIL): `local`.
]

function oneLine(text: string): string {
  const line = text.replace(/[\x00-\x1f\x7f]+/g, ' ').trim()
  return line.length > 200 ? `${line.slice(0, 199)}…` : line
}
