// The connections of an HTTP/2 server that never listens itself.

import type { Socket } from 'node:net'
import type { Clock } from '../../../telemetry/host.ts'
import { Connections } from '../connections.ts'
import type { Place } from '../places.ts'
import { Turn } from '../turn.ts'
import { Connection, type Handler, type Limits } from './connection.ts'

export class Http2Server<Call, Facts> {
  readonly #handler: Handler<Call, Facts>
  readonly #limits: Limits
  readonly #clock: Clock
  readonly #open: Connections<Connection<Call, Facts>>
  readonly #turn = new Turn()

  constructor(handler: Handler<Call, Facts>, limits: Limits, clock: Clock) {
    this.#handler = handler
    this.#limits = limits
    this.#clock = clock
    this.#open = new Connections(clock)
  }

  /** Speaks HTTP/2 on a connection. */
  accept(socket: Socket, place: Place): void {
    const connection = new Connection(socket, place, this.#handler, this.#limits, this.#clock, this.#turn)
    this.#open.add(connection)
    socket.on('close', () => this.#open.delete(connection))
  }

  /** Tells every client to go elsewhere; calls on their way are still answered. */
  drain(): void {
    this.#open.drain()
  }

  /** Ends every connection at once. */
  cut(): void {
    this.#open.cut()
  }
}
