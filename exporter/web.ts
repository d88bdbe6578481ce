// The web door: /metrics for Prometheus, /-/… for orchestrators, the page and /api/status for people. It knows no
// collector: what it shows comes through `Deps`.

import { duration, list, listen, section, text, type Values } from '../options/kinds.ts'
import type { Exposition, Metrics } from './metrics.ts'
import { certificateExpiry, configReloaded, refusedRequests } from './web/refusals.ts'
import { LIMITS, serve } from './web/server.ts'
import type { Status } from './web/status.ts'

export { certificateExpiry, configReloaded, refusedRequests } from './web/refusals.ts'
export { type LedgerRow, type Part, type Status, shownCommand, shownUrl } from './web/status.ts'

const options = section('The web door: /metrics, /-/healthy, /-/ready, the page and /api/status.', {
  listen: listen('Where the web door listens.', { default: '127.0.0.1:19464' }),
  allowed_hosts: list(
    'Names, besides localhost and IP addresses, that a request may call this host by ("shop", "*.example.com", "*"); others are refused, which stops DNS rebinding.',
    text('A host name.'),
  ),
  token_file: text(
    'A file with a bearer token. With it, other hosts reach everything and need it for all but /-/healthy and /-/ready; without it, they reach only /metrics and /-/….',
  ),
  config: section('The web configuration that Prometheus exporters share.', {
    file: text(
      'A file with tls_server_config, http_server_config, basic_auth_users and rate_limit, as the Prometheus exporter-toolkit describes it. It and the certificates that it names are read again when they change.',
    ),
  }),
  scrape_timeout: duration(
    'The longest that a scrape may take; shorter when the X-Prometheus-Scrape-Timeout-Seconds header says so.',
    { default: '10s', min: '100ms', max: '10m' },
  ),
})

export type WebOptions = Values<typeof options>

/** What the door needs from the rest of the house. */
export interface Deps {
  /**
   * One scrape in the format that `accept` negotiates; `signal` aborts at its deadline, and what has been gathered by
   * then should follow soon. Concurrent calls should share one collection; answers that share the same `chunks` array
   * are compressed once.
   */
  scrape(accept: string | undefined, signal: AbortSignal): Promise<Exposition>
  /** What is known now, for the page and /api/status. */
  status(): Status | Promise<Status>
  /** Whether the sidecar does its work; `why` completes "not ready: …". */
  ready(): { readonly ready: boolean; readonly why?: string }
  /** The Grafana dashboards that belong to this version, for /dashboards/; none by default. */
  dashboards?(): Promise<readonly Dashboard[]>
  /** Takes the configuration anew; a rejection's message says what is wrong with it. */
  reload?(): Promise<void>
  /** Connections at one time; further ones are closed at once. */
  readonly connections?: number
  readonly log: Log
  readonly clock: Clock
  readonly metrics: Metrics
}

export interface Dashboard {
  /** The last part of its address: "pillion-overview.json". */
  readonly file: string
  readonly title: string
  readonly about: string
  /** As Grafana imports it. */
  readonly text: string
}

export interface Log {
  info(message: string, fields?: Readonly<Record<string, unknown>>): void
  warn(message: string, fields?: Readonly<Record<string, unknown>>): void
  error(message: string, fields?: Readonly<Record<string, unknown>>): void
}

export interface Clock {
  monotonic(): number
  sleep(ms: number, signal: AbortSignal): Promise<void>
}

/** Connections that the web door holds where nothing limits it further. */
export const WEB_CONNECTIONS = LIMITS.connections

/** The open door. Disposing stops listening first, lets answers under way end for a moment, and is safe to call twice. */
export interface Running extends AsyncDisposable {
  /** Where it listens, the port as the kernel chose it; undefined when `web.listen` is off. */
  address(): { readonly host: string; readonly port: number; readonly secure: boolean } | undefined
  /**
   * Reads all that new options name, and returns what puts it in effect, which cannot fail. Throws for what an operator
   * must mend, with nothing changed. Where it listens and how long scrapes take stays.
   */
  prepare(options: WebOptions): Promise<() => void>
}

export const web = {
  name: 'web',
  about: 'The web door: /metrics for Prometheus, health of the sidecar, a page and a JSON status for people.',
  families: [refusedRequests, configReloaded, certificateExpiry],
  options,
  /** Throws an Error that names port and option when it cannot listen; its cause carries the system's code (EADDRINUSE). */
  start: (options: WebOptions, deps: Deps): Promise<Running> => serve(options, deps),
  /** Whether the door of these options speaks TLS; throws when the web configuration cannot be read. */
  async secure({ config }: Pick<WebOptions, 'config'>): Promise<boolean> {
    if (config.file === undefined) return false
    return (await (await import('./web/config.ts')).readConfig(config.file)).tls !== undefined
  },
} as const
