// The operations of spans (service, name, kind and peer), each known by a small number, so that a span that waits takes a word
// for all four. A known operation costs one hash and one comparison.

import { Known } from '../../metrics/known.ts'
import { VALUE_BYTES } from '../../metrics/symbols.ts'
import { SeriesTable } from '../../metrics/table.ts'
import { Peers } from '../../otlp/peer.ts'
import { SERVICE_NAME, serviceOf, type Text } from '../../otlp/service.ts'
import { KIND_AND_STATUS, NAME_END, NAME_START, OPERATION } from '../../otlp/tape.ts'
import type { SpanView } from '../../telemetry/consumer.ts'
import type { Keys } from '../../telemetry/keys.ts'
import type { Operation } from '../../telemetry/operation.ts'
import { KIND, KIND_NAMES } from '../../telemetry/span.ts'
import { Newest } from './newest.ts'

/** Operations of the last hour, at most; spans of further ones share number 0. */
export const OPERATIONS = 2000
/** Much longer than a span waits, so that no number changes its meaning while one refers to it. */
const EXPIRY_MS = 3_600_000

/** Operations that are found by the numbers that others left, each at the only place where it may stand. */
const LEFT = 1 << 13

const NONE = -1
const OTHER: Operation = { service: 'other', name: 'other', kind: '', peer: '' }

export class Operations {
  readonly #table = new SeriesTable(['service', 'operation', 'kind', 'peer'], OPERATIONS, EXPIRY_MS)
  readonly #known = new Known()
  readonly #peers: Peers
  readonly #serviceAt: number
  readonly #kinds: readonly number[]
  readonly #nobody: number
  readonly #set = new Uint32Array(4)
  readonly #newest = new Newest(OPERATIONS)
  /** By the numbers that others left: that number, and ours. */
  readonly #left = new Int32Array(2 * LEFT)
  /** The words of those that were asked for, by number. */
  readonly #words: (Operation | undefined)[] = []
  #expired = 0
  /** The symbol of the service at hand, and its name. */
  #service = NONE
  #name = Buffer.alloc(0)
  #resource = -1

  constructor(keys: Keys) {
    this.#peers = new Peers(keys)
    this.#serviceAt = keys.resource(SERVICE_NAME)
    this.#kinds = KIND_NAMES.map(kind => this.#table.symbols.text(kind))
    this.#nobody = this.#table.symbols.text('')
    this.#table.use(marks => {
      if (this.#service >= 0) marks[this.#service] = 1
    })
  }

  /** Begins at another request, whose resources may have the numbers of others. */
  begin(now: number): void {
    this.#resource = -1
    this.#table.sweep(now)
    if (this.#table.expired === this.#expired) return
    this.#expired = this.#table.expired
    this.#service = NONE
    this.#known.clear()
    this.#newest.clear()
    this.#left.fill(0)
    this.#words.length = 0
  }

  /** Changes when numbers may have changed their meaning. */
  get generation(): number {
    return this.#table.expired
  }

  /** Begins at spans of a resource. */
  enter(view: SpanView): void {
    if (view.resourceSerial !== this.#resource) this.#enterResource(view)
  }

  /** The operation of a span in a record of the walk. */
  find(view: SpanView, records: Int32Array, at: number): number {
    // Fast path: somebody has found the operation before us.
    const left = records[at + OPERATION]!
    const place = 2 * (left & (LEFT - 1))
    const number = this.#left[place] === left ? this.#left[place + 1]! : 0
    const kind = records[at + KIND_AND_STATUS]! & 255
    if (number === 0 || (hasPeer(kind) && !this.#goesTo(number, kind, view.data, records, at)))
      return this.#read(view, records, at)
    this.#table.touch(number)
    return number
  }

  /** Whether the peer of a span is that of an operation; false if it is not known. */
  #goesTo(number: number, kind: number, data: DataView, records: Int32Array, at: number): boolean {
    const peer = this.#peer(kind, records, at)
    return peer < 0
      ? this.#newest.goesTo(number, data, 0, 0)
      : this.#newest.goesTo(number, data, records[peer + 1]!, records[peer + 2]!)
  }

  /** The operation of a span, by what stands in it. */
  #read({ bytes, data }: SpanView, records: Int32Array, at: number): number {
    const service = this.#service
    if (service < 0) return this.#table.overflow()
    const kind = records[at + KIND_AND_STATUS]! & 255
    const peer = this.#peer(kind, records, at)
    const peerStart = peer < 0 ? 0 : records[peer + 1]!
    const peerEnd = peer < 0 ? 0 : records[peer + 2]!
    const nameStart = records[at + NAME_START]!
    const nameEnd = records[at + NAME_END]!
    const owner = (service << 3) | kind
    const newest = this.#newest
    // Fast path: the same bytes as a while ago.
    let number = newest.find(owner, data, nameStart, nameEnd, peerStart, peerEnd)
    let kept = number > 0
    if (kept) this.#table.touch(number)
    else {
      number = this.#look(bytes, kind, nameStart, nameEnd, peerStart, peerEnd)
      kept = number > 0 && newest.keep(number, owner, data, nameStart, nameEnd, peerStart, peerEnd)
    }
    const left = records[at + OPERATION]!
    if (left !== 0 && number > 0 && (kept || !hasPeer(kind))) {
      const place = 2 * (left & (LEFT - 1))
      this.#left[place] = left
      this.#left[place + 1] = number
    }
    return number
  }

  /** Where the attribute stands that names what is at the other end, or -1. */
  #peer(kind: number, records: Int32Array, at: number): number {
    if (kind === KIND.client) return this.#peers.serverIn(records, at)
    return kind === KIND.producer ? this.#peers.brokerIn(records, at) : NONE
  }

  #enterResource(view: SpanView): void {
    this.#resource = view.resourceSerial
    const service = serviceOf(view, this.#serviceAt)
    // Fast path: the same service as before.
    if (this.#service >= 0 && same(this.#name, service)) return
    const { bytes, start, end } = service
    const { symbols, full } = this.#table
    this.#service = full ? symbols.find(bytes, start, end) : symbols.intern(bytes, start, end)
    this.#name = Buffer.from(bytes.subarray(start, Math.min(end, start + VALUE_BYTES + 1)))
  }

  #look(bytes: Buffer, kind: number, nameStart: number, nameEnd: number, peerStart: number, peerEnd: number): number {
    const known = this.#known
    known.begin((this.#service << 3) | kind)
    known.piece(1, bytes, nameStart, nameEnd)
    if (peerEnd > 0) known.piece(1, bytes, peerStart, peerEnd)
    const same = known.find()
    if (same >= 0) {
      this.#table.touch(same)
      return same
    }
    const slot = this.#search(bytes, kind, nameStart, nameEnd, peerStart, peerEnd)
    if (slot > 0) known.keep(slot, this.#table.series)
    return slot
  }

  words(number: number): Operation {
    if (number === 0) return OTHER
    const known = this.#words[number]
    if (known) return known
    const { service = '', operation = '', kind = '', peer = '' } = this.#table.labelsOf(number)
    const words = { service, name: operation, kind, peer }
    this.#words[number] = words
    return words
  }

  #search(bytes: Buffer, kind: number, nameStart: number, nameEnd: number, peerStart: number, peerEnd: number): number {
    const { symbols, full } = this.#table
    const symbol = (start: number, end: number) =>
      full ? symbols.find(bytes, start, end) : symbols.intern(bytes, start, end)
    const name = symbol(nameStart, nameEnd)
    const peer = peerEnd === 0 ? this.#nobody : symbol(peerStart, peerEnd)
    if (name < 0 || peer < 0) return this.#table.overflow()
    const set = this.#set
    set[0] = this.#service
    set[1] = name
    set[2] = this.#kinds[kind]!
    set[3] = peer
    return this.#table.slot(set)
  }
}

/** Whether spans of a kind may name what is at the other end. */
function hasPeer(kind: number): boolean {
  return kind === KIND.client || kind === KIND.producer
}

function same(name: Buffer, { bytes, start, end }: Text): boolean {
  if (end - start !== name.length || name.length > VALUE_BYTES) return false
  for (let i = 0; i < name.length; i++) if (name[i] !== bytes[start + i]) return false
  return true
}
