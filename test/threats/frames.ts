// HTTP/2 frame by frame (RFC 9113), as no client library would send them.

export const TYPE = { data: 0, headers: 1, reset: 3, settings: 4, goaway: 7, continuation: 9 } as const
const END_HEADERS = 4

export interface Frame {
  readonly type: number
  readonly flags: number
  readonly stream: number
  readonly payload: Buffer
}

export function frame(type: number, flags: number, stream: number, payload: Buffer): Buffer {
  const head = Buffer.alloc(9)
  head.writeUIntBE(payload.length, 0, 3)
  head[3] = type
  head[4] = flags
  head.writeUInt32BE(stream, 5)
  return Buffer.concat([head, payload])
}

/** The frames that have come whole. */
export function* frames(bytes: Buffer): Generator<Frame> {
  for (let at = 0; at + 9 <= bytes.length; ) {
    const end = at + 9 + bytes.readUIntBE(at, 3)
    if (end > bytes.length) return
    const stream = bytes.readUInt32BE(at + 5)
    yield { type: bytes[at + 3]!, flags: bytes[at + 4]!, stream, payload: bytes.subarray(at + 9, end) }
    at = end
  }
}

export const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')
export const OPENING = Buffer.concat([PREFACE, frame(TYPE.settings, 0, 0, Buffer.alloc(0))])

/** A header block of literals without indexing. */
export function hpack(headers: Readonly<Record<string, string>>): Buffer {
  const text = (value: string) => Buffer.concat([Buffer.from([value.length]), Buffer.from(value)])
  return Buffer.concat(Object.entries(headers).flatMap(([name, value]) => [Buffer.from([0]), text(name), text(value)]))
}

/** The headers of a call that the gRPC receiver begins to read. */
export const CALL = hpack({
  ':method': 'POST',
  ':scheme': 'http',
  ':path': '/opentelemetry.proto.collector.trace.v1.TraceService/Export',
  ':authority': 'a',
  'content-type': 'application/grpc',
})

/** A header block in as many frames as it needs. */
export function headers(stream: number, block: Buffer): Buffer {
  const pieces: Buffer[] = []
  for (let at = 0; at < block.length; at += 16_384) {
    const end = at + 16_384 >= block.length ? END_HEADERS : 0
    pieces.push(frame(at === 0 ? TYPE.headers : TYPE.continuation, end, stream, block.subarray(at, at + 16_384)))
  }
  return Buffer.concat(pieces)
}
