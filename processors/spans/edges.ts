// The edges of the service graph: label sets of client, server and connection type, with their numbers. The names of the nodes
// are kept as long as an edge or a waiting half of a request needs them.

import { CounterColumn, HistogramColumn } from '../../metrics/columns.ts'
import type { CounterFamily, HistogramFamily } from '../../metrics/family.ts'
import { Known } from '../../metrics/known.ts'
import type { Metrics } from '../../metrics/registry.ts'
import { OVERFLOW, type SeriesTable } from '../../metrics/table.ts'
import type { SpanView } from '../../telemetry/consumer.ts'
import { Carry } from './weight.ts'

/** A name for which there is no room among the symbols. */
const UNHELD = -1
/** Unused names are removed at most this often. */
const TIDY_MS = 1000

export interface EdgeFamilies {
  readonly total: CounterFamily
  readonly failed: CounterFamily
  readonly client: HistogramFamily
  readonly server: HistogramFamily
}

interface EdgeOptions {
  readonly limit: number
  /** Milliseconds that an edge is kept after its last request; 0 is for ever. */
  readonly expiry: number
}

export class Edges {
  /** Seconds as the client saw them, and as the server did. */
  readonly client: HistogramColumn
  readonly server: HistogramColumn
  /** Symbols of connection types: none, and those of nodes that send no spans. */
  readonly direct: number
  readonly messaging: number
  readonly database: number
  readonly virtual: number
  /** The symbol of the node that begins traces. */
  readonly user: number
  readonly #table: SeriesTable
  readonly #limit: number
  readonly #total: CounterColumn
  readonly #failed: CounterColumn
  readonly #carry: Carry
  readonly #set = new Uint32Array(3)
  /** Edges to or from a node that sends no spans, by the bytes of its name. */
  readonly #known = new Known()
  /** Edges that had expired when the known ones were cleared. */
  #expired = 0
  /** Whether a name found no room among the symbols, although the table has room. */
  #crowded = false
  #tidied = 0

  constructor(options: EdgeOptions, metrics: Metrics, families: EdgeFamilies) {
    this.#limit = options.limit
    this.#table = metrics.table('traces_service_graph_request', families.total.labels, options.limit, options.expiry)
    this.#total = new CounterColumn(this.#table, families.total)
    this.#failed = new CounterColumn(this.#table, families.failed)
    this.client = new HistogramColumn(this.#table, families.client)
    this.server = new HistogramColumn(this.#table, families.server)
    for (const column of [this.#total, this.#failed, this.client, this.server]) metrics.add(column)
    this.#carry = new Carry(this.#table)
    const { symbols } = this.#table
    this.direct = symbols.text('')
    this.messaging = symbols.text('messaging_system')
    this.database = symbols.text('database')
    this.virtual = symbols.text('virtual_node')
    this.user = symbols.text('user')
  }

  /** For users that keep symbols: `mark` is called to set theirs to 1 before the others are removed. */
  use(mark: (marks: Uint8Array) => void): void {
    this.#table.use(mark)
  }

  /** Removes expired edges. Returns whether there were any: slots handed out before are then invalid. */
  sweep(now: number): boolean {
    this.#table.sweep(now)
    if (this.#crowded && now - this.#tidied >= TIDY_MS) {
      this.#crowded = false
      this.#tidied = now
      this.#table.tidy()
    }
    if (this.#table.expired === this.#expired) return false
    this.#expired = this.#table.expired
    this.#known.clear()
    return true
  }

  /** The symbol of a name, or a negative number if there is no room for it. */
  symbol(bytes: Buffer, start: number, end: number): number {
    const { symbols, full } = this.#table
    // The peer of a request whose halves meet makes a symbol but no series, so the table's limit does not bound symbols.
    if (!full && symbols.size < 64 + 4 * this.#limit) return symbols.intern(bytes, start, end)
    const known = symbols.find(bytes, start, end)
    if (known >= 0) return known
    this.#crowded = !full
    return UNHELD
  }

  /** The slot of the edge between a service, which is its server or its client, and a peer. */
  slot(server: boolean, service: number, peer: number, type: number): number {
    if (service < 0 || peer < 0) return this.#table.overflow()
    return this.#table.slot(this.#setOf(server, service, peer, type))
  }

  /** The same for an edge that exists, or -1. Asking does not keep the edge from expiring. */
  find(server: boolean, service: number, peer: number, type: number): number {
    return service < 0 || peer < 0 ? -1 : this.#table.find(this.#setOf(server, service, peer, type))
  }

  /**
   * Fast path: the slot of the edge between a service and a peer that sends no spans, by the bytes of the attribute that
   * names it (-1: none does); or -1. Asking does not keep the edge from expiring.
   */
  recall({ bytes, spanAttributes }: SpanView, server: boolean, service: number, peer: number, type: number): number {
    const known = this.#known
    known.begin((service << 8) | (type << 1) | (server ? 1 : 0))
    if (peer >= 0) known.piece(1, bytes, spanAttributes.start[peer]!, spanAttributes.end[peer]!)
    return known.find()
  }

  /** Remembers the slot of the key that `recall` has just not found. */
  learn(slot: number): void {
    if (slot !== OVERFLOW) this.#known.keep(slot, this.#table.series)
  }

  /** The symbol of the edge's client, or of its server. */
  node(slot: number, server: boolean): number {
    return this.#table.symbol(slot, server ? 1 : 0)
  }

  /** Keeps an edge, whose slot was handed out since the last `sweep`. */
  touch(slot: number): void {
    this.#table.touch(slot)
  }

  /** Counts a request of some weight. Returns how many requests it counted as. */
  count(slot: number, failed: boolean, weight: number): number {
    const times = this.#carry.times(slot, weight)
    this.#total.add(slot, times)
    if (failed) this.#failed.add(slot, times)
    return times
  }

  #setOf(server: boolean, service: number, peer: number, type: number): Uint32Array {
    this.#set[0] = server ? peer : service
    this.#set[1] = server ? service : peer
    this.#set[2] = type
    return this.#set
  }
}
