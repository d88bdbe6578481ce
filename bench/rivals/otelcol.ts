// The OpenTelemetry Collector, built from released modules (otelcol/main.go): OTLP receiver, span metrics connector,
// Prometheus exporter, with our buckets and dimensions and its own defaults otherwise. Two settings differ: the unit is
// seconds, and metrics are flushed every 5 s instead of every 60 s, so that counts can be compared within a run.

import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { latency } from '../../processors/spans.ts'
import { freePort, launch, type Server } from '../server.ts'

const MODULE = fileURLToPath(new URL('otelcol/', import.meta.url))
const BINARY = join(MODULE, 'otelcol')
const FLUSH_SECONDS = 5
/** Time until all counts are visible: the connector exposes a new counter as 0 first, and its count with the next flush. */
export const SEEN_MS = (2 * FLUSH_SECONDS + 1) * 1000

/** Builds the program, which is quick if nothing has changed; without Go, false if it does not exist. */
export function buildOtelcol(): boolean {
  if (spawnSync('go', ['version']).error) return existsSync(BINARY)
  if (!existsSync(BINARY)) console.log('building the Collector (some minutes the first time)')
  execFileSync('go', ['build', '-trimpath', '-ldflags=-s -w', '-o', BINARY, '.'], {
    cwd: MODULE,
    stdio: 'inherit',
    env: { ...process.env, CGO_ENABLED: '0' },
  })
  return true
}

export function otelcolVersion(): string {
  const modules = readFileSync(join(MODULE, 'go.mod'), 'utf8')
  const version = /connector\/spanmetricsconnector (\S+)/.exec(modules)?.[1] ?? 'unknown'
  const [, , go = 'go?'] = execFileSync('go', ['version', BINARY], { encoding: 'utf8' }).split(/[: ]/)
  return `OpenTelemetry Collector ${version}, ${go}`
}

export interface OtelcolOptions {
  readonly folder: string
  readonly dimensions?: readonly string[]
  readonly batch?: boolean
  /** Forwards traces to this OTLP/HTTP endpoint, in batches, and does nothing else. */
  readonly upstream?: string
  /** Comes before the command: another program that then becomes it. */
  readonly wrapper?: readonly string[]
}

export async function otelcol(options: OtelcolOptions): Promise<Server> {
  const { folder, dimensions = [], batch = false, upstream, wrapper = [] } = options
  const ports = { http: await freePort(), grpc: await freePort(), metrics: await freePort() }
  const at = (port: number) => ({ endpoint: `127.0.0.1:${port}` })
  const config = {
    receivers: { otlp: { protocols: { http: at(ports.http), grpc: at(ports.grpc) } } },
    ...(batch ? { processors: { batch: {} } } : {}),
    connectors: {
      spanmetrics: {
        histogram: { unit: 's', explicit: { buckets: latency.buckets.map(seconds => `${seconds * 1000}ms`) } },
        dimensions: dimensions.map(name => ({ name })),
        metrics_flush_interval: `${FLUSH_SECONDS}s`,
      },
    },
    exporters: { prometheus: { ...at(ports.metrics), enable_open_metrics: true } },
    service: {
      telemetry: { metrics: { level: 'none' }, logs: { level: 'warn' } },
      pipelines: {
        traces: { receivers: ['otlp'], ...(batch ? { processors: ['batch'] } : {}), exporters: ['spanmetrics'] },
        metrics: { receivers: ['spanmetrics'], exporters: ['prometheus'] },
      },
    },
  }
  const forwarding = {
    receivers: config.receivers,
    processors: { batch: {} },
    exporters: { otlp_http: { endpoint: upstream, compression: 'gzip' } },
    service: {
      telemetry: config.service.telemetry,
      pipelines: { traces: { receivers: ['otlp'], processors: ['batch'], exporters: ['otlp_http'] } },
    },
  }
  const file = join(folder, `otelcol-${ports.http}.yaml`)
  // JSON is YAML.
  writeFileSync(file, JSON.stringify(upstream === undefined ? config : forwarding))
  return await launch({
    name: batch ? 'Collector, batch' : 'Collector',
    command: BINARY,
    args: ['--config', file],
    ports,
    wrapper,
    ...(upstream === undefined
      ? { ready: `http://127.0.0.1:${ports.metrics}/metrics` }
      : { ready: `http://127.0.0.1:${ports.http}/v1/traces`, anyStatus: true }),
  })
}
