// The listeners: they accept connections within their bounds, see by the first bytes which protocol each one speaks, and hand
// it to the receiver of that protocol, whichever port it came to.

import { createServer, type Server, type Socket } from 'node:net'
import type { Clock } from '../../telemetry/host.ts'
import type { Budget } from './budget.ts'
import type { Bodies } from './memory.ts'
import type { Place, Places } from './places.ts'
import { firstBytes } from './protocol.ts'
import { readShared } from './reads.ts'

/** Speaks one protocol on connections that it is given. */
export interface Receiver {
  accept(socket: Socket, place: Place): void
  /** No new requests; those on their way may end. */
  drain(): void
  /** Ends every connection at once. */
  cut(): void
}

/** The memory that both receivers put bodies in. */
export interface Memory {
  readonly budget: Budget
  readonly bodies: Bodies
}

export interface ProtocolReceiver {
  readonly receiver: Receiver
  readonly places: Places
  /** The time that a client has until its first bytes are there, in milliseconds. */
  readonly header_timeout: number
  /** Told when they did not come in time. */
  readonly onSilent?: () => void
}

/** Shared by all listeners. */
export interface Surroundings {
  readonly http: ProtocolReceiver
  readonly grpc: ProtocolReceiver
  readonly clock: Clock
  /** Told when a client speaks TLS to the port, which has none. */
  readonly onTls: (port: number) => void
}

export class Listener {
  readonly server: Server
  readonly #own: ProtocolReceiver
  readonly #around: Surroundings
  /** Connections whose protocol is not known yet. */
  readonly #undecided = new Set<Socket>()

  /** Not listening yet. The protocol of its port is what most clients will speak. */
  constructor(own: 'http' | 'grpc', around: Surroundings) {
    this.#own = around[own]
    this.#around = around
    // As Node's own servers of both protocols make their connections.
    const options = { allowHalfOpen: true, noDelay: true, pauseOnConnect: true }
    this.server = createServer(options, socket => void this.#accept(readShared(socket)))
  }

  /** Accepts nothing more; connections that have not said anything are closed. */
  close(closed: () => void): void {
    this.server.close(closed)
    for (const socket of this.#undecided) socket.destroy()
  }

  async #accept(socket: Socket): Promise<void> {
    socket.on('error', () => {})
    socket.setKeepAlive(true, 30_000)
    const first = seat(socket, this.#own.places)
    if (!first) return
    this.#undecided.add(socket)
    const protocol = await firstBytes(socket, this.#own.header_timeout, this.#around.clock)
    this.#undecided.delete(socket)
    if (protocol === 'silent') this.#own.onSilent?.()
    if (protocol === 'silent' || protocol === 'gone' || socket.destroyed) {
      socket.destroy()
      return
    }
    // A handshake is answered as HTTP/1.1 that cannot be read, which a person who looks at it may understand.
    if (protocol === 'tls') this.#around.onTls(socket.localPort ?? 0)
    const { receiver, places } = protocol === 'http2' ? this.#around.grpc : this.#around.http
    if (places === this.#own.places) {
      receiver.accept(socket, first)
    } else {
      first.leave()
      const place = seat(socket, places)
      if (place) receiver.accept(socket, place)
    }
    socket.resume()
  }
}

/** Gives a connection a place, or closes it if there is none. */
function seat(socket: Socket, places: Places): Place | undefined {
  const place = places.take(() => socket.destroy())
  if (place) socket.once('close', () => place.leave())
  else socket.destroy()
  return place
}
