// Spans of a trace with all that they have, as OTLP/JSON: one for a side panel, or the whole trace for a file that
// other programs read. And the spans of a trace that have a text: only the sidecar has all attributes at hand.
//
// A large trace is worked on in slices. Between two of them spans may leave memory, so their numbers are held, and each
// is looked at again: one that has gone meanwhile is left out.

import { type Message, message } from '../../../otlp/schema.ts'
import type { Cursor } from '../../../store/cursor.ts'
import type { Ring } from '../../../store/ring.ts'
import type { Trace } from '../../../store/trace.ts'
import type { Pace } from '../../../traceql/reading.ts'
import { AttributeValue } from '../../../traceql/value.ts'
import { json } from '../json.ts'
import { hex } from './columns.ts'

const SPAN = message('Span')
const RESOURCE_SPANS = without(message('ResourceSpans'), 'scope_spans')
const SCOPE_SPANS = without(message('ScopeSpans'), 'spans')

/** The spans with this id (both sides of a call may have it), as an object of OTLP/JSON with resource and scope. */
export function details(trace: Trace, spanId: string): string | undefined {
  const writer = new OtlpWriter()
  for (let i = 0; i < trace.size; i++) {
    const span = trace.held(i)
    if (span.number >= span.segment.oldest && hex(span, span.spanId, 8) === spanId) writer.add(span)
  }
  return writer.spans === 0 ? undefined : Buffer.concat(writer.finish()).toString('utf8')
}

/** The whole trace as OTLP/JSON, as far as its spans stay in memory, in pieces. */
export async function otlp(trace: Trace, pace: Pace): Promise<readonly Buffer[]> {
  const writer = new OtlpWriter()
  await eachHeld(trace, pace, span => writer.add(span))
  return writer.finish()
}

/**
 * The ids of the spans in which a text occurs, whatever the case: name, service, ids, status message, attributes,
 * events, scope.
 */
export async function find(trace: Trace, text: string, pace: Pace): Promise<readonly string[]> {
  const wanted = text.toLowerCase()
  const found: string[] = []
  const has = finder(wanted)
  await eachHeld(trace, pace, span => {
    if (has(span)) found.push(hex(span, span.spanId, 8))
  })
  return found
}

/**
 * Looks at all spans in the order in which they came, at the pace of a query. An asynchronous iterator would make three promises
 * for each span, and collecting them as garbage held the loop longer than the slices.
 */
async function eachHeld(trace: Trace, pace: Pace, look: (span: Cursor) => void): Promise<void> {
  const { rings, size } = trace
  const cursors = rings.map(ring => ring.cursor())
  const ring = new Uint8Array(size)
  const number = new Float64Array(size)
  for (let i = 0; i < size; i++) {
    const span = trace.held(i)
    ring[i] = rings.indexOf(span.segment as Ring)
    number[i] = span.number
  }
  for (let i = 0; i < size; i++) {
    if (pace.due()) await pace.turn()
    if (number[i]! >= rings[ring[i]!]!.oldest) look(cursors[ring[i]!]!.at(number[i]!))
  }
}

/** Text is encoded piece by piece: to do it at once would take 70 ms for 50,000 spans. */
const PIECE = 65_536

class OtlpWriter {
  spans = 0
  #text = '{"resourceSpans":['
  readonly #pieces: Buffer[] = []
  /** Where the span before this one stands, so that what they share is written once. */
  #source: Buffer | undefined
  #resource = -1
  #scope = -1

  add(span: Cursor): void {
    const { bytes } = span
    const [resource, resourceEnd] = span.resourceSpans()
    const [scope, scopeEnd] = span.scopeSpans()
    const sameResource = bytes === this.#source && resource === this.#resource
    if (sameResource && scope === this.#scope) this.#text += ','
    else {
      if (this.spans > 0) this.#text += sameResource ? ']},' : ']}]},'
      if (!sameResource)
        this.#text += `${open(json(bytes, RESOURCE_SPANS, resource, resourceEnd, 'otlp'))}"scopeSpans":[`
      this.#text += `${open(json(bytes, SCOPE_SPANS, scope, scopeEnd, 'otlp'))}"spans":[`
      this.#source = bytes
      this.#resource = resource
      this.#scope = scope
    }
    this.#text += json(bytes, SPAN, span.spanStart, span.spanEnd, 'otlp')
    this.spans++
    if (this.#text.length >= PIECE) this.#encode()
  }

  finish(): readonly Buffer[] {
    this.#text += `${this.spans > 0 ? ']}]}' : ''}]}`
    this.#encode()
    return this.#pieces
  }

  #encode(): void {
    this.#pieces.push(Buffer.from(this.#text))
    this.#text = ''
  }
}

/** An object to which a member can be added. */
function open(object: string): string {
  return object === '{}' ? '{' : `${object.slice(0, -1)},`
}

/** A message without one of its fields. */
function without(whole: Message, name: string): Message {
  return { ...whole, fields: whole.fields.filter(each => each.name !== name) }
}

/** Whether a span has the text, which is in lower case. An attribute is looked at as key=value. */
function finder(wanted: string): (span: Cursor) => boolean {
  const value = new AttributeValue()
  const digits = /^[0-9a-f]+$/.test(wanted)
  // Names and services are few: each is looked at once.
  const texts = new Map<string, boolean>()
  const named = (text: string): boolean => {
    const known = texts.get(text) ?? includes(text)
    texts.set(text, known)
    return known
  }
  const includes = (text: string): boolean => text.toLowerCase().includes(wanted)
  return span => {
    const { segment, bytes } = span
    if (named(segment.names.text(span.name)) || named(segment.services.text(span.service))) return true
    if (digits && hex(span, span.spanId, 8).includes(wanted)) return true
    if (span.statusMessage(value) && includes(value.text())) return true
    let found = false
    const look = (keyStart: number, keyEnd: number, each: { text(): string }): boolean => {
      found = includes(`${bytes.toString('utf8', keyStart, keyEnd)}=${each.text()}`)
      return !found
    }
    span.attributes('span', look)
    if (!found && span.hasEvents)
      for (const events = span.events(); !found && events.next(); ) {
        events.name(value)
        found = includes(value.text())
        if (!found) events.attributes(look)
      }
    if (!found) span.attributes('resource', look)
    if (!found && span.scopeName(value)) found = includes(value.text())
    return found
  }
}
