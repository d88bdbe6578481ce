// Places for connections: at most so many at one time. When all are taken, the connection that has been idle the longest gives
// way to the new one, so that idle clients cannot lock others out; only when none is idle is the new one closed.

export class Places {
  /** Connections that were closed for lack of a place, idle ones and new ones. */
  closed = 0
  readonly #limit: number
  readonly #held = new Set<Place>()
  /** Those of them without a request, in the order in which they became idle. */
  readonly #idle = new Set<Place>()

  constructor(limit: number) {
    this.#limit = limit
  }

  /** A place for a connection that is idle so far, or undefined if there is none. `close` ends the connection. */
  take(close: () => void): Place | undefined {
    if (this.#held.size >= this.#limit) {
      this.closed++
      const [longest] = this.#idle
      if (!longest) return undefined
      longest.leave()
      longest.close()
    }
    const place = new Place(this.#held, this.#idle, close)
    this.#held.add(place)
    this.#idle.add(place)
    return place
  }
}

export class Place {
  /** Requests of this connection that are not answered yet. */
  requests = 0
  readonly close: () => void
  readonly #held: Set<Place>
  readonly #idle: Set<Place>

  constructor(held: Set<Place>, idle: Set<Place>, close: () => void) {
    this.#held = held
    this.#idle = idle
    this.close = close
  }

  /** A request has begun. */
  begin(): void {
    if (this.requests++ === 0) this.#idle.delete(this)
  }

  /** A request is over. */
  end(): void {
    if (--this.requests === 0 && this.#held.has(this)) this.#idle.add(this)
  }

  /** The connection is over. */
  leave(): void {
    this.#held.delete(this)
    this.#idle.delete(this)
  }
}
