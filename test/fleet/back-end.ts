// A back end that takes traces over OTLP/HTTP and notes every span.

import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { gunzipSync } from 'node:zlib'
import { decoder } from '../otlp/protobufjs.ts'

export class BackEnd implements AsyncDisposable {
  /** The id of each span, and of its trace. */
  readonly seen = new Map<string, string>()
  /** Spans, those that came twice included. */
  arrived = 0
  /** Answers later than it takes. */
  delayMs = 0
  readonly #type = decoder('traces')
  readonly #server = createServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', chunk => chunks.push(chunk))
    request.on('end', () => {
      const body = Buffer.concat(chunks)
      this.#note(request.headers['content-encoding'] === 'gzip' ? gunzipSync(body) : body)
      response.writeHead(200, { 'content-type': 'application/x-protobuf' })
      setTimeout(() => response.end(), this.delayMs)
    })
  })

  static async listen(): Promise<BackEnd> {
    const backEnd = new BackEnd()
    backEnd.#server.listen(0, '127.0.0.1')
    await once(backEnd.#server, 'listening')
    return backEnd
  }

  get url(): string {
    // A listening TCP server has an AddressInfo (node:net).
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  #note(bytes: Buffer): void {
    // The shape of ExportTraceServiceRequest (opentelemetry/proto/collector/trace/v1/trace_service.proto).
    const { resourceSpans } = this.#type.decode(bytes) as unknown as {
      resourceSpans: { scopeSpans: { spans: { traceId: Uint8Array; spanId: Uint8Array }[] }[] }[]
    }
    for (const { scopeSpans } of resourceSpans)
      for (const { spans } of scopeSpans)
        for (const { traceId, spanId } of spans) {
          this.arrived++
          this.seen.set(Buffer.from(spanId).toString('hex'), Buffer.from(traceId).toString('hex'))
        }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections()
    this.#server.close()
  }
}
