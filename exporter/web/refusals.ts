// What the door turns away is counted by reason, and only that: scrapes count themselves in Prometheus.

import { counter, gauge, type Metrics } from '../metrics.ts'

export const refusedRequests = counter(
  'pillion_web_refused_requests_total',
  'Requests and connections that the web door turned away, by reason: a rate above 0 is a misconfigured client or an attack.',
  ['reason'],
)

export const configReloaded = gauge(
  'pillion_web_config_last_reload_successful',
  '1 if the file of web.config.file and the certificates that it names are in effect as they are now; 0 if they have changed and cannot be used, so that the old ones are. Absent without such a file.',
)
export const certificateExpiry = gauge(
  'pillion_web_tls_cert_not_after_timestamp_seconds',
  'End of the validity of the certificate that the web door shows. Absent without TLS.',
)

const REASONS = [
  /** Not a path, or not one that can be read. */
  'target',
  /** Called by a name that is not ours. */
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
  /** Not HTTP, or not complete in time. */
  'malformed',
  /** More scrapes at a time than are answered. */
  'busy',
  /** The answer was not read in time, or too much of it waited. */
  'slow',
  /** More connections than are held. */
  'connections',
] as const

export type RefusalReason = (typeof REASONS)[number]

/** Counts one refusal. All reasons exist from the start, at 0. */
export function countRefusals(metrics: Metrics): (reason: RefusalReason) => void {
  const counter = metrics.counter(refusedRequests)
  for (const reason of REASONS) counter.inc({ reason }, 0)
  return reason => counter.inc({ reason })
}
