// Acts a script on real sockets: the client's side and the server's, directly or through a relay.

import { once } from 'node:events'
import { connect, createServer, type Server, type Socket } from 'node:net'
import type { Act, Script } from './scripts.ts'

export interface Heard {
  readonly bytes: Buffer
  /** The end of the connection for this side. */
  readonly end: 'end' | 'reset'
}

/** The application's side: the scripts of its connections, one after another. */
export class Upstream {
  readonly #server: Server
  #next: ((socket: Socket) => void) | undefined

  constructor() {
    this.#server = createServer({ allowHalfOpen: true, noDelay: true }, socket => this.#next?.(socket))
  }

  async listen(): Promise<number> {
    this.#server.listen(0, '127.0.0.1')
    await once(this.#server, 'listening')
    const address = this.#server.address()
    if (typeof address !== 'object' || !address) throw new Error('cannot listen')
    return address.port
  }

  connection(): Promise<Socket> {
    const { promise, resolve } = Promise.withResolvers<Socket>()
    this.#next = resolve
    return promise
  }

  close(): void {
    this.#server.close()
  }
}

/** The bytes that each side has received. */
export async function act(
  script: Script,
  upstream: Upstream,
  port: number,
): Promise<{ readonly client: Heard; readonly server: Heard }> {
  const accepted = upstream.connection()
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true, noDelay: true })
  const client = perform(socket, script.client)
  const server = perform(await accepted, script.server)
  return { client: await client, server: await server }
}

function perform(socket: Socket, acts: readonly Act[]): Promise<Heard> {
  const { promise, resolve } = Promise.withResolvers<Heard>()
  const heard: Buffer[] = []
  let received = 0
  let at = 0
  let waiting = false
  let end: Heard['end'] = 'end'
  const go = (): void => {
    waiting = false
    const next = acts[at]
    if (!next || next.after > received || socket.destroyed) return
    at++
    if (next.what === 'write') socket.write(next.bytes!)
    else if (next.what === 'end') socket.end()
    else {
      end = 'reset'
      socket.resetAndDestroy()
      return
    }
    // So that pieces are sent, and mostly also arrive, one by one.
    if (!waiting) setImmediate(go)
    waiting = true
  }
  socket.on('data', (bytes: Buffer) => {
    heard.push(bytes)
    received += bytes.length
    if (!waiting) go()
  })
  socket.on('end', () => {
    // A side that is only told of the end answers it.
    if (at >= acts.length) socket.end()
  })
  socket.on('error', () => {
    end = 'reset'
  })
  socket.on('close', () => resolve({ bytes: Buffer.concat(heard), end }))
  go()
  return promise
}
