// Events and log records as marks on the bars of their spans.

import type { LogRecord } from '../logs/records.ts'
import type { BarMark } from './bars.tsx'
import type { Source } from './source.ts'

export function bySpan(logs: readonly LogRecord[]): Map<string, LogRecord[]> {
  const found = new Map<string, LogRecord[]>()
  // The newest come first.
  for (const log of logs.toReversed()) {
    if (log.spanId === undefined) continue
    const known = found.get(log.spanId)
    if (known) known.push(log)
    else found.set(log.spanId, [log])
  }
  return found
}

/** Events of spans and log records, by span and in order of time. */
export function marksOf({ columns }: Source, logs: readonly LogRecord[]): Map<number, BarMark[]> {
  const found = new Map<number, BarMark[]>()
  const add = (span: number, mark: BarMark): void => {
    const known = found.get(span)
    if (known) known.push(mark)
    else found.set(span, [mark])
  }
  for (const [span, time, name] of columns.events)
    add(span, { time, log: false, failed: name === 'exception', text: name })
  if (logs.length > 0) {
    const places = new Map(columns.spanId.map((id, i) => [id, i]))
    const origin = BigInt(columns.startUnixNano)
    for (const { spanId, timeUnixNano, severity, body } of logs) {
      const span = spanId === undefined ? undefined : places.get(spanId)
      if (span === undefined || timeUnixNano === undefined) continue
      const failed = severity === 'ERROR' || severity === 'FATAL'
      add(span, {
        time: Number(BigInt(timeUnixNano) - origin) / 1000,
        log: true,
        failed,
        text: `${severity} ${body.slice(0, 200)}`,
      })
    }
  }
  for (const marks of found.values()) marks.sort((a, b) => a.time - b.time)
  return found
}
