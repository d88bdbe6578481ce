// Metrics as an SDK sends them, encoded by protobufjs with the published schema, and a sidecar that takes them.

import type { Test } from 'tap'
import { Scrape } from '../../exporter/prometheus.ts'
import { type MetricsOptions, metrics } from '../../processors/points.ts'
import type { Dropped } from '../../telemetry/consumer.ts'
import { decoder } from '../otlp/protobufjs.ts'
import { type FakeClock, world } from '../world.ts'

export const OPENMETRICS = 'application/openmetrics-text;version=1.0.0'
export const PROTOBUF = 'application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited'

/** Any message, by the field names of the .proto files in lowerCamelCase. */
export type Message = Readonly<Record<string, unknown>>

export const DELTA = 1
export const CUMULATIVE = 2
const START = 1_750_000_000

/** Attributes as the messages have them. */
export function attributes(values: Readonly<Record<string, unknown>>): Message[] {
  return Object.entries(values).map(([key, value]) => ({ key, value: any(value) }))
}

function any(value: unknown): Message {
  if (typeof value === 'string') return { stringValue: value }
  if (typeof value === 'boolean') return { boolValue: value }
  if (typeof value === 'bigint') return { intValue: String(value) }
  if (typeof value === 'number') return Number.isInteger(value) ? { intValue: value } : { doubleValue: value }
  if (value instanceof Uint8Array) return { bytesValue: value }
  if (Array.isArray(value)) return { arrayValue: { values: value.map(any) } }
  if (value === null || typeof value !== 'object') return {}
  return { kvlistValue: { values: attributes(Object.fromEntries(Object.entries(value))) } }
}

/** Seconds after an arbitrary time, as nanoseconds since the epoch. */
export function at(seconds: number): string {
  return String(BigInt(START) * 1_000_000_000n + BigInt(Math.round(seconds * 1e9)))
}

/** A number data point. */
export function point(value: number, labels: Readonly<Record<string, unknown>> = {}, more: Message = {}): Message {
  const number = Number.isInteger(value) ? { asInt: value } : { asDouble: value }
  return { ...number, attributes: attributes(labels), startTimeUnixNano: at(0), timeUnixNano: at(10), ...more }
}

export function gauge(name: string, ...dataPoints: readonly Message[]): Message {
  return { name, gauge: { dataPoints } }
}

export function sum(name: string, ...dataPoints: readonly Message[]): Message {
  return { name, sum: { dataPoints, isMonotonic: true, aggregationTemporality: CUMULATIVE } }
}

export function deltaSum(name: string, ...dataPoints: readonly Message[]): Message {
  return { name, sum: { dataPoints, isMonotonic: true, aggregationTemporality: DELTA } }
}

export const SHOP = { 'service.namespace': 'eu', 'service.name': 'shop', 'service.instance.id': 'one' }

/** The start and time of a data point. */
export function times(start: number, time: number): Message {
  return { startTimeUnixNano: at(start), timeUnixNano: at(time) }
}

/** ResourceMetrics with one scope. */
export function from(resource: Readonly<Record<string, unknown>>, ...metrics: readonly Message[]): Message {
  return { resource: { attributes: attributes(resource) }, scopeMetrics: [{ scope: { name: 'lib' }, metrics }] }
}

const Request = decoder('metrics')

export function encoded(...resourceMetrics: readonly Message[]): Buffer {
  return Buffer.from(Request.encode(Request.fromObject({ resourceMetrics })).finish())
}

export const OPTIONS: MetricsOptions = {
  enabled: true,
  limit: 2000,
  memory: 32 * 1024 * 1024,
  expiry: 300_000,
  scope_labels: false,
}

export interface Sidecar {
  readonly clock: FakeClock
  readonly scrape: Scrape
  /** Takes ResourceMetrics, or bytes; tells what was refused. */
  take(...request: readonly (Message | Buffer)[]): readonly Dropped[]
  /** The number of refused items, by reason. */
  refused(...request: readonly (Message | Buffer)[]): Record<string, number>
  page(accept?: string): Promise<Buffer>
  /** The value of a family of ours that is 0 or more, with its labels. */
  ours(series: string): Promise<number>
  findings(): readonly string[]
  /** Lines that were logged: "level message". */
  readonly logged: readonly string[]
  /** Sample lines of the application's families, without job and instance. */
  samples(accept?: string): Promise<string[]>
}

export function sidecar(t: Test, options: Partial<MetricsOptions> = {}): Sidecar {
  const host = world('/proc')
  const running = metrics.start({ ...OPTIONS, ...options }, host)
  t.teardown(() => running[Symbol.asyncDispose]())
  const scrape = new Scrape(host.metrics, [{ name: 'metrics', collect: signal => running.collect?.(signal) }])
  const take = (...request: readonly (Message | Buffer)[]) => {
    const bytes = Buffer.concat(request.map(each => (Buffer.isBuffer(each) ? each : encoded(each))))
    return running.take({ signal: 'metrics', received: 0, bytes, items: 0 }) ?? []
  }
  const page = async (accept?: string) => Buffer.concat((await scrape.scrape(accept, AbortSignal.timeout(5000))).chunks)
  return {
    clock: host.clock,
    scrape,
    logged: host.logged,
    take,
    refused: (...request) => Object.fromEntries(take(...request).map(({ reason, items }) => [reason, items])),
    page,
    ours: async series => {
      const line = (await page())
        .toString()
        .split('\n')
        .find(each => each.startsWith(`${series} `))
      return Number(line?.slice(series.length + 1))
    },
    findings: () => (running.findings?.() ?? []).map(({ text }) => text),
    samples: async accept =>
      (await page(accept))
        .toString()
        .split('\n')
        .filter(line => line !== '' && !/^(#|pillion_|target_info)/.test(line))
        .map(line =>
          line
            .replace(/(instance="[^"]*"|job="[^"]*"),?/g, '')
            .replace(/,\}/, '}')
            .replace('{}', ''),
        ),
  }
}
