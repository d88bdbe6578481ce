// A started part of logs, and the records that tests give it.

import { type LogsOptions, type LogsRunning, logs } from '../../processors/logs.ts'
import { decoder } from '../otlp/protobufjs.ts'
import { attributes, type Message } from '../points/otlp.ts'
import { FakeClock, world } from '../world.ts'

const Request = decoder('logs')

/** Nothing is captured, as by default. */
export const INHERITED = {
  stdout: 'inherit',
  stderr: 'inherit',
  capture_dir: undefined,
  capture_limit: 1 << 26,
} as const

export const NOW = 1_764_331_200

export interface Logs {
  readonly running: LogsRunning
  /** Gives a record of the service: `seconds` is added to NOW. */
  log(
    service: string,
    body: string,
    more?: { seconds?: number; severity?: number; trace?: string; span?: string },
  ): void
}

export function startLogs(options: Partial<LogsOptions> = {}): Logs {
  const host = { ...world('/proc'), clock: new FakeClock((NOW + 60) * 1000) }
  const running = logs.start({ enabled: true, keep: 1 << 20, limit: 500, ...INHERITED, ...options }, host)
  return {
    running,
    log(service, body, { seconds = 0, severity = 9, trace, span } = {}) {
      const record: Message = {
        severityNumber: severity,
        timeUnixNano: `${NOW + seconds}000000001`,
        body: { stringValue: body },
        ...(trace && { traceId: Buffer.from(trace, 'hex') }),
        ...(span && { spanId: Buffer.from(span, 'hex') }),
      }
      const resource = { attributes: attributes({ 'service.name': service }) }
      const request = { resourceLogs: [{ resource, scopeLogs: [{ logRecords: [record] }] }] }
      const bytes = Buffer.from(Request.encode(Request.fromObject(request)).finish())
      running.take({ signal: 'logs', received: 0, bytes, items: 1 })
    },
  }
}
