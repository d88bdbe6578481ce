// The service graph: who calls whom, how often, how long, how often in vain. A sidecar sees mostly one side of a request,
// so most edges have a virtual node: "user" for callers that send no spans here, the peer of a client span for servers
// that do not. Where both halves come in (several services send here, or one calls itself) the edge joins the two services.

import type { CounterFamily, HistogramColumn, Metrics } from '../../exporter/metrics.ts'
import type { SpanConsumer, SpanView } from '../otlp.ts'
import { type EdgeFamilies, Edges } from './edges.ts'
import { Peers } from './peer.ts'
import { Waiting } from './waiting.ts'
import type { Budget } from './weight.ts'

const SERVER = 2
const CLIENT = 3
const PRODUCER = 4
const CONSUMER = 5
const ERROR = 2
/** Flags that say: it is known where the parent is, and it is in another process. */
const PARENT_KNOWN = 0x100
const PARENT_REMOTE = 0x200

/** No attribute names the peer. */
const NAMELESS = -2
/** No slot. */
const NONE = -1

const SIDES = ['client', 'server'] as const
/** Why a half goes without the other. */
const REASONS = ['wait', 'full', 'repeated'] as const
type Reason = (typeof REASONS)[number]

export interface Families extends EdgeFamilies {
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
  readonly #edges: Edges
  // Counted here and published on a scrape.
  readonly #unpaired = new Float64Array(2 * REASONS.length)
  #edgeless = 0
  readonly #publish: () => void
  #serviceAt = 0
  #service = 0
  #resource = -1
  #now = 0
  constructor(choices: Choices, metrics: Metrics, families: Families, budget: Budget) {
    this.wants = { span: this.#peers.wants.span, resource: ['service.name'] }
    this.#wait = choices.wait
    this.#waiting = new Waiting(choices.pending)
    this.#edges = new Edges(choices, metrics, families, budget)
    this.#edges.use(marks => this.#waiting.mark(marks))

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
    if (this.#edges.sweep(now)) this.#waiting.edge.fill(NONE)
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
      if (this.#peers.database(view)) this.#single(view, false, peer, this.#edges.database, weight)
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
    return kind >= PRODUCER && peer >= 0 ? this.#edges.messaging : this.#edges.virtual
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
    const edge = this.#edges.recall(view, server, this.#service, peer, type)
    waiting.server[entry] = server ? 1 : 0
    waiting.service[entry] = this.#service
    waiting.peer[entry] = edge >= 0 ? this.#edges.node(edge, !server) : this.#peer(view, server, peer)
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
    const type = view.kind >= PRODUCER ? this.#edges.messaging : this.#edges.direct
    const slot = this.#edges.slot(server, this.#service, theirs, type)
    const failed = view.status === ERROR || waiting.failed[other] === 1
    const times = this.#edges.count(slot, failed, Math.max(weight, waiting.weight[other]!))
    observeView(server ? this.#edges.server : this.#edges.client, slot, view, times)
    this.#observeWaiting(server ? this.#edges.client : this.#edges.server, slot, other, times)
  }

  /** An edge of which only one half will ever be seen. */
  #single(view: SpanView, server: boolean, peer: number, type: number, weight: number): void {
    const known = this.#edges.recall(view, server, this.#service, peer, type)
    const slot = known >= 0 ? known : this.#edges.slot(server, this.#service, this.#peer(view, server, peer), type)
    const times = this.#edges.count(slot, view.status === ERROR, weight)
    observeView(this.#edges.server, slot, view, times)
    if (!server) observeView(this.#edges.client, slot, view, times)
    if (known >= 0) this.#edges.touch(slot)
    else this.#edges.learn(slot)
  }

  /** Remembers the edge that a half will be if it stays alone, provided that there is one like it. */
  #learn(entry: number): void {
    const { server, service, peer, type, edge } = this.#waiting
    const slot = this.#edges.find(server[entry] === 1, service[entry]!, peer[entry]!, type[entry]!)
    if (slot < 0) return
    edge[entry] = slot
    this.#edges.learn(slot)
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
    const slot = known >= 0 ? known : this.#edges.slot(server, service, peer, waiting.type[entry]!)
    if (known >= 0) this.#edges.touch(slot)
    const times = this.#edges.count(slot, waiting.failed[entry] === 1, waiting.weight[entry]!)
    // The time of a virtual server is what its client saw; nobody saw the time of a virtual client.
    this.#observeWaiting(this.#edges.server, slot, entry, times)
    if (!server) this.#observeWaiting(this.#edges.client, slot, entry, times)
  }

  #observeWaiting(column: HistogramColumn, slot: number, entry: number, times: number): void {
    const waiting = this.#waiting
    const seconds = waiting.seconds[entry]!
    const cell = column.observe(slot, seconds, times)
    column.exemplar(cell, seconds, waiting.endSeconds[entry]!, waiting.ids, waiting.trace(entry), waiting.span(entry))
  }

  #enterResource(view: SpanView): void {
    this.#resource = view.resourceSerial
    const { type, start, end } = view.resourceAttributes
    const at = this.#serviceAt
    const named = type[at] === 1 && end[at]! > start[at]!
    this.#service = named ? this.#edges.symbol(view.bytes, start[at]!, end[at]!) : this.#edges.unknownService
  }

  /** The symbol of the peer whose name stands at `at` among the attributes. */
  #peer({ bytes, spanAttributes: { start, end } }: SpanView, server: boolean, at: number): number {
    if (at < 0) return server ? this.#edges.user : NAMELESS
    return this.#edges.symbol(bytes, start[at]!, end[at]!)
  }
}

function observeView(column: HistogramColumn, slot: number, view: SpanView, times: number): void {
  const cell = column.observe(slot, view.seconds, times)
  column.exemplar(cell, view.seconds, view.endSeconds, view.bytes, view.traceId, view.spanId)
}
