// A large request in parts that can be taken one after another: each is a request of its own, with the resource, the scope
// and the metric that its items stand below. The bytes must have passed the check.
//
//   resource scope item* , …   →   resource scope item … item | resource scope item … item | …
//
// A message that fits into a part is copied as it is. Of those that do not, each part has all that stands around the items,
// also what the schema does not know: it goes on to upstreams. Only a message around items that has none is left out. A part
// that cannot be divided (one item, data of a metric in pieces) is a part alone, however large: what it costs to take is the
// number of its fields, and that is bounded.

import { varints } from '../protobuf/varint.ts'
import { Check } from './check.ts'
import { type Field, isItem, MESSAGES, type Message } from './schema.ts'
import { field, LENGTH, Reader, skip } from './wire.ts'

/** A part of this size is taken within some milliseconds, with any content: 600 new resources of metrics take 20. */
const PART = 32 * 1024
/**
 * Fields of what cannot be divided, those inside of each other included: they are taken within 30 ms. SDKs make some hundred
 * for an item.
 */
export const MOST_FIELDS = 500_000
/** Places at which items stand between what is around them. Serializers write fields in order, so there is hardly one. */
const MOST_GAPS = 100_000

/** A request of its own, which has passed the check. The parts of one request share their memory. */
export interface RequestPart {
  readonly bytes: Uint8Array<ArrayBuffer>
  readonly items: number
}

/**
 * In parts of about `size` bytes. Undefined if something that cannot be divided has more than MOST_FIELDS, or if all is in
 * shreds.
 */
export function split(bytes: Buffer, type: Message, size = PART): readonly RequestPart[] | undefined {
  const splitter = new Splitter(bytes, size)
  splitter.message(type, 0, bytes.length, [])
  return splitter.crowded ? undefined : splitter.parts()
}

/** The message around another one: the inner one's tag, and the fields beside it. */
interface Around {
  readonly tag: number
  readonly type: Message
  readonly head: Buffer
}

class Splitter {
  crowded = false
  readonly #parts: { readonly pieces: readonly Buffer[]; readonly items: number }[] = []
  readonly #bytes: Buffer
  readonly #size: number
  readonly #check = new Check()
  #gaps = 0

  constructor(bytes: Buffer, size: number) {
    this.#bytes = bytes
    this.#size = size
  }

  /** All of them in one buffer: one for each would be given to V8, and to the other thread, a hundred times. */
  parts(): readonly RequestPart[] {
    const lengths = this.#parts.map(({ pieces }) => pieces.reduce((sum, each) => sum + each.length, 0))
    const all = new ArrayBuffer(lengths.reduce((sum, each) => sum + each, 0))
    let end = 0
    return this.#parts.map(({ pieces, items }, i) => {
      const bytes = new Uint8Array(all, end, lengths[i])
      let at = 0
      for (const piece of pieces) {
        bytes.set(piece, at)
        at += piece.length
      }
      end += at
      return { bytes, items }
    })
  }

  message(type: Message, start: number, end: number, around: readonly Around[]): void {
    const inner = INNER[type.index]!
    const beside = new Run()
    let pieces = 0
    this.#each(start, end, (tag, from, to) => {
      const leading = inner.get(tag)
      if (leading && !leading.repeated) pieces++
      else if (!leading) this.#add(beside, from, to)
    })
    if (this.crowded) return
    if (pieces > 1) {
      // Data of a metric in pieces, or of several kinds, of which the last one holds: only together they say what they mean.
      const whole = new Run()
      whole.add(start, end)
      this.#emit(type, NOTHING, whole, around)
      return
    }
    const head = Buffer.concat(this.#pieces(beside))
    // Heads are repeated in each part: where they are large, so are the parts.
    const room = around.reduce((most, each) => most + each.head.length, Math.max(this.#size, head.length))
    const run = new Run()
    this.#each(start, end, (tag, from, to, value) => {
      const below = inner.get(tag)?.message
      if (!below || this.crowded) return
      if (run.length + to - from > room) this.#emit(type, head, run, around)
      if (to - from <= room || isItem(below)) this.#add(run, from, to)
      else this.message(below, value, to, [...around, { tag, type, head }])
    })
    this.#emit(type, head, run, around)
  }

  /** Calls for each field: its tag (0 for a group), where it begins and ends, and where its value does if it has a length. */
  #each(start: number, end: number, found: (tag: number, from: number, to: number, value: number) => void): void {
    const bytes = this.#bytes
    const reader = new Reader()
    for (let pos = start; pos < end; ) {
      // The reader passes over groups, so it is given one field at a time.
      let after = pos
      while (bytes[after++]! >= 128);
      const stop = skip(bytes, after, bytes[pos]!)
      found(reader.over(bytes, pos, stop).next() ? reader.tag : GROUP, pos, stop, reader.start)
      pos = stop
    }
  }

  #add(run: Run, from: number, to: number): void {
    if (run.add(from, to) && ++this.#gaps > MOST_GAPS) this.crowded = true
  }

  #pieces({ ranges }: Run): Buffer[] {
    return ranges.map(([from, to]) => this.#bytes.subarray(from, to))
  }

  /** Makes a part of a run of fields of one message, which is then empty. */
  #emit(type: Message, head: Buffer, run: Run, around: readonly Around[]): void {
    if (run.length === 0) return
    const fields = [head, ...this.#pieces(run)]
    let length = head.length + run.length
    // A field takes two bytes or more.
    if (around.reduce((sum, each) => sum + each.head.length, length) > 2 * MOST_FIELDS) {
      const inside = fields.reduce((sum, each) => sum + countFields(each, type, 0, each.length), 0)
      const count = around.reduce((sum, each) => sum + countFields(each.head, each.type, 0, each.head.length), inside)
      if (count > MOST_FIELDS) this.crowded = true
    }
    const before: Buffer[] = []
    for (const each of around.toReversed()) {
      const open = varints(each.tag, length)
      before.push(open, each.head)
      length += each.head.length + open.length
    }
    this.#parts.push({ pieces: [...before.reverse(), ...fields], items: this.#items(type, run) })
    run.clear()
  }

  #items(type: Message, { ranges }: Run): number {
    // The check counts items. It can fail no more.
    const check = this.#check
    check.items = 0
    check.over(this.#bytes)
    for (const [from, to] of ranges) check.message(type.index, from, to, 0)
    return check.items
  }
}

/** Fields as ranges of bytes; those that follow each other are one. */
class Run {
  ranges: [from: number, to: number][] = []
  length = 0

  /** True if it does not follow what was added before. */
  add(from: number, to: number): boolean {
    this.length += to - from
    const last = this.ranges.at(-1)
    if (last?.[1] !== from) return this.ranges.push([from, to]) > 1
    last[1] = to
    return false
  }

  clear(): void {
    this.ranges = []
    this.length = 0
  }
}

const GROUP = 0
const NOTHING = Buffer.alloc(0)

/** Messages that hold items, and items. */
const LEADING = new Set(MESSAGES.filter(isItem))
for (let before = 0; before < LEADING.size; ) {
  before = LEADING.size
  for (const each of MESSAGES) if (each.fields.some(leads)) LEADING.add(each)
}

function leads({ message }: Field): boolean {
  return message !== undefined && LEADING.has(message)
}

/** The fields of each message that lead to items, by their tag. */
const INNER = MESSAGES.map(
  ({ fields }) => new Map(fields.filter(leads).map(each => [field(each.number, LENGTH), each] as const)),
)

/** Fields of a message between two offsets, and of the messages in it. A group counts as if it had as many as it can. */
function countFields(bytes: Buffer, type: Message, start: number, end: number): number {
  let count = 0
  for (let pos = start; pos < end && count <= MOST_FIELDS; ) {
    let after = pos
    while (bytes[after++]! >= 128);
    const stop = skip(bytes, after, bytes[pos]!)
    count += (bytes[pos]! & 7) === 3 ? (stop - pos) >> 1 : 1
    if ((bytes[pos]! & 7) === LENGTH) {
      const reader = new Reader().over(bytes, pos, stop)
      reader.next()
      const below = type.fields.find(each => each.number === reader.tag >>> 3)?.message
      if (below) count += countFields(bytes, below, reader.start, reader.end)
    }
    pos = stop
  }
  return count
}
