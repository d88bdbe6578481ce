// The requests for the intake, written while lines are read: log records and spans, by resource.
//
//   request = ResourceLogs* 1     ResourceLogs = Resource 1, ScopeLogs 2     ScopeLogs = InstrumentationScope 1, LogRecord* 2
//   LogRecord = time 1, severity number 2, severity text 3, body 5, attribute* 6, dropped attributes 7, trace id 9, span id 10,
//               observed time 11
//   request = ResourceSpans* 1, and so on; Span = trace id 1, span id 2, parent 4, name 5, kind 6, start 7, end 8,
// attribute* 9,             status 15

import { attribute, encoded, MOST_ATTRIBUTES, text } from '../../otlp/attributes.ts'
import { FIXED64, LENGTH, VARINT } from '../../otlp/wire.ts'
import { Writer } from '../../otlp/writer.ts'
import { halves, type Time } from './time.ts'

/** A request is handed on when it has so many bytes: well below what the intake reads on a thread. */
export const FULL_BYTES = 128 * 1024
export const FULL_ITEMS = 2000
/** Beyond a full request there is one more record at most, and an attribute of three bytes for each that it was. */
const MOST_BYTES = 4 * 1024 * 1024
const ID = Buffer.alloc(16)

/** A message around others, of one signal: the resource and scope of what follows. */
class Grouped {
  #writer: Writer | undefined
  #resource: Buffer | undefined
  #group = 0
  #scope = 0
  items = 0

  get length(): number {
    return this.#writer?.length ?? 0
  }

  /** The writer, inside the scope of this resource. */
  within(resource: Buffer): Writer {
    this.#writer ??= new Writer(FULL_BYTES + 32 * 1024, MOST_BYTES)
    const writer = this.#writer
    if (this.#resource === resource) return writer
    this.#close()
    this.#resource = resource
    writer.tag(1, LENGTH)
    this.#group = writer.begin()
    writer.copy(resource, 0, resource.length)
    writer.tag(2, LENGTH)
    this.#scope = writer.begin()
    writer.copy(SCOPE, 0, SCOPE.length)
    return writer
  }

  finish(): Buffer | undefined {
    const writer = this.#writer
    if (!writer) return undefined
    this.#close()
    this.#writer = undefined
    this.#resource = undefined
    this.items = 0
    return writer.finish()
  }

  #close(): void {
    if (!this.#resource || !this.#writer) return
    this.#writer.end(this.#scope)
    this.#writer.end(this.#group)
  }
}

/** A record that is not structured has no keys. */
export interface LogRecord {
  readonly time: Time
  readonly severity: number
  readonly severityText: string
  readonly traceId: string | undefined
  readonly spanId: string | undefined
  readonly keys: readonly string[]
  readonly values: Readonly<Record<string, unknown>>
}

export class LogRequest extends Grouped {
  /** `attributes` are encoded (field 6); the body is text in UTF-8, or a string. */
  add(
    resource: Buffer,
    record: LogRecord,
    observed: Time,
    attributes: readonly Buffer[],
    body: string | Uint8Array,
    start: number,
    end: number,
  ): void {
    const writer = this.within(resource)
    writer.tag(2, LENGTH)
    const begun = writer.begin()
    if (record.time.known) fixedTime(writer, 1, record.time)
    fixedTime(writer, 11, observed)
    if (record.severity > 0) {
      writer.tag(2, VARINT)
      writer.varint(record.severity)
      if (record.severityText !== '') {
        writer.tag(3, LENGTH)
        text(writer, record.severityText.slice(0, 64))
      }
    }
    writer.tag(5, LENGTH)
    const value = writer.begin()
    writer.tag(1, LENGTH)
    if (typeof body === 'string') text(writer, body)
    else {
      writer.varint(end - start)
      writer.copy(body as Buffer, start, end)
    }
    writer.end(value)
    for (const each of attributes) writer.copy(each, 0, each.length)
    const { keys, values } = record
    for (let i = 0; i < keys.length && i < MOST_ATTRIBUTES; i++) attribute(writer, 6, keys[i]!, values[keys[i]!])
    if (keys.length > MOST_ATTRIBUTES) {
      writer.tag(7, VARINT)
      writer.varint(keys.length - MOST_ATTRIBUTES)
    }
    if (record.traceId !== undefined) id(writer, 9, record.traceId)
    if (record.spanId !== undefined) id(writer, 10, record.spanId)
    writer.end(begun)
    this.items++
  }
}

/** A span whose lasting fields (name, kind, attributes, status) are encoded already. */
export class SpanRequest extends Grouped {
  add(
    resource: Buffer,
    traceId: Buffer | string,
    spanId: Buffer,
    parent: string | undefined,
    start: Time,
    end: Time,
    lasting: Buffer,
    path: string,
  ): void {
    const writer = this.within(resource)
    writer.tag(2, LENGTH)
    const begun = writer.begin()
    if (typeof traceId === 'string') id(writer, 1, traceId)
    else {
      writer.tag(1, LENGTH)
      writer.varint(16)
      writer.copy(traceId, 0, 16)
    }
    writer.tag(2, LENGTH)
    writer.varint(8)
    writer.copy(spanId, 0, 8)
    if (parent !== undefined) id(writer, 4, parent)
    fixedTime(writer, 7, start)
    fixedTime(writer, 8, end)
    writer.copy(lasting, 0, lasting.length)
    if (path !== '') attribute(writer, 9, 'url.path', path)
    writer.end(begun)
    this.items++
  }
}

const SCOPE = encoded(writer => {
  writer.tag(1, LENGTH)
  const scope = writer.begin()
  writer.tag(1, LENGTH)
  text(writer, 'pillion.files')
  writer.end(scope)
})

function id(writer: Writer, field: number, hex: string): void {
  const length = ID.write(hex, 'hex')
  writer.tag(field, LENGTH)
  writer.varint(length)
  writer.copy(ID, 0, length)
}

function fixedTime(writer: Writer, field: number, time: Time): void {
  const { low, high } = halves(time)
  writer.tag(field, FIXED64)
  writer.fixed64(low, high)
}
