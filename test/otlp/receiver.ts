// Starts the real receiver on free ports, sends raw requests to it, and reads its ledger.

import { connect, type Socket } from 'node:net'
import type { Test } from 'tap'
import { type OtlpOptions, type OtlpRunning, otlp } from '../../collectors/otlp.ts'
import { Metrics } from '../../metrics/registry.ts'
import type { Consumers, SpanConsumer } from '../../telemetry/consumer.ts'
import type { Clock, Host, Log } from '../../telemetry/host.ts'
import { Keys } from '../../telemetry/keys.ts'
import { Memory } from '../../telemetry/memory.ts'

export const clock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  sleep: (ms, signal) =>
    new Promise((resolve, reject) => {
      const timer = setTimeout(resolve, ms).unref()
      const stop = () => {
        clearTimeout(timer)
        reject(signal.reason)
      }
      if (signal.aborted) stop()
      else signal.addEventListener('abort', stop, { once: true })
    }),
}

export const OPTIONS: OtlpOptions = {
  http: {
    listen: { host: '127.0.0.1', port: 0 },
    max_connections: 256,
    header_timeout: 10_000,
    request_timeout: 30_000,
    allowed_origins: [],
  },
  grpc: {
    listen: { host: '127.0.0.1', port: 0 },
    max_connections: 64,
    header_timeout: 5000,
    request_timeout: 30_000,
    idle_timeout: 65_000,
  },
  max_request: 16 * 1024 * 1024,
  max_json: 4 * 1024 * 1024,
  max_items: 50_000,
  max_inflight: 64 * 1024 * 1024,
}

export interface TestReceiver {
  readonly running: OtlpRunning
  readonly port: number
  readonly grpcPort: number
  readonly logged: readonly string[]
  /** The budget that it asks. */
  readonly memory: Memory
  /** The value of one series, such as `pillion_otlp_requests_total{signal="traces",transport="http",code="200"}`. */
  value(series: string): Promise<number | undefined>
  /** All series of a family that are not 0, without its name. */
  counted(family: string): Promise<Record<string, number>>
  fetch(path: string, init: Sent): Promise<Got>
}

export interface Sent {
  readonly method?: string
  readonly type?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: Buffer | string
}

export interface Got {
  readonly status: number
  readonly headers: Headers
  readonly body: Buffer
}

/** Consumers of a test, some of which bring the keys that they have asked for. */
export type Given = Partial<Omit<Consumers, 'spans'>> & {
  readonly spans?: readonly (SpanConsumer & { readonly keys?: Keys })[]
}

/** A receiver that is closed when the test ends. */
export async function receiver(t: Test, given: Given, options: Partial<OtlpOptions> = {}): Promise<TestReceiver> {
  const metrics = new Metrics()
  const logged: string[] = []
  const line = (level: string) => (message: string, fields?: object) =>
    logged.push(`${level} ${message} ${JSON.stringify(fields)}`)
  const log: Log = { info: line('info'), warn: line('warn'), error: line('error') }
  const app = { select: {}, url: undefined, child: undefined, pid: undefined, port: undefined }
  const host: Host = { proc: '/proc', clock, log, metrics, memory: new Memory(2 ** 30), app }
  const { spans = [], keys = spans[0]?.keys ?? new Keys(), ...others } = given
  const running = await otlp.start({ ...OPTIONS, ...options }, { ...host, consumers: { ...others, spans, keys } })
  t.teardown(() => running[Symbol.asyncDispose]())
  const port = running.address().http?.port ?? 0

  const read = async (): Promise<Map<string, number>> => {
    await running.collect?.(AbortSignal.timeout(1000))
    const lines = (await metrics.registry.metrics()).split('\n').filter(each => each && !each.startsWith('#'))
    return new Map(lines.map(each => [each.slice(0, each.lastIndexOf(' ')), Number(each.slice(each.lastIndexOf(' ')))]))
  }
  return {
    running,
    port,
    grpcPort: running.address().grpc?.port ?? 0,
    logged,
    memory: host.memory,
    value: async series => (await read()).get(series),
    async counted(family) {
      const found = [...(await read())].filter(([name, value]) => name.startsWith(`${family}{`) && value !== 0)
      return Object.fromEntries(found.map(([name, value]) => [name.slice(family.length), value]))
    },
    async fetch(path, { method = 'POST', type = 'application/x-protobuf', headers = {}, body }) {
      const init = { method, headers: { ...(type ? { 'content-type': type } : {}), ...headers } }
      const sent = body === undefined ? {} : { body: typeof body === 'string' ? body : new Uint8Array(body) }
      const answer = await fetch(`http://127.0.0.1:${port}${path}`, { ...init, ...sent })
      return { status: answer.status, headers: answer.headers, body: Buffer.from(await answer.arrayBuffer()) }
    },
  }
}

/** A raw connection: what was received so far, and waiting for more. */
export class Wire {
  received = Buffer.alloc(0)
  closed = false
  readonly socket: Socket
  #wake: () => void = () => {}

  constructor(port: number, host = '127.0.0.1') {
    this.socket = connect(port, host)
    this.socket.on('data', chunk => {
      this.received = Buffer.concat([this.received, chunk])
      this.#wake()
    })
    this.socket.on('error', () => {})
    this.socket.on('close', () => {
      this.closed = true
      this.#wake()
    })
  }

  get text(): string {
    return this.received.toString('latin1')
  }

  send(bytes: Buffer | string): void {
    if (!this.socket.destroyed) this.socket.write(bytes)
  }

  /** Waits until the condition holds; fails after a minute. */
  async until(condition: () => boolean, what: string): Promise<void> {
    const deadline = Date.now() + 60_000
    while (!condition()) {
      if (Date.now() > deadline)
        throw new Error(`waited a minute for ${what}; received ${JSON.stringify(this.text.slice(0, 500))}`)
      await new Promise<void>(resolve => {
        const timer = setTimeout(resolve, 50)
        this.#wake = () => {
          clearTimeout(timer)
          resolve()
        }
      })
    }
  }

  untilClosed(): Promise<void> {
    return this.until(() => this.closed, 'the connection to be closed')
  }

  close(): void {
    this.socket.destroy()
  }
}

/** Waits until an asynchronous condition holds; fails after a minute. */
export async function eventually(condition: () => Promise<boolean>, what: string): Promise<void> {
  for (const deadline = Date.now() + 60_000; !(await condition()); ) {
    if (Date.now() > deadline) throw new Error(`waited a minute for ${what}`)
    await new Promise(resolve => setTimeout(resolve, 20))
  }
}
