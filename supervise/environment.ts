// The application's environment: what its OpenTelemetry SDK is told (where to send, how, and under which name), without the
// sidecar's own settings. Variables that the user has set stay as they are.

import { isOwn } from '../options/environment.ts'

/** Base URLs of the OTLP listeners; undefined is "off". */
export interface Endpoints {
  readonly http: string | undefined
  readonly grpc: string | undefined
}

export interface ApplicationEnvironment {
  readonly env: NodeJS.ProcessEnv
  /** Why the application's spans do not come here: one line for the operator, or undefined if they do. */
  readonly diverted: string | undefined
}

/** An SDK sends metrics each minute by default, so a job of half a minute would never be seen but at its end. */
const EXPORT_INTERVAL_MS = '10000'

/** The variables OTEL_EXPORTER_OTLP_… that say where and how to connect. Those that say how to measure stay. */
const CONNECTION = ['ENDPOINT', 'HEADERS', 'COMPRESSION', 'CERTIFICATE', 'CLIENT_CERTIFICATE', 'CLIENT_KEY', 'INSECURE']
const WHOSE = ['', 'TRACES_', 'METRICS_', 'LOGS_']

/**
 * The inherited environment without the PILLION_… variables, plus OTEL_EXPORTER_OTLP_ENDPOINT and OTEL_EXPORTER_OTLP_PROTOCOL
 * where the user has set neither them nor their _TRACES_ forms, OTEL_SERVICE_NAME where no name is set, and
 * OTEL_METRIC_EXPORT_INTERVAL. A variable that is set to nothing counts as unset, as OpenTelemetry's specification demands.
 *
 * If the sidecar forwards, it takes the place of the back end that the variables name: they are replaced, credentials and
 * certificates removed, and nothing is added that would change what the back end gets (its resource, how often it comes).
 */
export function applicationEnvironment(
  inherited: NodeJS.ProcessEnv,
  endpoints: Endpoints,
  service: string,
  forwards = false,
): ApplicationEnvironment {
  // They may hold secrets, such as the headers of an upstream.
  const env = Object.fromEntries(Object.entries(inherited).filter(([name, value]) => !isOwn(name, value)))
  if (forwards && configured(env)) return inTheMiddle(env, endpoints)
  if (!env['OTEL_SERVICE_NAME'] && !namedByResource(env['OTEL_RESOURCE_ATTRIBUTES'])) env['OTEL_SERVICE_NAME'] = service

  const variable = ['OTEL_EXPORTER_OTLP_TRACES_ENDPOINT', 'OTEL_EXPORTER_OTLP_ENDPOINT'].find(name => env[name])
  if (variable) return { env, diverted: elsewhere(variable, env[variable]!, endpoints) }

  const chosen = env['OTEL_EXPORTER_OTLP_TRACES_PROTOCOL'] || env['OTEL_EXPORTER_OTLP_PROTOCOL']
  const protocol = chosen || (endpoints.http === undefined ? 'grpc' : 'http/protobuf')
  const endpoint = protocol === 'grpc' ? endpoints.grpc : endpoints.http
  if (endpoint === undefined) return { env, diverted: closed(protocol, endpoints) }
  env['OTEL_EXPORTER_OTLP_ENDPOINT'] = endpoint
  // SDKs differ in their default (Python's is gRPC), and would speak it to the wrong listener.
  if (!chosen) env['OTEL_EXPORTER_OTLP_PROTOCOL'] = protocol
  if (!env['OTEL_METRIC_EXPORT_INTERVAL']) env['OTEL_METRIC_EXPORT_INTERVAL'] = EXPORT_INTERVAL_MS
  return { env, diverted: undefined }
}

/** Whether the application was told where to send. */
function configured(env: NodeJS.ProcessEnv): boolean {
  return WHOSE.some(whose => env[`OTEL_EXPORTER_OTLP_${whose}ENDPOINT`])
}

function connectionVariables(): readonly string[] {
  return WHOSE.flatMap(whose => CONNECTION.map(what => `OTEL_EXPORTER_OTLP_${whose}${what}`))
}

function inTheMiddle(env: NodeJS.ProcessEnv, endpoints: Endpoints): ApplicationEnvironment {
  const chosen = env['OTEL_EXPORTER_OTLP_TRACES_PROTOCOL'] || env['OTEL_EXPORTER_OTLP_PROTOCOL']
  const own = { grpc: endpoints.grpc ?? endpoints.http, http: endpoints.http ?? endpoints.grpc }
  // Each port takes both protocols.
  const endpoint = (chosen || guessed(env)) === 'grpc' ? own.grpc : own.http
  if (endpoint === undefined) return { env, diverted: closed(chosen ?? '', endpoints) }
  const protocol = chosen || guessed(env)
  for (const name of connectionVariables()) delete env[name]
  env['OTEL_EXPORTER_OTLP_ENDPOINT'] = endpoint
  // SDKs differ in their default. The variables of single signals stay, and so does each SDK's choice for them.
  if (!env['OTEL_EXPORTER_OTLP_PROTOCOL'] && protocol) env['OTEL_EXPORTER_OTLP_PROTOCOL'] = protocol
  return { env, diverted: undefined }
}

/** The protocol of an endpoint without one: SDKs whose default is gRPC are given port 4317. */
function guessed(env: NodeJS.ProcessEnv): string {
  const endpoint = env['OTEL_EXPORTER_OTLP_TRACES_ENDPOINT'] || env['OTEL_EXPORTER_OTLP_ENDPOINT'] || ''
  return /:4317\/?$/.test(endpoint) ? 'grpc' : 'http/protobuf'
}

function namedByResource(attributes: string | undefined): boolean {
  return attributes?.split(',').some(pair => pair.trim().startsWith('service.name=')) ?? false
}

function elsewhere(variable: string, value: string, endpoints: Endpoints): string | undefined {
  const host = URL.parse(value)?.host
  const ours = [endpoints.http, endpoints.grpc].some(each => each !== undefined && URL.parse(each)?.host === host)
  if (ours) return undefined
  // The URL may carry credentials, so it is not repeated.
  const own = endpoints.http ?? endpoints.grpc
  return `${variable} is set, so spans do not come here${own ? `; unset it, or point it to ${own}` : ''}`
}

function closed(protocol: string, { http, grpc }: Endpoints): string {
  if (http === undefined && grpc === undefined) return 'no OTLP listener is open, so spans do not come here'
  const instead = http === undefined ? 'grpc' : 'http/protobuf'
  return `no listener here speaks OTLP as ${JSON.stringify(protocol)}, so spans do not come here; set OTEL_EXPORTER_OTLP_PROTOCOL=${instead}`
}
