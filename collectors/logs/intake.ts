// Walks the log records of a request: counts each by service and severity, and keeps the newest.
//
//   request = ResourceLogs* 1     ResourceLogs = Resource 1, ScopeLogs* 2     ScopeLogs = LogRecord* 2
//   LogRecord = time 1, severity number 2, body 5, trace id 9, span id 10, observed time 11, event name 12

import { type CounterColumn, OVERFLOW, type SeriesTable } from '../../exporter/metrics.ts'
import { type ExportRequest, FIXED64, field, LENGTH, Reader, VARINT, valueText } from '../otlp.ts'
import { cut, type Ring, type Slice } from './ring.ts'

/** By severity number: 0, then four for each. */
export const SEVERITIES = ['UNSPECIFIED', 'TRACE', 'DEBUG', 'INFO', 'WARN', 'ERROR', 'FATAL'] as const

export type Severity = (typeof SEVERITIES)[number]

/** A severity number outside 1 to 24 has no meaning. */
export function severityOf(number: number): Severity {
  return SEVERITIES[level(number)] ?? 'UNSPECIFIED'
}

const LONGEST_BODY = 4096
const SERVICE_NAME = Buffer.from('service.name')
const UNKNOWN = slice(Buffer.from('unknown_service'))
const EMPTY = slice(Buffer.alloc(0))

export class Intake {
  readonly #table: SeriesTable
  readonly #column: CounterColumn
  readonly #ring: Ring | undefined
  readonly #severities: readonly number[]
  readonly #set = new Uint32Array(2)
  #bytes: Buffer = Buffer.alloc(0)
  #service: Slice = EMPTY
  /** Of the service at hand, or -1 if it is new while the table is full. */
  #symbol = -1
  readonly #request = new Reader()
  readonly #resource = new Reader()
  readonly #scope = new Reader()
  readonly #record = new Reader()
  readonly #inner = new Reader()
  readonly #value = new Reader()

  constructor(table: SeriesTable, column: CounterColumn, ring: Ring | undefined) {
    this.#table = table
    this.#column = column
    this.#ring = ring
    this.#severities = SEVERITIES.map(each => table.symbols.text(each))
  }

  take({ bytes }: ExportRequest): void {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
    for (const each = this.#request.over(bytes, 0, bytes.length); each.next(); )
      if (each.tag === field(1, LENGTH)) this.#resourceLogs(each.start, each.end)
    // Nothing here outlives the request but what was copied.
    this.#bytes = Buffer.alloc(0)
    this.#service = EMPTY
  }

  #resourceLogs(start: number, end: number): void {
    // The resource may stand after its records, and in pieces: so it is looked for first.
    let service = UNKNOWN
    for (const each = this.#resource.over(this.#bytes, start, end); each.next(); )
      if (each.tag === field(1, LENGTH)) service = this.#serviceName(each.start, each.end) ?? service
    this.#service = service
    const { symbols } = this.#table
    this.#symbol = this.#table.full
      ? symbols.find(service.bytes, service.start, service.end)
      : symbols.intern(service.bytes, service.start, service.end)
    for (const each = this.#resource.over(this.#bytes, start, end); each.next(); )
      if (each.tag === field(2, LENGTH))
        for (const scope = this.#scope.over(this.#bytes, each.start, each.end); scope.next(); )
          if (scope.tag === field(2, LENGTH)) this.#logRecord(scope.start, scope.end)
  }

  /** service.name among the attributes of a Resource, if it is a text that is not empty. */
  #serviceName(start: number, end: number): Slice | undefined {
    const bytes = this.#bytes
    let found: Slice | undefined
    for (const each = this.#inner.over(bytes, start, end); each.next(); ) {
      if (each.tag !== field(1, LENGTH)) continue
      const pair = this.#record.over(bytes, each.start, each.end)
      let named = false
      let value = EMPTY
      while (pair.next())
        if (pair.tag === field(1, LENGTH)) named = SERVICE_NAME.equals(bytes.subarray(pair.start, pair.end))
        else if (pair.tag === field(2, LENGTH)) value = this.#string(pair.start, pair.end) ?? EMPTY
      if (named && value.end > value.start) found = value
    }
    return found
  }

  /** The text of an AnyValue that is a string. */
  #string(start: number, end: number): Slice | undefined {
    let found: Slice | undefined
    for (const any = this.#value.over(this.#bytes, start, end); any.next(); )
      found = any.tag === field(1, LENGTH) ? { bytes: this.#bytes, start: any.start, end: any.end } : undefined
    return found
  }

  #logRecord(start: number, end: number): void {
    const bytes = this.#bytes
    let [time, observed, severity, bodyStart, bodyEnd] = [0, 0, 0, 0, 0]
    let [trace, span, event]: [Slice | undefined, Slice | undefined, Slice] = [undefined, undefined, EMPTY]
    for (const each = this.#record.over(bytes, start, end); each.next(); )
      switch (each.tag) {
        case field(1, FIXED64):
          time = each.unsigned
          break
        case field(2, VARINT):
          severity = each.int32
          break
        case field(5, LENGTH):
          ;[bodyStart, bodyEnd] = [each.start, each.end]
          break
        case field(9, LENGTH):
          trace = each.end - each.start === 16 ? { bytes, start: each.start, end: each.end } : undefined
          break
        case field(10, LENGTH):
          span = each.end - each.start === 8 ? { bytes, start: each.start, end: each.end } : undefined
          break
        case field(11, FIXED64):
          observed = each.unsigned
          break
        case field(12, LENGTH):
          event = { bytes, start: each.start, end: each.end }
          break
      }
    this.#column.add(this.#slot(severity), 1)
    const ring = this.#ring
    if (!ring) return
    let body = this.#string(bodyStart, bodyEnd)
    if (!body && bodyStart < bodyEnd) body = slice(Buffer.from(valueText(bytes, bodyStart, bodyEnd, LONGEST_BODY)))
    // An event may be its name and nothing else.
    const shown = body && body.end > body.start ? body : event
    const seconds = (time === 0 ? observed : time) / 1e9
    const kept = { ...shown, end: cut(shown, LONGEST_BODY) }
    ring.push(seconds, level(severity) === 0 ? 0 : severity, trace, span, this.#service, kept)
  }

  #slot(severity: number): number {
    // An unheld value stands for a label set that cannot be in the table; it is full, so this can only overflow.
    if (this.#symbol < 0) return this.#table.overflow()
    this.#set[0] = this.#symbol
    this.#set[1] = this.#severities[level(severity)] ?? OVERFLOW
    return this.#table.slot(this.#set)
  }
}

/** Position in SEVERITIES. */
function level(number: number): number {
  return number >= 1 && number <= 24 ? Math.floor((number - 1) / 4) + 1 : 0
}

function slice(bytes: Buffer): Slice {
  return { bytes, start: 0, end: bytes.length }
}
