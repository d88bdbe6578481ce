// HTTP/2 frames as bytes (RFC 9113, sections 4 and 6).
//
//   frame = length (3 bytes) · type · flags · stream (4 bytes, the highest bit means nothing) · payload

export const HEAD_BYTES = 9

export const TYPE = {
  data: 0,
  headers: 1,
  priority: 2,
  reset: 3,
  settings: 4,
  pushPromise: 5,
  ping: 6,
  goaway: 7,
  windowUpdate: 8,
  continuation: 9,
} as const

export const FLAG = { endStream: 0x1, ack: 0x1, endHeaders: 0x4, padded: 0x8, prioritised: 0x20 } as const

/** Error codes (section 7). */
export const ERROR = {
  none: 0,
  protocol: 1,
  flowControl: 3,
  streamClosed: 5,
  frameSize: 6,
  refusedStream: 7,
  cancel: 8,
  compression: 9,
  enhanceYourCalm: 11,
} as const
export type ErrorCode = (typeof ERROR)[keyof typeof ERROR]

/** Settings (section 6.5.2). */
export const SETTING = {
  enablePush: 2,
  maxConcurrentStreams: 3,
  initialWindowSize: 4,
  maxFrameSize: 5,
  maxHeaderListSize: 6,
} as const

export const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'latin1')

/** Numbers of streams and sizes of windows have 31 bits. */
export const BITS_31 = 0x7fff_ffff

export function frame(type: number, flags: number, stream: number, payload: Buffer): Buffer {
  const bytes = Buffer.allocUnsafe(HEAD_BYTES + payload.length)
  bytes.set(payload, writeHead(bytes, 0, payload.length, type, flags, stream))
  return bytes
}

/** Writes the head of a frame, and returns where its payload begins. */
export function writeHead(
  bytes: Buffer,
  at: number,
  length: number,
  type: number,
  flags: number,
  stream: number,
): number {
  bytes[at] = length >> 16
  bytes[at + 1] = length >> 8
  bytes[at + 2] = length
  bytes[at + 3] = type
  bytes[at + 4] = flags
  return bytes.writeUInt32BE(stream, at + 5)
}

export function settings(values: readonly (readonly [id: number, value: number])[]): Buffer {
  const payload = Buffer.alloc(6 * values.length)
  values.forEach(([id, value], i) => {
    payload.writeUInt16BE(id, 6 * i)
    payload.writeUInt32BE(value, 6 * i + 2)
  })
  return frame(TYPE.settings, 0, 0, payload)
}

/** A frame whose payload is one or two numbers of four bytes: WINDOW_UPDATE, RST_STREAM, GOAWAY. */
export function numbers(type: number, stream: number, ...values: readonly number[]): Buffer {
  const payload = Buffer.alloc(4 * values.length)
  values.forEach((value, i) => {
    payload.writeUInt32BE(value, 4 * i)
  })
  return frame(type, 0, stream, payload)
}
