// The application's OTLP logs: counted by service and severity, and the newest kept in memory, so that the records of a
// trace can be shown with it.

import { CounterColumn, counter, gauge } from '../exporter/metrics.ts'
import { bytes, flag, integer, section, type Values } from '../options/kinds.ts'
import type { Collector, Host, Running } from './collector.ts'
import { Intake, type Severity, severityOf } from './logs/intake.ts'
import { Ring } from './logs/ring.ts'
import type { LogsConsumer } from './otlp.ts'

export type { Severity } from './logs/intake.ts'

export const records = counter(
  'app_log_records_total',
  'Log records that came in, by service and severity. The four severity numbers of a level are one.',
  ['service', 'severity'],
)
export const held = gauge('pillion_logs_held_records', 'Log records that are kept in memory.')
export const heldBytes = gauge('pillion_logs_held_bytes', 'Bytes of the log records that are kept; at most logs.keep.')
export const evicted = counter(
  'pillion_logs_evicted_total',
  'Log records that were kept and have given way to newer ones: evicted plus held is what came in.',
)

export const options = section('OTLP logs of the application.', {
  enabled: flag('Whether OTLP logs are taken; otherwise senders are told that they are dropped.', { default: true }),
  keep: bytes('Memory for the newest log records; 0B keeps none and only counts.', {
    default: '1MiB',
    min: '0B',
    max: '1GiB',
  }),
  limit: integer(
    'Pairs of service and severity that are counted on their own; what comes beyond is counted in one series with metric_overflow="true".',
    { default: 500, min: 1, max: 100_000 },
  ),
})

export type LogsOptions = Values<typeof options>

export interface LogRecord {
  /** Seconds since the epoch, 0 if unknown. */
  readonly seconds: number
  readonly severity: Severity
  readonly service: string
  /** Lower-case hexadecimal, or "". */
  readonly traceId: string
  readonly spanId: string
  /** At most 4 KiB. What is not a text is shown as JSON. */
  readonly body: string
}

export interface LogsRunning extends Running, LogsConsumer {
  /** The newest records, newest first. */
  recent(query: { readonly traceId?: string; readonly limit: number }): readonly LogRecord[]
}

export const logs = {
  name: 'logs',
  about: 'Counts the application’s OTLP logs and keeps the newest.',
  families: [records, held, heldBytes, evicted],
  options,
  start(options: LogsOptions, { metrics }: Pick<Host, 'metrics'>): LogsRunning {
    const table = metrics.table('app_log_records', records.labels, options.limit)
    const column = new CounterColumn(table, records)
    metrics.add(column)
    const ring = options.keep > 0 ? new Ring(options.keep) : undefined
    const intake = new Intake(table, column, ring)
    const readings = {
      held: metrics.reading(held),
      heldBytes: metrics.reading(heldBytes),
      evicted: metrics.reading(evicted),
    }
    return {
      reasons: [],
      take(request) {
        intake.take(request)
        return undefined
      },
      recent: query => recent(ring, query),
      collect() {
        readings.held.set({}, ring?.records)
        readings.heldBytes.set({}, ring?.bytes)
        readings.evicted.set({}, ring?.evicted)
      },
      async [Symbol.asyncDispose]() {},
    }
  },
} satisfies Collector<LogsOptions>

function recent(ring: Ring | undefined, { traceId, limit }: { traceId?: string; limit: number }): LogRecord[] {
  if (!ring || (traceId !== undefined && !/^[0-9a-f]{32}$/i.test(traceId))) return []
  const trace = traceId === undefined ? undefined : Buffer.from(traceId, 'hex')
  return ring
    .newest(trace)
    .take(limit)
    .map(({ severity, ...rest }) => ({ ...rest, severity: severityOf(severity) }))
    .toArray()
}
