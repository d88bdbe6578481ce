// What the application's OpenTelemetry SDK is told through its environment: where to send, how, and under which name.
// Whatever the user has set stays as it is.

import { basename } from 'node:path'

export interface Doors {
  /** Base URLs of the OTLP doors that listen; undefined is "off". */
  readonly http: string | undefined
  readonly grpc: string | undefined
}

export interface ApplicationEnvironment {
  readonly env: NodeJS.ProcessEnv
  /** Why the application's spans do not come here: one line for the operator, or undefined if they do. */
  readonly diverted: string | undefined
}

/**
 * The inherited environment plus OTEL_EXPORTER_OTLP_ENDPOINT and OTEL_EXPORTER_OTLP_PROTOCOL where the user has set
 * neither them nor their _TRACES_ forms, and OTEL_SERVICE_NAME where no name is set. A variable that is set to nothing
 * counts as unset, as OpenTelemetry's specification demands.
 */
export function applicationEnvironment(
  inherited: NodeJS.ProcessEnv,
  doors: Doors,
  service: string,
): ApplicationEnvironment {
  const env = { ...inherited }
  if (!env['OTEL_SERVICE_NAME'] && !namedByResource(env['OTEL_RESOURCE_ATTRIBUTES'])) env['OTEL_SERVICE_NAME'] = service

  const variable = ['OTEL_EXPORTER_OTLP_TRACES_ENDPOINT', 'OTEL_EXPORTER_OTLP_ENDPOINT'].find(name => env[name])
  if (variable) return { env, diverted: elsewhere(variable, env[variable]!, doors) }

  const chosen = env['OTEL_EXPORTER_OTLP_TRACES_PROTOCOL'] || env['OTEL_EXPORTER_OTLP_PROTOCOL']
  const protocol = chosen || (doors.http === undefined ? 'grpc' : 'http/protobuf')
  const endpoint = protocol === 'grpc' ? doors.grpc : doors.http
  if (endpoint === undefined) return { env, diverted: closed(protocol, doors) }
  env['OTEL_EXPORTER_OTLP_ENDPOINT'] = endpoint
  // SDKs differ in their default (Python's is gRPC), and would speak it to the wrong door.
  if (!chosen) env['OTEL_EXPORTER_OTLP_PROTOCOL'] = protocol
  return { env, diverted: undefined }
}

/**
 * The service name for a command: the configured `app.name`; else the base name of the program without its extension.
 * For an interpreter (node, python3.12, java -jar …) it is that of the first argument that is neither an option nor an
 * option's value: `node --import ./otel.js server.js` is "server", `python -m shop.main` is "shop.main". Where there is
 * no such argument (`node -e …`), it is the interpreter's own name.
 */
export function serviceName(command: readonly string[], configured?: string): string {
  if (configured) return configured
  const [file = '', ...args] = command
  const program = bare(file)
  const valued = VALUED[program.replace(/[\d.]+$/, '')]
  if (!valued) return program || 'application'
  for (let i = 0; i < args.length; i++) {
    const argument = args[i]!
    if (valued.includes(argument)) i++
    // Code on the command line has no name.
    else if (CODE.includes(argument)) break
    else if (argument === 'run') continue
    else if (!argument.startsWith('-')) return bare(argument) || program
  }
  return program
}

/** Interpreters, each with its options that take the next argument as their value. */
const VALUED: Readonly<Record<string, readonly string[]>> = {
  node: [
    ...['-r', '--require', '--import', '--loader', '--experimental-loader', '-C', '--conditions'],
    ...['--env-file', '--title', '--max-old-space-size', '--max-semi-space-size', '--stack-trace-limit'],
  ],
  bun: ['-r', '--preload'],
  deno: ['-c', '--config'],
  dotnet: [],
  python: ['-W', '-X'],
  ruby: ['-I', '-r', '-C'],
  perl: ['-I'],
  php: ['-d', '-c'],
  java: ['-cp', '-classpath', '--class-path', '-p', '--module-path', '--add-modules', '--add-opens', '--add-exports'],
  sh: ['-o'],
  bash: ['-o', '-O'],
}
/** Options that carry code instead of naming a program. */
const CODE: readonly string[] = ['-c', '-e', '-p', '--eval', '--print', '-pe']

function bare(path: string): string {
  return basename(path).replace(/(?<=.)\.(?:[cm]?[jt]s|py|rb|pl|php|jar|sh|exe|dll)$/i, '')
}

function namedByResource(attributes: string | undefined): boolean {
  return attributes?.split(',').some(pair => pair.trim().startsWith('service.name=')) ?? false
}

function elsewhere(variable: string, value: string, doors: Doors): string | undefined {
  const host = URL.parse(value)?.host
  const ours = [doors.http, doors.grpc].some(door => door !== undefined && URL.parse(door)?.host === host)
  if (ours) return undefined
  // The URL may carry credentials, so it is not repeated.
  const own = doors.http ?? doors.grpc
  return `${variable} is set, so spans do not come here${own ? `; unset it, or point it to ${own}` : ''}`
}

function closed(protocol: string, doors: Doors): string {
  if (doors.http === undefined && doors.grpc === undefined) return 'no OTLP door listens, so spans do not come here'
  const instead = doors.http === undefined ? 'grpc' : 'http/protobuf'
  return `no door here speaks OTLP as ${JSON.stringify(protocol)}, so spans do not come here; set OTEL_EXPORTER_OTLP_PROTOCOL=${instead}`
}
