// The application's OTLP logs: counted by service and severity. The newest are kept in memory, and can be read over HTTP: as
// JSON, and as a Grafana data source of the type Loki.

import { CounterColumn } from '../metrics/columns.ts'
import { counter, gauge } from '../metrics/family.ts'
import { series } from '../metrics/registry.ts'
import { bytes, choice, flag, integer, section, text, type Values } from '../options/kinds.ts'
import type { RequestConsumer } from '../telemetry/consumer.ts'
import type { Host } from '../telemetry/host.ts'
import type { Part, Running } from '../telemetry/part.ts'
import { logsRoute } from './logs/api.ts'
import { LogIntake } from './logs/intake.ts'
import { lokiRoute } from './logs/loki.ts'
import { remembered } from './logs/remembered.ts'
import { Ring } from './logs/ring.ts'

export const records = counter(
  'app_log_records_total',
  'Log records received, by service and severity. The four severity numbers of a level are counted together.',
  ['service', 'severity'],
)
export const held = gauge('pillion_logs_held_records', 'Log records kept in memory.')
export const heldBytes = gauge('pillion_logs_held_bytes', 'Bytes of the log records kept in memory; at most logs.keep.')
export const evicted = counter(
  'pillion_logs_evicted_total',
  'Log records that were removed from memory for newer ones, or were too large to keep. Evicted plus held is the number received.',
)

export const options = section('OTLP logs of the application.', {
  enabled: flag('Accept OTLP logs; if false, senders are told that their log records are dropped.', { default: true }),
  keep: bytes('Memory for the newest log records; with 0B they are only counted.', {
    default: '1MiB',
    min: '0B',
    max: '1GiB',
  }),
  stdout: choice(
    'Standard output of the application, with pillion run. inherit: it is ours. file: it is a file, which is read into log records and copied to ours; the application never waits for a reader.',
    ['inherit', 'file'],
    { default: 'inherit' },
  ),
  stderr: choice('The same for its standard error.', ['inherit', 'file'], { default: 'inherit' }),
  capture_dir: text('The folder for these files. Without it, that for temporary files.'),
  capture_limit: bytes(
    'The most bytes that such a file has on the disk. Bytes that were read are freed; those not read in time are dropped, and counted.',
    { default: '64MiB', min: '1MiB' },
  ),
  limit: integer(
    'The largest number of pairs of service and severity. Records of additional pairs are counted in one series with metric_overflow="true".',
    { default: 500, min: 1, max: 100_000 },
  ),
})

export type LogsOptions = Values<typeof options>

export interface LogsRunning extends Running, RequestConsumer {}

export const logs = {
  name: 'logs',
  about: 'Counts the application’s OTLP logs and keeps the newest.',
  families: [records, held, heldBytes, evicted],
  options,
  start(options: LogsOptions, { clock, metrics, memory }: Pick<Host, 'clock' | 'metrics' | 'memory'>): LogsRunning {
    const table = metrics.table('app_log_records', records.labels, options.limit)
    const column = new CounterColumn(table, records)
    metrics.add(column)
    const ring = options.keep > 0 ? new Ring(options.keep) : undefined
    const kept = memory.allot('logs')
    const intake = new LogIntake(table, column, ring)
    const readings = {
      held: metrics.reading(held),
      heldBytes: metrics.reading(heldBytes),
      evicted: metrics.reading(evicted),
    }
    const consumer: RequestConsumer = {
      name: 'logs',
      reasons: [],
      take(request) {
        intake.take(request)
        return undefined
      },
    }
    return {
      ...consumer,
      consumes: { logs: [consumer] },
      async facts() {
        const sets = (await metrics.samples(series)).filter(({ labels }) => labels['family'] === 'app_log_records')
        return [
          ...(await metrics.samples(held)).map(({ value }) => ({ name: 'records kept', value })),
          ...sets.map(({ value }) => ({ name: 'label sets', value })),
        ]
      },
      routes: [logsRoute(ring), lokiRoute(ring, () => clock.now())],
      recall: recall => ({ logs: ring ? remembered(ring, recall) : [] }),
      collect() {
        readings.held.set({}, ring?.records)
        readings.heldBytes.set({}, ring?.bytes)
        kept.add((ring?.bytes ?? 0) - kept.used)
        readings.evicted.set({}, ring?.evicted)
      },
      async [Symbol.asyncDispose]() {},
    }
  },
} satisfies Part<LogsOptions>
