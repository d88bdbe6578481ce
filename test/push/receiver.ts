// A receiver of the push that answers as it is told, and a push to it.

import { once } from 'node:events'
import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Test } from 'tap'
import { Scrape } from '../../exporter/prometheus.ts'
import { type PushOptions, push } from '../../exporter/push.ts'
import { clock } from '../../host/clock.ts'
import { Metrics } from '../../metrics/registry.ts'
import { section } from '../../options/kinds.ts'
import { read } from '../../options/read.ts'
import type { Application } from '../../telemetry/host.ts'
import { Memory } from '../../telemetry/memory.ts'
import { UNRECORDED } from '../../telemetry/tracer.ts'
import { until } from '../e2e/child.ts'

export interface Got {
  readonly path: string
  readonly headers: IncomingHttpHeaders
  readonly body: Buffer
}

/** Answers the n-th request, from 0. */
export type Answering = (got: Got, n: number, response: ServerResponse) => void

export const taken: Answering = ({ headers }, _, response) => {
  if (headers['x-prometheus-remote-write-version'] === '2.0.0')
    response.setHeader('X-Prometheus-Remote-Write-Samples-Written', '1000000')
  response.writeHead(204).end()
}

export interface Receiving {
  readonly url: string
  readonly got: Got[]
  answer: Answering
}

export async function receiving(t: Test, answer: Answering = taken): Promise<Receiving> {
  const receiver: { url: string; got: Got[]; answer: Answering } = { url: '', got: [], answer }
  const server = createServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', chunk => chunks.push(chunk))
    request.on('end', () => {
      const got = { path: request.url ?? '', headers: request.headers, body: Buffer.concat(chunks) }
      receiver.got.push(got)
      receiver.answer(got, receiver.got.length - 1, response)
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  receiver.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`
  return receiver
}

export interface Pushed extends AsyncDisposable {
  readonly metrics: Metrics
  readonly logged: string[]
  readonly memory: Memory
  readonly app: Application
  finish(ms?: number): Promise<void>
  findings(): readonly string[]
  /** The value of a family of the push itself; undefined if there is none. */
  value(name: string, labels?: Readonly<Record<string, string>>): Promise<number | undefined>
}

/** The options of a push, with defaults. */
export async function optionsOf(values: Readonly<Record<string, unknown>>): Promise<PushOptions> {
  const file = { name: 'test', text: JSON.stringify({ push: values }) }
  const reading = await read(section('', { push: push.options }), { file })
  if (!reading.ok) throw new Error(reading.problems.map(({ text }) => text).join('\n'))
  return (reading.values as { push: PushOptions }).push
}

export interface Around {
  readonly metrics?: Metrics
  /** The scrape of these metrics, if there is one already. */
  readonly scrape?: Scrape
  readonly app?: Partial<Application>
  readonly budget?: number
  /** Shorter than the options allow. */
  readonly intervalMs?: number
  collect?(): void
}

export async function pushing(
  t: Test,
  values: Readonly<Record<string, unknown>>,
  around: Around = {},
): Promise<Pushed> {
  const { metrics = new Metrics(), budget = 2 ** 30, intervalMs, collect } = around
  const logged: string[] = []
  const line =
    (level: string) =>
    (message: string, fields: object = {}) =>
      void logged.push(`${level} ${message} ${JSON.stringify(fields)}`)
  const memory = new Memory(budget)
  const app: Application = {
    select: {},
    url: undefined,
    child: undefined,
    pid: undefined,
    port: undefined,
    ...around.app,
  }
  const scrape = around.scrape ?? new Scrape(metrics, collect ? [{ name: 'test', collect }] : [])
  const options = await optionsOf(values)
  const running = await push.start(
    { ...options, ...(intervalMs === undefined ? {} : { interval: intervalMs }) },
    {
      proc: '/proc',
      clock,
      metrics,
      memory,
      app,
      version: '1.2.3',
      service: 'shop',
      tracer: UNRECORDED,
      log: { info: line('info'), warn: line('warn'), error: line('error') },
      page: (accept, signal) => scrape.alone(accept, signal),
    },
  )
  t.teardown(() => running[Symbol.asyncDispose]())
  return {
    metrics,
    logged,
    memory,
    app,
    async finish(ms = 5000) {
      // The timers of a part do not keep a process alive.
      const ended = new AbortController()
      const timer = setTimeout(() => ended.abort(new Error('the time is over')), ms)
      await running.finish?.(ended.signal)
      clearTimeout(timer)
    },
    findings: () => (running.findings?.() ?? []).map(({ level, text }) => `${level}: ${text}`),
    async value(name, labels = {}) {
      const found = (await metrics.registry.getSingleMetric(name)?.get())?.values ?? []
      const wanted = Object.entries(labels)
      return found.find(each => wanted.every(([key, value]) => each.labels[key] === value))?.value
    },
    [Symbol.asyncDispose]: () => running[Symbol.asyncDispose](),
  }
}

/** Waits until so many requests have come. */
export async function requests({ got }: Receiving, count: number): Promise<void> {
  await until(`${count} requests`, () => (got.length >= count ? true : undefined))
}
