// The part that follows log files, in front of the real intake, with what it hands on decoded.

import { appendFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'tap'
import { type FilesOptions, type FilesRunning, files } from '../../collectors/files.ts'
import { otlp } from '../../collectors/otlp.ts'
import { Scrape } from '../../exporter/prometheus.ts'
import { clock } from '../../host/clock.ts'
import { Metrics } from '../../metrics/registry.ts'
import { section } from '../../options/kinds.ts'
import { type Reading, read } from '../../options/read.ts'
import { type SpansOptions, spans } from '../../processors/spans.ts'
import type { RequestConsumer } from '../../telemetry/consumer.ts'
import { Keys } from '../../telemetry/keys.ts'
import { Memory } from '../../telemetry/memory.ts'
import type { Request } from '../../telemetry/request.ts'
import { SeenAnswers } from '../../telemetry/seen.ts'
import { decoder } from '../otlp/protobufjs.ts'

export interface Got {
  readonly body: string
  readonly severity: number
  readonly severityText: string
  /** Nanoseconds since the epoch; "0" if unknown. */
  readonly time: string
  readonly observed: string
  readonly trace: string
  readonly span: string
  readonly attributes: Readonly<Record<string, unknown>>
  readonly service: string
}

export interface GotSpan {
  readonly name: string
  readonly kind: number
  readonly trace: string
  readonly parent: string
  readonly start: bigint
  readonly end: bigint
  readonly status: number
  readonly attributes: Readonly<Record<string, unknown>>
  readonly service: string
}

export function readFiles(
  text: string,
): Promise<Reading<{ readonly files: FilesOptions; readonly spans: SpansOptions }>> {
  const schema = section('', { files: files.options, spans: spans.options })
  return read(schema, { environment: {}, file: { name: 'test.yaml', text: `files: ${text}` } })
}

export interface Following {
  readonly running: FilesRunning
  readonly records: readonly Got[]
  readonly spans: readonly GotSpan[]
  readonly logged: readonly string[]
  readonly seen: SeenAnswers
  readonly memory: Memory
  /** The answer of the consumer, and how often it was asked. */
  readonly consumer: { admits: number; safe: boolean; asked: number }
  bodies(): string[]
  /** The sum of a family's series with these labels. */
  value(family: string, labels?: Readonly<Record<string, string>>): Promise<number>
  page(): Promise<string>
  stop(): Promise<void>
}

/** A folder that is removed at the end. */
export function folder(t: Test): {
  readonly dir: string
  path(name: string): string
  write(name: string, text: string | Buffer): string
  append(name: string, text: string | Buffer): void
} {
  const dir = mkdtempSync(join(tmpdir(), 'files-'))
  t.teardown(() => rmSync(dir, { recursive: true, force: true }))
  return {
    dir,
    path: name => join(dir, name),
    write(name, text) {
      writeFileSync(join(dir, name), text)
      return join(dir, name)
    },
    append: (name, text) => appendFileSync(join(dir, name), text),
  }
}

export async function follow(
  t: Test,
  options: object,
  more: { readonly keep?: boolean; readonly service?: string } = {},
): Promise<Following> {
  const reading = await readFiles(JSON.stringify({ poll: '10ms', ...options }))
  if (!reading.ok) throw new Error(reading.problems.map(each => each.text).join('; '))
  const records: Got[] = []
  const found: GotSpan[] = []
  const logged: string[] = []
  const line = (level: string) => (message: string, fields?: object) =>
    void logged.push(`${level} ${message} ${JSON.stringify(fields ?? {})}`)
  const log = { info: line('info'), warn: line('warn'), error: line('error') }
  const metrics = new Metrics()
  const memory = new Memory(64 << 20)
  const consumer = { admits: 0, safe: true, asked: 0 }
  const keys = new Keys()
  const host = {
    proc: '/proc',
    clock,
    metrics,
    memory,
    log,
    app: { select: {}, url: undefined, child: undefined, pid: undefined, port: undefined },
    seen: new SeenAnswers(clock),
    service: more.service ?? 'shop',
    keys,
  }
  const collector = (take: (request: Request) => void): RequestConsumer => ({
    name: 'test',
    reasons: [],
    admit() {
      consumer.asked++
      return consumer.admits
    },
    settled: () => (consumer.safe ? undefined : Promise.resolve(false)),
    take(request) {
      take(request)
      return undefined
    },
  })
  const counting = spans.start(reading.values.spans, host)
  const receiver = await otlp.start(
    { http: OFF, grpc: { ...OFF, idle_timeout: 1000 }, ...LIMITS },
    {
      ...host,
      consumers: {
        keys,
        spans: [counting],
        logs: [collector(({ bytes }) => void (more.keep === false || records.push(...decodeLogs(bytes))))],
        traces: [collector(({ bytes }) => void (more.keep === false || found.push(...decodeSpans(bytes))))],
      },
    },
  )
  const running = await files.start(reading.values.files, { ...host, intake: () => receiver.intake })
  let stopped = false
  const stop = async (): Promise<void> => {
    if (stopped) return
    stopped = true
    await running[Symbol.asyncDispose]()
    await receiver[Symbol.asyncDispose]()
  }
  t.teardown(stop)
  const scrape = new Scrape(metrics, [
    { name: 'files', collect: signal => running.collect?.(signal) },
    { name: 'otlp', collect: signal => receiver.collect?.(signal) },
    { name: 'spans', collect: signal => counting.collect?.(signal) },
  ])
  const page = async (): Promise<string> =>
    Buffer.concat((await scrape.scrape(undefined, AbortSignal.timeout(5000))).chunks).toString()
  return {
    running,
    records,
    spans: found,
    logged,
    seen: host.seen,
    memory,
    consumer,
    bodies: () => records.map(each => each.body),
    page,
    async value(family, labels = {}) {
      const rows = (await page())
        .split('\n')
        .filter(row => row.startsWith(`${family}{`) || row.startsWith(`${family} `))
      const wanted = rows.filter(row =>
        Object.entries(labels).every(([name, value]) => row.includes(`${name}="${value}"`)),
      )
      if (wanted.length === 0) return Number.NaN
      return wanted.reduce((sum, row) => sum + Number(row.split(' ').at(-1)), 0)
    },
    stop,
  }
}

const OFF = {
  listen: undefined,
  max_connections: 1,
  header_timeout: 1000,
  request_timeout: 1000,
  allowed_origins: [],
}
const LIMITS = { max_request: 16 << 20, max_items: 100_000, max_json: 4 << 20, max_inflight: 64 << 20 }

/** Waits until a condition holds; fails with what is there otherwise. */
export async function until(
  condition: () => boolean | Promise<boolean>,
  what: () => string,
  ms = 60_000,
): Promise<void> {
  for (const end = performance.now() + ms; performance.now() < end; ) {
    if (await condition()) return
    await new Promise(resolve => setTimeout(resolve, 5))
  }
  throw new Error(`not in time: ${what()}`)
}

/** Waits until so many files are followed. */
export async function followed(following: Following, count: number): Promise<void> {
  await until(
    async () => (await following.value('app_log_files')) === count,
    () => `${count} files are followed: ${following.logged.join('\n')}`,
  )
}

/** Waits for so many records. */
export async function records(following: Following, count: number): Promise<void> {
  await until(
    () => following.records.length >= count,
    () =>
      `${following.records.length} of ${count}: ${following.bodies().slice(-3).join(' | ')} ${following.logged.join('\n')}`,
  )
}

interface Any {
  readonly stringValue?: string
  readonly boolValue?: boolean
  readonly intValue?: number | string | { toNumber(): number }
  readonly doubleValue?: number
  readonly arrayValue?: { readonly values?: readonly Any[] }
  readonly kvlistValue?: { readonly values?: readonly Pair[] }
}
interface Pair {
  readonly key: string
  readonly value?: Any
}

const DECODED = { longs: String, bytes: Buffer, defaults: false } as const

function decodeLogs(bytes: Buffer): Got[] {
  const type = decoder('logs')
  const request = type.toObject(type.decode(bytes), DECODED) as { resourceLogs?: readonly unknown[] }
  return groups(request.resourceLogs, 'scopeLogs', 'logRecords').map(({ service, item }) => ({
    service,
    body: String(plain(item['body'] as Any)),
    severity: Number(item['severityNumber'] ?? 0),
    severityText: String(item['severityText'] ?? ''),
    time: String(item['timeUnixNano'] ?? '0'),
    observed: String(item['observedTimeUnixNano'] ?? '0'),
    trace: hex(item['traceId']),
    span: hex(item['spanId']),
    attributes: pairs(item['attributes'] as readonly Pair[]),
  }))
}

function decodeSpans(bytes: Buffer): GotSpan[] {
  const type = decoder('traces')
  const request = type.toObject(type.decode(bytes), DECODED) as { resourceSpans?: readonly unknown[] }
  return groups(request.resourceSpans, 'scopeSpans', 'spans').map(({ service, item }) => ({
    service,
    name: String(item['name'] ?? ''),
    kind: Number(item['kind'] ?? 0),
    trace: hex(item['traceId']),
    parent: hex(item['parentSpanId']),
    start: BigInt(String(item['startTimeUnixNano'] ?? 0)),
    end: BigInt(String(item['endTimeUnixNano'] ?? 0)),
    status: Number((item['status'] as { code?: number } | undefined)?.code ?? 0),
    attributes: pairs(item['attributes'] as readonly Pair[]),
  }))
}

type Item = Readonly<Record<string, unknown>>

function groups(resources: readonly unknown[] = [], scopes: string, items: string): { service: string; item: Item }[] {
  return (resources as readonly Item[]).flatMap(group => {
    const resource = pairs((group['resource'] as { attributes?: readonly Pair[] } | undefined)?.attributes)
    return ((group[scopes] ?? []) as readonly Item[]).flatMap(scope =>
      ((scope[items] ?? []) as readonly Item[]).map(item => ({ service: String(resource['service.name']), item })),
    )
  })
}

function pairs(all: readonly Pair[] = []): Record<string, unknown> {
  return Object.fromEntries(all.map(({ key, value }) => [key, plain(value)]))
}

function plain(value: Any | undefined): unknown {
  if (value?.arrayValue) return (value.arrayValue.values ?? []).map(plain)
  if (value?.kvlistValue) return pairs(value.kvlistValue.values)
  if (value?.intValue !== undefined) return Number(value.intValue)
  return value?.stringValue ?? value?.boolValue ?? value?.doubleValue
}

function hex(bytes: unknown): string {
  return Buffer.isBuffer(bytes) ? bytes.toString('hex') : ''
}
