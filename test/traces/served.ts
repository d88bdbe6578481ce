// The part as the sidecar runs it, behind the real web server, asked over HTTP.

import type { Test } from 'tap'
import { Scrape } from '../../exporter/prometheus.ts'
import { type TracesOptions, traces } from '../../exporter/traces.ts'
import { clock } from '../../host/clock.ts'
import { SpanVisitor } from '../../otlp/visit.ts'
import type { SpanConsumer } from '../../telemetry/consumer.ts'
import { Keys } from '../../telemetry/keys.ts'
import { decoder } from '../otlp/protobufjs.ts'
import type { Message } from '../points/otlp.ts'
import { openServer } from '../web/open.ts'
import { type World, world } from '../world.ts'
import { encode } from './room.ts'

export interface Got {
  readonly status: number
  readonly type: string
  readonly headers: Headers
  readonly body: Buffer
  readonly text: string
}

export interface Served {
  readonly host: World
  readonly port: number
  send(...resourceSpans: readonly Message[]): void
  raw(bytes: Buffer): void
  /** The path begins behind /tempo. */
  get(path: string, headers?: Readonly<Record<string, string>>): Promise<Got>
  json(path: string): Promise<Tempo>
  /** Lines of /metrics that begin with this. */
  lines(start: string): Promise<string[]>
}

/** Any answer of Tempo. */
// biome-ignore lint/suspicious/noExplicitAny: answers are compared as a whole
export type Tempo = any

export async function serve(
  t: Test,
  options: Partial<TracesOptions> = {},
  more: (host: World, keys: Keys) => readonly SpanConsumer[] = () => [],
): Promise<Served> {
  const host = { ...world('/proc'), clock: clock as never }
  const keys = new Keys()
  const running = traces.start({ keep: 4 * 2 ** 20, query: { timeout: 5000 }, ...options }, host)
  const visitor = new SpanVisitor(keys, [...more(host, keys), ...(running.consumes?.spans ?? [])])
  const { port } = await openServer(t, { host: { routes: () => running.routes ?? [], metrics: host.metrics } })
  const scrape = new Scrape(host.metrics, [{ name: 'traces', collect: signal => running.collect?.(signal) }])
  t.teardown(() => running[Symbol.asyncDispose]())
  const get: Served['get'] = async (path, headers = {}) => {
    const answer = await fetch(`http://127.0.0.1:${port}/tempo${path}`, { headers })
    const body = Buffer.from(await answer.arrayBuffer())
    const type = answer.headers.get('content-type') ?? ''
    return { status: answer.status, type, headers: answer.headers, body, text: body.toString() }
  }
  const raw = (bytes: Buffer): void => {
    if (!visitor.walk.run(bytes, 1e6)) throw new Error('cannot walk what the test sends')
    visitor.show({ signal: 'traces', bytes, items: visitor.walk.items, received: Date.now() })
    for (const { error } of visitor.failed) throw error
  }
  return {
    host,
    port,
    raw,
    send: (...resourceSpans) => raw(encode(...resourceSpans)),
    get,
    async json(path) {
      const { status, text, type } = await get(path, { accept: 'application/json' })
      if (status !== 200 || type !== 'application/json') throw new Error(`${path}: ${status} ${text}`)
      return JSON.parse(text)
    },
    async lines(start) {
      const { chunks } = await scrape.scrape('application/openmetrics-text;version=1.0.0', AbortSignal.timeout(5000))
      return Buffer.concat(chunks)
        .toString()
        .split('\n')
        .filter(line => line.startsWith(start))
    },
  }
}

/** The contents of protobuf answers. */
export const TracesData = decoder('traces')
