// Refused requests and connections are counted by reason. Nothing else is: Prometheus counts its scrapes itself.

import { counter, gauge } from '../../metrics/family.ts'
import type { Metrics } from '../../metrics/registry.ts'

export const refusedRequests = counter(
  'pillion_web_refused_requests_total',
  'Requests and connections rejected by the web server, by reason. A rate above 0 means a misconfigured client or an attack.',
  ['reason'],
)

export const configReloaded = gauge(
  'pillion_web_config_last_reload_successful',
  '1 if web.config.file and its certificates are in effect; 0 if they have changed and cannot be used, so that the previous ones stay in effect. Absent without such a file.',
)
export const certificateExpiry = gauge(
  'pillion_web_tls_cert_not_after_timestamp_seconds',
  'When the certificate of the web server expires. Absent without TLS.',
)

const REASONS = [
  /** Not a path, or not one that can be read. */
  'target',
  /** The Host header has a name that is not ours. */
  'host',
  /** Sent by the page of another site. */
  'origin',
  /** From another host, for what only this host may read. */
  'remote',
  /** Without the token, or with a wrong one. */
  'token',
  /** Without a user's password, or with a wrong one. */
  'user',
  /** A handshake that failed, or a client without a certificate that lets it in. */
  'tls',
  /** Above the rate limit of the web configuration. */
  'rate',
  /** Not HTTP that is spoken here, or not complete in time. */
  'malformed',
  /** Sent before the request before it was answered. */
  'pipelined',
  /** More scrapes or streams at a time than are answered. */
  'busy',
  /** The answer was not read in time, or too much of it waited. */
  'slow',
  /** Closed, since there were too many: the one that was idle for longest. */
  'connections',
] as const

export type RefusalReason = (typeof REASONS)[number]

/** Counts one refusal. All reasons exist from the start, at 0. */
export function countRefusals(metrics: Metrics): (reason: RefusalReason) => void {
  const counter = metrics.counter(refusedRequests)
  for (const reason of REASONS) counter.inc({ reason }, 0)
  return reason => counter.inc({ reason })
}
