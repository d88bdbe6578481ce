// The service graph: who calls whom, how often, how long, how often in vain. A sidecar sees mostly one side of a request,
// so most edges have a virtual node: "user" for callers that send no spans here, the peer of a client span for servers
// that do not. Where both halves come in (several services send here, or one calls itself) the edge joins the two services.

import {
  CounterColumn,
  type CounterFamily,
  HistogramColumn,
  type HistogramFamily,
  type Metrics,
  OVERFLOW,
  type SeriesTable,
} from '../../exporter/metrics.ts'
import type { SpanConsumer, SpanView } from '../otlp.ts'
import { Known } from './known.ts'
import { Peers } from './peer.ts'
import { Waiting } from './waiting.ts'
import { type Budget, Carry } from './weight.ts'

const SERVER = 2
const CLIENT = 3
const PRODUCER = 4
const CONSUMER = 5
const ERROR = 2
/** Flags that say: it is known where the parent is, and it is in another process. */
const PARENT_KNOWN = 0x100
const PARENT_REMOTE = 0x200

/** A name that is not among the symbols, since there is no room for it. */
const UNHELD = -1
/** No attribute names the peer. */
const NAMELESS = -2
/** No slot. */
const NONE = -1

/** Names of peers that turned out to be services are let go at most this often. */
const TIDY_MS = 1000

const SIDES = ['client', 'server'] as const
/** Why a half goes without the other. */
const REASONS = ['wait', 'full', 'repeated'] as const
type Reason = (typeof REASONS)[number]

export interface Families {
  readonly total: CounterFamily
  readonly failed: CounterFamily
  readonly client: HistogramFamily
  readonly server: HistogramFamily
  readonly unpaired: CounterFamily<'side' | 'reason'>
  readonly edgeless: CounterFamily
}

interface Choices {
  /** Milliseconds that a half waits for the other one. */
  readonly wait: number
  readonly pending: number
  readonly limit: number
  /** Milliseconds that an edge is kept after its last request; 0 is for ever. */
  readonly expiry: number
}

export class ServiceGraph {
  readonly wants: SpanConsumer['wants']
  readonly #peers = new Peers()
  readonly #waiting: Waiting
  readonly #wait: number
  readonly #limit: number
  readonly #table: SeriesTable
  /** Edges to or from a node that sends no spans, by the bytes of its name. */
  readonly #known = new Known()
  /** Edges that had expired when the known ones were cleared. */
  #expired = 0
  readonly #total: CounterColumn
  readonly #failed: CounterColumn
  readonly #clientSeconds: HistogramColumn
  readonly #serverSeconds: HistogramColumn
  readonly #carry: Carry
  // Counted here and published on a scrape.
  readonly #unpaired = new Float64Array(2 * REASONS.length)
  #edgeless = 0
  readonly #publish: () => void
  readonly #set = new Uint32Array(3)
  readonly #direct: number
  readonly #messaging: number
  readonly #database: number
  readonly #virtual: number
  readonly #user: number
  readonly #unknownService: number
  #serviceAt = 0
  #service = 0
  #resource = -1
  #now = 0
  /** Whether a name found no room among the symbols, although the table has room. */
  #crowded = false
  #tidied = 0

  constructor(choices: Choices, metrics: Metrics, families: Families, budget: Budget) {
    this.wants = { span: this.#peers.wants.span, resource: ['service.name'] }
    this.#wait = choices.wait
    this.#limit = choices.limit
    this.#waiting = new Waiting(choices.pending)
    this.#table = metrics.table('traces_service_graph_request', families.total.labels, choices.limit, choices.expiry)
    this.#total = new CounterColumn(this.#table, families.total)
    this.#failed = new CounterColumn(this.#table, families.failed)
    this.#clientSeconds = new HistogramColumn(this.#table, families.client)
    this.#serverSeconds = new HistogramColumn(this.#table, families.server)
    for (const column of [this.#total, this.#failed, this.#clientSeconds, this.#serverSeconds]) metrics.add(column)
    this.#carry = new Carry(this.#table, budget)
    this.#table.use(marks => this.#waiting.mark(marks))

    const unpaired = metrics.counter(families.unpaired)
    const edgeless = metrics.counter(families.edgeless)
    this.#publish = () => {
      for (const [i, count] of this.#unpaired.entries()) {
        const labels = { side: SIDES[Math.floor(i / REASONS.length)]!, reason: REASONS[i % REASONS.length]! }
        unpaired.inc(labels, count)
      }
      this.#unpaired.fill(0)
      edgeless.inc(this.#edgeless)
      this.#edgeless = 0
    }
    this.#publish()

    const { symbols } = this.#table
    this.#direct = symbols.text('')
    this.#messaging = symbols.text('messaging_system')
    this.#database = symbols.text('database')
    this.#virtual = symbols.text('virtual_node')
    this.#user = symbols.text('user')
    this.#unknownService = symbols.text('unknown_service')
  }

  bound({ span, resource }: { readonly span: readonly number[]; readonly resource: readonly number[] }): void {
    this.#peers.bound({ span })
    this.#serviceAt = resource[0]!
  }

  /** `now` is in milliseconds, from a clock that never goes back. */
  begin(now: number): void {
    this.#resource = -1
    this.expire(now)
  }

  /** Counts what has waited long enough, and removes the edges that have expired. */
  expire(now: number): void {
    this.#now = now
    this.#table.sweep(now)
    if (this.#table.expired !== this.#expired) {
      this.#expired = this.#table.expired
      this.#known.clear()
      this.#waiting.edge.fill(NONE)
    }
    if (this.#crowded && now - this.#tidied >= TIDY_MS) {
      this.#crowded = false
      this.#tidied = now
      this.#table.tidy()
    }
    const waiting = this.#waiting
    for (let entry = waiting.oldest; entry >= 0; entry = waiting.oldest) {
      if (now - waiting.since[entry]! < this.#wait) return
      this.#giveUp(entry, 'wait')
    }
  }

  /** Brings the counters about halves up to date. */
  publish(): void {
    this.#publish()
  }

  /** Counts a span, or keeps it until its other half comes, as `weight` requests. */
  span(view: SpanView, weight: number): void {
    const { kind } = view
    if (kind < SERVER) return
    if (view.resourceSerial !== this.#resource) this.#enterResource(view)
    if (kind === CLIENT) {
      const peer = this.#peers.server(view)
      // A database sends no spans; how long it took is as the client saw it.
      if (this.#peers.database(view)) this.#single(view, false, peer, this.#database, weight)
      else this.#half(view, false, peer, weight)
    } else if (kind === PRODUCER) this.#half(view, false, this.#peers.broker(view), weight)
    else if (view.parentSpanId < 0) {
      const peer = this.#caller(view)
      this.#single(view, true, peer, this.#virtualType(view, peer), weight)
    } else if ((view.flags & PARENT_KNOWN) === 0 || (view.flags & PARENT_REMOTE) !== 0)
      this.#half(view, true, this.#caller(view), weight)
    // What is left is a server span inside its own process: the same request, seen a second time.
  }

  /** Where the name of the caller stands among the attributes, or -1 for a user. */
  #caller(view: SpanView): number {
    return view.kind === CONSUMER ? this.#peers.broker(view) : this.#peers.client(view)
  }

  /** The type of an edge to a node that sends no spans; `peer` is where its name stands, or -1. */
  #virtualType({ kind }: SpanView, peer: number): number {
    return kind >= PRODUCER && peer >= 0 ? this.#messaging : this.#virtual
  }

  /** One half of a request: together with its other half it is an edge, alone it waits. */
  #half(view: SpanView, server: boolean, peer: number, weight: number): void {
    const waiting = this.#waiting
    const client = server ? view.parentSpanId : view.spanId
    const other = waiting.find(view.bytes, view.traceId, client)
    if (other >= 0 && (waiting.server[other] === 1) !== server) {
      this.#pair(view, server, other, weight)
      return
    }
    if (other >= 0) {
      // Several servers under one client span, or a request that was sent again: at most one can have a partner.
      this.#giveUp(other, 'repeated')
    } else if (waiting.full) this.#giveUp(waiting.oldest, 'full')
    const entry = waiting.add(view.bytes, view.spanId, this.#now)
    const type = this.#virtualType(view, peer)
    const edge = this.#recall(view, server, peer, type)
    waiting.server[entry] = server ? 1 : 0
    waiting.service[entry] = this.#service
    waiting.peer[entry] = edge >= 0 ? this.#table.symbol(edge, server ? 0 : 1) : this.#peer(view, server, peer)
    waiting.type[entry] = type
    waiting.edge[entry] = edge
    if (edge < 0) this.#learn(entry)
    waiting.failed[entry] = view.status === ERROR ? 1 : 0
    waiting.seconds[entry] = view.seconds
    waiting.endSeconds[entry] = view.endSeconds
    waiting.weight[entry] = weight
    if (this.#wait === 0) this.#giveUp(entry, 'wait')
  }

  #pair(view: SpanView, server: boolean, other: number, weight: number): void {
    const waiting = this.#waiting
    waiting.remove(other)
    const theirs = waiting.service[other]!
    const type = view.kind >= PRODUCER ? this.#messaging : this.#direct
    const slot = this.#slot(server, this.#service, theirs, type)
    const failed = view.status === ERROR || waiting.failed[other] === 1
    const times = this.#count(slot, failed, Math.max(weight, waiting.weight[other]!))
    observeView(server ? this.#serverSeconds : this.#clientSeconds, slot, view, times)
    this.#observeWaiting(server ? this.#clientSeconds : this.#serverSeconds, slot, other, times)
  }

  /** An edge of which only one half will ever be seen. */
  #single(view: SpanView, server: boolean, peer: number, type: number, weight: number): void {
    const known = this.#recall(view, server, peer, type)
    const slot = known >= 0 ? known : this.#slot(server, this.#service, this.#peer(view, server, peer), type)
    const times = this.#count(slot, view.status === ERROR, weight)
    observeView(this.#serverSeconds, slot, view, times)
    if (!server) observeView(this.#clientSeconds, slot, view, times)
    if (known >= 0) this.#table.touch(slot)
    else if (slot !== OVERFLOW) this.#known.keep(slot, this.#table.series)
  }

  /**
   * Fast path: the slot of the edge between the service at hand and a peer that sends no spans, by the bytes of its name;
   * or -1.
   */
  #recall(view: SpanView, server: boolean, peer: number, type: number): number {
    const known = this.#known
    known.begin((this.#service << 8) | (type << 1) | (server ? 1 : 0))
    const { start, end } = view.spanAttributes
    if (peer >= 0) known.piece(1, view.bytes, start[peer]!, end[peer]!)
    return known.find()
  }

  /** Remembers the edge that a half will be if it stays alone, provided that there is one like it. */
  #learn(entry: number): void {
    const { server, service, peer, type, edge } = this.#waiting
    if (service[entry]! < 0 || peer[entry]! < 0) return
    const slot = this.#table.find(this.#setOf(server[entry] === 1, service[entry]!, peer[entry]!, type[entry]!))
    if (slot < 0) return
    edge[entry] = slot
    this.#known.keep(slot, this.#table.series)
  }

  /** The other half did not come. */
  #giveUp(entry: number, reason: Reason): void {
    const waiting = this.#waiting
    waiting.remove(entry)
    const server = waiting.server[entry] === 1
    const peer = waiting.peer[entry]!
    const service = waiting.service[entry]!
    const count = (server ? REASONS.length : 0) + (reason === 'wait' ? 0 : reason === 'full' ? 1 : 2)
    this.#unpaired[count] = this.#unpaired[count]! + 1
    if (peer === NAMELESS) {
      this.#edgeless++
      return
    }
    const known = waiting.edge[entry]!
    const slot = known >= 0 ? known : this.#slot(server, service, peer, waiting.type[entry]!)
    if (known >= 0) this.#table.touch(slot)
    const times = this.#count(slot, waiting.failed[entry] === 1, waiting.weight[entry]!)
    // The time of a virtual server is what its client saw; nobody saw the time of a virtual client.
    this.#observeWaiting(this.#serverSeconds, slot, entry, times)
    if (!server) this.#observeWaiting(this.#clientSeconds, slot, entry, times)
  }

  #count(slot: number, failed: boolean, weight: number): number {
    const times = this.#carry.times(slot, weight)
    this.#total.add(slot, times)
    if (failed) this.#failed.add(slot, times)
    return times
  }

  #observeWaiting(column: HistogramColumn, slot: number, entry: number, times: number): void {
    const waiting = this.#waiting
    const seconds = waiting.seconds[entry]!
    const cell = column.observe(slot, seconds, times)
    column.exemplar(cell, seconds, waiting.endSeconds[entry]!, waiting.ids, waiting.trace(entry), waiting.span(entry))
  }

  /** The slot of the edge between a service, which is the server or the client, and its peer. */
  #slot(server: boolean, service: number, peer: number, type: number): number {
    if (service === UNHELD || peer === UNHELD) return this.#table.overflow()
    return this.#table.slot(this.#setOf(server, service, peer, type))
  }

  #setOf(server: boolean, service: number, peer: number, type: number): Uint32Array {
    this.#set[0] = server ? peer : service
    this.#set[1] = server ? service : peer
    this.#set[2] = type
    return this.#set
  }

  #enterResource(view: SpanView): void {
    this.#resource = view.resourceSerial
    const { type, start, end } = view.resourceAttributes
    const at = this.#serviceAt
    const named = type[at] === 1 && end[at]! > start[at]!
    this.#service = named ? this.#symbol(view.bytes, start[at]!, end[at]!) : this.#unknownService
  }

  /** The symbol of the peer whose name stands at `at` among the attributes. */
  #peer({ bytes, spanAttributes: { start, end } }: SpanView, server: boolean, at: number): number {
    if (at < 0) return server ? this.#user : NAMELESS
    return this.#symbol(bytes, start[at]!, end[at]!)
  }

  #symbol(bytes: Buffer, start: number, end: number): number {
    const { symbols, full } = this.#table
    // The peer of a request whose halves meet makes a symbol and no series, so the table's limit does not bound these.
    if (!full && symbols.size < 64 + 4 * this.#limit) return symbols.intern(bytes, start, end)
    const known = symbols.find(bytes, start, end)
    if (known >= 0) return known
    this.#crowded = !full
    return UNHELD
  }
}

function observeView(column: HistogramColumn, slot: number, view: SpanView, times: number): void {
  const cell = column.observe(slot, view.seconds, times)
  column.exemplar(cell, view.seconds, view.endSeconds, view.bytes, view.traceId, view.spanId)
}
