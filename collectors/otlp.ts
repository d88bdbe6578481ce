// The OTLP receiver: takes the requests of the application's SDK over HTTP and gRPC. Each is checked once and read once.

import { bytes, duration, integer, type Listen, list, listen, section, type Values } from '../options/kinds.ts'
import type { Consumers } from '../telemetry/consumer.ts'
import type { Hops } from '../telemetry/hops.ts'
import type { Host } from '../telemetry/host.ts'
import type { Intake } from '../telemetry/intake.ts'
import type { Finding, Part, Running } from '../telemetry/part.ts'
import type { LedgerRow } from '../telemetry/status.ts'
import { Budget } from './otlp/budget.ts'
import { grpcReceiver } from './otlp/grpc.ts'
import { httpReceiver } from './otlp/http.ts'
import { OtlpIntake } from './otlp/intake.ts'
import { families, inflight, Ledger, ledgerRows } from './otlp/ledger.ts'
import { exposure, open, tryOpen, twin } from './otlp/listen.ts'
import { Listener, type Surroundings } from './otlp/listener.ts'
import { Bodies } from './otlp/memory.ts'
import { origin } from './otlp/origins.ts'
import { Places } from './otlp/places.ts'

export {
  accepted,
  adjusted,
  dropped,
  inflight,
  received,
  refused,
  refusedConnections,
  requests,
} from './otlp/ledger.ts'

export interface OtlpRunning extends Running {
  /** For other parts that make telemetry. It takes requests even if both listeners are off. */
  readonly intake: Intake
  /** Where it listens, with the real ports; undefined for a listener that is off. */
  address(): { readonly http: Listen | undefined; readonly grpc: Listen | undefined }
  /** All that came in so far and its outcome, one row for each signal. */
  ledger(): Promise<readonly LedgerRow[]>
}

export interface OtlpHost extends Host {
  /** Those of the parts that were started before; this part needs them when it starts. */
  readonly consumers: Consumers
  /** The sidecars that requests have passed through. */
  readonly hops?: Hops
  /** Called once, when the first large body comes. */
  readonly onLargeBody?: () => void
}

const options = section(
  'The OTLP receiver for traces, metrics and logs of the application. Each port accepts both HTTP and gRPC.',
  {
    http: section('OTLP over HTTP.', {
      listen: listen('Address and port of the listener for OTLP over HTTP.', { default: '127.0.0.1:4318' }),
      max_connections: integer(
        'The largest number of HTTP connections. When another one is opened, the one that has been idle the longest is closed.',
        {
          default: 256,
          min: 1,
        },
      ),
      header_timeout: duration('How long a client may take to send the headers of a request.', {
        default: '10s',
        min: '1s',
      }),
      request_timeout: duration('How long a client may take to send a whole request.', { default: '30s', min: '1s' }),
      allowed_origins: list(
        'Origins of web pages that may send telemetry from a browser, such as "https://shop.example". If the list is empty, requests from all web pages are refused.',
        origin,
      ),
    }),
    grpc: section('OTLP over gRPC.', {
      listen: listen('Address and port of the listener for OTLP over gRPC.', { default: '127.0.0.1:4317' }),
      max_connections: integer(
        'The largest number of gRPC connections. When another one is opened, the one that has been idle the longest is closed.',
        {
          default: 64,
          min: 1,
        },
      ),
      header_timeout: duration('How long a client may take to send the HTTP/2 preface.', { default: '5s', min: '1s' }),
      request_timeout: duration('How long a client may take to send a whole request.', { default: '30s', min: '1s' }),
      idle_timeout: duration('How long a connection without calls is kept.', { default: '65s', min: '1s' }),
    }),
    max_request: bytes('The largest request, before and after decompression. Larger ones are refused.', {
      default: '16MiB',
      min: '1KiB',
      max: '64MiB',
    }),
    max_json: bytes('The largest request in JSON, which takes much longer to decode than protobuf.', {
      default: '4MiB',
      min: '1KiB',
      max: '64MiB',
    }),
    max_items: integer(
      'The largest number of spans, data points or log records in one request. Larger requests are refused.',
      {
        default: 50_000,
        min: 1,
      },
    ),
    max_inflight: bytes(
      'Memory for requests that are being received and decoded; by default half of memory.budget. Beyond it, senders are told to try again.',
      { min: '1MiB' },
    ),
  },
)

export type OtlpOptions = Values<typeof options>

export const otlp = {
  name: 'otlp',
  about: 'Receives OTLP traces, metrics and logs from the SDK of the application.',
  families,
  options,
  off: ({ http, grpc }, fed) => !http.listen && !grpc.listen && !fed,
  start,
} as const satisfies Part<OtlpOptions, OtlpHost>

async function start(options: OtlpOptions, host: OtlpHost): Promise<OtlpRunning> {
  const { consumers } = host
  const places = { http: new Places(options.http.max_connections), grpc: new Places(options.grpc.max_connections) }
  const ledger = new Ledger(host.metrics, consumers, {
    ...(options.http.listen && { http: places.http }),
    ...(options.grpc.listen && { grpc: places.grpc }),
  })
  const held = host.metrics.gauge(inflight)
  const budget = new Budget(host.memory.allot('otlp', options.max_inflight ?? host.memory.total / 2))
  const memory = { budget, bodies: new Bodies(host.onLargeBody ?? (() => {})) }
  const intake = new OtlpIntake(options, consumers, ledger, host.log, host.clock, host.hops)
  const findings: Finding[] = []
  const listeners: Listener[] = []
  const { clock, log } = host
  const told = new Set<number>()
  const around: Surroundings = {
    http: {
      receiver: httpReceiver({ ...options, ...options.http }, intake, memory, ledger, clock),
      places: places.http,
      header_timeout: options.http.header_timeout,
      onSilent: () => ledger.answered('none', 'http', 408),
    },
    grpc: {
      receiver: grpcReceiver({ ...options, ...options.grpc }, intake, memory, ledger, clock),
      places: places.grpc,
      header_timeout: options.grpc.header_timeout,
    },
    clock,
    onTls(port) {
      if (told.has(port)) return
      told.add(port)
      const text = `a client speaks TLS to port ${port}, which takes plain text; give it a URL with http:// (gRPC: insecure)`
      findings.push({ level: 'warning', text })
      log.warn(text)
    },
  }

  /** Listens at the address and, if it is a loopback address, at the one of the other family. */
  const listenAt = async (protocol: 'http' | 'grpc', address: Listen | undefined): Promise<Listen | undefined> => {
    if (!address) return undefined
    const option = `otlp.${protocol}.listen`
    const first = new Listener(protocol, around)
    const real = await open(first.server, address, option)
    listeners.push(first)
    const text = exposure(real, option)
    if (text !== undefined) findings.push({ level: 'warning', text })
    const other = twin(address.host)
    const second = other && new Listener(protocol, around)
    const code = second && (await tryOpen(second.server, other, real.port))
    if (second && code === undefined) listeners.push(second)
    else if (code === 'EADDRINUSE') findings.push({ level: 'warning', text: shared(other, real) })
    return real
  }
  const close = async () => {
    await shut(listeners.splice(0), around)
    await intake[Symbol.asyncDispose]()
  }
  let http: Listen | undefined
  let grpc: Listen | undefined
  try {
    http = await listenAt('http', options.http.listen)
    grpc = await listenAt('grpc', options.grpc.listen)
  } catch (error) {
    await close()
    throw error
  }
  return {
    intake,
    address: () => ({ http, grpc }),
    findings: () => findings,
    ledger: () => ledgerRows(host.metrics),
    collect() {
      ledger.publish()
      held.set(budget.used)
    },
    [Symbol.asyncDispose]: close,
  }
}

/** Requests on their way get this long to arrive and be answered after the listeners have closed. */
const GRACE_MS = 5000

async function shut(listeners: readonly Listener[], { http, grpc, clock }: Surroundings): Promise<void> {
  const closed = new AbortController()
  const all = listeners.map(each => new Promise<void>(resolve => each.close(resolve)))
  Promise.all(all).then(() => closed.abort())
  for (const { receiver } of [http, grpc]) receiver.drain()
  await clock.sleep(GRACE_MS, closed.signal).catch(() => {})
  for (const { receiver } of [http, grpc]) receiver.cut()
}

function shared(host: string | undefined, real: Listen): string {
  const endpoint = `${real.host}:${real.port}`
  return `port ${real.port} of ${host} belongs to another program, which clients may reach by "localhost"; give them ${endpoint}`
}
