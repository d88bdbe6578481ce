// The summary of a record as an OTLP log record: what is left where the folder is lost with the pod.
//
//   request = ResourceLogs* 1     ResourceLogs = Resource 1, ScopeLogs 2     ScopeLogs = InstrumentationScope 1, LogRecord* 2
//   LogRecord = time 1, severity number 2, severity text 3, body 5, attribute* 6, observed time 11, event name 12

import { FIXED64, LENGTH, VARINT } from '../../otlp/wire.ts'
import { Writer } from '../../otlp/writer.ts'
import type { Trigger } from './families.ts'
import type { FlightRecord } from './record.ts'
import { lastMinute, oddities, orderly, summary } from './words.ts'

/** Names and numbers of OTLP's severities. */
const SEVERITIES: Readonly<Record<Trigger, readonly [string, number]>> = {
  gone: ['FATAL', 21],
  both: ['FATAL', 21],
  failing: ['ERROR', 17],
  dying: ['ERROR', 17],
  stopping: ['INFO', 9],
  asked: ['INFO', 9],
}
/** A body of more characters is cut. */
const MOST = 4000
const MOST_BYTES = 16 * 1024

export function logRequest(record: FlightRecord, file: string | undefined): Buffer {
  const { trigger, at, written, cause, application } = record
  const [severity, number] = orderly(record) ? (['INFO', 9] as const) : SEVERITIES[trigger]
  const body = [summary(record), ...lastMinute(record), ...oddities(record)].join('\n').slice(0, MOST)
  const writer = new Writer(2048, MOST_BYTES)
  const message = (field: number, write: () => void): void => {
    writer.tag(field, LENGTH)
    const begun = writer.begin()
    write()
    writer.end(begun)
  }
  const text = (field: number, value: string): void => message(field, () => writer.text(value))
  const attribute = (field: number, key: string, value: string): void =>
    message(field, () => {
      text(1, key)
      message(2, () => text(1, value))
    })
  const time = (field: number, ms: number): void => {
    const nanos = BigInt(Math.max(0, Math.round(ms))) * 1_000_000n
    writer.tag(field, FIXED64)
    writer.fixed64(Number(nanos & 0xffffffffn), Number((nanos >> 32n) & 0xffffffffn))
  }
  message(1, () => {
    message(1, () => attribute(1, 'service.name', (application.name ?? 'unknown_service').slice(0, 200)))
    message(2, () => {
      message(1, () => text(1, 'pillion.flight'))
      message(2, () => {
        time(1, at)
        writer.tag(2, VARINT)
        writer.varint(number)
        text(3, severity)
        message(5, () => text(1, body.toWellFormed()))
        attribute(6, 'pillion.flight.trigger', trigger)
        attribute(6, 'pillion.flight.reason', cause.reason.slice(0, 100))
        attribute(6, 'pillion.flight.evidence', cause.evidence.slice(0, 100))
        if (application.pid !== undefined) attribute(6, 'process.pid', String(application.pid))
        if (file !== undefined) attribute(6, 'pillion.flight.file', file)
        time(11, written)
        text(12, 'pillion.flight')
      })
    })
  })
  return writer.finish()
}
