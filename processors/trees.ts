// Requests put together from their spans, for the critical path and for blame: each local root with the spans below it, a
// second after its end. The assembly makes one for both, so that a span is held once.
//
// Spans are grouped as in sampling (telemetry/pending.ts), which has to keep their bytes and so holds them itself.

import { setImmediate as nextTurn } from 'node:timers/promises'
import { counter, gauge } from '../metrics/family.ts'
import type { Metrics } from '../metrics/registry.ts'
import { ProbeFilter } from '../otlp/probe.ts'
import {
  ATTRIBUTE_RECORD,
  ATTRIBUTES,
  FLAGS,
  KIND_AND_STATUS,
  PARENT_ID,
  RUN_SPANS,
  SAME_TRACE,
  SPAN_RECORD,
  TRACE_ID,
} from '../otlp/tape.ts'
import type { SpanConsumer, SpanView } from '../telemetry/consumer.ts'
import type { Host } from '../telemetry/host.ts'
import type { Keys } from '../telemetry/keys.ts'
import type { Description } from '../telemetry/part.ts'
import { AHEAD, ALL, ENDED, Pending } from '../telemetry/pending.ts'
import { entersHere, STATUS } from '../telemetry/span.ts'
import type { TreeConsumer } from '../telemetry/tree.ts'
import { Grown } from './trees/grown.ts'
import { FAILED, Held, KINDS, OPERATION_SHIFT, PARENTLESS, PROBE, ROOT } from './trees/held.ts'
import { Operations } from './trees/operations.ts'

export const requests = counter(
  'pillion_trees_requests_total',
  'Requests (local roots) that were put together from their spans.',
)
export const dropped = counter(
  'pillion_trees_dropped_spans_total',
  'Spans that belong to no request that was put together: orphan = their parent did not come in time, rootless = no local root came within 30 s, large = their trace has more than 5000 spans, memory = too many spans were waiting, probe = the answer to a health probe, internal = a fault of the sidecar, which is logged.',
  ['reason'],
)
export const held = gauge('pillion_trees_held_spans', 'Spans that wait for the end of their request.')

export const trees: Description = {
  name: 'trees',
  about: 'Puts requests together from their spans, for the critical path and for blame.',
  families: [requests, dropped, held],
  options: undefined,
}

const REASONS = ['orphan', 'rootless', 'large', 'memory', 'probe', 'internal'] as const
type Reason = (typeof REASONS)[number]

/** The time after the end of its local root that a trace waits for its last spans. */
export const WAIT_MS = 1000
export const PATIENCE_MS = 30_000
/** Spans of a trace that are held; one with more is left out. */
export const MOST_SPANS = 5000
/** Spans that wait at a time: 3.1 MB. */
const MOST_HELD = 65_536
const TICK_MS = 100
/** Spans that are put together in one turn of the loop, about a millisecond. */
const AT_ONCE = 4000
const HIGH = 2 ** 32
/** A fact about a trace: it is too large, and what comes is left out. */
const LARGE = 1

// A group of spans of one trace: where its records begin, which of the spans it begins with, and how many they are.
const AT = 0
const FIRST = 1
const SPANS = 2
const GROUP = 3

export interface TreesHost extends Pick<Host, 'clock' | 'memory'> {
  readonly metrics: Metrics
  readonly keys: Keys
  readonly log?: Host['log']
}

export class Trees implements SpanConsumer {
  readonly name = 'trees'
  readonly apart = true
  readonly #host: TreesHost
  readonly #consumers: TreeConsumer[] = []
  readonly #memory: ReturnType<Host['memory']['allot']>
  readonly #operations: Operations
  readonly #probes: ProbeFilter
  readonly #publish: () => void
  readonly #held: Held
  #pending: Pending | undefined
  #grown: Grown | undefined
  /** Times are counted from here: they are exact for a hundred days around. */
  readonly #origin: number
  readonly #closed = new AbortController()
  /** The same, for each span. */
  #over = false
  #now = 0
  #ticking = false
  /** Operation and flags of the spans that are shown at a time. */
  readonly #what = new Int32Array(RUN_SPANS)
  /** The groups of them that are of one trace each. */
  readonly #groups = new Int32Array(GROUP * RUN_SPANS)
  /** The hashes of these traces. */
  readonly #hashes = new Int32Array(RUN_SPANS)
  #requests = 0
  readonly #dropped: Record<Reason, number> = { orphan: 0, rootless: 0, large: 0, memory: 0, probe: 0, internal: 0 }

  constructor(host: TreesHost) {
    this.#host = host
    this.#memory = host.memory.allot('trees')
    this.#operations = new Operations(host.keys)
    this.#probes = new ProbeFilter(host.keys)
    this.#origin = Math.floor((host.clock.now() * 1e6) / HIGH)
    this.#held = new Held(this.#memory, MOST_HELD, this.#origin)
    const readings = {
      requests: host.metrics.reading(requests),
      dropped: host.metrics.reading(dropped),
      held: host.metrics.reading(held),
    }
    this.#publish = () => {
      readings.requests.set({}, this.#requests)
      for (const reason of REASONS) readings.dropped.set({ reason }, this.#dropped[reason])
      readings.held.set({}, this.#held.spans)
    }
  }

  /**
   * From now on `consumer` is shown all requests. The first one to join brings the spans in: what is returned is to be
   * consumed.
   */
  join(consumer: TreeConsumer): readonly SpanConsumer[] {
    return this.#consumers.push(consumer) === 1 ? [this] : []
  }

  /** Shows it no more requests. With the last one, all that is held is given back. */
  leave(consumer: TreeConsumer): void {
    const at = this.#consumers.indexOf(consumer)
    if (at >= 0) this.#consumers.splice(at, 1)
    if (this.#consumers.length > 0 || this.#over) return
    this.#over = true
    this.#closed.abort()
    this.#held.clear()
    this.#grown = undefined
    this.#pending?.clear()
    this.#memory.add(-this.#memory.used)
  }

  /** Changes when the numbers of operations may have changed their meaning. */
  get generation(): number {
    return this.#operations.generation
  }

  collect(): void {
    this.#publish()
  }

  begin(): void {
    if (this.#over) return
    this.#now = this.#host.clock.monotonic()
    this.#operations.begin(this.#now)
    this.#pending ??= new Pending(this.#memory)
    this.#pending.begin(this.#now)
    if (!this.#ticking) void this.#tick()
  }

  /**
   * Spans of a trace that follow each other are taken together, which leaves less to be done for each. First all those groups
   * are found, and then taken: where the traces stand in the table is read for one after another, since the processor waits
   * for several of such reads at a time, but not for those of a trace that it has not come to.
   */
  run(view: SpanView, records: Int32Array, from: number, to: number): void {
    const pending = this.#pending
    if (!pending || this.#over) return
    const { bytes, data } = view
    const what = this.#what
    const groups = this.#groups
    const hashes = this.#hashes
    const operations = this.#operations
    operations.enter(view)
    let i = 0
    let count = 0
    for (let at = from; at < to; ) {
      const traceId = records[at + TRACE_ID]!
      const first = i
      let next = at
      do {
        if (this.#probes.ownIn(bytes, records, next)) break
        const kind = records[next + KIND_AND_STATUS]!
        const parent = records[next + PARENT_ID]!
        let flags = kind & KINDS
        if (((kind >> 8) & 255) === STATUS.error) flags |= FAILED
        if (parent < 0) flags |= PARENTLESS
        if (entersHere(parent, records[next + FLAGS]!, kind & 255))
          flags |= this.#probes.hasIn(bytes, records, next) ? ROOT | PROBE : ROOT
        what[i++] = (operations.find(view, records, next) << OPERATION_SHIFT) | flags
        next += SPAN_RECORD + ATTRIBUTE_RECORD * records[next + ATTRIBUTES]!
      } while (next < to && (records[next + KIND_AND_STATUS]! & SAME_TRACE) !== 0)
      if (i > first) {
        groups[count + AT] = at
        groups[count + FIRST] = first
        groups[count + SPANS] = i - first
        hashes[count / GROUP] = pending.hash(data, traceId)
        count += GROUP
      } else {
        // The sidecar's own.
        next += SPAN_RECORD + ATTRIBUTE_RECORD * records[next + ATTRIBUTES]!
        i++
      }
      at = next
    }
    pending.glance(hashes, count / GROUP)
    for (let each = 0; each < count; each += GROUP) this.#take(data, records, each)
  }

  /** Takes a group: some spans of one trace. */
  #take(data: DataView, records: Int32Array, group: number): void {
    const pending = this.#pending!
    const held = this.#held
    const groups = this.#groups
    const at = groups[group + AT]!
    const spans = groups[group + SPANS]!
    const hash = this.#hashes[group / GROUP]!
    const traceId = records[at + TRACE_ID]!
    let trace = pending.seek(data, traceId, hash)
    if (trace >= 0 && pending.facts(trace) === LARGE) {
      this.#dropped.large += spans
      return
    }
    if (!held.fits(spans)) {
      while (pending.size > 0 && !held.fits(spans)) this.#makeRoom()
      if (!held.fits(spans)) {
        this.#dropped.memory += spans
        return
      }
      // It may be one of those that were decided to make room.
      trace = pending.seek(data, traceId, hash)
    }
    if (trace < 0) trace = pending.add(0)
    const first = held.add(data, records, at, this.#what, groups[group + FIRST]!, spans)
    const last = pending.append(trace, first, held.last, spans)
    if (last >= 0) held.link(last, first)
    if (held.root >= 0) pending.ended(trace, held.root)
    if (pending.spans(trace) > MOST_SPANS) this.#tooLarge(trace)
  }

  #tooLarge(trace: number): void {
    const pending = this.#pending!
    this.#dropped.large += pending.spans(trace)
    this.#release(trace)
    pending.forget(trace)
    pending.know(trace, LARGE, 0)
  }

  #release(trace: number): void {
    const pending = this.#pending!
    const spans = pending.spans(trace)
    if (spans > 0) this.#held.remove(pending.first(trace), pending.last(trace), spans)
  }

  /** Decides the oldest traces with what is known. Those whose root has come are mostly complete. */
  #makeRoom(): void {
    const pending = this.#pending!
    for (let i = 0; i < SOME && pending.size > 0; i++) {
      const ended = pending.oldest(ENDED)
      this.#decide(ended >= 0 ? ended : pending.oldest(ALL), 'memory')
    }
  }

  /** Shows the local roots of a trace, and forgets it. */
  #decide(trace: number, early: Reason = 'rootless'): void {
    const pending = this.#pending!
    const spans = pending.spans(trace)
    const first = pending.first(trace)
    if (pending.root(trace) < 0) this.#dropped[early] += spans
    else if (this.#consumers.length > 0) {
      this.#grown ??= new Grown((this.#origin * HIGH) / 1e6, this.#operations)
      const grown = this.#grown
      pending.copyId(trace, grown.trace)
      grown.grow(this.#held, first, spans)
      for (let i = 0; i < grown.tops; i++) this.#top(grown, grown.top[i]!)
    }
    this.#release(trace)
    pending.remove(trace)
  }

  #top(grown: Grown, at: number): void {
    if (grown.counts(at)) {
      this.#requests++
      for (let i = 0; i < this.#consumers.length; i++)
        try {
          this.#consumers[i]!.tree(grown, at)
        } catch (error) {
          // A fault of one consumer costs the others nothing, and this request is not tried again.
          if (this.#dropped.internal++ === 0) this.#host.log?.error('cannot look at a request', { error })
        }
    } else this.#dropped[grown.probe(at) ? 'probe' : 'orphan']++
  }

  async #tick(): Promise<void> {
    this.#ticking = true
    const { signal } = this.#closed
    const { clock } = this.#host
    try {
      do {
        await clock.sleep(TICK_MS, signal)
        while (this.#due()) await nextTurn()
      } while (!signal.aborted && this.#pending!.size > 0)
    } catch (error) {
      if (!signal.aborted) throw error
    } finally {
      this.#ticking = false
    }
  }

  /** Decides some of what is due; true if there may be more. */
  #due(): boolean {
    if (this.#over) return false
    this.#now = this.#host.clock.monotonic()
    const pending = this.#pending!
    for (let i = 0; i < this.#consumers.length; i++) this.#consumers[i]!.begin?.(this.#now)
    let left = AT_ONCE
    let decided = 0
    for (let trace = pending.oldest(ENDED); left > 0 && trace >= 0; trace = pending.oldest(ENDED)) {
      if (pending.rootAt(trace) + WAIT_MS > this.#now) break
      if (decided++ % AHEAD === 0) pending.glanceAt(ENDED)
      left -= pending.spans(trace) + 1
      this.#decide(trace)
    }
    for (let trace = pending.oldest(ALL); left > 0 && trace >= 0; trace = pending.oldest(ALL)) {
      if (pending.since(trace) + PATIENCE_MS > this.#now) break
      left -= pending.spans(trace) + 1
      this.#decide(trace)
    }
    // The last trees stand in the memory that is given back.
    if (this.#held.tidy()) this.#grown = undefined
    pending.tidy()
    return left <= 0
  }
}

/** Traces that are decided early at a time. */
const SOME = 64
