// Reads rarely, and off the loop, the things for which the kernel walks something large: the TCP table (connections,
// accept queue, the port that the application listens on) and the page tables.

import type { Host } from '../../telemetry/host.ts'
import type { FileAccess } from './access.ts'
import { socketOwners } from './owners.ts'
import type { Smaps } from './parse.ts'
import { portRange } from './saturation.ts'
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
/** While no port is known it is looked for this often, so that health is probed within 3 s of its opening. */
const PORT_FIRST_MS = 1500
/** A known port is checked now and then. */
const PORT_AGAIN_MS = 60_000
/** One that has many connections is among the first thousands of the table. */
const MOST_DESTINATIONS = 4096
/** Reads may take this part of the time at most: a slow one is repeated less often. */
const SHARE = 1 / 50

export class Rare {
  tcp: ReadonlyMap<TcpState, number> | undefined
  acceptQueue: number | undefined
  smaps: Smaps | undefined

  readonly #host: Host
  readonly #options: RareOptions
  readonly #access: FileAccess
  readonly #grow: () => Promise<void>
  readonly #overLimit: (what: 'tcp' | 'smaps') => void
  readonly #connections: (toOne: number | undefined, waiting: number | undefined) => void
  #tcpDue = 0
  #smapsDue = 0
  #portDue = 0
  #tree: Tree | undefined

  /**
   * `grow` takes the newest processes into the tree; `overLimit` counts what a limit left out; `connections` is told after each
   * look at the table of the most connections to one destination, and of those that wait to be accepted.
   */
  constructor(
    options: RareOptions,
    host: Host,
    access: FileAccess,
    grow: () => Promise<void>,
    overLimit: (what: 'tcp' | 'smaps') => void,
    connections: (toOne: number | undefined, waiting: number | undefined) => void,
  ) {
    this.#options = options
    this.#host = host
    this.#access = access
    this.#grow = grow
    this.#overLimit = overLimit
    this.#connections = connections
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
  }

  async #readPort(tree: Tree): Promise<void> {
    const { clock, proc, app } = this.#host
    const now = clock.monotonic()
    if (now < this.#portDue) return
    // The process that listens may be younger than the last whole look: npm and shells start it after themselves.
    if (app.port === undefined) await this.#grow()
    const ports = new Map<number, number>()
    await readTcp(`${proc}/${tree.main.pid}/net`, row => {
      if (row.state === 'listen') ports.set(row.inode, row.port)
    })
    const pids = [...tree.members].map(member => member.pid)
    const { held, refused } = await socketOwners(proc, pids, new Set(ports.keys()))
    if (this.#tree !== tree) return
    const own = [...held].map(inode => ports.get(inode)!).sort((a, b) => a - b)
    const named = app.select.port ?? portOf(app.url)
    // If descriptors may not be listed, the named port is taken to be the application's if any process listens on it.
    const known = named !== undefined && (own.includes(named) || (refused > 0 && [...ports.values()].includes(named)))
    app.port = known ? named : own[0]
    this.#portDue = this.#due(now, app.port === undefined ? PORT_FIRST_MS : PORT_AGAIN_MS)
  }

  async #readTcp(tree: Tree): Promise<void> {
    const { clock, proc, app } = this.#host
    const start = clock.monotonic()
    if (!this.#options.tcp || start < this.#tcpDue) return
    const counts = new Map<TcpState, number>()
    let waiting: number | undefined
    const { low, high } = portRange(proc)
    const destinations = new Map<string, number>()
    const outcome = await readTcp(`${proc}/${tree.main.pid}/net`, row => {
      counts.set(row.state, (counts.get(row.state) ?? 0) + 1)
      if (row.state === 'listen' && row.port === app.port) waiting = (waiting ?? 0) + row.receiveQueue
      if (row.state === 'listen' || row.port === app.port || row.port < low || row.port > high) return
      const known = destinations.get(row.remote)
      if (known !== undefined || destinations.size < MOST_DESTINATIONS) destinations.set(row.remote, (known ?? 0) + 1)
    })
    this.#tcpDue = this.#due(start, TCP_MS)
    if (this.#tree !== tree) return
    if (outcome === 'cut') this.#overLimit('tcp')
    this.tcp = outcome === 'whole' ? counts : undefined
    this.acceptQueue = outcome === 'whole' ? waiting : undefined
    this.#connections(outcome === 'whole' ? Math.max(0, ...destinations.values()) : undefined, this.acceptQueue)
    // The table of a process that has ended meanwhile cannot be read either, which no permission would change.
    if (outcome !== 'unreadable' || tree.main.runs())
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
function portOf(base: string | undefined): number | undefined {
  const url = base === undefined ? null : URL.parse(base)
  return url ? Number(url.port) || (url.protocol === 'https:' ? 443 : 80) : undefined
}
