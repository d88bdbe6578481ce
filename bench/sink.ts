// An OTLP/HTTP endpoint as a process of its own, which takes everything and counts it: spans if it is told to, otherwise only
// requests and bytes, which leaves the machine to what is measured.

import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { gunzipSync } from 'node:zlib'
import { Check } from '../otlp/check.ts'
import { REQUESTS } from '../otlp/schema.ts'

export interface Counts {
  readonly requests: number
  readonly bytes: number
  /** Spans, if they were counted. */
  readonly spans: number
}

export class Sink implements AsyncDisposable {
  readonly url: string
  readonly #process: ChildProcess

  private constructor(child: ChildProcess, url: string) {
    this.#process = child
    this.url = url
  }

  static async start(): Promise<Sink> {
    const child = fork(import.meta.filename, { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] })
    const [url] = await once(child, 'message')
    return new Sink(child, String(url))
  }

  /** Returns the counts since the last call; from now on spans are counted, or not. */
  async take(countSpans: boolean): Promise<Counts> {
    this.#process.send({ countSpans })
    const [counts] = await once(this.#process, 'message')
    return counts as Counts // as below
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#process.kill('SIGKILL')
  }
}

if (import.meta.main && process.send) {
  const check = new Check()
  let counts = { requests: 0, bytes: 0, spans: 0 }
  let counting = false
  const server = createServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      const body = Buffer.concat(chunks)
      counts.requests++
      counts.bytes += body.length
      if (counting && request.url === '/v1/traces') {
        const plain = request.headers['content-encoding'] === 'gzip' ? gunzipSync(body) : body
        check.run(plain, REQUESTS.traces)
        counts.spans += check.items
      }
      response.writeHead(200, { 'content-type': 'application/x-protobuf', 'content-length': 0 }).end()
    })
  })
  process.on('message', (asked: { readonly countSpans: boolean }) => {
    process.send?.(counts)
    counts = { requests: 0, bytes: 0, spans: 0 }
    counting = asked.countSpans
  })
  server.listen(0, '127.0.0.1', () => {
    // A listening TCP server has an AddressInfo (node:net).
    process.send?.(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
  })
}
