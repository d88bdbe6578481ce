// An application with /metrics, and a sidecar that scrapes it: a real server, the real part, and the real exposition.

import { createServer, type IncomingMessage, type RequestListener, type ServerResponse } from 'node:http'
import { type AddressInfo, createServer as createSocket, type Socket } from 'node:net'
import type { Test } from 'tap'
import { scrape as part } from '../../collectors/scrape.ts'
import { Scrape } from '../../exporter/prometheus.ts'
import { clock } from '../../host/clock.ts'
import { Metrics } from '../../metrics/registry.ts'
import { section } from '../../options/kinds.ts'
import { read } from '../../options/read.ts'
import type { Application, Host } from '../../telemetry/host.ts'
import { Memory } from '../../telemetry/memory.ts'
import type { Running } from '../../telemetry/part.ts'

export const OPENMETRICS = 'application/openmetrics-text;version=1.0.0'
export const PROTOBUF = 'application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited'
export const UTF8 = ';escaping=allow-utf-8'

export const TEXT_TYPE = 'text/plain; version=0.0.4; charset=utf-8'
export const OPENMETRICS_TYPE = 'application/openmetrics-text; version=1.0.0; charset=utf-8'
export const PROTOBUF_TYPE =
  'application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited'

/** A server on a free port; returns its URL. */
export async function serve(t: Test, listener: RequestListener): Promise<string> {
  const server = createServer(listener)
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  // The address of a listening TCP server is an object.
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

/** A server of raw bytes: what it is told is sent on each connection. */
export async function serveRaw(t: Test, connection: (socket: Socket) => void): Promise<string> {
  const sockets = new Set<Socket>()
  const server = createSocket(socket => {
    sockets.add(socket)
    socket.on('error', () => {})
    connection(socket)
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

export function answer(body: string | Buffer, type = TEXT_TYPE, headers = {}) {
  return (_request: IncomingMessage, response: ServerResponse): void => {
    response.writeHead(200, { 'content-type': type, ...headers }).end(body)
  }
}

export interface Sidecar {
  readonly running: Running
  readonly host: Host
  readonly app: Application
  readonly metrics: Metrics
  readonly memory: Memory
  readonly logged: string[]
  readonly scrape: Scrape
  /** The whole page. */
  bytes(accept?: string, ms?: number): Promise<Buffer>
  text(accept?: string, ms?: number): Promise<string>
  /** The page without the families of the sidecar. */
  theirs(accept?: string): Promise<string>
  /** A number of the sidecar, such as `app_metrics_up` or `app_metrics_dropped_total{reason="syntax"}`. */
  number(name: string): Promise<number | undefined>
}

type Values = Readonly<Record<string, unknown>>

/** The options as they are read from a file. */
async function options(values: Values): Promise<Parameters<typeof part.start>[0]> {
  // YAML is a superset of JSON.
  const file = { name: 'test.yaml', text: JSON.stringify({ scrape: values }) }
  const reading = await read(section('All.', { scrape: part.options }), { file })
  if (!reading.ok) throw new Error(reading.problems.map(problem => problem.text).join('\n'))
  return reading.values.scrape
}

/** A sidecar whose only part is the scrape. */
export async function sidecar(t: Test, values: Values, app: Partial<Application> = {}): Promise<Sidecar> {
  const logged: string[] = []
  const line = (level: string) => (message: string) => void logged.push(`${level} ${message}`)
  const metrics = new Metrics()
  const memory = new Memory(256 * 2 ** 20)
  const host: Host = {
    proc: '/proc',
    clock,
    metrics,
    memory,
    log: { info: line('info'), warn: line('warn'), error: line('error') },
    app: { select: {}, url: undefined, child: undefined, pid: undefined, port: undefined, ...app },
  }
  const running: Running = await part.start(await options(values), host)
  t.teardown(() => running[Symbol.asyncDispose]())
  const scrape = new Scrape(metrics, [
    { name: 'scrape', merge: (asked, signal) => running.merge?.(asked, signal) ?? Promise.resolve() },
  ])
  const bytes = async (accept?: string, ms = 10_000): Promise<Buffer> => {
    const { chunks } = await scrape.scrape(accept, AbortSignal.timeout(ms), ms)
    return Buffer.concat(chunks)
  }
  const text = async (accept?: string, ms?: number) => (await bytes(accept, ms)).toString()
  return {
    running,
    host,
    app: host.app,
    metrics,
    memory,
    logged,
    scrape,
    bytes,
    text,
    theirs: async accept => (await text(accept)).replace(/^(?:# \w+ )?(?:app_metrics|pillion)_.*\n/gm, ''),
    async number(name) {
      const escaped = name.replace(/[{}"$.]/g, '\\$&')
      const found = new RegExp(`^${escaped} (\\S+)$`, 'm').exec(await text())
      return found ? Number(found[1]) : undefined
    },
  }
}
