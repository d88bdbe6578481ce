// The node at the other end of a span, named by its attributes when it sends no spans itself. Of all attributes those come
// first by which Grafana looks for the spans of such a node ("View traces" in its service graph): under another name the
// link would find nothing. Among them, and among the others, the service comes before the machine, and the machine before the
// kind of thing (opentelemetry.io/docs/specs/semconv; Grafana's are its old names).

import { STRING } from '../telemetry/attribute.ts'
import type { SpanView } from '../telemetry/consumer.ts'
import type { Keys } from '../telemetry/keys.ts'
import { ATTRIBUTE_RECORD, ATTRIBUTES, SPAN_RECORD } from './tape.ts'

const SERVICE = ['peer.service']
const LINKED_ADDRESS = ['net.peer.name']
const LINKED_DATABASE = ['db.name', 'db.system']
const BROKER = ['messaging.system']
const ADDRESS = ['server.address', 'network.peer.address']
const DATABASE = ['db.namespace', 'db.system.name']

export class Peers {
  readonly #any: Choice
  readonly #service: Choice
  readonly #database: Choice
  readonly #broker: Choice

  constructor(keys: Keys) {
    const choice = (...names: readonly string[]) => new Choice(names.map(name => keys.span(name)))
    this.#any = choice(...SERVICE, ...LINKED_ADDRESS, ...LINKED_DATABASE, ...BROKER, ...ADDRESS, ...DATABASE)
    this.#service = choice(...SERVICE)
    this.#database = choice(...LINKED_DATABASE, ...DATABASE)
    this.#broker = choice(...SERVICE, ...BROKER, ...LINKED_ADDRESS, ...ADDRESS)
  }

  /** Whether the span is a query to a database. */
  database(view: SpanView): boolean {
    return this.#database.first(view) >= 0
  }

  /** Where the name of the called server stands among the span's attributes, or -1. */
  server(view: SpanView): number {
    return this.#any.first(view)
  }

  /** The same for a span in a record of the walk: where the attribute's record stands, or -1. */
  serverIn(records: Int32Array, at: number): number {
    return this.#any.firstIn(records, at)
  }

  brokerIn(records: Int32Array, at: number): number {
    return this.#broker.firstIn(records, at)
  }

  /** The same for the broker of a message, which is a node between its producer and its consumer. */
  broker(view: SpanView): number {
    return this.#broker.first(view)
  }

  /** A server span's attributes describe the server itself, so only one of them can tell who calls. */
  client(view: SpanView): number {
    return this.#service.first(view)
  }
}

const OTHERS = 255

/** Attributes of which the first one that is there, and a text, is wanted. */
class Choice {
  readonly #positions: readonly number[]
  /** The bits of these positions, if the lowest is that of the first one; else 0. */
  readonly #bits: number
  /** By position: 1 for the first of them, and so on; 255 for the others. */
  readonly #ranks: Uint8Array

  constructor(positions: readonly number[]) {
    this.#positions = positions
    this.#ranks = new Uint8Array(Math.max(...positions) + 1).fill(OTHERS)
    positions.forEach((at, i) => {
      this.#ranks[at] = Math.min(this.#ranks[at]!, i + 1)
    })
    const rising = positions.every((at, i) => at < 32 && (i === 0 || at > positions[i - 1]!))
    this.#bits = rising ? positions.reduce((bits, at) => bits | (1 << at), 0) : 0
  }

  firstIn(records: Int32Array, at: number): number {
    const ranks = this.#ranks
    let best = -1
    let least = OTHERS
    const stop = at + SPAN_RECORD + ATTRIBUTE_RECORD * records[at + ATTRIBUTES]!
    for (let each = at + SPAN_RECORD; each < stop; each += ATTRIBUTE_RECORD) {
      const what = records[each]!
      const position = what & 0xffff
      if (what >> 16 !== STRING || position >= ranks.length || records[each + 2]! <= records[each + 1]!) continue
      const rank = ranks[position]!
      if (rank >= least) continue
      least = rank
      best = each
    }
    return best
  }

  /** Its position, or -1. */
  first({ spanAttributes }: SpanView): number {
    // Fast path: nobody asked for some of them before, in another order. Of 0, this is -1.
    if (this.#bits !== 0) {
      const found = spanAttributes.texts & this.#bits
      return 31 - Math.clz32(found & -found)
    }
    const { type, start, end } = spanAttributes
    for (let i = 0; i < this.#positions.length; i++) {
      const at = this.#positions[i]!
      if (type[at] === STRING && end[at]! > start[at]!) return at
    }
    return -1
  }
}
