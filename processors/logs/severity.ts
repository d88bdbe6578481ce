// The levels of OTLP's severity numbers (opentelemetry/proto/logs/v1/logs.proto): four numbers for each.

/** By level: 0, then four severity numbers for each. */
export const SEVERITIES = ['UNSPECIFIED', 'TRACE', 'DEBUG', 'INFO', 'WARN', 'ERROR', 'FATAL'] as const

export type Severity = (typeof SEVERITIES)[number]

/** The level of a severity number, as a position in SEVERITIES. A number outside 1 to 24 has no meaning: 0. */
export function levelOf(number: number): number {
  return number >= 1 && number <= 24 ? Math.floor((number - 1) / 4) + 1 : 0
}

export function severityOf(number: number): Severity {
  return SEVERITIES[levelOf(number)] ?? 'UNSPECIFIED'
}
