// Passes TCP connections on to the application, byte by byte as they come. Each end of a connection gets what it would have got
// without us: half-closes, resets, and the other side's pace, since nothing is read that could not be written.

import { createServer, type Server, Socket } from 'node:net'
import { Injector } from './inject.ts'
import type { Numbers } from './numbers.ts'
import { type Lost, type Observer, Watch, type WatchLimits } from './watch.ts'

export interface Address {
  readonly host: string
  readonly port: number
}

export interface RelayOptions {
  readonly listen: Address
  readonly upstream: Address
  readonly maxConnections: number
  /** Milliseconds until a connection to the application counts as failed. */
  readonly connectTimeout: number
  /** A connection that one side has closed, and on which nothing passes for so long, is closed. */
  readonly halfClosedTimeout: number
  readonly proxyProtocol: boolean
  /** New trace and span ids; undefined if nothing is written into heads. */
  readonly newIds: (() => { readonly traceId: string; readonly spanId: string }) | undefined
}

/**
 * Bytes that are read at once from the application. Its answers to a slow client are held until they are sent, so little is read
 * while much is held.
 */
const MUCH = 64 * 1024
const LITTLE = 4 * 1024
const MUCH_HELD = 16 * 1024 * 1024
const KEEP_ALIVE_MS = 60_000
/** A peer that does not read is not waited for when the other one has reset the connection. */
const LAST_BYTES_MS = 5000

export class Relay {
  readonly #options: RelayOptions
  readonly #numbers: Numbers
  readonly #observer: Observer
  readonly #limits: WatchLimits
  readonly #server: Server
  readonly #pairs = new Set<Pair>()
  readonly #shared: Shared
  #draining = false
  #empty: (() => void) | undefined

  constructor(options: RelayOptions, numbers: Numbers, observer: Observer, limits: WatchLimits) {
    this.#options = options
    this.#numbers = numbers
    this.#observer = observer
    this.#limits = limits
    this.#shared = { much: Buffer.allocUnsafeSlow(MUCH), out: Buffer.allocUnsafeSlow(MUCH), held: 0 }
    this.#server = createServer({
      // A side that has closed may still read.
      allowHalfOpen: true,
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: KEEP_ALIVE_MS,
      highWaterMark: 16 * 1024,
    })
    this.#server.on('connection', socket => this.#accept(socket))
  }

  get open(): number {
    return this.#pairs.size
  }

  /** Resolves with the real port; rejects if it cannot listen. */
  listen(): Promise<number> {
    const { host, port } = this.#options.listen
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject)
      this.#server.listen({ host, port, backlog: 4096 }, () => {
        this.#server.off('error', reject)
        // Out of descriptors, for instance: the others go on.
        this.#server.on('error', () => this.#numbers.refused('error'))
        const address = this.#server.address()
        resolve(typeof address === 'object' && address ? address.port : port)
      })
    })
  }

  /** Takes no new connections, closes those that are idle, and the others when their requests are answered or the time is over. */
  async drain(ms: number): Promise<void> {
    this.#draining = true
    this.#server.close()
    for (const pair of this.#pairs) pair.endIfIdle()
    if (this.#pairs.size === 0) return
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#empty = resolve
    const timer = setTimeout(resolve, ms)
    await promise
    clearTimeout(timer)
    for (const pair of this.#pairs) pair.reset()
  }

  #accept(client: Socket): void {
    if (this.#pairs.size >= this.#options.maxConnections) {
      this.#numbers.refused('limit')
      client.resetAndDestroy()
      return
    }
    this.#numbers.connections++
    const pair = new Pair(client, this.#options, this.#numbers, this.#shared, this.#watch(), {
      draining: () => this.#draining,
      over: () => {
        this.#pairs.delete(pair)
        if (this.#pairs.size === 0) this.#empty?.()
      },
    })
    this.#pairs.add(pair)
  }

  #watch(): Watch {
    return new Watch(this.#observer, this.#limits, this.#options.newIds !== undefined)
  }
}

interface Shared {
  /** Answers are read to it, one after another. */
  readonly much: Buffer
  /** Answers are written from it; it is replaced as soon as a write has to wait. */
  out: Buffer
  /** Bytes of answers that clients have not taken yet. */
  held: number
}

interface Around {
  draining(): boolean
  over(): void
}

/** A connection of a client, and the one to the application that belongs to it. */
class Pair {
  readonly #client: Socket
  readonly #upstream: Socket
  readonly #numbers: Numbers
  readonly #shared: Shared
  readonly #watch: Watch
  readonly #around: Around
  readonly #injector: Injector | undefined
  readonly #halfClosedTimeout: number
  #connected = false
  /** One side was reset, and so is the other one. */
  #cut = false
  #closed = 0
  #held = 0

  constructor(client: Socket, options: RelayOptions, numbers: Numbers, shared: Shared, watch: Watch, around: Around) {
    this.#client = client
    this.#numbers = numbers
    this.#shared = shared
    this.#watch = watch
    this.#around = around
    this.#injector = options.newIds && new Injector(watch, options.newIds)
    this.#halfClosedTimeout = options.halfClosedTimeout
    const upstream = new Socket({
      allowHalfOpen: true,
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: KEEP_ALIVE_MS,
      // One buffer for all reads costs a copy, and no allocation of 64 KiB for each; and a pause takes effect at once.
      onread: {
        buffer: () => (shared.held > MUCH_HELD ? shared.much.subarray(0, LITTLE) : shared.much),
        callback: (count, bytes) => this.#answered(bytes as Buffer, count),
      },
      // The types of Node leave out what `connect` of the module gives to this constructor.
    } as ConstructorParameters<typeof Socket>[0])
    this.#upstream = upstream
    this.#listenToClient(client)
    this.#listenToUpstream(upstream)
    upstream.setTimeout(options.connectTimeout)
    const { host, port } = options.upstream
    upstream.connect({ host, port })
    // Waits for the connection, as everything that is written now.
    if (options.proxyProtocol) upstream.write(proxyLine(client), 'latin1')
  }

  /** Closes a connection on which nothing is under way. */
  endIfIdle(): void {
    if (this.#watch.busy) return
    this.#client.end()
    this.#upstream.end()
  }

  reset(): void {
    this.#watch.end('tap')
    cut(this.#client)
    cut(this.#upstream)
  }

  #listenToClient(client: Socket): void {
    const upstream = this.#upstream
    client.on('data', (bytes: Buffer) => {
      this.#numbers.requestBytes += bytes.length
      if (this.#injector) {
        let room = true
        for (const each of this.#passed(bytes)) room = upstream.write(each)
        if (!room) client.pause()
        return
      }
      if (!upstream.write(bytes)) client.pause()
      this.#watch.request(bytes)
    })
    client.on('drain', () => {
      this.#hold(0)
      upstream.resume()
    })
    client.on('end', () => {
      const rest = this.#injector?.rest()
      if (rest) upstream.write(rest)
      upstream.end()
      this.#halfClosed()
    })
    client.on('timeout', () => this.#expire())
    client.on('error', () => {
      this.#numbers.resets.client++
      this.#cut = true
      this.#watch.end('client')
      resetAfter(upstream)
    })
    client.on('close', () => this.#close('client'))
  }

  #listenToUpstream(upstream: Socket): void {
    const client = this.#client
    upstream.on('connect', () => {
      this.#connected = true
      upstream.setTimeout(0)
    })
    upstream.on('drain', () => client.resume())
    upstream.on('end', () => {
      // Servers give up a request whose client has closed its side.
      this.#watch.responseEnd(client.readableEnded ? 'client' : 'application')
      client.end()
      this.#halfClosed()
    })
    upstream.on('timeout', () => {
      if (this.#connected) this.#expire()
      else this.#unreachable('timeout')
    })
    upstream.on('error', error => {
      if (!this.#connected) {
        this.#unreachable('code' in error && error.code === 'ECONNREFUSED' ? 'refused' : 'error')
        return
      }
      this.#numbers.resets.application++
      this.#cut = true
      this.#watch.end('application')
      resetAfter(client)
    })
    upstream.on('close', () => this.#close('application'))
  }

  /** Bytes of the application, in a buffer that the next read uses again. */
  #answered(bytes: Buffer, count: number): boolean {
    const client = this.#client
    this.#numbers.responseBytes += count
    const shared = this.#shared
    // Each socket of the application keeps the buffer that it reads to, so a write that waits must never hold that one.
    const scarce = shared.held > MUCH_HELD || client.writableLength > 0
    const to = scarce ? Buffer.allocUnsafeSlow(count) : shared.out
    bytes.copy(to, 0, 0, count)
    const came = to.subarray(0, count)
    const room = client.write(came)
    const held = client.writableLength
    // Mostly the kernel has taken all of it at once, and the buffer is free again. Otherwise it belongs to that write.
    if (held > 0 && !scarce) shared.out = Buffer.allocUnsafeSlow(MUCH)
    this.#hold(held === 0 ? 0 : scarce ? held : MUCH)
    this.#watch.response(came)
    if (this.#around.draining() && !this.#watch.busy) setImmediate(() => this.endIfIdle())
    // False pauses the reading.
    return room
  }

  #passed(bytes: Buffer): readonly Buffer[] {
    try {
      return this.#injector!.pass(bytes)
    } catch {
      return [bytes]
    }
  }

  #hold(bytes: number): void {
    this.#shared.held += bytes - this.#held
    this.#held = bytes
  }

  #unreachable(reason: 'refused' | 'timeout' | 'error'): void {
    this.#numbers.unreachable[reason]++
    this.#watch.end('application')
    cut(this.#client)
    this.#upstream.destroy()
  }

  #halfClosed(): void {
    for (const each of [this.#client, this.#upstream]) each.setTimeout(this.#halfClosedTimeout)
  }

  #expire(): void {
    this.#numbers.expired++
    this.#cut = true
    cut(this.#client)
    cut(this.#upstream)
  }

  #close(side: Lost): void {
    this.#closed++
    if (side === 'client') this.#hold(0)
    const other = side === 'client' ? this.#upstream : this.#client
    if (!this.#cut && !other.destroyed && !other.writableEnded) other.end()
    if (this.#closed < 2) return
    this.#watch.end(side)
    this.#around.over()
  }
}

const NOTHING = Buffer.alloc(0)

/** Resets a connection. One that is not made yet would first be waited for, as long as that takes. */
function cut(socket: Socket): void {
  if (socket.connecting) socket.destroy()
  else socket.resetAndDestroy()
}

/** Passes a reset on, after the bytes that came before it. */
function resetAfter(socket: Socket): void {
  if (socket.destroyed) return
  if (socket.writableLength === 0 || socket.connecting) {
    cut(socket)
    return
  }
  const reset = (): void => {
    clearTimeout(timer)
    cut(socket)
  }
  const timer = setTimeout(reset, LAST_BYTES_MS)
  socket.write(NOTHING, reset)
  socket.once('close', () => clearTimeout(timer))
}

/** https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt, 2.1 */
function proxyLine({ remoteAddress = '', remotePort, localAddress = '', localPort, remoteFamily }: Socket): string {
  const plain = (address: string): string => address.replace(/^::ffff:(?=\d+\.)/i, '')
  const [from, to] = [plain(remoteAddress), plain(localAddress)]
  if (remotePort === undefined || localPort === undefined) return 'PROXY UNKNOWN\r\n'
  const family = remoteFamily === 'IPv6' && from.includes(':') ? 'TCP6' : 'TCP4'
  return `PROXY ${family} ${from} ${to} ${remotePort} ${localPort}\r\n`
}
