// A trace by its id, as protobuf or JSON. The second version of the call wraps what the first one answers.
//
//   TraceByIDResponse = trace 1, metrics 2, status 3 (1 = partial), message 4

import { setImmediate as nextTurn } from 'node:timers/promises'

import { message } from '../../../otlp/schema.ts'
import { Reader } from '../../../otlp/wire.ts'
import { putVarint } from '../../../protobuf/varint.ts'
import type { Kept } from '../../../store/kept.ts'
import { type View, view } from '../../../store/view.ts'
import type { Clock } from '../../../telemetry/host.ts'
import type { Pace } from '../../../traceql/reading.ts'
import { json } from '../json.ts'
import type { Answer, Outcome } from './answer.ts'
import { shown } from './params.ts'

const RESOURCE_SPANS = message('ResourceSpans')

/** Answers one trace, and keeps it from now on: whoever opened it may come again. */
export async function traceById(
  kept: Kept | undefined,
  id: string,
  wrapped: boolean,
  accept: string | undefined,
  { answer, pace, signal, clock }: TraceAsked,
): Promise<Outcome | Writing> {
  if (!/^[0-9a-f]{1,32}$/i.test(id))
    return answer.text(400, `${shown(id)} is no trace id: it must be 1 to 32 hexadecimal digits`)
  const bytes = Buffer.from(id.padStart(32, '0'), 'hex')
  if (!kept) return answer.text(404, 'this sidecar keeps no traces (traces.keep is 0B)')
  const { store } = kept
  if (!store?.holds(bytes, 0)) return answer.text(404, absent(id.toLowerCase(), kept, clock))
  // Before it is read, so that nothing of it is lost meanwhile.
  store.open(bytes)
  const found = await view(store, bytes, pace)
  if (found.spans === 0) return answer.text(404, absent(id.toLowerCase(), kept, clock))
  const protobuf = accept !== undefined && /\bapplication\/(?:x-)?protobuf\b/.test(accept)
  return () => (protobuf ? writeProtobuf(found, wrapped, answer, signal) : writeJson(found, wrapped, answer, signal))
}

/** Writes what was found, as fast as the client takes it. */
export type Writing = () => Promise<Outcome>

async function writeProtobuf(found: View, wrapped: boolean, answer: Answer, signal: AbortSignal): Promise<Outcome> {
  const pieces = wrapped ? wrap(found) : found.parts
  const length = pieces.reduce((sum, each) => sum + each.length, 0)
  const write = answer.pieces('application/protobuf', length, signal)
  for (const piece of pieces) await write(piece)
  return answer.end(signal)
}

export interface TraceAsked {
  readonly answer: Answer
  readonly pace: Pace
  readonly signal: AbortSignal
  readonly clock: Clock
}

/** Says how far back memory goes: that is what whoever clicked an old link wants to know. */
export function absent(id: string, { store }: Kept, clock: Clock): string {
  const received = store?.newest.oldestReceived
  const none = `trace ${id} is not in the memory of this sidecar`
  if (store === undefined || received === undefined) return `${none}, which holds no spans yet`
  const seconds = Math.max(0, Math.round((clock.now() - received) / 1000))
  const since = new Date(received).toISOString().replace(/\.\d+Z$/, 'Z')
  return `${none}, which holds the ${store.spans} newest spans, since ${since} (${seconds} s ago); raise traces.keep to keep more`
}

function wrap({ parts, partial }: View): Buffer[] {
  const head = Buffer.alloc(11)
  head[0] = 0x0a
  const length = parts.reduce((sum, each) => sum + each.length, 0)
  const all = [head.subarray(0, putVarint(head, 1, length)), ...parts, Buffer.from([0x12, 0])]
  if (partial === undefined) return all
  const reason = Buffer.from(partial)
  const tail = Buffer.alloc(16)
  tail.set([0x18, 1, 0x22])
  return [...all, tail.subarray(0, putVarint(tail, 3, reason.length)), reason]
}

async function writeJson(
  { parts, partial }: View,
  wrapped: boolean,
  answer: Answer,
  signal: AbortSignal,
): Promise<Outcome> {
  const write = answer.pieces('application/json', undefined, signal)
  let before = wrapped ? '{"trace":{"resourceSpans":[' : '{"batches":['
  for (const bytes of parts) {
    let piece = ''
    for (const spans = new Reader().over(bytes, 0, bytes.length); spans.next(); ) {
      piece += before + json(bytes, RESOURCE_SPANS, spans.start, spans.end)
      before = ','
    }
    await write(piece)
    if (signal.aborted) break
    await nextTurn()
  }
  const status = partial === undefined ? '' : `,"status":"PARTIAL","message":${JSON.stringify(partial)}`
  await write(wrapped ? `]},"metrics":{}${status}}` : ']}')
  return answer.end(signal)
}
