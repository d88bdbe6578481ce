// An open web server for tests, and raw sockets to ask it with.

import { connect, type Socket } from 'node:net'
import type { Test } from 'tap'
import { LIMITS, type Limits } from '../../exporter/web/limits.ts'
import { serve } from '../../exporter/web/server.ts'
import type { WebHost, WebOptions } from '../../exporter/web.ts'
import { clock } from '../../host/clock.ts'
import { Metrics } from '../../metrics/registry.ts'
import { Memory } from '../../telemetry/memory.ts'
import type { Status } from '../../telemetry/status.ts'

export const status: Status = {
  version: '0.1.0',
  uptimeSeconds: 90_061,
  application: { name: 'shop', command: 'node server.js', url: 'http://127.0.0.1:8080/', pid: 4711, port: 8080 },
  parts: [
    { name: 'health', state: 'ok', facts: [{ name: 'memory', value: 141_557_760, unit: 'bytes' }], findings: [] },
    {
      name: 'process',
      state: 'warning',
      facts: [],
      findings: [{ level: 'warning', text: 'cannot read /proc/4711/io' }],
    },
  ],
  ledger: [{ signal: 'traces', received: 1006, accepted: 1000, refused: { too_large: 6, wrong_type: 0 } }],
}

export const text = 'text/plain; version=0.0.4; charset=utf-8'

export interface OpenServer {
  readonly port: number
  /** Sends the bytes as they are and gives back everything that comes until the peer closes. */
  raw(request: string): Promise<string>
  /** A request with Host and Connection: close, given by its first line and further header lines. */
  ask(line: string, ...headers: string[]): Promise<string>
  refused(reason: string): Promise<number | undefined>
  /** The value of a metric without labels; undefined if it is absent. */
  metric(name: string): Promise<number | undefined>
  logged(): readonly string[]
  close(): Promise<void>
}

export async function openServer(
  t: Test,
  given: { host?: Partial<WebHost>; options?: Partial<WebOptions>; limits?: Partial<Limits> } = {},
): Promise<OpenServer> {
  const metrics = new Metrics()
  const lines: string[] = []
  const line = (message: string, fields: Readonly<Record<string, unknown>> = {}): void => {
    lines.push([message, ...Object.values(fields).map(String)].join(' '))
  }
  const host: WebHost = {
    scrape: async () => ({ contentType: text, chunks: [Buffer.from('up 1\n')] }),
    status: () => status,
    unready: () => undefined,
    log: { info: line, warn: line, error: line },
    clock,
    metrics,
    memory: new Memory(2 ** 30),
    ...given.host,
  }
  const options: WebOptions = {
    listen: { host: '127.0.0.1', port: 0 },
    allowed_hosts: [],
    token_file: undefined,
    config: { file: undefined },
    scrape_timeout: 10_000,
    ...given.options,
  }
  const running = await serve(options, host, { ...LIMITS, ...given.limits })
  t.teardown(() => running[Symbol.asyncDispose]())
  const port = running.address()!.port
  const raw = (request: string): Promise<string> => exchange(port, request)
  return {
    port,
    raw,
    ask: (first, ...headers) =>
      raw(`${[`${first} HTTP/1.1`, `Host: 127.0.0.1:${port}`, 'Connection: close', ...headers].join('\r\n')}\r\n\r\n`),
    refused: async reason => {
      const counter = await metrics.registry.getSingleMetric('pillion_web_refused_requests_total')?.get()
      return counter?.values.find(each => each.labels['reason'] === reason)?.value
    },
    metric: async name => (await metrics.registry.getSingleMetric(name)?.get())?.values[0]?.value,
    logged: () => lines,
    close: async () => running[Symbol.asyncDispose](),
  }
}

/** Sends the bytes and gives back everything that comes until the peer closes. */
export function exchange(port: number, request: string): Promise<string> {
  return new Promise(resolve => {
    const socket = connect(port, '127.0.0.1')
    let answer = ''
    socket.setEncoding('latin1')
    socket.on('data', chunk => {
      answer += chunk
    })
    socket.on('error', () => {})
    socket.on('close', () => resolve(answer))
    socket.write(request, 'latin1')
  })
}

/** A connection that sends the bytes and then reads nothing until it is resumed. */
export function silent(port: number, request: string): Socket {
  const socket = connect({ port, host: '127.0.0.1' })
  socket.on('error', () => {})
  socket.pause()
  socket.write(request)
  return socket
}

/** Status and body of an answer. */
export function parsed(answer: string): { status: number; head: string; body: string } {
  const split = answer.indexOf('\r\n\r\n')
  return {
    status: Number(answer.slice(9, 12)),
    head: answer.slice(0, split),
    body: split === -1 ? '' : answer.slice(split + 4),
  }
}

/** Waits until the claim holds; the test's own deadline is the limit. */
export async function until(claim: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await claim())) await new Promise(resolve => setTimeout(resolve, 10))
}
