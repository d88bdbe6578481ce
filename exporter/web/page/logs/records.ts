// Log records in the browser: in which order, how many, and how loud.

export interface LogRecord {
  /** One more than the record that came in before it. */
  readonly number: number
  readonly time?: string
  readonly timeUnixNano?: string
  readonly severity: string
  readonly service: string
  readonly traceId?: string
  readonly spanId?: string
  readonly body: string
}

/** The levels to filter by. */
export const SEVERITIES = ['DEBUG', 'INFO', 'WARN', 'ERROR', 'FATAL'] as const

/** More are not kept on the page: it would grow for as long as it is open. */
export const MOST = 2000

/** Newer records in front of those that are shown, each once. */
export function joined(newer: readonly LogRecord[], shown: readonly LogRecord[]): readonly LogRecord[] {
  const [first] = shown
  const added = first ? newer.filter(({ number }) => number > first.number) : newer
  return added.length === 0 ? shown : [...added, ...shown].slice(0, MOST)
}

/**
 * The newest first by their own times: batches of several services come in one after the other. A record without a time stays
 * behind the one that came in after it.
 */
export function ordered(records: readonly LogRecord[]): readonly LogRecord[] {
  let last = Number.POSITIVE_INFINITY
  const at = records.map(({ timeUnixNano }) => {
    last = timeUnixNano === undefined ? last : Number(timeUnixNano)
    return last
  })
  const places = records.map((_, i) => i).sort((a, b) => at[b]! - at[a]! || a - b)
  return places.map(i => records[i]!)
}

export function stateOf(severity: string): 'failed' | 'warning' | 'unknown' | 'info' {
  switch (severity) {
    case 'ERROR':
    case 'FATAL':
      return 'failed'
    case 'WARN':
      return 'warning'
    case 'INFO':
      return 'info'
    default:
      return 'unknown'
  }
}
