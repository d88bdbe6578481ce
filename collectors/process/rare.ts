// What is read rarely and off the loop, because the kernel walks something large for it: the TCP table (connections, accept
// queue, the port the application listens on) and its page tables.

import type { Host } from '../collector.ts'
import type { Access } from './access.ts'
import { socketOwners } from './discovery.ts'
import type { Smaps } from './parse.ts'
import { readSmaps } from './smaps.ts'
import { readTcp, type TcpState } from './sockets.ts'
import type { Tree } from './tree.ts'

export interface RareOptions {
  readonly tcp: boolean
  readonly smaps: boolean
  readonly smaps_limit: number
}

const TCP_MS = 15_000
const SMAPS_MS = 60_000
/** The port is looked for ever less often while there is none, and checked now and then after that. */
const PORT_FIRST_MS = 1000
const PORT_MOST_MS = 30_000
const PORT_AGAIN_MS = 60_000
/** A read may take this part of the time at most: a slow one is repeated less often. */
const SHARE = 1 / 50

export class Rare {
  tcp: ReadonlyMap<TcpState, number> | undefined
  acceptQueue: number | undefined
  smaps: Smaps | undefined

  readonly #host: Host
  readonly #options: RareOptions
  readonly #access: Access
  readonly #overLimit: (what: 'tcp' | 'smaps') => void
  #tcpDue = 0
  #smapsDue = 0
  #portDue = 0
  #portPause = PORT_FIRST_MS
  #tree: Tree | undefined

  constructor(options: RareOptions, host: Host, access: Access, overLimit: (what: 'tcp' | 'smaps') => void) {
    this.#options = options
    this.#host = host
    this.#access = access
    this.#overLimit = overLimit
  }

  /** Reads what is due of this application. */
  async look(tree: Tree): Promise<void> {
    if (tree !== this.#tree) this.#begin(tree)
    await this.#readPort(tree)
    await this.#readTcp(tree)
    await this.#readSmaps(tree)
  }

  /** The application has ended, and what is still being read of it does not count. */
  forget(): void {
    this.#tree = undefined
    this.tcp = undefined
    this.acceptQueue = undefined
    this.smaps = undefined
  }

  #begin(tree: Tree): void {
    this.forget()
    this.#tree = tree
    this.#tcpDue = this.#smapsDue = this.#portDue = Number.NEGATIVE_INFINITY
    this.#portPause = PORT_FIRST_MS
  }

  async #readPort(tree: Tree): Promise<void> {
    const { clock, proc, app } = this.#host
    const now = clock.monotonic()
    if (now < this.#portDue) return
    const ports = new Map<number, number>()
    await readTcp(`${proc}/${tree.main.pid}/net`, row => {
      if (row.state === 'listen') ports.set(row.inode, row.port)
    })
    const pids = [...tree.members].map(member => member.pid)
    const { held, refused } = await socketOwners(proc, pids, new Set(ports.keys()))
    if (this.#tree !== tree) return
    const own = [...held].map(inode => ports.get(inode)!).sort((a, b) => a - b)
    const named = app.select.port ?? portOf(app.url)
    // Where descriptors may not be listed, the named port is taken to be the application's if anybody listens on it.
    const known = named !== undefined && (own.includes(named) || (refused > 0 && [...ports.values()].includes(named)))
    app.port = known ? named : own[0]
    this.#portDue = now + (app.port === undefined ? this.#portPause : PORT_AGAIN_MS)
    this.#portPause = Math.min(this.#portPause * 2, PORT_MOST_MS)
  }

  async #readTcp(tree: Tree): Promise<void> {
    const { clock, proc, app } = this.#host
    const start = clock.monotonic()
    if (!this.#options.tcp || start < this.#tcpDue) return
    const counts = new Map<TcpState, number>()
    let waiting: number | undefined
    const outcome = await readTcp(`${proc}/${tree.main.pid}/net`, row => {
      counts.set(row.state, (counts.get(row.state) ?? 0) + 1)
      if (row.state === 'listen' && row.port === app.port) waiting = (waiting ?? 0) + row.receiveQueue
    })
    this.#tcpDue = this.#due(start, TCP_MS)
    if (this.#tree !== tree) return
    if (outcome === 'cut') this.#overLimit('tcp')
    this.tcp = outcome === 'whole' ? counts : undefined
    this.acceptQueue = outcome === 'whole' ? waiting : undefined
    this.#access.note('net/tcp', outcome !== 'unreadable', tree.main.pid)
  }

  async #readSmaps(tree: Tree): Promise<void> {
    const start = this.#host.clock.monotonic()
    if (!this.#options.smaps || start < this.#smapsDue) return
    const read = await readSmaps(tree.members, this.#options.smaps_limit)
    this.#smapsDue = this.#due(start, SMAPS_MS)
    if (this.#tree !== tree) return
    this.smaps = read.sum
    if (!read.sum && read.why === 'large') this.#overLimit('smaps')
    if (read.sum || read.why === 'denied') this.#access.note('smaps_rollup', read.sum !== undefined, tree.main.pid)
  }

  #due(start: number, pause: number): number {
    return start + Math.max(pause, (this.#host.clock.monotonic() - start) / SHARE)
  }
}

/** The port that a base URL leads to. */
export function portOf(base: string | undefined): number | undefined {
  const url = base === undefined ? null : URL.parse(base)
  return url ? Number(url.port) || (url.protocol === 'https:' ? 443 : 80) : undefined
}
