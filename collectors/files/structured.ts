// The record in a structured line (JSON or logfmt): which keys are its time, severity, message and trace, by the habits
// of pino, bunyan, logback's encoders, zap, structlog, serilog, Google's and Elastic's schemas. All other keys
// are attributes.

import { severityOf } from './severity.ts'
import { readTime, Time } from './time.ts'
import { isSpanId, isTraceId, readTraceparent, SPAN_KEYS, TRACE_KEYS } from './trace.ts'

const TIME = 1
const LEVEL = 2
const BODY = 3
const TRACE = 4
const SPAN = 5
const PARENT = 6

const ROLES: ReadonlyMap<string, number> = new Map([
  ...as(TIME, 'time', 'ts', 'timestamp', '@timestamp', 't', '@t', 'eventTime', 'datetime'),
  ...as(LEVEL, 'level', 'severity', 'lvl', 'log.level', 'levelname', 'loglevel', '@l'),
  // A message, and in serilog's compact form its template if it was not rendered; structlog calls it the event.
  ...as(BODY, 'msg', 'message', 'body', '@m', 'event', '@mt', 'short_message'),
  ...as(TRACE, ...TRACE_KEYS),
  ...as(SPAN, ...SPAN_KEYS),
  ...as(PARENT, 'traceparent'),
])

function as(role: number, ...keys: readonly string[]): [string, number][] {
  return keys.map(key => [key, role])
}

/** The record of a line; one object is used again for each. */
export class Structured {
  readonly time = new Time()
  severity = 0
  severityText = ''
  body: string | undefined
  traceId: string | undefined
  spanId: string | undefined
  /** The keys that have no other place. */
  readonly keys: string[] = []
  values: Readonly<Record<string, unknown>> = {}

  read(values: Readonly<Record<string, unknown>>, now: number): void {
    this.values = values
    this.time.clear()
    this.severity = 0
    this.severityText = ''
    this.body = undefined
    this.traceId = undefined
    this.spanId = undefined
    this.keys.length = 0
    for (const key in values) {
      const role = ROLES.get(key)
      if (role === undefined || !this.#take(role, values[key], now)) this.keys.push(key)
    }
    // Serilog leaves out the level that is the usual one.
    if (this.severity === 0 && '@t' in values && !('@l' in values)) this.severity = 9
  }

  /** False if the value is not one of its role, or the role has one already; it is an attribute then. */
  #take(role: number, value: unknown, now: number): boolean {
    switch (role) {
      case TIME:
        return !this.time.known && this.#takeTime(value, now)
      case LEVEL: {
        const severity = this.severity === 0 ? severityOf(value) : 0
        if (severity === 0) return false
        this.severity = severity
        this.severityText = String(value)
        return true
      }
      case BODY:
        if (typeof value !== 'string' || this.body !== undefined) return false
        this.body = value
        return true
      case TRACE:
        if (this.traceId !== undefined || !isTraceId(value)) return false
        this.traceId = value
        return true
      case SPAN:
        if (this.spanId !== undefined || !isSpanId(value)) return false
        this.spanId = value
        return true
      default: {
        const context = this.traceId === undefined ? readTraceparent(value) : undefined
        if (!context) return false
        this.traceId = context.traceId
        this.spanId = context.spanId
        return true
      }
    }
  }

  #takeTime(value: unknown, now: number): boolean {
    if (typeof value === 'number') return this.time.setEpoch(value)
    if (typeof value !== 'string') return false
    if (readTime(value, 0, this.time, now) > 0) return true
    this.time.clear()
    return /^\d{9,19}(?:\.\d+)?$/.test(value) && this.time.setEpoch(Number(value))
  }
}
