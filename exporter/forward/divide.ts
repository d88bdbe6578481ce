// Divides a request that an upstream finds too large. Each half is a request of its own: everything that stands around the
// items (resource, scope, the metric, fields that nobody knows) is in both.
//
//   resource scope item item item item   →   resource scope item item | resource scope item item
//
// It is divided where the outermost list can be divided: between resources, else between scopes, else between items.

import { Check } from '../../otlp/check.ts'
import { isItem, MESSAGES, type Message, REQUESTS } from '../../otlp/schema.ts'
import { field, LENGTH, skip } from '../../otlp/wire.ts'
import { varints } from '../../protobuf/varint.ts'
import type { Signal } from '../../telemetry/request.ts'

/** A request, or a part of one. */
export interface Piece {
  readonly bytes: Buffer
  readonly items: number
}

/** Two pieces of about the same size; undefined if there is only one item. The bytes must have passed the check. */
export function halve(signal: Signal, { bytes, items }: Piece): readonly [Piece, Piece] | undefined {
  if (items < 2) return undefined
  const halves = halveMessage(bytes, REQUESTS[signal])
  if (!halves) return undefined
  const [first, second] = halves.map(each => ({ bytes: each, items: count(signal, each) }))
  return first && second && [first, second]
}

/** Pieces of at most so many bytes, where that can be. */
export function divide(signal: Signal, piece: Piece, most: number): readonly Piece[] {
  if (piece.bytes.length <= most) return [piece]
  const halves = halve(signal, piece)
  return halves ? halves.flatMap(half => divide(signal, half, most)) : [piece]
}

const check = new Check()

function count(signal: Signal, bytes: Buffer): number {
  // It cannot fail: the bytes are fields of a request that has passed it.
  check.run(bytes, REQUESTS[signal])
  return check.items
}

interface Place {
  readonly from: number
  readonly to: number
  /** Where the value begins. */
  readonly value: number
  /** The message in it, if it leads to items. */
  readonly inner: Message | undefined
  readonly tag: number
}

function halveMessage(bytes: Buffer, type: Message): readonly [Buffer, Buffer] | undefined {
  if (isItem(type)) return undefined
  const places = fieldsOf(bytes, type)
  const leading = places.filter(each => each.inner)
  const [only, second] = leading
  if (!only?.inner) return undefined
  if (!second) {
    const halves = halveMessage(bytes.subarray(only.value, only.to), only.inner)
    return halves && [around(bytes, places, only, halves[0]), around(bytes, places, only, halves[1])]
  }
  // Data of a metric in several pieces: only together they say what they mean.
  if (leading.some(each => !repeated(type, each))) return undefined
  const total = leading.reduce((sum, { from, to }) => sum + to - from, 0)
  let size = only.to - only.from
  let cut = 1
  while (cut < leading.length - 1 && size < total / 2) {
    const { from, to } = leading[cut++]!
    size += to - from
  }
  const last = leading[cut]!.from
  const half = (keep: (place: Place) => boolean) =>
    Buffer.concat(places.filter(keep).map(({ from, to }) => bytes.subarray(from, to)))
  return [half(each => !each.inner || each.from < last), half(each => !each.inner || each.from >= last)]
}

/** The message with another value in one of its fields. */
function around(bytes: Buffer, places: readonly Place[], changed: Place, value: Buffer): Buffer {
  return Buffer.concat(
    places.flatMap(each =>
      each === changed ? [varints(each.tag, value.length), value] : [bytes.subarray(each.from, each.to)],
    ),
  )
}

function fieldsOf(bytes: Buffer, type: Message): Place[] {
  const inner = INNER[type.index]!
  const places: Place[] = []
  for (let pos = 0; pos < bytes.length; ) {
    const from = pos
    let tag = 0
    for (let shift = 0; ; shift += 7) {
      const byte = bytes[pos++]!
      tag |= (byte & 127) << shift
      if (byte < 128) break
    }
    const to = skip(bytes, pos, tag)
    let value = pos
    const below = inner.get(tag)
    if (below) while (bytes[value++]! >= 128);
    places.push({ from, to, value, inner: below, tag })
    pos = to
  }
  return places
}

function repeated(type: Message, { tag }: Place): boolean {
  return type.fields.some(each => each.number === tag >>> 3 && each.repeated)
}

/** Messages that are items or hold some. */
const LEADING = new Set(MESSAGES.filter(isItem))
for (let before = 0; before < LEADING.size; ) {
  before = LEADING.size
  for (const each of MESSAGES) if (each.fields.some(({ message }) => message && LEADING.has(message))) LEADING.add(each)
}

/** The fields of each message that lead to items, by their tag. */
const INNER = MESSAGES.map(
  ({ fields }) =>
    new Map(
      fields.flatMap(({ number, message }) =>
        message && LEADING.has(message) ? [[field(number, LENGTH), message] as const] : [],
      ),
    ),
)
