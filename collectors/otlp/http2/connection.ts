// One HTTP/2 connection of a server that answers unary calls (RFC 9113), on a bare socket. node:http2 makes some hundred
// objects for a call; here it is one record, and an answer is one write. Nothing is pushed, priorities are ignored, and the
// header table of what is sent stays empty.

import type { Socket } from 'node:net'
import type { Clock } from '../../../telemetry/host.ts'
import { letGo } from '../memory.ts'
import type { Place } from '../places.ts'
import type { Turn } from '../turn.ts'
import { Allowance } from './allowance.ts'
import { Answers } from './answers.ts'
import type { Field } from './field.ts'
import { BITS_31, ERROR, type ErrorCode, FLAG, frame, numbers, SETTING, settings, TYPE } from './frames.ts'
import { areTrailers, type Head, headOf } from './head.ts'
import { HeaderDecoder } from './hpack.ts'
import { Output } from './output.ts'
import { FrameReader } from './reader.ts'
import { Stream } from './stream.ts'

/** The server's side of its calls. `Facts` is read from the head of a call, and is the same for many calls. */
export interface Handler<Call, Facts> {
  facts(head: Head): Facts
  /** The head of a request has come. Undefined if that was enough to answer it; the others are told of the rest. */
  begin(stream: Stream<Call>, facts: Facts): Call | undefined
  /** Some of the body; `last` is true once, at its end. The bytes are valid during the call. */
  body(call: Call, bytes: Buffer, last: boolean): void
  /** The client has reset the call, or the connection is gone, before it was answered. */
  gone(call: Call): void
  /** Called twice a second for each call that is not answered. */
  tick(call: Call, now: number): void
}

export interface Limits {
  /** Until a connection must have spoken HTTP/2, in milliseconds. */
  readonly header_timeout: number
  /** Until a connection without calls is closed, in milliseconds. */
  readonly idle_timeout: number
}

const MOST_STREAMS = 100
const MOST_HEADER_BYTES = 16_384
const MOST_HEADER_FIELDS = 100
/** A block in more frames than this is an attack (CVE-2024-27316), and so is a larger one than twice what is allowed. */
const MOST_CONTINUATIONS = 16
const MOST_SETTINGS = 32
const LARGEST_FRAME = 16_384
const DEFAULT_WINDOW = 65_535

// The bytes that a client may send before they are read, on a connection and on one stream of it: enough for a batch of the
// SDKs (512 spans, 172 kB). With HTTP/2's default of 64 KiB a batch comes in three parts, each waiting for the one before. A
// window is opened again when a quarter of it is left, so that such a batch needs no WINDOW_UPDATE.
const CONNECTION_WINDOW = 1024 * 1024
const STREAM_WINDOW = 256 * 1024

/** Frames that ask for work and carry no call: PING, SETTINGS, PRIORITY, unknown and empty ones. */
const CONTROL_FRAMES = 100
const CONTROL_PER_SECOND = 10
/** A client may ask after each answer how fast the connection is (grpc-go does, by PING). */
const CONTROL_PER_ANSWER = 2
/** Calls that a client resets, or makes us reset. No gRPC client resets a hundred. */
const RESETS = 100
const RESETS_PER_SECOND = 33

/** A client that is silent for so long is asked whether it is still there, and has so long to say so. */
const PING_MS = 30_000
const PONG_MS = 10_000
/** The time that a client has to show that it knows that it is to go elsewhere. */
const DRAIN_MS = 1000
/** The time that a client has to close its side of a connection that is over. */
const LINGER_MS = 1000
/** Bytes read and discarded from a connection that is over: closing it at once would take the GOAWAY from the client. */
const MOST_DISCARDED = 256 * 1024

/** The outcome of a header block, kept for when the same block comes again. */
interface Request<Facts> {
  /** Undefined if it is malformed. */
  readonly head: Head | undefined
  readonly facts: Facts | undefined
}

export class Connection<Call, Facts> {
  readonly #socket: Socket
  readonly #place: Place
  readonly #handler: Handler<Call, Facts>
  readonly #limits: Limits
  readonly #clock: Clock
  readonly #reader = new FrameReader()
  readonly #headers = new HeaderDecoder<Request<Facts>>(MOST_HEADER_BYTES, MOST_HEADER_FIELDS)
  readonly #output: Output
  readonly #answers: Answers<Call>

  readonly #streams = new Map<number, Stream<Call>>()
  /** The newest streams that we reset: the client did not know yet when it sent what still comes of them. */
  readonly #reset = new Set<number>()
  #lastStream = 0
  /** The last stream that is answered, once the client was told to go elsewhere. */
  #lastAnswered = BITS_31
  /** Since when the client is being told to go elsewhere; 0 if it is not. */
  #drainSince = 0
  /** A header block that goes on in CONTINUATION frames. */
  #block: { readonly stream: number; readonly end: boolean; readonly pieces: Buffer[]; bytes: number } | undefined

  /** Bytes that the client may still send, and that we may send on a new stream. */
  #window = CONNECTION_WINDOW
  #streamCredit = DEFAULT_WINDOW

  readonly #control: Allowance
  readonly #resets: Allowance
  /** It has sent its first SETTINGS. */
  #settled = false
  #reading = false
  /** Nothing more is read, and since when. */
  #ended = false
  #endedAt = 0
  #discarded = 0
  // When the client was heard, when it had a call, and when it was asked for a sign of life (0: it need not give one).
  readonly #began: number
  #heard: number
  #busy: number
  #asked = 0

  constructor(socket: Socket, place: Place, handler: Handler<Call, Facts>, limits: Limits, clock: Clock, turn: Turn) {
    this.#socket = socket
    this.#place = place
    this.#handler = handler
    this.#limits = limits
    this.#clock = clock
    const now = clock.monotonic()
    this.#began = this.#heard = this.#busy = now
    this.#control = new Allowance(CONTROL_FRAMES, CONTROL_PER_SECOND, now)
    this.#resets = new Allowance(RESETS, RESETS_PER_SECOND, now)
    this.#output = new Output(socket, place, turn)
    this.#answers = new Answers(this.#output, DEFAULT_WINDOW, stream => this.#answered(stream))
    this.#output.write(OPENING)
    socket.on('data', (chunk: Buffer) => this.#read(chunk))
    socket.on('error', () => {})
    socket.on('end', () => this.#halfClosed())
    socket.on('close', () => this.#gone())
    socket.resume()
  }

  /**
   * Tells the client to go elsewhere. Calls on their way are answered, then the connection is closed. To say at once which call
   * is the last would refuse those that the client has sent meanwhile, and not all clients send them again: tonic reports an
   * internal error, upon which exporters drop what they have. So it is said when the client has shown that it knows (RFC 9113,
   * section 6.8).
   */
  drain(): void {
    // It was told already why it is over.
    if (this.#ended) this.destroy()
    if (this.#drainSince > 0 || this.#draining || this.#ended) return
    this.#drainSince = this.#clock.monotonic()
    this.#output.write(WARNING)
    if (!this.#settled) this.#refuseMore()
  }

  /** From here on no more calls are answered than have begun. */
  #refuseMore(): void {
    if (this.#draining || this.#ended) return
    this.#lastAnswered = this.#lastStream
    this.#output.write(numbers(TYPE.goaway, 0, this.#lastStream, ERROR.none))
    this.#endIfDrained()
  }

  /**
   * The client sends nothing more. Whole calls are still answered; if it is gone, it resets the connection upon the first of two
   * writes, and the second finds that out.
   */
  #halfClosed(): void {
    for (const stream of this.#streams.values()) if (!stream.ended) this.#giveUp(stream.id)
    if (this.#streams.size === 0) {
      this.#end()
      return
    }
    this.#refuseMore()
    this.#output.gather()
    this.#output.write(OUR_PING)
    this.#output.release()
  }

  destroy(): void {
    this.#socket.destroy()
  }

  /** Gives up what is late. Called twice a second. */
  tick(now: number): void {
    if (this.#ended) {
      if (now - this.#endedAt > LINGER_MS) this.destroy()
      return
    }
    if (this.#drainSince > 0 && now - this.#drainSince > DRAIN_MS) this.#refuseMore()
    const { header_timeout, idle_timeout } = this.#limits
    for (const { call } of this.#streams.values()) if (call) this.#handler.tick(call, now)
    for (const stream of this.#answers.late(now)) this.#cancel(stream)
    if (this.#streams.size > 0) this.#busy = now
    else if (now - this.#busy > idle_timeout) this.drain()
    // The kernel's keepalive does not ask while something that was sent is not acknowledged, and answers for a client that
    // has been stopped.
    const vanished = this.#asked > 0 && now - this.#asked > PONG_MS
    if (vanished || (!this.#settled && now - this.#began > header_timeout)) {
      this.destroy()
      return
    }
    if (this.#asked > 0 || now - this.#heard < PING_MS) return
    this.#asked = now
    this.#output.write(OUR_PING)
  }

  /** Sends the answer to a stream. */
  answer(stream: Stream<Call>, head: Buffer, body: Buffer | undefined, trailers: Buffer | undefined): void {
    if (!stream.open) return
    // It is the handler's no more, even if it waits for the client.
    stream.call = undefined
    if (body && trailers) {
      this.#answers.send(stream, head, body, trailers, this.#clock.monotonic())
      return
    }
    this.#output.write(frame(TYPE.headers, FLAG.endHeaders | FLAG.endStream, stream.id, head))
    this.#answered(stream)
  }

  get #draining(): boolean {
    return this.#lastAnswered !== BITS_31
  }

  #answered(stream: Stream<Call>): void {
    this.#control.give(CONTROL_PER_ANSWER)
    this.#close(stream)
    // A client that is still sending is asked to stop; NO_ERROR leaves it the answer (section 8.1).
    if (!stream.ended) this.#sendReset(stream.id, ERROR.none)
    this.#endIfDrained()
  }

  #read(chunk: Buffer): void {
    if (this.#ended) {
      this.#discarded += chunk.length
      if (this.#discarded > MOST_DISCARDED) this.#socket.pause()
      return
    }
    const reader = this.#reader
    this.#heard = this.#clock.monotonic()
    this.#asked = 0
    this.#reading = true
    this.#output.gather()
    reader.feed(chunk)
    for (let found = reader.next(); found && !this.#ended; found = reader.next()) {
      if (found === 'head') this.#frameBegins()
      else if (found === 'data') this.#data()
      else if (found === 'payload') this.#frame()
      else this.#fail(ERROR.protocol)
    }
    this.#reading = false
    this.#openWindow()
    this.#output.release()
    this.#endIfDrained()
    // Nobody uses it any more. Left to the garbage collector, reads were 40 MiB more at full load.
    letGo([chunk])
  }

  /** Judges a frame by its head, before its payload is read. */
  #frameBegins(): void {
    const { type, flags, stream: id, length } = this.#reader
    if (length > LARGEST_FRAME) {
      this.#fail(ERROR.frameSize)
      return
    }
    // The first frame is SETTINGS, and nothing comes between the frames of a header block.
    const first = this.#settled || (type === TYPE.settings && (flags & FLAG.ack) === 0)
    const next = this.#block ? type === TYPE.continuation && id === this.#block.stream : type !== TYPE.continuation
    if (!first || !next) this.#fail(ERROR.protocol)
    else if (type === TYPE.data) this.#dataBegins(id, length, (flags & FLAG.endStream) !== 0)
  }

  #dataBegins(id: number, length: number, last: boolean): void {
    this.#window -= length
    const stream = this.#streams.get(id)
    if (stream) stream.window -= length
    if (this.#isIdle(id)) this.#fail(ERROR.protocol)
    else if (this.#window < 0 || (stream && stream.window < 0)) this.#fail(ERROR.flowControl)
    else if (stream ? stream.ended : !this.#isIgnored(id)) this.#fail(ERROR.streamClosed)
    else if (length === 0 && !last) this.#guardControl()
  }

  /** Some of the payload of a DATA frame. */
  #data(): void {
    const { stream: id, bytes, start, end, last, flags } = this.#reader
    const stream = this.#streams.get(id)
    if (!stream) return
    stream.received += end - start
    if (last && (flags & FLAG.endStream) !== 0) {
      this.#bodyEnds(stream, bytes.subarray(start, end))
      return
    }
    if (stream.call && end > start) this.#handler.body(stream.call, bytes.subarray(start, end), false)
    if (!last || !stream.open || 4 * stream.window > STREAM_WINDOW) return
    this.#output.write(numbers(TYPE.windowUpdate, id, STREAM_WINDOW - stream.window))
    stream.window = STREAM_WINDOW
  }

  /** The last frame of a request has come, with the last bytes of its body. */
  #bodyEnds(stream: Stream<Call>, bytes: Buffer): void {
    stream.ended = true
    if (stream.declared >= 0 && stream.declared !== stream.received) this.#resetStream(stream.id, ERROR.protocol)
    else if (stream.call) this.#handler.body(stream.call, bytes, true)
  }

  /** A frame other than DATA has come whole. */
  #frame(): void {
    switch (this.#reader.type) {
      case TYPE.headers:
        this.#headersFrame()
        return
      case TYPE.continuation:
        this.#continuation()
        return
      case TYPE.settings:
        this.#settings()
        return
      case TYPE.ping:
        this.#ping()
        return
      case TYPE.windowUpdate:
        this.#windowUpdate()
        return
      case TYPE.reset:
        this.#resetByClient()
        return
      case TYPE.priority:
        this.#priority()
        return
      case TYPE.goaway:
        // It opens no more streams, so the connection is over with those that are open.
        if (this.#ofConnection()) this.#refuseMore()
        return
      case TYPE.pushPromise:
        this.#fail(ERROR.protocol)
        return
      default:
        // Frames of types that nobody knows are left alone (section 4.1).
        this.#guardControl()
    }
  }

  #headersFrame(): void {
    const { stream: id, flags, bytes, start, end } = this.#reader
    const padded = (flags & FLAG.padded) !== 0
    const prioritised = (flags & FLAG.prioritised) !== 0
    const from = start + (padded ? 1 : 0) + (prioritised ? 5 : 0)
    const to = padded && end > start ? end - bytes[start]! : end
    if (id % 2 === 0 || to < from || (prioritised && dependency(bytes, from - 5) === id)) {
      this.#fail(ERROR.protocol)
      return
    }
    const last = (flags & FLAG.endStream) !== 0
    if ((flags & FLAG.endHeaders) !== 0) this.#headersAre(id, last, bytes, from, to)
    else this.#block = { stream: id, end: last, pieces: [Buffer.from(bytes.subarray(from, to))], bytes: to - from }
  }

  #continuation(): void {
    const { bytes, start, end, flags } = this.#reader
    const block = this.#block
    if (!block) return
    block.bytes += end - start
    block.pieces.push(Buffer.from(bytes.subarray(start, end)))
    if (block.bytes > 2 * MOST_HEADER_BYTES || block.pieces.length > MOST_CONTINUATIONS) {
      this.#fail(ERROR.enhanceYourCalm)
      return
    }
    if ((flags & FLAG.endHeaders) === 0) return
    this.#block = undefined
    this.#headersAre(block.stream, block.end, Buffer.concat(block.pieces), 0, block.bytes)
  }

  /** A header block is whole: the head of a request, or its trailers. */
  #headersAre(id: number, last: boolean, bytes: Buffer, start: number, end: number): void {
    // Even if nobody wants to know it: it may change the table.
    const block = this.#headers.decode(bytes, start, end)
    const stream = this.#streams.get(id)
    if (block.kind === 'broken') this.#fail(ERROR.compression)
    else if (stream) {
      if (stream.ended) this.#fail(ERROR.streamClosed)
      else if (last && block.kind === 'fields' && areTrailers(block.fields)) this.#bodyEnds(stream, NOTHING)
      else this.#resetStream(id, ERROR.protocol)
    } else if (!this.#isIdle(id)) {
      if (!this.#isIgnored(id)) this.#fail(ERROR.streamClosed)
    } else {
      this.#lastStream = id
      if (this.#isIgnored(id)) return
      if (this.#streams.size >= MOST_STREAMS) this.#refuseStream(id, ERROR.refusedStream)
      else if (block.kind === 'too_large') this.#refuseStream(id, ERROR.enhanceYourCalm)
      else {
        block.made ??= this.#request(block.fields)
        this.#begin(id, last, block.made)
      }
    }
  }

  #request(fields: readonly Field[]): Request<Facts> {
    const head = headOf(fields)
    return { head, facts: head && this.#handler.facts(head) }
  }

  #begin(id: number, last: boolean, { head, facts }: Request<Facts>): void {
    if (!head || facts === undefined || (last && head.length > 0)) {
      this.#refuseStream(id, ERROR.protocol)
      return
    }
    const stream = new Stream(this, id, this.#heard, STREAM_WINDOW, this.#streamCredit, head.length)
    stream.ended = last
    this.#streams.set(id, stream)
    this.#place.begin()
    const call = this.#handler.begin(stream, facts)
    if (!stream.open) return
    stream.call = call
    if (last && call) this.#handler.body(call, NOTHING, true)
  }

  #settings(): void {
    const { bytes, start, end, flags } = this.#reader
    const ack = (flags & FLAG.ack) !== 0
    if (!this.#ofConnection()) return
    if (ack ? end > start : (end - start) % 6 !== 0) {
      this.#fail(ERROR.frameSize)
      return
    }
    if (ack) return
    if (end - start > 6 * MOST_SETTINGS) {
      this.#fail(ERROR.enhanceYourCalm)
      return
    }
    for (let at = start; at < end && !this.#ended; at += 6)
      this.#setting(bytes.readUInt16BE(at), bytes.readUInt32BE(at + 2))
    this.#settled = true
    if (this.#ended || !this.#guardControl()) return
    this.#output.write(SETTINGS_ACK)
    this.#answers.resume()
  }

  #setting(id: number, value: number): void {
    if (id === SETTING.enablePush && value > 1) this.#fail(ERROR.protocol)
    if (id === SETTING.maxFrameSize && (value < LARGEST_FRAME || value > 0xff_ffff)) this.#fail(ERROR.protocol)
    if (id !== SETTING.initialWindowSize) return
    const more = value - this.#streamCredit
    this.#streamCredit = value
    for (const stream of this.#streams.values()) stream.credit += more
    const most = Math.max(value, ...[...this.#streams.values()].map(({ credit }) => credit))
    if (most > BITS_31) this.#fail(ERROR.flowControl)
  }

  #ping(): void {
    const { bytes, start, end, flags } = this.#reader
    if (!this.#ofConnection()) return
    if (end - start !== 8) this.#fail(ERROR.frameSize)
    else if ((flags & FLAG.ack) !== 0) {
      if (this.#drainSince > 0 && bytes.compare(KNOWN, 0, 8, start, end) === 0) this.#refuseMore()
    } else if (this.#guardControl()) this.#output.write(frame(TYPE.ping, FLAG.ack, 0, bytes.subarray(start, end)))
  }

  #windowUpdate(): void {
    const { stream: id, bytes, start, end } = this.#reader
    if (end - start !== 4) {
      this.#fail(ERROR.frameSize)
      return
    }
    const more = bytes.readUInt32BE(start) & BITS_31
    const stream = this.#streams.get(id)
    if (id === 0) {
      this.#answers.credit += more
      if (more === 0) this.#fail(ERROR.protocol)
      else if (this.#answers.credit > BITS_31) this.#fail(ERROR.flowControl)
    } else if (this.#isIdle(id)) this.#fail(ERROR.protocol)
    else if (stream) {
      stream.credit += more
      if (more === 0) this.#resetStream(id, ERROR.protocol)
      else if (stream.credit > BITS_31) this.#resetStream(id, ERROR.flowControl)
    }
    this.#answers.resume()
  }

  #resetByClient(): void {
    const { stream: id, start, end } = this.#reader
    if (this.#isIdle(id)) this.#fail(ERROR.protocol)
    else if (end - start !== 4) this.#fail(ERROR.frameSize)
    else if (this.#guardResets()) this.#giveUp(id)
  }

  #priority(): void {
    const { stream: id, bytes, start, end } = this.#reader
    if (id === 0) this.#fail(ERROR.protocol)
    else if (end - start !== 5) this.#fail(ERROR.frameSize)
    else if (dependency(bytes, start) === id) this.#fail(ERROR.protocol)
    else this.#guardControl()
  }

  /** False, and the end of the connection, if the frame names a stream and must not. */
  #ofConnection(): boolean {
    if (this.#reader.stream !== 0) this.#fail(ERROR.protocol)
    return !this.#ended
  }

  /** The client has not opened it. Those with even numbers it never does. */
  #isIdle(id: number): boolean {
    return id > this.#lastStream || id % 2 === 0
  }

  /** Its frames were sent before the client knew that the call is over or refused. */
  #isIgnored(id: number): boolean {
    return this.#reset.has(id) || id > this.#lastAnswered
  }

  /** A mistake that concerns one call only. */
  #resetStream(id: number, code: ErrorCode): void {
    this.#giveUp(id)
    this.#refuseStream(id, code)
  }

  #refuseStream(id: number, code: ErrorCode): void {
    this.#sendReset(id, code)
    // To make us reset calls costs as much as to reset them.
    this.#guardResets()
    this.#endIfDrained()
  }

  /** The answer of this stream waits for a client that makes no room for it. */
  #cancel(stream: Stream<Call>): void {
    this.#close(stream)
    this.#sendReset(stream.id, ERROR.cancel)
    this.#endIfDrained()
  }

  #sendReset(id: number, code: ErrorCode): void {
    this.#output.write(numbers(TYPE.reset, id, code))
    this.#reset.add(id)
    const [oldest] = this.#reset
    // A client learns of resets in their order, and by then has not opened more than these.
    if (oldest !== undefined && this.#reset.size > MOST_STREAMS) this.#reset.delete(oldest)
  }

  /** A call is over without an answer. */
  #giveUp(id: number): void {
    const stream = this.#streams.get(id)
    if (!stream) return
    this.#close(stream)
    if (stream.call) this.#handler.gone(stream.call)
    this.#endIfDrained()
  }

  #close(stream: Stream<Call>): void {
    stream.open = false
    this.#busy = this.#heard
    if (this.#streams.delete(stream.id)) this.#place.end()
  }

  #openWindow(): void {
    if (4 * this.#window > CONNECTION_WINDOW || this.#ended) return
    this.#output.write(numbers(TYPE.windowUpdate, 0, CONNECTION_WINDOW - this.#window))
    this.#window = CONNECTION_WINDOW
  }

  /** Counts a frame that asks for work and carries no call. False if there were too many. */
  #guardControl(): boolean {
    if (!this.#control.use(this.#heard)) this.#fail(ERROR.enhanceYourCalm)
    return !this.#ended
  }

  #guardResets(): boolean {
    if (!this.#resets.use(this.#heard)) this.#fail(ERROR.enhanceYourCalm)
    return !this.#ended
  }

  /** A mistake after which nothing that comes can be understood, or an attack. */
  #fail(code: ErrorCode): void {
    if (this.#ended) return
    this.#output.write(numbers(TYPE.goaway, 0, this.#lastStream, code))
    this.#end()
  }

  #endIfDrained(): void {
    // After all that has been read is dealt with: it may begin another call.
    if (this.#draining && this.#streams.size === 0 && !this.#reading) this.#end()
  }

  #end(): void {
    if (this.#ended) return
    this.#ended = true
    this.#endedAt = this.#clock.monotonic()
    this.#output.end()
  }

  #gone(): void {
    this.#ended = true
    for (const id of this.#streams.keys()) this.#giveUp(id)
  }
}

const NOTHING = Buffer.alloc(0)
const SETTINGS_ACK = frame(TYPE.settings, FLAG.ack, 0, NOTHING)
const OUR_PING = frame(TYPE.ping, 0, 0, Buffer.from('pillion?', 'latin1'))
const KNOWN = Buffer.from('pillion.', 'latin1')
const WARNING = Buffer.concat([numbers(TYPE.goaway, 0, BITS_31, ERROR.none), frame(TYPE.ping, 0, 0, KNOWN)])
const OPENING = Buffer.concat([
  settings([
    [SETTING.enablePush, 0],
    [SETTING.maxConcurrentStreams, MOST_STREAMS],
    [SETTING.initialWindowSize, STREAM_WINDOW],
    [SETTING.maxHeaderListSize, MOST_HEADER_BYTES],
  ]),
  numbers(TYPE.windowUpdate, 0, CONNECTION_WINDOW - DEFAULT_WINDOW),
])

/** The stream that another one is said to depend on. */
function dependency(bytes: Buffer, at: number): number {
  return bytes.readUInt32BE(at) & BITS_31
}
