// The newest log records in one buffer of fixed size. A new one overwrites the oldest; nothing is allocated per record.
//
//   entry = size u32, offset of the entry before u32, seconds f64, severity u8, service length u8, reserved u16,
//           body length u32, trace id 16, span id 8, service, body

const PREVIOUS = 4
const SECONDS = 8
const SEVERITY = 16
const SERVICE_LENGTH = 17
const BODY_LENGTH = 20
const TRACE = 24
const SPAN = 40
const HEAD = 48

/** Longer service names are cut; their length stands in one byte. */
const LONGEST_SERVICE = 255

export interface Entry {
  /** Seconds since the epoch, 0 if unknown. */
  readonly seconds: number
  /** OTLP's severity number. */
  readonly severity: number
  readonly service: string
  /** Lower-case hexadecimal, or "" if the record belongs to no trace. */
  readonly traceId: string
  readonly spanId: string
  readonly body: string
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
  /** Where the next entry goes, where the oldest and the newest are. */
  #head = 0
  #oldest = 0
  #newest = 0
  /** Where the entries before the last wrap end; -1 if those are gone. */
  #wrap = -1

  constructor(capacity: number) {
    this.capacity = capacity
  }

  /** `trace` and `span` are of 16 and 8 bytes, or undefined. */
  push(
    seconds: number,
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
    buffer.writeDoubleLE(seconds, at + SECONDS)
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
  }

  /** What is held, newest first. `trace` (16 bytes) leaves out what does not belong to it. */
  *newest(trace?: Buffer): Generator<Entry> {
    const buffer = this.#buffer
    let at = this.#newest
    for (let left = this.records; left > 0; left--) {
      if (!trace || buffer.compare(trace, 0, 16, at + TRACE, at + TRACE + 16) === 0) yield this.#entry(at)
      at = buffer.readUInt32LE(at + PREVIOUS)
    }
  }

  #entry(at: number): Entry {
    const buffer = this.#buffer
    const body = at + HEAD + buffer[at + SERVICE_LENGTH]!
    return {
      seconds: buffer.readDoubleLE(at + SECONDS),
      severity: buffer[at + SEVERITY]!,
      service: buffer.toString('utf8', at + HEAD, body),
      traceId: id(buffer, at + TRACE, 16),
      spanId: id(buffer, at + SPAN, 8),
      body: buffer.toString('utf8', body, body + buffer.readUInt32LE(at + BODY_LENGTH)),
    }
  }

  #makeRoom(size: number): void {
    if (this.#buffer.length === 0) this.#buffer = Buffer.allocUnsafeSlow(this.capacity)
    if (this.#head + size > this.capacity) {
      // What lies behind the head is older than what lies before it.
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

/** Where a slice ends when it is cut to so many bytes, between two characters. */
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
