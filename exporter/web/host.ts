// The web server's contract with the assembly: its needs, and what it offers once it listens.

import type { Metrics } from '../../metrics/registry.ts'
import type { Exposition } from '../../telemetry/exposition.ts'
import type { Clock, Log } from '../../telemetry/host.ts'
import type { End, Episode } from '../../telemetry/incident.ts'
import type { Memory } from '../../telemetry/memory.ts'
import type { Running } from '../../telemetry/part.ts'
import type { Route } from '../../telemetry/route.ts'
import type { Status } from '../../telemetry/status.ts'
import type { WebOptions } from './options.ts'

export interface WebHost {
  /**
   * One scrape in the format that `accept` negotiates; `signal` aborts at its deadline, in `ms` milliseconds, and what has
   * been gathered by then should follow soon. Concurrent calls should share one collection; answers that share the same `chunks` array
   * are compressed once.
   */
  scrape(accept: string | undefined, signal: AbortSignal, ms: number): Promise<Exposition>
  /** The current state, for the page and /api/status. */
  status(): Status | Promise<Status>
  /** Why the sidecar does not do its whole work now ("otlp is starting"); undefined when it does. */
  unready(): string | undefined
  /** The routes of the parts; asked for each request, since parts start and stop while the server listens. */
  routes?(): readonly Route[]
  /** The Grafana dashboards that belong to this version, for /dashboards/; none by default. */
  dashboards?(): Promise<readonly Dashboard[]>
  /** Has every part bring its numbers up to date, as for a scrape. */
  gather?(signal: AbortSignal): Promise<unknown>
  /** One scrape that is this caller's alone. */
  page?(accept: string | undefined, signal: AbortSignal, ms: number): Promise<Exposition>
  /** The options in effect as YAML, each with its origin in a comment, without secrets. */
  configuration?(): Promise<string>
  /** The base URL of the OTLP/HTTP receiver; undefined when it is off. */
  receiver?(): string | undefined
  /** The last ends of the application, and the last times of slow requests, the newest first; absent where nobody tells. */
  ends?(): readonly End[] | undefined
  episodes?(): readonly Episode[] | undefined
  /** Takes the configuration anew; a rejection's message says what is wrong with it. */
  reload?(): Promise<void>
  /** The most connections at one time. */
  readonly connections?: number
  readonly log: Log
  readonly clock: Clock
  readonly metrics: Metrics
  /** The budget that answers ask which nobody has read yet. */
  readonly memory: Memory
}

export interface Dashboard {
  /** The last part of its address: "pillion-overview.json". */
  readonly file: string
  readonly title: string
  readonly about: string
  /** As Grafana imports it. */
  readonly text: string
}

/** Disposing stops listening first, lets answers under way end for a moment, and is safe to call twice. */
export interface WebRunning extends Running<WebOptions> {
  /** Where it listens, the port as the kernel chose it; undefined when `web.listen` is off. */
  address(): { readonly host: string; readonly port: number; readonly secure: boolean } | undefined
  /** Reads all that new options name. Where it listens and how long scrapes take stays. */
  prepare(options: WebOptions): Promise<() => void>
}
