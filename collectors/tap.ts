// The tap: request metrics and spans for applications that cannot be changed. It is a relay in a process of its own, since it
// stands in the way of every request: it goes on when the sidecar ends. This part starts it, asks it for its numbers, and
// takes its spans like those of any SDK. Without tap.listen it is off and loads nothing.

import type { Listen } from '../options/kinds.ts'
import type { Clock, Host, Log } from '../telemetry/host.ts'
import type { Keys } from '../telemetry/keys.ts'
import type { Finding, Part, Running } from '../telemetry/part.ts'
import type { Seen } from '../telemetry/seen.ts'
import type { Fact } from '../telemetry/status.ts'
import * as family from './tap/families.ts'
import { TAP_OPTIONS, type TapOptions } from './tap/options.ts'
import type { RunningTap, TapSettings } from './tap/running.ts'
import type { TapStatus } from './tap/status.ts'

export * from './tap/families.ts'

export interface TapHost extends Host {
  readonly version?: string | undefined
  /** The name of the application, where it is known. */
  readonly service?: string | undefined
  readonly seen?: Seen
  readonly keys: Keys
  /** The base URL of the OTLP/HTTP receiver, once it is open. */
  receiver?(): string | undefined
}

/** The options of other parts that the tap needs. */
export interface TapNeeds {
  readonly tap: TapOptions
  readonly app: { readonly url: string | undefined; readonly name: string | undefined }
  readonly otlp: { readonly http: { readonly listen: Listen | undefined } }
}

export const tap = {
  name: 'tap',
  about: 'Relays the connections of clients to the application, and makes request metrics and spans of what passes.',
  families: family.tapFamilies,
  options: TAP_OPTIONS,
  off: options => !options.enabled || !options.listen,
  async start(options: TapOptions, host: TapHost): Promise<Running> {
    const [{ ask, Supervisor }, { listensAt }, { SeenByTap }, { Published }] = await Promise.all([
      import('./tap/supervisor.ts'),
      import('./tap/status.ts'),
      import('./tap/answers.ts'),
      import('./tap/publish.ts'),
    ])
    const { clock, log, metrics } = host
    const upstream = upstreamOf(options, host.app.url)
    if (!upstream) throw new Error(`tap.upstream ${NO_UPSTREAM}`)
    const settings = (): TapSettings | undefined => {
      const otlp = options.otlp ?? host.receiver?.()
      return otlp === undefined ? undefined : settingsOf(options, upstream, otlp, host.service, host.version)
    }
    const supervisor = options.start ? new Supervisor(settings, clock, log) : undefined
    const published = new Published(metrics)
    const up = metrics.gauge(family.up)
    const restarts = metrics.counter(family.starts)
    restarts.inc(0)
    let counted = 0
    let last: TapStatus | undefined
    /** Where another tap listens that answers instead of ours. */
    let other: Listen | undefined
    return {
      consumes: host.seen ? { spans: [new SeenByTap(host.seen, host.keys)] } : {},
      async collect(signal) {
        const found = await ask(options, signal, clock)
        other = found && !listensAt(found, options.listen) ? found.listen : undefined
        last = other ? undefined : found
        published.set(last)
        up.set(last ? 1 : 0)
        restarts.inc((supervisor?.restarts ?? 0) - counted)
        counted = supervisor?.restarts ?? 0
      },
      facts: () => facts(last),
      findings: () => [
        ...findings(options, last, supervisor?.trouble),
        ...(other
          ? [
              {
                level: 'warning' as const,
                text: `the tap that listens at ${other.host}:${other.port} answers at tap.status, so the numbers of this one are missing; choose another tap.status`,
              },
            ]
          : []),
      ],
      // While the receiver still takes its last spans.
      finish: async signal => await supervisor?.end(signal),
      async [Symbol.asyncDispose]() {
        await supervisor?.end(AbortSignal.abort())
      },
    }
  },
} as const satisfies Part<TapOptions, TapHost>

/** Why the options cannot work together; undefined if they can. */
export function tapFault({
  tap,
  app,
  otlp,
}: TapNeeds): { readonly path: string; readonly message: string } | undefined {
  if (!tap.enabled || !tap.listen) return undefined
  if (!upstreamOf(tap, app.url)) return { path: 'upstream', message: NO_UPSTREAM }
  if (tap.otlp === undefined && !otlp.http.listen)
    return { path: 'otlp', message: 'is missing; otlp.http.listen is off, so give the URL of a receiver for the spans' }
  return undefined
}

const NO_UPSTREAM = 'is missing; give the address of the application, or set app.url'

/**
 * Runs a tap in this process: for `pillion tap`. `given` are the settings that a sidecar has passed on, as text; without it they
 * follow from the options.
 */
export async function runTap(
  given: string | (TapNeeds & { readonly version: string }),
  world: { readonly clock: Clock; readonly log: Log; readonly files: number | undefined },
): Promise<RunningTap> {
  const { openTap } = await import('./tap/running.ts')
  if (typeof given === 'string') return openTap(JSON.parse(given) as TapSettings, world)
  const { tap: options, app, otlp, version } = given
  const upstream = upstreamOf(options, app.url)
  if (!options.listen) throw new Error('cannot start the tap: tap.listen is off; give it an address')
  if (!upstream) throw new Error(`tap.upstream ${NO_UPSTREAM}`)
  const receiver = options.otlp ?? `http://127.0.0.1:${otlp.http.listen?.port}`
  return openTap(settingsOf(options, upstream, receiver, app.name, version), world)
}

function settingsOf(
  options: TapOptions,
  upstream: Listen,
  otlp: string,
  service = 'unknown_service',
  version = 'unknown',
): TapSettings {
  const { start: _, enabled: __, ...rest } = options
  const identity = JSON.stringify({ ...rest, upstream, otlp, service, version })
  return { options, upstream, service, otlp, version, identity }
}

function upstreamOf({ upstream }: TapOptions, url: string | undefined): Listen | undefined {
  if (upstream) return upstream
  const found = url === undefined ? null : URL.parse(url)
  if (!found || !/^https?:$/.test(found.protocol)) return undefined
  const port = Number(found.port) || (found.protocol === 'https:' ? 443 : 80)
  return { host: found.hostname.replace(/^\[|\]$/g, ''), port }
}

function facts(last: TapStatus | undefined): readonly Fact[] {
  if (!last) return [{ name: 'tap', value: 'does not answer' }]
  const { numbers, open, listen } = last
  return [
    { name: 'listens at', value: `${listen.host}:${listen.port}` },
    { name: 'connections', value: open },
    { name: 'requests in flight', value: numbers.inFlight },
    { name: 'requests', value: Object.values(numbers.requests).reduce((sum, each) => sum + each, 0) },
  ]
}

function findings(options: TapOptions, last: TapStatus | undefined, trouble: string | undefined): readonly Finding[] {
  const found: Finding[] = []
  if (trouble !== undefined) found.push({ level: 'warning', text: trouble })
  if (!options.start && last === undefined)
    found.push({ level: 'warning', text: 'no tap answers at tap.status; start it with pillion tap' })
  const opaque = last?.numbers.opaque
  const unseen = opaque ? opaque.tls + opaque.http2 : 0
  if (last && unseen > last.numbers.connections / 2)
    found.push({
      level: 'warning',
      text: 'most connections speak TLS or HTTP/2, which the tap passes on unseen; put it behind what ends TLS',
    })
  return found
}
