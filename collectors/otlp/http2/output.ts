// The output of one connection, gathered while it is read, so that all answers to what was read in one turn are one write.

import type { Socket } from 'node:net'
import type { Place } from '../places.ts'
import type { Turn } from '../turn.ts'

/** Bytes that wait for a client to take them. Beyond them its requests wait too. */
const MOST_UNTAKEN = 256 * 1024

export class Output {
  readonly #socket: Socket
  readonly #place: Place
  readonly #turn: Turn
  #gathered: Buffer[] = []
  #gathering = false
  /** The gathered frames are written at the end of the turn. */
  #waiting = false

  constructor(socket: Socket, place: Place, turn: Turn) {
    this.#socket = socket
    this.#place = place
    this.#turn = turn
    socket.on('drain', () => socket.resume())
  }

  write(bytes: Buffer): void {
    this.#gathered.push(bytes)
    if (!this.#gathering) this.flush()
  }

  /** From now on frames are gathered, until `release`; they are written at the end of the turn. */
  gather(): void {
    this.#gathering = true
  }

  release(): void {
    this.#gathering = false
    if (this.#gathered.length === 0 || this.#waiting) return
    this.#waiting = true
    // Until then: an idle connection may be closed at any moment.
    this.#place.begin()
    this.#turn.add(this)
  }

  /** Sends what was gathered, and nothing after it. */
  end(): void {
    this.flush()
    this.#socket.end()
  }

  flush(): void {
    const socket = this.#socket
    const [first] = this.#gathered
    if (!first) return
    const bytes = this.#gathered.length === 1 ? first : Buffer.concat(this.#gathered)
    this.#gathered = []
    if (this.#waiting) this.#place.end()
    this.#waiting = false
    if (socket.writable && !socket.write(bytes) && socket.writableLength > MOST_UNTAKEN) socket.pause()
  }
}
