// The memory of bodies: most are joined in one place that the next body uses again, the others have their own.

/**
 * A place for the bodies of all connections: only the part that was used is resident. A buffer made for each would be memory
 * that V8 counts as its own, and soon a reason to collect the whole heap: a body of 512 spans would cost a fifth more (bench
 * rows intake-http and intake-grpc).
 */
export class Bodies {
  #place: Buffer | undefined
  /** Rooms that are not in use. */
  readonly #free: Buffer[] = []
  #large = false
  readonly #onLarge: () => void

  /** `onLarge` is called once, when the first large body comes. */
  constructor(onLarge: () => void) {
    this.#onLarge = onLarge
  }

  /** Puts the chunks of a body together. The bytes stay until the next body is joined, so they are used at once. */
  join(chunks: readonly Buffer[], length: number): Buffer {
    const [first = EMPTY] = chunks
    if (chunks.length <= 1) return first
    if (length < LARGE || length > PLACE) return Buffer.concat(chunks, length)
    this.#noteLarge()
    this.#place ??= Buffer.allocUnsafeSlow(PLACE)
    let at = 0
    for (const chunk of chunks) {
      this.#place.set(chunk, at)
      at += chunk.length
    }
    return this.#place.subarray(0, length)
  }

  /** A room for a whole body of this length, which comes in pieces. Only the part that is written becomes resident. */
  room(length: number): Buffer {
    if (length < LARGE || length > ROOM) return Buffer.allocUnsafeSlow(length)
    this.#noteLarge()
    return this.#free.pop() ?? Buffer.allocUnsafeSlow(ROOM)
  }

  /** Nobody uses the room any more. */
  giveBack(room: Buffer): void {
    if (room.length === ROOM && this.#free.length < MOST_FREE) this.#free.push(room)
    else discard(room)
  }

  #noteLarge(): void {
    if (this.#large) return
    this.#large = true
    this.#onLarge()
  }
}

const PLACE = 1024 * 1024
/** A smaller body that came in pieces must not make the heap of a sidecar at rest grow. */
const LARGE = 64 * 1024
const EMPTY = Buffer.alloc(0)
/** A batch of 512 spans has 172 kB. */
const ROOM = 256 * 1024
/** 2 MiB. */
const MOST_FREE = 8

/**
 * A body that arrives in pieces. A small piece is copied: what was read from the socket with it, up to 64 KiB, would stay in
 * memory as long as the piece. Sent byte by byte, 16 MiB would take a gigabyte.
 */
export class Pieces {
  length = 0
  readonly #chunks: Buffer[] = []
  /** Where small pieces are copied to, and how much of it is used. */
  #place: Buffer = EMPTY
  #used = 0

  add(piece: Buffer): void {
    this.length += piece.length
    if (piece.length > this.#place.length - this.#used) this.#seal()
    if (piece.length >= SMALL) {
      this.#seal()
      this.#chunks.push(piece)
      return
    }
    if (this.#used === 0) this.#place = Buffer.allocUnsafe(Math.min(2 * SMALL, Math.max(LEAST, 2 * this.length)))
    this.#place.set(piece, this.#used)
    this.#used += piece.length
  }

  /** The pieces in order. Nothing can be added after it. */
  take(): readonly Buffer[] {
    this.#seal()
    return this.#chunks
  }

  /** Lets go of them. */
  clear(): void {
    this.length = 0
    this.#chunks.length = 0
    this.#place = EMPTY
    this.#used = 0
  }

  #seal(): void {
    if (this.#used > 0) this.#chunks.push(this.#place.subarray(0, this.#used))
    this.#place = EMPTY
    this.#used = 0
  }
}

/** An eighth of what is read at once. */
const SMALL = 8 * 1024
/** The size of the first small piece. */
const LEAST = 512

/** The same for bytes that are used later, when other bodies have been joined. */
export function own(chunks: readonly Buffer[]): Buffer {
  if (chunks.length === 1) return chunks[0]!
  const joined = Buffer.concat(chunks)
  letGo(chunks)
  return joined
}

/** A body whose memory is nobody else's, so that it can be given to another thread. */
export function owned(body: Buffer): Buffer<ArrayBuffer> {
  const { buffer } = body
  // A smaller one may be in the place, or in a chunk beside something else that was read: frames of other calls, for instance.
  const alone = buffer instanceof ArrayBuffer && body.length > PLACE && buffer.byteLength < 2 * body.length
  return alone ? Buffer.from(buffer, body.byteOffset, body.length) : Buffer.from(new Uint8Array(body).buffer)
}

/** Gives back the memory of chunks that have been copied, if each has its memory for itself. */
export function letGo(chunks: readonly Buffer[]): void {
  for (const chunk of chunks) if (chunk.length === chunk.buffer.byteLength) discard(chunk)
}

/** Gives back the memory of a buffer that nobody uses any more, and that has its memory for itself. */
export function discard({ buffer }: Uint8Array): void {
  if (buffer instanceof ArrayBuffer) buffer.transfer(0)
}
