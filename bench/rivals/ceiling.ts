// The throughput of node:http and node:http2 if bodies are only read: the upper limit for any receiver built on them.
// `node ceiling.ts HTTP_PORT GRPC_PORT`; with `start` it is launched.

import type { IncomingMessage, ServerResponse } from 'node:http'
import { BUILT, freePort, launch, nodeFlags, type Server } from '../server.ts'

/** The sidecar takes this flag back as soon as there is load (host/optimize.ts); a program that keeps it is slow. */
const TAKEN_BACK = '--no-opt'

export async function ceiling(): Promise<Server> {
  const ports = { http: await freePort(), grpc: await freePort(), metrics: 0 }
  return await launch({
    name: 'nothing decoded',
    command: process.execPath,
    args: [
      ...nodeFlags(BUILT).filter(flag => flag !== TAKEN_BACK),
      import.meta.filename,
      String(ports.http),
      String(ports.grpc),
    ],
    ports,
    ready: `http://127.0.0.1:${ports.http}/`,
  })
}

if (import.meta.main) {
  const { createServer } = process.getBuiltinModule('node:http')
  const http2 = process.getBuiltinModule('node:http2')
  let gathered = 0
  const body = (chunks: readonly Buffer[]) => (chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks))
  const [http, grpc] = process.argv.slice(2).map(Number)
  createServer((request: IncomingMessage, answer: ServerResponse) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      gathered += body(chunks).length
      answer.writeHead(200, { 'Content-Type': 'application/x-protobuf', 'Content-Length': 0 })
      answer.end()
    })
  }).listen(http, '127.0.0.1')

  const server = http2.createServer({ settings: { initialWindowSize: 4 * 1024 * 1024 } })
  server.on('session', session => session.setLocalWindowSize(16 * 1024 * 1024))
  server.on('stream', stream => {
    const chunks: Buffer[] = []
    stream.on('data', (chunk: Buffer) => chunks.push(chunk))
    stream.on('end', () => {
      gathered += body(chunks).length
      // Node's own objects outlive a call and would keep its chunks (docs/performance.md).
      chunks.length = 0
      stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true })
      stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }))
      stream.end(Buffer.alloc(5))
    })
  })
  server.listen(grpc, '127.0.0.1')
  process.on('exit', () => console.log(gathered))
}
