// The deadline of a request to a server. After a standstill of this process (it was stopped, or had no core) its timers run first,
// and sockets with all that came meanwhile are read second: an answer that had come in time would be called late, and what it
// answers would be sent again.

export class Deadline implements Disposable {
  readonly #controller = new AbortController()
  readonly #timer: NodeJS.Timeout
  #turn: NodeJS.Immediate | undefined

  /** Aborts in so many milliseconds, when everything that has come until then has been read. */
  constructor(ms: number) {
    this.#timer = setTimeout(() => {
      // Immediates run behind the sockets of a turn.
      this.#turn = setImmediate(() => this.abort())
    }, ms)
  }

  get signal(): AbortSignal {
    return this.#controller.signal
  }

  /** Aborts at once. */
  abort(): void {
    this.#controller.abort()
  }

  /** Calls it off: there is an answer. */
  [Symbol.dispose](): void {
    clearTimeout(this.#timer)
    clearImmediate(this.#turn)
  }
}
