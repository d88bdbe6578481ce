// An upstream that answers as a test says, and remembers what it was sent.

import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { gunzipSync, zstdDecompressSync } from 'node:zlib'
import type { Test } from 'tap'
import { Check } from '../../otlp/check.ts'
import { REQUESTS } from '../../otlp/schema.ts'
import type { Signal } from '../../telemetry/request.ts'

export interface Arrived {
  readonly signal: Signal
  readonly path: string
  readonly headers: IncomingMessage['headers']
  /** Decompressed. */
  readonly bytes: Buffer
  readonly items: number
  /** The port of the client: another connection has another one. */
  readonly connection: number
}

/** Answers a request, or does not. Without it the answer is 200. */
export type Respond = (arrived: Arrived, response: ServerResponse, n: number) => void

export interface Upstream {
  readonly url: string
  readonly port: number
  readonly arrived: readonly Arrived[]
  /** Spans, data points and log records in requests that were answered with 200. */
  readonly taken: () => number
  respond: Respond | undefined
  close(): Promise<void>
}

export async function upstream(t: Test, respond?: Respond, port = 0): Promise<Upstream> {
  const arrived: Arrived[] = []
  let taken = 0
  const server = createServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', chunk => chunks.push(chunk))
    request.on('end', () => {
      const coding = request.headers['content-encoding']
      const body = Buffer.concat(chunks)
      const bytes = coding === 'gzip' ? gunzipSync(body) : coding === 'zstd' ? zstdDecompressSync(body) : body
      const path = request.url ?? ''
      const signal = (/(traces|metrics|logs)/.exec(path)?.[1] ?? 'traces') as Signal
      const each = {
        signal,
        path,
        headers: request.headers,
        bytes,
        items: itemsOf(signal, bytes),
        connection: request.socket.remotePort ?? 0,
      }
      arrived.push(each)
      response.on('finish', () => {
        if (response.statusCode === 200) taken += each.items
      })
      if (self.respond) self.respond(each, response, arrived.length)
      else response.end()
    })
  })
  server.listen(port, '127.0.0.1')
  await once(server, 'listening')
  // A listening TCP server has an AddressInfo (node:net).
  const address = server.address() as AddressInfo
  const self: Upstream = {
    url: `http://127.0.0.1:${address.port}`,
    port: address.port,
    arrived,
    taken: () => taken,
    respond,
    async close() {
      server.closeAllConnections()
      server.close()
    },
  }
  t.teardown(() => self.close())
  return self
}

/** The items of a request; NaN if it is none. */
export function itemsOf(signal: Signal, bytes: Buffer): number {
  const check = new Check()
  return check.run(bytes, REQUESTS[signal]) ? check.items : Number.NaN
}

/** Waits for a condition; throws with what `why` says after a minute. */
export async function until(condition: () => boolean | Promise<boolean>, why: () => unknown = () => ''): Promise<void> {
  const end = performance.now() + 60_000
  while (!(await condition())) {
    if (performance.now() > end) throw new Error(`waited in vain: ${condition} ${JSON.stringify(why())}`)
    await new Promise(resolve => setTimeout(resolve, 5))
  }
}
