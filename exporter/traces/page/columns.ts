// GET /api/traces/ID: a trace as columns, loaded, read and written in slices. Spans may leave memory between two turns of
// the event loop; then the trace is read again, and at last without them.

import { setImmediate as nextTurn } from 'node:timers/promises'

import type { Cursor } from '../../../store/cursor.ts'
import type { Ring } from '../../../store/ring.ts'
import type { Trace } from '../../../store/trace.ts'
import { MISSING, type TraceColumns } from '../../../telemetry/trace-columns.ts'
import { MOST_TRACE_SPANS, type Pace } from '../../../traceql/reading.ts'
import { AttributeValue } from '../../../traceql/value.ts'

/** A trace with more events than this is drawn without the rest. */
export const MOST_EVENTS = 20_000
const LONGEST_NAME = 256

/** Why a trace that was loaded is not all that there was. */
export function partial(trace: Trace): string | undefined {
  if (trace.cut) return `it has more than ${MOST_TRACE_SPANS} spans, and only these are shown`
  if (!trace.incomplete) return undefined
  return 'spans of it may have left the memory of the sidecar, which keeps the newest (traces.keep)'
}

/** The most times that a trace is read because spans left memory meanwhile. */
const MOST_READINGS = 3

/** The columns of the trace with this id; undefined if no span of it is held. */
export async function columns(trace: Trace, id: Uint8Array, pace: Pace): Promise<TraceColumns | undefined> {
  for (let reading = 1; (await trace.loadInTurns(id, 0, pace)) > 0; reading++) {
    const found = await read(trace, pace, reading === MOST_READINGS)
    if (found) return found
  }
  return undefined
}

/** Undefined if a span left memory before it was read, unless that is the `last` reading: then such spans are left out. */
async function read(trace: Trace, pace: Pace, last: boolean): Promise<TraceColumns | undefined> {
  if (trace.gone && !last) return undefined
  const { size } = trace
  // The trace object holds for this turn only; later turns find the spans by the numbers of their records.
  const rings = trace.rings
  const cursors = rings.map(ring => ring.cursor())
  const ring = new Uint8Array(size)
  const number = new Float64Array(size)
  const parents = new Int32Array(size)
  let first: Cursor | undefined
  for (let i = 0; i < size; i++) {
    const span = trace.span(i)
    ring[i] = rings.indexOf(span.segment as Ring)
    number[i] = span.number
    parents[i] = trace.parentOf(i)
    if (!first && span.number >= span.segment.oldest) first = cursors[ring[i]!]!.at(span.number)
  }
  if (!first) return undefined
  const origin = trace.gone ? first.startNanos() : trace.startNanos
  const traceId = hex(first, first.traceId, 16)
  let why = partial(trace)
  const services = new Names()
  const names = new Names()
  const missing: Record<number, string> = {}
  const events: [number, number, string][] = []
  let eventsLeftOut = 0
  const made = {
    spanId: new Array<string>(size),
    parent: new Array<number>(size),
    start: new Array<number>(size),
    duration: new Array<number>(size),
    service: new Array<number>(size),
    name: new Array<number>(size),
    kind: new Array<number>(size),
    status: new Array<number>(size),
  }
  const text = new AttributeValue()
  /** The place of each span, and the ids of parents for those whose parent may leave. */
  const places = new Int32Array(size).fill(MISSING)
  const parentIds: string[] = []
  let place = 0
  for (let i = 0; i < size; i++) {
    if (pace.due()) await pace.turn()
    if (number[i]! < rings[ring[i]!]!.oldest) {
      if (!last) return undefined
      why = LEFT
      continue
    }
    const span = cursors[ring[i]!]!.at(number[i]!)
    if (parents[i] === MISSING) missing[place] = hex(span, span.parentId, 8)
    else if (last && parents[i]! >= 0) parentIds[place] = hex(span, span.parentId, 8)
    made.spanId[place] = hex(span, span.spanId, 8)
    made.parent[place] = parents[i]!
    made.start[place] = micros(Number(span.startNanos() - origin))
    made.duration[place] = micros(span.durationNanos)
    made.service[place] = services.place(span.segment.services.text(span.service))
    made.name[place] = names.place(span.segment.names.text(span.name))
    made.kind[place] = span.kind
    made.status[place] = span.status
    if (span.hasEvents)
      for (const each = span.events(); each.next(); ) {
        if (events.length === MOST_EVENTS) {
          eventsLeftOut++
          continue
        }
        each.name(text)
        events.push([place, micros(Number(each.timeNanos() - origin)), text.text().slice(0, LONGEST_NAME)])
      }
    places[i] = place++
  }
  if (place === 0) return undefined
  if (place < size) leaveOut(made, places, place, missing, parentIds)
  return {
    traceId,
    startUnixNano: String(origin),
    ...(why !== undefined && { partial: why }),
    services: services.list,
    names: names.list,
    ...made,
    missing,
    events,
    eventsLeftOut,
  }
}

const LEFT = 'spans of it have left the memory of the sidecar while it was read'

/** Shortens the columns to the spans that were read, and names their parents by the places that these have now. */
function leaveOut(
  columns: Readonly<Record<string, unknown[]>> & { readonly parent: number[] },
  places: Int32Array,
  size: number,
  missing: Record<number, string>,
  parentIds: readonly string[],
): void {
  for (const column of Object.values(columns)) column.length = size
  const { parent } = columns
  for (let i = 0; i < size; i++) {
    if (parent[i]! < 0) continue
    parent[i] = places[parent[i]!]!
    if (parent[i] === MISSING) missing[i] = parentIds[i]!
  }
}

/** The JSON, a column at a time. */
export async function written(columns: TraceColumns): Promise<string> {
  const parts: string[] = []
  for (const [name, value] of Object.entries(columns)) {
    parts.push(`${JSON.stringify(name)}:${JSON.stringify(value)}`)
    if (columns.spanId.length > 5000) await nextTurn()
  }
  return `{${parts.join(',')}}`
}

export function hex({ bytes }: Cursor, at: number, length: number): string {
  return bytes.toString('hex', at, at + length)
}

/** Nanoseconds as microseconds; the quotient is spelled with at most three digits behind the point. */
function micros(nanos: number): number {
  return nanos / 1000
}

/** Texts in the order in which they were first asked for. */
class Names {
  readonly list: string[] = []
  readonly #places = new Map<string, number>()

  place(text: string): number {
    const known = this.#places.get(text)
    if (known !== undefined) return known
    this.#places.set(text, this.list.length)
    return this.list.push(text) - 1
  }
}
