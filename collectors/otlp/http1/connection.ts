// One HTTP/1.1 connection while its requests are ordinary ones, on a bare socket: node:http makes some twenty objects for a
// request, and here it is two. The first request that is anything else, with all bytes from its beginning, is handed over
// together with the connection to `node:http`, which knows the rest of the protocol.

import type { Socket } from 'node:net'
import type { Clock } from '../../../telemetry/host.ts'
import type { Decision } from '../../../telemetry/intake.ts'
import { Share } from '../budget.ts'
import { type Inflated, inflate } from '../inflate.ts'
import type { OtlpIntake } from '../intake.ts'
import { askAtEnd } from '../interim.ts'
import type { HttpCode, Ledger } from '../ledger.ts'
import type { Memory } from '../listener.ts'
import { letGo } from '../memory.ts'
import type { Place } from '../places.ts'
import { CLOSE, type HttpRefusal, LATE, notInflated, notTaken, STATUS } from '../refusals.ts'
import { response, status } from '../status.ts'
import type { Turn } from '../turn.ts'
import { type Answers, KEEP_ALIVE_MS } from './answers.ts'
import { type Head, HeadReader } from './head.ts'

/** Shared by all connections. */
export interface Around {
  readonly options: {
    readonly max_request: number
    readonly max_json: number
    readonly request_timeout: number
  }
  readonly intake: OtlpIntake
  readonly memory: Memory
  readonly ledger: Ledger
  readonly clock: Clock
  readonly answers: Answers
  readonly turn: Turn
  /** Each answer is the last one of its connection. */
  readonly draining: boolean
  /** Gives the connection to `node:http`; the bytes that are not read yet have been put back. */
  handOver(socket: Socket, place: Place): void
  /** The connection is no longer of concern. */
  forget(connection: Connection): void
}

/** A larger body would be memory for what was declared, not for what has come. */
const MOST_BODY = 1024 * 1024
/** Bytes that wait for a client to take them. Beyond them its requests wait too. */
const MOST_UNTAKEN = 256 * 1024
/** Answers to requests in a row are joined until they are as large. */
const MOST_JOINED = 16 * 1024
/** For a peer that neither sends nor reads, at any moment. */
const SILENT_MS = 120_000

/** A request on its way. */
interface Exchange {
  readonly head: Head
  readonly share: Share
  readonly limit: number
}

/** A body that has not come as a whole. */
interface Arriving {
  readonly exchange: Exchange
  readonly room: Buffer
  readonly length: number
  readonly since: number
  got: number
}

export class Connection {
  readonly #socket: Socket
  readonly #place: Place
  readonly #around: Around
  readonly #reader = new HeadReader()
  /** Looks at the next request. */
  readonly #ahead = new HeadReader()
  #arriving: Arriving | undefined
  /** A whole request is being decided. */
  #deciding = false
  /** The bytes that have come behind it. */
  #rest: Buffer | undefined
  #output: Buffer | undefined
  /** The number of answers in it. */
  #unwritten = 0
  /** The last answer has been given: nothing that follows is read. */
  #over = false
  /** The client sends nothing more, and may wait for its answer (RFC 9112, 9.6). */
  #halfClosed = false
  #heard: number

  constructor(socket: Socket, place: Place, around: Around) {
    this.#socket = socket
    this.#place = place
    this.#around = around
    this.#heard = around.clock.monotonic()
    socket.on('data', this.#onData).on('end', this.#onEnd).on('close', this.#onClose).on('drain', this.#onDrain)
  }

  destroy(): void {
    this.#socket.destroy()
  }

  /** Closes the connection if no request is on its way; answers that are not written yet are. */
  drain(): void {
    if (this.#idle) this.#close()
  }

  get #idle(): boolean {
    return !this.#arriving && !this.#deciding
  }

  /** Gives up what is late. Called about once a second. */
  tick(now: number): void {
    const silent = now - this.#heard
    const arriving = this.#arriving
    if (silent > SILENT_MS || (this.#idle && silent > KEEP_ALIVE_MS)) this.destroy()
    else if (arriving && now - arriving.since > this.#around.options.request_timeout) {
      this.#arriving = undefined
      this.#around.memory.bodies.giveBack(arriving.room)
      this.#refuse(arriving.exchange, LATE)
    }
  }

  /** Writes the answers of this turn. */
  flush(): void {
    const socket = this.#socket
    const bytes = this.#output
    if (!bytes) return
    this.#output = undefined
    this.#heard = this.#around.clock.monotonic()
    if (socket.writable && !socket.write(bytes) && socket.writableLength > MOST_UNTAKEN) socket.pause()
    // Not before: an idle connection may be closed at any moment.
    for (; this.#unwritten > 0; this.#unwritten--) this.#place.end()
  }

  readonly #onData = (chunk: Buffer): void => {
    this.#heard = this.#around.clock.monotonic()
    const arriving = this.#arriving
    if (this.#deciding) this.#wait(chunk)
    else if (!this.#read(arriving ? this.#more(arriving, chunk) : chunk)) return
    // Everything has been copied or decided. Left to the garbage collector, reads take 40 MiB more at full load.
    letGo([chunk])
  }

  readonly #onEnd = (): void => {
    this.#halfClosed = true
    if (this.#arriving) this.destroy()
    else {
      this.flush()
      if (!this.#deciding) this.#socket.end()
    }
  }

  readonly #onClose = (): void => {
    this.#around.forget(this)
    const arriving = this.#arriving
    if (!arriving) return
    this.#arriving = undefined
    this.#around.memory.bodies.giveBack(arriving.room)
    this.#end(arriving.exchange, 499)
  }

  readonly #onDrain = (): void => {
    if (!this.#rest) this.#socket.resume()
  }

  /** Keeps what follows a request that is being decided. Clients rarely send it before the answer. */
  #wait(bytes: Buffer): void {
    this.#rest = this.#rest ? Buffer.concat([this.#rest, bytes]) : Buffer.from(bytes)
    this.#socket.pause()
  }

  /** Reads one request after the other. False if the bytes, from some request on, have been handed over. */
  #read(bytes: Buffer): boolean {
    let rest = bytes
    while (rest.length > 0 && !this.#over) {
      if (this.#deciding) {
        this.#wait(rest)
        return true
      }
      const used = this.#begin(rest)
      if (used === 0) {
        this.#handOver(rest)
        return false
      }
      rest = rest.subarray(used)
    }
    return true
  }

  readonly #awaited = (): boolean => !this.#socket.destroyed

  /** Begins a request. Returns how many bytes of it are there; 0 if it is not an ordinary one, or if there is no room for it. */
  #begin(chunk: Buffer): number {
    const reader = this.#reader
    const { options, memory, clock } = this.#around
    const { head } = reader.read(chunk) ? reader : NO_HEAD
    const limit = head?.encoding === 'json' ? options.max_json : options.max_request
    const { length, end: at } = reader
    const end = at + length
    if (!head || length > Math.min(limit, MOST_BODY) || !memory.budget.fits(length)) return 0
    // Together with anything else behind it, a request is judged by node:http.
    if (chunk.length > end && !this.#ahead.read(chunk.subarray(end))) return 0
    const share = new Share(memory.budget)
    share.hold(Math.max(length, 1))
    this.#place.begin()
    const exchange: Exchange = { head, share, limit }
    if (chunk.length >= end) {
      this.#whole(exchange, chunk.subarray(at, end))
      return end
    }
    const room = memory.bodies.room(length)
    this.#arriving = { exchange, room, length, since: clock.monotonic(), got: chunk.copy(room, 0, at) }
    return chunk.length
  }

  /** Returns what has come behind the body. */
  #more(arriving: Arriving, chunk: Buffer): Buffer {
    const { exchange, room, length } = arriving
    const size = chunk.copy(room, arriving.got, 0, Math.min(chunk.length, length - arriving.got))
    arriving.got += size
    if (arriving.got === length) {
      this.#arriving = undefined
      this.#whole(exchange, room.subarray(0, length))
      this.#around.memory.bodies.giveBack(room)
    }
    return chunk.subarray(size)
  }

  /** The bytes are valid during the call. */
  #whole(exchange: Exchange, body: Buffer): void {
    const { coding } = exchange.head
    this.#deciding = true
    if (!coding) this.#take(exchange, body)
    else
      inflate(coding, { body, memory: undefined }, exchange.limit, exchange.share, inflated =>
        this.#inflated(exchange, inflated),
      )
  }

  #inflated(exchange: Exchange, inflated: Inflated): boolean | Promise<true> {
    if (inflated.kind === 'body') return this.#take(exchange, inflated.body)
    this.#refuse(exchange, notInflated(inflated))
    return false
  }

  /** False when nobody uses the body any more; a promise when it is decided later. */
  #take(exchange: Exchange, body: Buffer): boolean | Promise<true> {
    const { signal, encoding, hops } = exchange.head
    const decision = this.#around.intake.take(signal, encoding, body, this.#awaited, hops)
    if (!(decision instanceof Promise)) return this.#decided(exchange, decision)
    // Nothing may come between the two writes of what is asked.
    this.flush()
    const asked = askAtEnd(this.#socket)
    return decision.then(later => {
      asked()
      if (later) this.#decided(exchange, later)
      else this.#end(exchange, 499)
      return true
    })
  }

  #decided(exchange: Exchange, decision: Decision): boolean {
    if (decision.kind !== 'taken') {
      this.#refuse(exchange, notTaken(decision))
      return false
    }
    const { signal, encoding } = exchange.head
    const { answers, draining } = this.#around
    const said = response(signal, encoding, decision.rejected, decision.text)
    const plain = decision.rejected === 0 && decision.text === '' && !draining
    const bytes = plain ? answers.taken(encoding, said) : answers.of(200, encoding, said, draining)
    this.#answer(exchange, 200, bytes, draining)
    return false
  }

  #refuse(exchange: Exchange, { code, message, headers }: HttpRefusal): void {
    const { encoding } = exchange.head
    const { answers, draining } = this.#around
    const close = draining || headers === CLOSE
    const bytes = answers.of(code, encoding, status(encoding, STATUS[code], message), close, close ? {} : headers)
    this.#answer(exchange, code, bytes, close)
  }

  #answer(exchange: Exchange, code: HttpCode, bytes: Buffer, last: boolean): void {
    this.#count(exchange, code)
    if (this.#output && this.#output.length > MOST_JOINED) this.flush()
    this.#output = this.#output ? Buffer.concat([this.#output, bytes]) : bytes
    this.#unwritten++
    const rest = this.#rest
    if (last || (this.#halfClosed && !rest)) {
      this.#close()
      return
    }
    this.#around.turn.add(this)
    if (!rest) return
    this.#rest = undefined
    if (this.#read(rest) && !this.#rest && this.#socket.writableLength <= MOST_UNTAKEN) this.#socket.resume()
  }

  /** Ends an exchange without an answer. */
  #end(exchange: Exchange, code: HttpCode): void {
    this.#count(exchange, code)
    this.#place.end()
  }

  #count({ head, share }: Exchange, code: HttpCode): void {
    this.#deciding = false
    share.release()
    this.#around.ledger.answered(head.signal, 'http', code)
  }

  /** Closes the connection behind its last answer. */
  #close(): void {
    const socket = this.#socket
    this.#over = true
    this.flush()
    // It may be the rest of a body, in which anything may stand. It is thrown away: left unread, it would cost the client the answer.
    socket.off('data', this.#onData)
    socket.resume()
    socket.end()
    socket.destroySoon()
  }

  #handOver(rest: Buffer): void {
    const socket = this.#socket
    this.flush()
    this.#around.forget(this)
    socket.off('data', this.#onData).off('end', this.#onEnd).off('close', this.#onClose).off('drain', this.#onDrain)
    if (socket.readableEnded) socket.destroy()
    if (socket.destroyed) return
    // Paused, or the bytes would be shown to nobody.
    socket.pause()
    // A copy: they may be lent.
    socket.unshift(Buffer.from(rest))
    this.#around.handOver(socket, this.#place)
    socket.resume()
  }
}

const NO_HEAD = { head: undefined }
