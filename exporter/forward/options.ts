// The option section `forward`, and how the variables of OpenTelemetry's specification map to it
// (https://opentelemetry.io/docs/specs/otel/protocol/exporter/). The variables belong together: their credentials are for
// their endpoint. So none of them is read if an upstream is configured in another way.

import {
  bytes,
  checked,
  choice,
  duration,
  type Fault,
  flag,
  isHostPort,
  type Kind,
  type ListKind,
  list,
  section,
  shown,
  text,
  type Values,
} from '../../options/kinds.ts'
import { SYNCS } from '../../queue/queue.ts'
import type { Signal } from '../../telemetry/request.ts'
import { samplingOptions } from '../../telemetry/sampler.ts'
import { CODINGS } from './compress.ts'
import { faultOf, fromBaggage } from './headers.ts'

export const PROTOCOLS = ['http/protobuf', 'grpc'] as const
export type Protocol = (typeof PROTOCOLS)[number]

const ENDPOINTS = ['forward.endpoint', 'forward.traces.endpoint', 'forward.metrics.endpoint', 'forward.logs.endpoint']

function applies(given: (path: string) => unknown): boolean {
  if (given('forward.adopt') === false || given('forward.enabled') === false) return false
  return ![...ENDPOINTS, 'forward.upstreams'].some(path => given(path) !== undefined)
}

/** The option is read from this variable of OpenTelemetry, unless there is another upstream. */
function adopting<Value>(kind: Kind<Value>, variable: string | undefined): Kind<Value> {
  return variable === undefined ? kind : { ...kind, otel: variable, applies }
}

/** The same without a default: if it is not set, that of all signals is used. */
function optional<Value>(kind: Kind<Value>): Kind<Value | undefined> {
  const write = (value: Value | undefined) => (value === undefined ? undefined : kind.write?.(value))
  // The reader gives the default where nothing is set.
  return { ...kind, default: undefined, ...(kind.write && { write }) } as Kind<Value | undefined>
}

/** http:// and https:// URLs, and HOST:PORT. Kept as it was written: what a missing scheme means depends on the protocol. */
function endpoint(about: string): Kind<string | undefined> {
  const expects = 'a URL (http://… or https://…) or HOST:PORT'
  return {
    ...text(about),
    expects,
    parse(value) {
      const whole = isHostPort(value) ? `http://${value}` : value
      const parsed = typeof whole === 'string' ? URL.parse(whole) : null
      if (typeof value !== 'string' || !parsed || !/^https?:$/.test(parsed.protocol) || parsed.hostname === '')
        throw new Error(`must be ${expects}, not ${shown(value)}`)
      return value
    },
  }
}

const header: Kind<string> = {
  ...text('One header.', { default: '', secret: true }),
  default: '',
  expects: '"Name: value"',
}

function headers(about: string): ListKind<string> {
  return { ...list(about, header), standard: fromBaggage }
}

function protocol(about: string): Kind<Protocol | undefined> {
  const kind = optional(choice(about, PROTOCOLS, { default: 'http/protobuf' }))
  // Every known receiver takes protobuf at its endpoint for JSON.
  return { ...kind, standard: given => kind.parse(given.trim() === 'http/json' ? 'http/protobuf' : given.trim()) }
}

function timeout(about: string, preset: string): Kind<number> {
  const kind = duration(about, { default: preset, min: '100ms', max: '5m' })
  return { ...kind, standard: given => kind.parse(/^\d+$/.test(given.trim()) ? `${given.trim()}ms` : given) }
}

function insecure(): Kind<boolean> {
  const kind = flag(
    'Only for gRPC, and only for an endpoint without a scheme: connect without TLS. Otherwise the scheme decides.',
    { default: false },
  )
  // The specification: "true", in any case, is true; everything else is false.
  return { ...kind, standard: given => given.trim().toLowerCase() === 'true' }
}

/**
 * The options of an upstream, or of one signal of it. `name` is the part of the variable's name after
 * OTEL_EXPORTER_OTLP_.
 */
function target(about: string, variable: (name: string) => string | undefined) {
  return {
    endpoint: adopting(endpoint(about), variable('ENDPOINT')),
    protocol: adopting(
      protocol('The protocol. By default it is grpc if the port of the endpoint is 4317, otherwise http/protobuf.'),
      variable('PROTOCOL'),
    ),
    headers: {
      ...headers('Headers to send, each "Name: value", for instance credentials. They are never printed.'),
      ...adoptingList(variable('HEADERS')),
    },
    headers_file: text(
      'A file with headers, one "Name: value" a line. It is read again when it changes, and wins over `headers`.',
    ),
    ca_file: adopting(
      text(
        'A PEM file with the certificate authorities to trust instead of the well-known ones. This and the next two files are read again when they change.',
      ),
      variable('CERTIFICATE'),
    ),
    cert_file: adopting(
      text('A PEM file with the certificate that the sidecar shows to the upstream (mTLS).'),
      variable('CLIENT_CERTIFICATE'),
    ),
    key_file: adopting(text('A PEM file with the key of `cert_file`.'), variable('CLIENT_KEY')),
  } as const
}

function adoptingList(variable: string | undefined) {
  return variable === undefined ? {} : { otel: variable, applies }
}

const compression = (): Kind<(typeof CODINGS)[number]> =>
  choice(
    'The compression of requests: gzip (level 1), zstd (a third of the CPU time, and smaller, but not every back end takes it), or none.',
    CODINGS,
    { default: 'gzip' },
  )

function own(signal: Signal) {
  const variable = (name: string) => `OTEL_EXPORTER_OTLP_${signal.toUpperCase()}_${name}`
  return section(`Options of ${signal} alone; one that is not set here is that of all signals.`, {
    enabled: flag(`Whether ${signal} are forwarded.`, { default: true }),
    ...target('The whole URL; for HTTP nothing is appended to it. It may be that of another upstream.', variable),
    compression: adopting(optional(compression()), variable('COMPRESSION')),
    timeout: adopting(
      optional(timeout('How long one request may take, connecting and the answer included.', '10s')),
      variable('TIMEOUT'),
    ),
    insecure: adopting(optional(insecure()), variable('INSECURE')),
  })
}

const EVERY = (name: string) => `OTEL_EXPORTER_OTLP_${name}`
const NONE = () => undefined

const limits = {
  max_request: bytes('The largest body before compression. Larger requests are divided.', {
    default: '900000B',
    min: '1KiB',
    max: '16MiB',
  }),
  max_age: duration(
    'How old telemetry may become in the queue before it is dropped; 0s means 1h, or 24h if the queue is on disk.',
    { default: '0s', max: '365d' },
  ),
  retry_500: flag('Whether a request that is answered with HTTP 500 is tried again; OTLP says that it is not.', {
    default: false,
  }),
} as const

export const UPSTREAM = section('Another upstream, with the options that the first one has in `forward` itself.', {
  name: text('Value of the label `upstream`; by default host and port of the endpoint.'),
  signals: list('The signals that go to it.', signalName(), { default: ['traces', 'metrics', 'logs'] }),
  ...target('The URL of its OTLP receiver. For HTTP, /v1/traces and so on are appended.', NONE),
  compression: compression(),
  timeout: timeout('How long one request may take, connecting and the answer included.', '10s'),
  insecure: insecure(),
  ...limits,
})
export type UpstreamOptions = Values<typeof UPSTREAM>

function signalName(): Kind<Signal> {
  return choice('One signal.', ['traces', 'metrics', 'logs'] as const, { default: 'traces' })
}

const fields = section(
  'Forwarding of everything that is received to one or more upstreams over OTLP: a Collector, a back end, another sidecar.',
  {
    enabled: flag('Whether telemetry is forwarded, if there is an upstream.', { default: true }),
    ...target(
      'The URL of the upstream’s OTLP receiver. For HTTP, /v1/traces and so on are appended. HOST:PORT means http:// for HTTP, and TLS for gRPC unless `insecure` is set.',
      EVERY,
    ),
    name: text('Value of the label `upstream`; by default host and port of the endpoint.'),
    compression: adopting(compression(), 'OTEL_EXPORTER_OTLP_COMPRESSION'),
    timeout: adopting(
      timeout('How long one request may take, connecting and the answer included.', '10s'),
      'OTEL_EXPORTER_OTLP_TIMEOUT',
    ),
    insecure: adopting(insecure(), 'OTEL_EXPORTER_OTLP_INSECURE'),
    ...limits,
    traces: own('traces'),
    metrics: own('metrics'),
    logs: own('logs'),
    upstreams: list('Additional upstreams; each gets everything too.', UPSTREAM),
    adopt: flag(
      'Whether the variables OTEL_EXPORTER_OTLP_… name the upstream. pillion run and pillion exec then give the application the addresses of the sidecar instead. If false, the variables are left alone.',
      { default: true },
    ),
    queue: section('The requests that wait to be sent, or to be sent again.', {
      memory: bytes('The most memory that the queues of all upstreams take of memory.budget together.', {
        default: '32MiB',
        min: '2MiB',
        max: '16GiB',
      }),
      full: choice(
        'What happens when a queue is full. drop_oldest: its oldest requests are dropped; refuse: senders are told to try again later (SDKs do so for some seconds).',
        ['drop_oldest', 'refuse'],
        { default: 'drop_oldest' },
      ),
      dir: text(
        'A folder for queues on disk, so that what was taken survives the end of the sidecar. Each upstream gets a folder in it. Without it, queues are in memory.',
      ),
      disk: bytes('The most bytes of files that the queue of one upstream has in `dir`.', {
        default: '512MiB',
        min: '1MiB',
      }),
      sync: choice(
        'When a sender is answered, with `dir`. interval: when its request has been written, which is synced each 500 ms: if the machine crashes or loses power, the last 500 ms are lost; if only the sidecar is killed, nothing is. request: when the disk has it, which takes some milliseconds: then nothing is lost.',
        SYNCS,
        { default: 'interval' },
      ),
    }),
    sampling: samplingOptions,
    drain: duration('How long the sidecar goes on sending what is in the queues when it ends.', {
      default: '5s',
      max: '5m',
    }),
  },
)

export type ForwardOptions = Values<typeof fields>

export const options = checked(fields, values => [
  ...upstreamFaults(values, ''),
  ...(['traces', 'metrics', 'logs'] as const).flatMap(signal => upstreamFaults(values[signal], `${signal}.`)),
  ...values.upstreams.flatMap((each, i) => [
    ...upstreamFaults(each, `upstreams[${i}].`),
    ...(each.endpoint === undefined
      ? [{ path: `upstreams[${i}].endpoint`, message: 'is missing; give the URL of the upstream' }]
      : []),
  ]),
])

function upstreamFaults(
  { headers, cert_file, key_file }: Pick<UpstreamOptions, 'headers' | 'cert_file' | 'key_file'>,
  path: string,
): Fault[] {
  const faults: Fault[] = headers.flatMap((line, i) => {
    const message = faultOf(line)
    return message === undefined ? [] : [{ path: `${path}headers[${i}]`, message }]
  })
  if ((cert_file === undefined) !== (key_file === undefined)) {
    const missing = cert_file === undefined ? 'cert_file' : 'key_file'
    faults.push({ path: `${path}${missing}`, message: 'is missing; a certificate and its key belong together' })
  }
  return faults
}
