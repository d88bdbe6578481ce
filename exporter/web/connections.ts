// The connections of the web server. When there are too many, one is closed that can best be spared, and never one that has
// just come: a kubelet opens a connection for each probe. Each connection gets one answer at a time, so that a client
// cannot order more than it reads.

import type { ServerResponse } from 'node:http'
import type { Socket } from 'node:net'

interface Connection {
  /** For a TLS connection the TLS socket, once its handshake is over. */
  socket: Socket
  /** Answers that have not been sent to their end. */
  readonly answers: Set<ServerResponse>
  /** Since when it is idle, or is being answered, in milliseconds. */
  since: number
  /** Whether it is that of a prober or a scraper, as far as its requests tell. */
  watching: boolean
}

/** A connection is not idle before it had time to send its first request. */
const GRACE_MS = 250
/** Idle connections of probers and scrapers are kept, up to this share of all. */
const KEPT_SHARE = 1 / 8

export class Connections {
  readonly #limit: number
  readonly #kept: number
  readonly #dropped: () => void
  readonly #all = new Map<string, Connection>()
  /** Those without an answer under way, in the order in which they became idle. */
  readonly #idle = new Set<Connection>()
  /** Those with one, in the order in which it began. */
  readonly #busy = new Set<Connection>()
  #later: NodeJS.Timeout | undefined

  /** `dropped` is called for each connection that is closed because there were too many. */
  constructor(limit: number, dropped: () => void) {
    this.#limit = limit
    this.#kept = Math.max(1, Math.floor(limit * KEPT_SHARE))
    this.#dropped = dropped
  }

  opened(socket: Socket): void {
    const connection: Connection = { socket, answers: new Set(), since: performance.now(), watching: false }
    const key = keyOf(socket)
    this.#all.set(key, connection)
    this.#idle.add(connection)
    socket.once('close', () => this.#forget(key, connection))
    this.#makeRoom(connection)
  }

  /**
   * Closes connections that are too many. While all of them are new, there may be twice as many as allowed: it is looked at
   * again when they have had time to ask something.
   */
  #makeRoom(newest?: Connection): void {
    while (this.#all.size > this.#limit) {
      const spared = this.#spared() ?? (this.#all.size >= 2 * this.#limit ? this.#longest(newest) : undefined)
      if (!spared) {
        this.#later ??= setTimeout(() => {
          this.#later = undefined
          this.#makeRoom()
        }, GRACE_MS).unref()
        return
      }
      this.#dropped()
      this.#forget(keyOf(spared.socket), spared)
      spared.socket.destroy()
    }
  }

  /** The connection that can best be spared; undefined if one that is new may soon be. */
  #spared(): Connection | undefined {
    const before = performance.now() - GRACE_MS
    // The longest idle one, but not one of the few that watch.
    let watching: Connection | undefined
    let [count, fresh] = [0, false]
    for (const each of this.#idle) {
      if (each.watching) {
        watching ??= each
        count++
      } else if (each.since < before) return each
      else fresh = true
    }
    if (count > this.#kept) return watching
    if (fresh) return undefined
    // One whose client does not take its answer, then the one that is being answered for longest.
    let longest: Connection | undefined
    for (const each of this.#busy) {
      if (each.since >= before) break
      if (each.socket.writableLength > 0) return each
      longest ??= each
    }
    return this.#busy.size > 0 ? longest : watching
  }

  /** The same, however new they are. */
  #longest(newest: Connection | undefined): Connection | undefined {
    for (const each of this.#idle) if (each !== newest && !each.watching) return each
    const [busy] = this.#busy
    if (busy) return busy
    const [idle = newest] = this.#idle
    return idle
  }

  /** The handshake is over: this is the socket to close from now on. */
  secured(socket: Socket): void {
    const connection = this.#all.get(keyOf(socket))
    if (connection) connection.socket = socket
  }

  /**
   * Whether a request that comes now is sent without waiting for the answer to the one before it (pipelining). One request
   * may come while the last bytes of an answer that is complete are handed to the kernel: a quick client can be that early
   * without pipelining.
   */
  answering(socket: Socket): boolean {
    const answers = this.#all.get(keyOf(socket))?.answers
    return answers !== undefined && (answers.size > 1 || answers.values().some(answer => !answer.writableEnded))
  }

  /** Notes an answer that begins: its connection is not idle until the answer has been sent. */
  begin(response: ServerResponse): void {
    const connection = this.#all.get(keyOf(response.req.socket))
    if (!connection) return
    const { answers } = connection
    this.#idle.delete(connection)
    if (answers.size === 0) {
      connection.since = performance.now()
      this.#busy.add(connection)
    }
    answers.add(response)
    const end = (): void => {
      if (!answers.delete(response)) return
      if (response.writableFinished && response.shouldKeepAlive && WATCHED.test(response.req.url ?? ''))
        connection.watching ||= response.statusCode < 400
      if (answers.size > 0) return
      this.#busy.delete(connection)
      if (this.#all.get(keyOf(connection.socket)) !== connection) return
      connection.since = performance.now()
      this.#idle.add(connection)
    }
    response.once('finish', end)
    response.once('close', end)
  }

  #forget(key: string, connection: Connection): void {
    this.#idle.delete(connection)
    this.#busy.delete(connection)
    if (this.#all.get(key) === connection) this.#all.delete(key)
  }
}

/** The paths of probers and scrapers. */
const WATCHED = /^\/(?:-\/|metrics(?:[?]|$))/

/** A TLS socket and the TCP socket below it are one connection. */
function keyOf({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress} ${remotePort}`
}
