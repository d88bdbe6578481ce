// Where HTTP/1 messages begin and end in one direction of a connection, read from the bytes as they pass (RFC 9112). Nothing of
// a body is kept, and of a head only a line that is not complete yet. Anything that is not plainly HTTP/1 is a fault, after
// which the direction is not read any more.
//
//   message = start-line (field-line)* empty-line body
//   body    = nothing | so many bytes | chunk* "0" trailers | all until the end of the connection
//   chunk   = size [";" extension] CRLF bytes CRLF

/** The end of a message's body: a number is its length. */
export type Body = number | 'chunked' | 'close'

/** Why a connection is not read: see families.ts. */
export type Fault = 'head' | 'length' | 'not_http' | 'http2' | 'tls' | 'upgrade' | 'connect' | 'unexpected' | 'busy'

export interface Reader {
  /** The first byte of a message. */
  begin(first: number): Fault | undefined
  startLine(bytes: Buffer, start: number, end: number): Fault | undefined
  /** A field line, from its first byte up to its line break. */
  field(bytes: Buffer, start: number, end: number): Fault | undefined
  /** The head is complete. An interim head (1xx) has no body, and the message is still to come. */
  head(): Body | Fault | 'interim'
  /** The message is complete, with so many bytes of a body. */
  end(bodyBytes: number): void
}

/** Bytes that incomplete lines of all connections hold together. */
export class Room {
  readonly #most: number
  #used = 0

  constructor(most: number) {
    this.#most = most
  }

  take(bytes: number): boolean {
    if (this.#used + bytes > this.#most) return false
    this.#used += bytes
    return true
  }

  give(bytes: number): void {
    this.#used -= bytes
  }
}

const START = 0
const FIELDS = 1
const LENGTH = 2
const SIZE = 3
const CHUNK = 4
const CHUNK_END = 5
const TRAILERS = 6
const CLOSE = 7
const OVER = 8

const LF = 10
const CR = 13
const FIRST_LINE = 256
/** 8 hexadecimal digits, and then some: a chunk of 2^52 bytes is as good as endless. */
const MOST_DIGITS = 13
const MOST_EXTENSION = 4096

export class Framing {
  readonly #reader: Reader
  readonly #maxHead: number
  readonly #room: Room
  #state = START
  /** Bytes that are left of the body or the chunk. */
  #left = 0
  /** The beginning of a line that is not complete. */
  #line: Buffer | undefined
  #held = 0
  /** Bytes of the head so far, without the line that is not complete. */
  #headBytes = 0
  /** Bytes of the body so far, without the framing of chunks. */
  bodyBytes = 0
  fault: Fault | undefined
  /** Where in the bytes of the last `push` the empty line of the last complete head begins; -1 if a part of it came before. */
  emptyLine = 0

  constructor(reader: Reader, maxHead: number, room: Room) {
    this.#reader = reader
    this.#maxHead = maxHead
    this.#room = room
  }

  /** Whether a message is under way. */
  get busy(): boolean {
    return (this.#state !== START || this.#held > 0) && this.#state !== OVER
  }

  /** Whether the only thing that is kept back is the CR of what may be the empty line after a head. */
  get atLoneReturn(): boolean {
    return this.#state === FIELDS && this.#held === 1 && this.#line![0] === CR
  }

  /** Whether the body ends with the connection, which is then its right end. */
  get untilClose(): boolean {
    return this.#state === CLOSE
  }

  /** Reads no further, and gives back what it holds. */
  stop(fault?: Fault): void {
    this.#state = OVER
    this.fault ??= fault
    this.#drop()
  }

  push(bytes: Buffer): void {
    const { length } = bytes
    for (let at = 0; at < length; ) {
      switch (this.#state) {
        case LENGTH:
        case CHUNK: {
          const taken = Math.min(this.#left, length - at)
          at += taken
          this.#left -= taken
          this.bodyBytes += taken
          if (this.#left > 0) break
          if (this.#state === CHUNK) this.#state = CHUNK_END
          else this.#finish()
          break
        }
        case CLOSE:
          this.bodyBytes += length - at
          return
        case OVER:
          return
        default:
          at = this.#lineFrom(bytes, at)
      }
    }
  }

  #lineFrom(bytes: Buffer, at: number): number {
    const { length } = bytes
    if (this.#state === START && this.#held === 0) {
      // Empty lines before a message are passed over (RFC 9112, 2.2).
      if (bytes[at] === LF || bytes[at] === CR) return at + 1
      const fault = this.#reader.begin(bytes[at]!)
      if (fault) {
        this.stop(fault)
        return length
      }
    }
    let end = at
    // Fast path: a loop of our own, since most lines are shorter than what a call of indexOf costs.
    let odd = -1
    let odds = 0
    for (; end < length; end++) {
      const byte = bytes[end]!
      if (byte >= 32 || byte === 9) continue
      if (byte === LF) break
      odd = end
      odds++
    }
    const size = end - at
    if (this.#headBytes + this.#held + size > this.#maxHead) {
      this.stop('head')
      return length
    }
    if (end === length) {
      if (!this.#hold(bytes, at, end)) this.stop('busy')
      return length
    }
    let fault: Fault | undefined
    if (this.#held === 0) {
      const stop = odd === end - 1 && bytes[odd] === CR ? odd : end
      if (odds > (stop < end ? 1 : 0)) fault = this.#state === START ? 'not_http' : 'head'
      else fault = this.#take(bytes, at, stop, at)
      this.#headBytes += size + 1
    } else {
      const before = this.#held
      if (this.#hold(bytes, at, end)) {
        const line = this.#line!
        const total = this.#held
        const stop = line[total - 1] === CR ? total - 1 : total
        if (clean(line, stop)) fault = this.#take(line, 0, stop, -before)
        else fault = this.#state === START ? 'not_http' : 'head'
        this.#headBytes += total + 1
        this.#drop()
      } else fault = 'busy'
    }
    // The end of a message begins the count anew.
    if (this.#state === START) this.#headBytes = 0
    if (fault) {
      this.stop(fault)
      return length
    }
    return end + 1
  }

  /** A whole line. `began` is where it began in what was pushed. */
  #take(bytes: Buffer, start: number, end: number, began: number): Fault | undefined {
    switch (this.#state) {
      case START:
        this.#state = FIELDS
        this.bodyBytes = 0
        return this.#reader.startLine(bytes, start, end)
      case FIELDS:
        if (start < end) return this.#reader.field(bytes, start, end)
        this.emptyLine = began
        return this.#headDone()
      case SIZE:
        return this.#chunk(bytes, start, end)
      case CHUNK_END:
        this.#state = SIZE
        this.#headBytes = 0
        return start === end ? undefined : 'length'
      case TRAILERS:
        if (start === end) this.#finish()
        return undefined
      default:
        return undefined
    }
  }

  #headDone(): Fault | undefined {
    const body = this.#reader.head()
    this.#headBytes = 0
    if (typeof body === 'number') {
      this.#left = body
      this.#state = LENGTH
      if (body === 0) this.#finish()
      return undefined
    }
    switch (body) {
      case 'chunked':
        this.#state = SIZE
        return undefined
      case 'close':
        this.#state = CLOSE
        return undefined
      case 'interim':
        this.#state = START
        return undefined
      default:
        return body
    }
  }

  #chunk(bytes: Buffer, start: number, end: number): Fault | undefined {
    let size = 0
    let at = start
    for (; at < end; at++) {
      const digit = HEX[bytes[at]!]!
      if (digit < 0) break
      size = size * 16 + digit
    }
    if (at === start || at - start > MOST_DIGITS || end - at > MOST_EXTENSION) return 'length'
    while (at < end && (bytes[at] === 32 || bytes[at] === 9)) at++
    // ";" begins an extension.
    if (at < end && bytes[at] !== 59) return 'length'
    this.#headBytes = 0
    this.#left = size
    this.#state = size === 0 ? TRAILERS : CHUNK
    return undefined
  }

  #finish(): void {
    this.#state = START
    this.#headBytes = 0
    this.#reader.end(this.bodyBytes)
  }

  #hold(bytes: Buffer, start: number, end: number): boolean {
    const needed = this.#held + end - start
    const capacity = this.#line?.length ?? 0
    if (needed > capacity) {
      const wanted = Math.max(FIRST_LINE, capacity * 2, needed)
      if (!this.#room.take(wanted - capacity)) return false
      const larger = Buffer.allocUnsafeSlow(wanted)
      this.#line?.copy(larger, 0, 0, this.#held)
      this.#line = larger
    }
    bytes.copy(this.#line!, this.#held, start, end)
    this.#held = needed
    return true
  }

  #drop(): void {
    this.#room.give(this.#line?.length ?? 0)
    this.#line = undefined
    this.#held = 0
  }
}

/** Without control characters but tabs. */
function clean(bytes: Buffer, end: number): boolean {
  for (let at = 0; at < end; at++) if (bytes[at]! < 32 && bytes[at] !== 9) return false
  return true
}

const HEX = new Int8Array(256).fill(-1)
for (let digit = 0; digit < 16; digit++) {
  const text = digit.toString(16)
  HEX[text.charCodeAt(0)] = digit
  HEX[text.toUpperCase().charCodeAt(0)] = digit
}
