// The edges of the service graph: label sets of client, server and kind, with their numbers; and the names of the nodes,
// which are held for as long as an edge or half a request needs them.

import {
  CounterColumn,
  type CounterFamily,
  HistogramColumn,
  type HistogramFamily,
  type Metrics,
  OVERFLOW,
  type SeriesTable,
} from '../../exporter/metrics.ts'
import type { SpanView } from '../otlp.ts'
import { Known } from './known.ts'
import { type Budget, Carry } from './weight.ts'

/** A name that is not among the symbols, since there is no room for it. */
const UNHELD = -1
/** Names of peers that turned out to be services are let go at most this often. */
const TIDY_MS = 1000

export interface EdgeFamilies {
  readonly total: CounterFamily
  readonly failed: CounterFamily
  readonly client: HistogramFamily
  readonly server: HistogramFamily
}

interface Choices {
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
  /** Symbols of nodes without a name. */
  readonly user: number
  readonly unknownService: number
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

  constructor(choices: Choices, metrics: Metrics, families: EdgeFamilies, budget: Budget) {
    this.#limit = choices.limit
    this.#table = metrics.table('traces_service_graph_request', families.total.labels, choices.limit, choices.expiry)
    this.#total = new CounterColumn(this.#table, families.total)
    this.#failed = new CounterColumn(this.#table, families.failed)
    this.client = new HistogramColumn(this.#table, families.client)
    this.server = new HistogramColumn(this.#table, families.server)
    for (const column of [this.#total, this.#failed, this.client, this.server]) metrics.add(column)
    this.#carry = new Carry(this.#table, budget)
    const { symbols } = this.#table
    this.direct = symbols.text('')
    this.messaging = symbols.text('messaging_system')
    this.database = symbols.text('database')
    this.virtual = symbols.text('virtual_node')
    this.user = symbols.text('user')
    this.unknownService = symbols.text('unknown_service')
  }

  /** For those who keep symbols: `mark` is called to set theirs to 1 before others are let go. */
  use(mark: (marks: Uint8Array) => void): void {
    this.#table.use(mark)
  }

  /** Removes what has expired; answers whether there was any, so that slots from before must be forgotten. */
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
    // The peer of a request whose halves meet makes a symbol and no series, so the table's limit does not bound these.
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

  /** The same for an edge that is there, or -1. This does not keep it. */
  find(server: boolean, service: number, peer: number, type: number): number {
    return service < 0 || peer < 0 ? -1 : this.#table.find(this.#setOf(server, service, peer, type))
  }

  /**
   * Fast path: the slot of the edge between a service and a peer that sends no spans, by the bytes of the attribute that
   * names it (-1: nothing does); or -1. This does not keep it.
   */
  recall({ bytes, spanAttributes }: SpanView, server: boolean, service: number, peer: number, type: number): number {
    const known = this.#known
    known.begin((service << 8) | (type << 1) | (server ? 1 : 0))
    if (peer >= 0) known.piece(1, bytes, spanAttributes.start[peer]!, spanAttributes.end[peer]!)
    return known.find()
  }

  /** Remembers the slot of what was not recalled just now. */
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

  /** Counts a request of some weight; answers as how many. */
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
