// One HTTP/1.1 request on a connection of its own.

import type { Socket } from 'node:net'
import type { Client, ClientRequest } from '../telemetry/client.ts'
import { open } from './connection.ts'
import { type Failure, failure } from './failure.ts'
import { type Response, ResponseReader } from './response.ts'
import { Stopwatch } from './stopwatch.ts'

export const request: Client = async (asked, signal, clock) => {
  const watch = new Stopwatch(clock)
  const { notAfter, ...opened } = await open(asked.endpoint, signal, watch, { blocked: asked.blocked })
  const seen = notAfter === undefined ? {} : { notAfter }
  if (!opened.ok) return watch.stop({ ...opened, ...seen })
  try {
    return watch.stop({ ...(await exchange(asked, opened.socket, signal, watch)), ...seen })
  } finally {
    opened.socket.destroy()
  }
}

type Outcome = Response | (Failure & { readonly status?: number })

function exchange(asked: ClientRequest, socket: Socket, signal: AbortSignal, watch: Stopwatch): Promise<Outcome> {
  const { promise, resolve } = Promise.withResolvers<Outcome>()
  const { method, maxHead, maxBody, room, body } = asked
  const reader = new ResponseReader({ bodiless: method === 'HEAD', maxHead, maxBody, room })
  const settle = (outcome: Response | Failure): void => {
    const { status } = reader
    resolve(outcome.ok || status === undefined ? outcome : { ...outcome, status })
  }
  const expire = (): void => settle(failure(undefined, signal))
  if (signal.aborted) expire()
  else signal.addEventListener('abort', expire, { once: true })

  watch.enter('processing')
  let begun = false
  socket.on('data', (bytes: Buffer) => {
    if (!begun) watch.enter('transfer')
    begun = true
    const outcome = reader.push(bytes)
    if (outcome === undefined) return
    settle(outcome)
    socket.destroy()
  })
  socket.on('error', error => settle(failure(error, signal)))
  socket.on('end', () => settle(reader.close()))
  socket.on('close', () => settle(reader.close()))
  socket.write(head(asked), 'latin1')
  if (body) socket.write(body)
  return promise.finally(() => {
    signal.removeEventListener('abort', expire)
    socket.destroy()
  })
}

/** The caller has checked that the names and values of the headers may stand in a request. */
function head({ method, path, headers, body }: ClientRequest): string {
  const { connection = 'close' } = headers
  const all = { ...headers, connection, ...(body ? { 'content-length': body.length } : {}) }
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`)
  return `${method} ${path} HTTP/1.1\r\n${lines.join('')}\r\n`
}
