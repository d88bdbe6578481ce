// Walks the log records of a request: counts each by service and severity, and keeps the newest.
//
//   request = ResourceLogs* 1     ResourceLogs = Resource 1, ScopeLogs* 2     ScopeLogs = LogRecord* 2
//   LogRecord = time 1, severity number 2, body 5, trace id 9, span id 10, observed time 11, event name 12

import type { CounterColumn } from '../../metrics/columns.ts'
import { OVERFLOW, type SeriesTable } from '../../metrics/table.ts'
import { KeyValue } from '../../otlp/key-value.ts'
import { serviceIn } from '../../otlp/service.ts'
import { valueText } from '../../otlp/value.ts'
import { FIXED64, field, LENGTH, Reader, VARINT } from '../../otlp/wire.ts'
import { ABSENT, STRING } from '../../telemetry/attribute.ts'
import type { Request } from '../../telemetry/request.ts'
import { cut, type Ring, type Slice, type Time } from './ring.ts'
import { levelOf, SEVERITIES } from './severity.ts'

const LONGEST_BODY = 4096
const EMPTY = slice(Buffer.alloc(0))
const UNKNOWN: Time = { low: 0, high: 0 }

export class LogIntake {
  readonly #table: SeriesTable
  readonly #column: CounterColumn
  readonly #ring: Ring | undefined
  readonly #severities: readonly number[]
  readonly #set = new Uint32Array(2)
  #bytes: Buffer = Buffer.alloc(0)
  #service: Slice = EMPTY
  /** The symbol of the current service, or -1 if it is new while the table is full. */
  #symbol = -1
  readonly #request = new Reader()
  readonly #resource = new Reader()
  readonly #scope = new Reader()
  readonly #record = new Reader()
  readonly #value = new KeyValue()

  constructor(table: SeriesTable, column: CounterColumn, ring: Ring | undefined) {
    this.#table = table
    this.#column = column
    this.#ring = ring
    this.#severities = SEVERITIES.map(each => table.symbols.text(each))
  }

  take({ bytes }: Request): void {
    this.#bytes = bytes
    for (const each = this.#request.over(bytes, 0, bytes.length); each.next(); )
      if (each.tag === field(1, LENGTH)) this.#resourceLogs(each.start, each.end)
    // The request's bytes are only lent: what is kept was copied.
    this.#bytes = Buffer.alloc(0)
    this.#service = EMPTY
  }

  #resourceLogs(start: number, end: number): void {
    // The resource may come after its records, and in pieces, so it is read first.
    const service = serviceIn(this.#bytes, start, end)
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

  #body(start: number, end: number): Slice {
    const bytes = this.#bytes
    const value = this.#value.readValue(bytes, start, end)
    if (value.type === STRING) return { bytes, start: value.start, end: value.end }
    return value.type === ABSENT ? EMPTY : slice(Buffer.from(valueText(bytes, start, end, LONGEST_BODY)))
  }

  #logRecord(start: number, end: number): void {
    const bytes = this.#bytes
    let [severity, bodyStart, bodyEnd] = [0, 0, 0]
    let [time, observed]: [Time, Time] = [UNKNOWN, UNKNOWN]
    let [trace, span, event]: [Slice | undefined, Slice | undefined, Slice] = [undefined, undefined, EMPTY]
    for (const each = this.#record.over(bytes, start, end); each.next(); )
      switch (each.tag) {
        case field(1, FIXED64):
          time = timeOf(each)
          break
        case field(2, VARINT):
          severity = each.int32
          break
        case field(5, LENGTH):
          // A piece that sets nothing leaves the one before.
          if (bodyEnd === 0 || this.#value.readValue(bytes, each.start, each.end).type !== ABSENT)
            [bodyStart, bodyEnd] = [each.start, each.end]
          break
        case field(9, LENGTH):
          trace = each.end - each.start === 16 ? { bytes, start: each.start, end: each.end } : undefined
          break
        case field(10, LENGTH):
          span = each.end - each.start === 8 ? { bytes, start: each.start, end: each.end } : undefined
          break
        case field(11, FIXED64):
          observed = timeOf(each)
          break
        case field(12, LENGTH):
          event = { bytes, start: each.start, end: each.end }
          break
      }
    this.#column.add(this.#slot(severity), 1)
    const ring = this.#ring
    if (!ring) return
    const body = this.#body(bodyStart, bodyEnd)
    // An event may have nothing but its name.
    const shown = body.end > body.start ? body : event
    const stamp = time.low === 0 && time.high === 0 ? observed : time
    const kept = { ...shown, end: cut(shown, LONGEST_BODY) }
    ring.push(stamp, levelOf(severity) === 0 ? 0 : severity, trace, span, this.#service, kept)
  }

  #slot(severity: number): number {
    // The service has no symbol, so its label sets are not in the table, which is full: this can only overflow.
    if (this.#symbol < 0) return this.#table.overflow()
    this.#set[0] = this.#symbol
    this.#set[1] = this.#severities[levelOf(severity)] ?? OVERFLOW
    return this.#table.slot(this.#set)
  }
}

function timeOf({ low, high }: Reader): Time {
  return { low, high }
}

function slice(bytes: Buffer): Slice {
  return { bytes, start: 0, end: bytes.length }
}
