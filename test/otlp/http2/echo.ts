// A server of nothing but HTTP/2: it answers each request, when it is whole, with a body and trailers.

import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import type { Test } from 'tap'
import type { Handler } from '../../../collectors/otlp/http2/connection.ts'
import type { Field } from '../../../collectors/otlp/http2/field.ts'
import type { Head } from '../../../collectors/otlp/http2/head.ts'
import { headerBlock } from '../../../collectors/otlp/http2/hpack.ts'
import { Http2Server } from '../../../collectors/otlp/http2/server.ts'
import type { Stream } from '../../../collectors/otlp/http2/stream.ts'
import { Places } from '../../../collectors/otlp/places.ts'
import { clock } from '../receiver.ts'

const HEAD = headerBlock([[':status', '200']])
const TRAILERS = headerBlock([['grpc-status', '0']])

export interface Echo {
  readonly port: number
  /** The fields of the heads that have come, in order. */
  readonly heads: (readonly Field[])[]
}

/** It is closed when the test ends. */
export async function echo(t: Test): Promise<Echo> {
  const heads: (readonly Field[])[] = []
  const handler: Handler<Stream<unknown>, Head> = {
    facts: head => head,
    begin(stream, head) {
      heads.push(head.fields)
      return stream
    },
    body(stream, _, last) {
      if (last) stream.answer(HEAD, Buffer.from('Hello, world'), TRAILERS)
    },
    gone() {},
    tick() {},
  }
  const limits = { header_timeout: 5000, idle_timeout: 65_000 }
  const http2 = new Http2Server(handler, limits, clock)
  const places = new Places(256)
  const server = createServer({ allowHalfOpen: true, noDelay: true }, socket => {
    const place = places.take(() => socket.destroy())
    if (place) http2.accept(socket, place)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    http2.cut()
    server.close()
  })
  return { port: (server.address() as AddressInfo).port, heads }
}
