// The newest log records in one buffer of fixed size. A new record overwrites the oldest; nothing is allocated per
// record.
//
//   entry = size u32, offset of the entry before u32, time u64, severity u8, service length u8, reserved u16,
//           body length u32, trace id 16, span id 8, service, body

const PREVIOUS = 4
const TIME = 8
const SEVERITY = 16
const SERVICE_LENGTH = 17
const BODY_LENGTH = 20
const TRACE = 24
const SPAN = 40
const HEAD = 48

/** Longer service names are cut: the length is one byte. */
const LONGEST_SERVICE = 255

/** A point in time as OTLP's fixed64: nanoseconds since the epoch in two halves, both 0 if unknown. */
export interface Time {
  readonly low: number
  readonly high: number
}

/** Bytes between two offsets of a buffer. */
export interface Slice {
  readonly bytes: Buffer
  readonly start: number
  readonly end: number
}

export class Ring {
  readonly capacity: number
  /** Records in it, and their bytes. */
  records = 0
  bytes = 0
  /** Records that were overwritten, or too large to be kept at all. */
  evicted = 0
  #buffer = Buffer.alloc(0)
  /** The place of the next entry, of the oldest and of the newest. */
  #head = 0
  #oldest = 0
  #newest = 0
  /** Records that were put into it. */
  #pushed = 0
  /** Where the entries before the last wrap end; -1 if those are gone. */
  #wrap = -1

  constructor(capacity: number) {
    this.capacity = capacity
  }

  /** `trace` has 16 bytes and `span` 8, or they are undefined. */
  push(
    time: Time,
    severity: number,
    trace: Slice | undefined,
    span: Slice | undefined,
    service: Slice,
    body: Slice,
  ): void {
    const serviceEnd = cut(service, LONGEST_SERVICE)
    const serviceLength = serviceEnd - service.start
    const bodyLength = body.end - body.start
    const size = HEAD + serviceLength + bodyLength
    if (size > this.capacity) {
      this.evicted++
      return
    }
    this.#makeRoom(size)
    const at = this.#head
    const buffer = this.#buffer
    buffer.writeUInt32LE(size, at)
    buffer.writeUInt32LE(this.#newest, at + PREVIOUS)
    buffer.writeUInt32LE(time.low, at + TIME)
    buffer.writeUInt32LE(time.high, at + TIME + 4)
    buffer[at + SEVERITY] = severity
    buffer[at + SERVICE_LENGTH] = serviceLength
    buffer.writeUInt32LE(bodyLength, at + BODY_LENGTH)
    put(buffer, at + TRACE, trace, 16)
    put(buffer, at + SPAN, span, 8)
    service.bytes.copy(buffer, at + HEAD, service.start, serviceEnd)
    body.bytes.copy(buffer, at + HEAD + serviceLength, body.start, body.end)
    this.#newest = at
    this.#head = at + size
    this.records++
    this.bytes += size
    this.#pushed++
  }

  /** A cursor before the newest record, or before the newest of those older than `before` (see `Cursor.number`). */
  cursor(before = Number.POSITIVE_INFINITY): Cursor {
    return new Cursor(this, before)
  }

  /** The number of the newest record: each record has one more than the record before it. */
  get newest(): number {
    return this.#pushed
  }

  /** For cursors: the buffer, and the place of the newest entry. */
  get place(): { readonly buffer: Buffer; readonly newest: number } {
    return { buffer: this.#buffer, newest: this.#newest }
  }

  #makeRoom(size: number): void {
    if (this.#buffer.length === 0) this.#buffer = Buffer.allocUnsafeSlow(this.capacity)
    if (this.#head + size > this.capacity) {
      // Entries behind the head are older than those before it.
      while (this.records > 0 && this.#oldest >= this.#head) this.#evict()
      this.#wrap = this.#head
      this.#head = 0
    }
    while (this.records > 0 && this.#oldest >= this.#head && this.#oldest < this.#head + size) this.#evict()
    if (this.records === 0) {
      this.#oldest = this.#head
      this.#wrap = -1
    }
  }

  #evict(): void {
    const size = this.#buffer.readUInt32LE(this.#oldest)
    this.#oldest += size
    this.records--
    this.bytes -= size
    this.evicted++
    if (this.#oldest !== this.#wrap) return
    this.#oldest = 0
    this.#wrap = -1
  }
}

/**
 * Walks from the newest record to the oldest. It may be left for a while as records come in: what was overwritten meanwhile
 * is passed over. The getters read the current record, until anything else is pushed.
 */
export class Cursor {
  readonly #ring: Ring
  readonly #before: number
  #at = -1
  /** The number of the current record (see `Ring.newest`); it stays the same while the record is held. */
  number = 0

  constructor(ring: Ring, before: number) {
    this.#ring = ring
    this.#before = before
  }

  /** Goes to the next older record; false if there is none. */
  next(): boolean {
    do if (!this.#step()) return false
    while (this.number >= this.#before)
    return true
  }

  #step(): boolean {
    const { buffer, newest } = this.#ring.place
    if (this.#at < 0) {
      this.number = this.#ring.newest
      this.#at = newest
    } else {
      // The current record may be gone, and its link with it, even if it is the oldest but one.
      if (this.#gone()) return false
      this.number--
      this.#at = buffer.readUInt32LE(this.#at + PREVIOUS)
    }
    return !this.#gone()
  }

  #gone(): boolean {
    return this.number <= this.#ring.newest - this.#ring.records
  }

  /** Nanoseconds since the epoch, 0 if unknown. */
  get time(): bigint {
    return this.#buffer.readBigUInt64LE(this.#at + TIME)
  }

  /** OTLP's severity number. */
  get severity(): number {
    return this.#buffer[this.#at + SEVERITY]!
  }

  get service(): string {
    return this.#buffer.toString('utf8', this.#at + HEAD, this.#body)
  }

  /** Lower-case hexadecimal, or "" if the record belongs to no trace. */
  get traceId(): string {
    return id(this.#buffer, this.#at + TRACE, 16)
  }

  get spanId(): string {
    return id(this.#buffer, this.#at + SPAN, 8)
  }

  get body(): string {
    return this.#buffer.toString('utf8', this.#body, this.#body + this.#buffer.readUInt32LE(this.#at + BODY_LENGTH))
  }

  /** Whether it belongs to the trace of this id (16 bytes). */
  inTrace(id: Buffer): boolean {
    return this.#buffer.compare(id, 0, 16, this.#at + TRACE, this.#at + TRACE + 16) === 0
  }

  get #buffer(): Buffer {
    return this.#ring.place.buffer
  }

  get #body(): number {
    return this.#at + HEAD + this.#buffer[this.#at + SERVICE_LENGTH]!
  }
}

/** The end of a slice that is cut to at most so many bytes, between two characters. */
export function cut({ bytes, start, end }: Slice, most: number): number {
  if (end - start <= most) return end
  let stop = start + most
  while (stop > start && (bytes[stop]! & 0xc0) === 0x80) stop--
  return stop
}

function put(buffer: Buffer, at: number, id: Slice | undefined, length: number): void {
  if (id) id.bytes.copy(buffer, at, id.start, id.end)
  else buffer.fill(0, at, at + length)
}

function id(buffer: Buffer, at: number, length: number): string {
  const hex = buffer.toString('hex', at, at + length)
  return /^0+$/.test(hex) ? '' : hex
}
