// Sends answers as far as the client's windows allow (RFC 9113, section 5.2).

import { FLAG, frame, HEAD_BYTES, TYPE, writeHead } from './frames.ts'
import type { Output } from './output.ts'
import type { Stream } from './stream.ts'

/** A client may announce a larger frame than this, never a smaller one. */
const LARGEST_FRAME = 16_384

/** The time that an answer waits for room, in milliseconds. */
const ANSWER_MS = 10_000

/** An answer whose head was sent. */
interface Waiting<Call> {
  readonly stream: Stream<Call>
  readonly body: Buffer
  readonly trailers: Buffer
  readonly since: number
  sent: number
}

export class Answers<Call> {
  /** Bytes that the client lets us send on the whole connection. */
  credit: number
  readonly #output: Output
  /** Told of each stream whose answer was sent. */
  readonly #sent: (stream: Stream<Call>) => void
  #waiting: Waiting<Call>[] = []

  constructor(output: Output, credit: number, sent: (stream: Stream<Call>) => void) {
    this.#output = output
    this.credit = credit
    this.#sent = sent
  }

  /** Sends an answer now, or as soon as there is room for its body. */
  send(stream: Stream<Call>, head: Buffer, body: Buffer, trailers: Buffer, now: number): void {
    const { length } = body
    if (length > LARGEST_FRAME || length > this.credit || length > stream.credit) {
      this.#output.write(frame(TYPE.headers, FLAG.endHeaders, stream.id, head))
      this.#waiting.push({ stream, body, trailers, since: now, sent: 0 })
      this.resume()
      return
    }
    // Fast path: the whole answer in one piece.
    const bytes = Buffer.allocUnsafe(3 * HEAD_BYTES + head.length + length + trailers.length)
    let at = writeHead(bytes, 0, head.length, TYPE.headers, FLAG.endHeaders, stream.id)
    bytes.set(head, at)
    at = writeHead(bytes, at + head.length, length, TYPE.data, 0, stream.id)
    bytes.set(body, at)
    at = writeHead(bytes, at + length, trailers.length, TYPE.headers, FLAG.endHeaders | FLAG.endStream, stream.id)
    bytes.set(trailers, at)
    this.credit -= length
    this.#output.write(bytes)
    this.#sent(stream)
  }

  /** Sends what there is room for of the answers that wait. */
  resume(): void {
    if (this.#waiting.length > 0) this.#waiting = this.#waiting.filter(each => each.stream.open && !this.#isSent(each))
  }

  /** The streams whose answers nobody takes. */
  late(now: number): readonly Stream<Call>[] {
    return this.#waiting.filter(({ since }) => now - since >= ANSWER_MS).map(({ stream }) => stream)
  }

  #isSent(waiting: Waiting<Call>): boolean {
    const { stream, body, trailers } = waiting
    while (waiting.sent < body.length) {
      const size = Math.min(body.length - waiting.sent, this.credit, stream.credit, LARGEST_FRAME)
      if (size <= 0) return false
      this.#output.write(frame(TYPE.data, 0, stream.id, body.subarray(waiting.sent, waiting.sent + size)))
      waiting.sent += size
      stream.credit -= size
      this.credit -= size
    }
    this.#output.write(frame(TYPE.headers, FLAG.endHeaders | FLAG.endStream, stream.id, trailers))
    this.#sent(stream)
    return true
  }
}
