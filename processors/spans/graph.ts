// The service graph: which service calls which, how often, how long, and how often in vain. A sidecar mostly sees one side of
// a request, so most edges have a virtual node: "user" for whoever begins a trace, the peer of a client span for servers that
// send no spans here. Where both halves come in (several services send here, or one calls itself) the edge joins the two.
//
// A server whose caller is elsewhere gets no edge: the caller's own sidecar has it, and a second one would count it twice.

import type { HistogramColumn } from '../../metrics/columns.ts'
import type { CounterFamily } from '../../metrics/family.ts'
import type { Metrics } from '../../metrics/registry.ts'
import { Peers } from '../../otlp/peer.ts'
import { SERVICE_NAME, serviceOf } from '../../otlp/service.ts'
import type { SpanView } from '../../telemetry/consumer.ts'
import type { Keys } from '../../telemetry/keys.ts'
import { KIND, PARENT_KNOWN, PARENT_REMOTE, STATUS } from '../../telemetry/span.ts'
import { type EdgeFamilies, Edges } from './edges.ts'
import { DATABASES, SERVICES, Waiting } from './waiting.ts'

/** No attribute names the peer. */
const NAMELESS = -2
/** No slot. */
const NONE = -1

const SIDES = ['client', 'server'] as const
/** Why a half stays without the other. */
const REASONS = ['wait', 'full', 'repeated'] as const
type Reason = (typeof REASONS)[number]

export interface Families extends EdgeFamilies {
  readonly unpaired: CounterFamily<'side' | 'reason'>
  readonly edgeless: CounterFamily<'side'>
}

interface GraphOptions {
  /** Milliseconds that a half waits for the other one. */
  readonly wait: number
  readonly pending: number
  readonly limit: number
  /** Milliseconds that an edge is kept after its last request; 0 is for ever. */
  readonly expiry: number
}

export class ServiceGraph {
  readonly #peers: Peers
  readonly #waiting: Waiting
  readonly #wait: number
  readonly #edges: Edges
  // Counted here, and published on a scrape.
  readonly #unpaired = new Float64Array(2 * REASONS.length)
  readonly #edgeless = new Float64Array(SIDES.length)
  readonly #publish: () => void
  readonly #serviceAt: number
  #service = 0
  #resource = -1
  /** The first service that sent spans, and whether another one has: before that no database can have answered. */
  #first = NONE
  #several = false
  #now = 0
  /** The latency bucket of the span that is being visited; -1 if nobody knows its duration. */
  #bucket = 0
  /** Whether that span may be an exemplar. */
  #exemplar = true

  constructor(options: GraphOptions, metrics: Metrics, families: Families, keys: Keys) {
    this.#peers = new Peers(keys)
    this.#serviceAt = keys.resource(SERVICE_NAME)
    this.#wait = options.wait
    this.#waiting = new Waiting(options.pending)
    this.#edges = new Edges(options, metrics, families)
    this.#edges.use(marks => {
      this.#waiting.mark(marks)
      marks[this.#first] = 1
    })

    const unpaired = metrics.counter(families.unpaired)
    const edgeless = metrics.counter(families.edgeless)
    this.#publish = () => {
      for (const [i, count] of this.#unpaired.entries()) {
        const labels = { side: SIDES[Math.floor(i / REASONS.length)]!, reason: REASONS[i % REASONS.length]! }
        unpaired.inc(labels, count)
      }
      this.#unpaired.fill(0)
      for (const [i, side] of SIDES.entries()) edgeless.inc({ side }, this.#edgeless[i])
      this.#edgeless.fill(0)
    }
    this.#publish()
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
    this.#expireLine(SERVICES, now)
    this.#expireLine(DATABASES, now)
  }

  /** Brings the counters about halves up to date. */
  publish(): void {
    this.#publish()
  }

  /**
   * Counts a span, or keeps it until its other half comes, as `weight` requests. `bucket` is that of its duration, or
   * -1 if nobody knows it: all histograms made of spans have the same bounds. `exemplar` says whether the span may be one.
   */
  span(view: SpanView, weight: number, bucket: number, exemplar: boolean): void {
    const { kind } = view
    if (kind < KIND.server) return
    if (view.resourceSerial !== this.#resource) this.#enterResource(view)
    this.#bucket = bucket
    this.#exemplar = exemplar
    if (kind === KIND.client) {
      const at = this.#peers.server(view)
      if (!this.#peers.database(view)) this.#half(view, false, at, this.#edges.virtual, weight)
      else if (this.#several) this.#half(view, false, at, this.#edges.database, weight)
      else this.#alone(view, false, at, this.#edges.database, weight)
    } else if (kind === KIND.producer) this.#half(view, false, this.#peers.broker(view), this.#edges.messaging, weight)
    else if (view.parentSpanId < 0) this.#root(view, weight)
    else if ((view.flags & PARENT_KNOWN) === 0 || (view.flags & PARENT_REMOTE) !== 0) {
      // The caller of a consumer is known to be the broker; nothing is known about other callers until their span is seen.
      if (kind === KIND.consumer) this.#half(view, true, this.#peers.broker(view), this.#edges.messaging, weight)
      else this.#half(view, true, NONE, this.#edges.virtual, weight)
    }
    // The only case left is a server span inside its own process: the same request, seen a second time.
  }

  #expireLine(line: number, now: number): void {
    const waiting = this.#waiting
    for (let entry = waiting.oldest(line); entry >= 0; entry = waiting.oldest(line)) {
      if (now - waiting.since[entry]! < this.#wait) return
      this.#giveUp(entry, 'wait')
    }
  }

  /** A server span that begins its trace: called by a user, unless an attribute names the caller. */
  #root(view: SpanView, weight: number): void {
    const consumer = view.kind === KIND.consumer
    const at = consumer ? this.#peers.broker(view) : this.#peers.client(view)
    this.#alone(view, true, at, consumer && at >= 0 ? this.#edges.messaging : this.#edges.virtual, weight)
  }

  /** An edge of which only one half will ever be seen. */
  #alone(view: SpanView, server: boolean, at: number, type: number, weight: number): void {
    const edges = this.#edges
    const known = edges.recall(view, server, this.#service, at, type)
    const slot =
      known >= 0 ? known : edges.slot(server, this.#service, at < 0 ? edges.user : this.#symbol(view, at), type)
    const times = edges.count(slot, view.status === STATUS.error, weight)
    this.#observe(edges.server, slot, view, times)
    // Nobody saw how long a virtual client waited.
    if (!server) this.#observe(edges.client, slot, view, times)
    if (known >= 0) edges.touch(slot)
    else edges.learn(slot)
  }

  /**
   * One half of a request: together with its other half it is an edge, alone it waits. `at` is where the name of the other
   * node stands among the attributes, or -1; `type` is that of the edge if the half stays alone.
   */
  #half(view: SpanView, server: boolean, at: number, type: number, weight: number): void {
    const waiting = this.#waiting
    const client = server ? view.parentSpanId : view.spanId
    const other = waiting.find(view.bytes, view.traceId, client)
    if (other >= 0 && (waiting.server[other] === 1) !== server) {
      this.#pair(view, server, other, type, weight)
      return
    }
    const line = type === this.#edges.database ? DATABASES : SERVICES
    // Several servers below one client span, or a request that was sent again: at most one can have a partner.
    if (other >= 0) this.#giveUp(other, 'repeated')
    if (waiting.full(line)) this.#giveUp(waiting.oldest(line), 'full')
    const entry = waiting.add(line, view.bytes, view.spanId, this.#now)
    const edge = at < 0 ? NONE : this.#edges.recall(view, server, this.#service, at, type)
    waiting.server[entry] = server ? 1 : 0
    waiting.service[entry] = this.#service
    waiting.peer[entry] = at < 0 ? NAMELESS : edge >= 0 ? this.#edges.node(edge, !server) : this.#symbol(view, at)
    waiting.type[entry] = type
    waiting.edge[entry] = edge
    if (at >= 0 && edge < 0) this.#learn(entry)
    waiting.failed[entry] = view.status === STATUS.error ? 1 : 0
    waiting.seconds[entry] = view.seconds
    waiting.bucket[entry] = this.#bucket
    waiting.endSeconds[entry] = view.endSeconds
    waiting.weight[entry] = weight
    waiting.exemplar[entry] = this.#exemplar ? 1 : 0
    if (this.#wait === 0) this.#giveUp(entry, 'wait')
  }

  /** `type` is that of the half at hand if it had stayed alone. */
  #pair(view: SpanView, server: boolean, other: number, type: number, weight: number): void {
    const waiting = this.#waiting
    waiting.remove(other)
    const theirs = waiting.service[other]!
    const slot = this.#edges.slot(server, this.#service, theirs, this.#joined(type, waiting.type[other]!))
    const failed = view.status === STATUS.error || waiting.failed[other] === 1
    const times = this.#edges.count(slot, failed, Math.max(weight, waiting.weight[other]!))
    this.#observe(server ? this.#edges.server : this.#edges.client, slot, view, times)
    this.#observeWaiting(server ? this.#edges.client : this.#edges.server, slot, other, times)
  }

  /** The type of an edge between two nodes that both send spans, by those that its halves would have alone. */
  #joined(one: number, other: number): number {
    const { database, messaging, direct } = this.#edges
    if (one === database || other === database) return database
    return one === messaging || other === messaging ? messaging : direct
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
    // That a database sends no spans is the rule.
    if (waiting.line(entry) === SERVICES) {
      const count = (server ? REASONS.length : 0) + (reason === 'wait' ? 0 : reason === 'full' ? 1 : 2)
      this.#unpaired[count] = this.#unpaired[count]! + 1
    }
    if (peer === NAMELESS) {
      const side = server ? 1 : 0
      this.#edgeless[side] = this.#edgeless[side]! + 1
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

  #observe(column: HistogramColumn, slot: number, view: SpanView, times: number): void {
    if (this.#bucket < 0) return
    const cell = column.observe(slot, view.seconds, times, this.#bucket)
    if (this.#exemplar) column.spanExemplar(cell, view)
  }

  #observeWaiting(column: HistogramColumn, slot: number, entry: number, times: number): void {
    const waiting = this.#waiting
    const bucket = waiting.bucket[entry]!
    if (bucket < 0) return
    const seconds = waiting.seconds[entry]!
    const cell = column.observe(slot, seconds, times, bucket)
    if (waiting.exemplar[entry] === 1)
      column.exemplar(cell, seconds, waiting.endSeconds[entry]!, waiting.ids, waiting.trace(entry), waiting.span(entry))
  }

  #enterResource(view: SpanView): void {
    this.#resource = view.resourceSerial
    const { bytes, start, end } = serviceOf(view, this.#serviceAt)
    this.#service = this.#edges.symbol(bytes, start, end)
    if (this.#first === NONE) this.#first = this.#service
    else if (this.#service !== this.#first) this.#several = true
  }

  /** The symbol of the node whose name stands at `at` among the attributes. */
  #symbol({ bytes, spanAttributes: { start, end } }: SpanView, at: number): number {
    return this.#edges.symbol(bytes, start[at]!, end[at]!)
  }
}
