// One request of a connection.

/** Where its answer goes. */
interface Answering<Call> {
  answer(stream: Stream<Call>, head: Buffer, body: Buffer | undefined, trailers: Buffer | undefined): void
}

export class Stream<Call> {
  readonly id: number
  /** When its head had come, on the monotonic clock. */
  readonly since: number
  /** The handler's own object for it. */
  call: Call | undefined
  /** True until it has been answered, or was reset. */
  open = true
  /** The client has sent its last frame. */
  ended = false
  /** Bytes that the client may still send before its window is opened again. */
  window: number
  /** Bytes that the client lets us send. */
  credit: number
  /** The content-length, or -1, and what has come of it. */
  readonly declared: number
  received = 0
  readonly #connection: Answering<Call>

  constructor(
    connection: Answering<Call>,
    id: number,
    since: number,
    window: number,
    credit: number,
    declared: number,
  ) {
    this.#connection = connection
    this.id = id
    this.since = since
    this.window = window
    this.credit = credit
    this.declared = declared
  }

  /** Answers with a head, and with a body and trailers if there are any. The call is over. */
  answer(head: Buffer, body?: Buffer, trailers?: Buffer): void {
    this.#connection.answer(this, head, body, trailers)
  }
}
