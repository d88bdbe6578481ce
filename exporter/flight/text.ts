// A record as text for a terminal.

import type { FlightRecord } from './record.ts'
import { instant, lastMinute, oddities, summary, title } from './words.ts'

export function asText(record: FlightRecord): string {
  const { application, cause, episodes, traces, logs, parts, missing, sidecar, back, samples } = record
  const blocks: (readonly string[])[] = [
    [title(record), '', summary(record)],
    back ? [`Back at ${instant(back.at)} as process ${back.pid}.`] : [],
    list('The last minute', lastMinute(record)),
    list('What was noted last', oddities(record, 20)),
    list(
      'Episodes of slow requests',
      episodes.map(({ from, sentence }) => `${instant(from)} ${sentence}`),
    ),
    list(
      'Traces that failed or were slow',
      traces.map(
        ({ at, ms, service, name, errors, traceId }) =>
          `${instant(at)} ${ms.toFixed(1)} ms ${service} ${name}${errors > 0 ? `, ${errors} errors` : ''} ${traceId}`,
      ),
    ),
    list(
      'Log records, the newest first',
      logs.map(
        ({ at, severity, service, body }) => `${at === undefined ? '' : instant(at)} ${severity} ${service} ${body}`,
      ),
    ),
    list(
      'Findings of the sidecar',
      parts.flatMap(({ name, findings }) => findings.map(({ level, text }) => `${name}: ${level}: ${text}`)),
    ),
    list('Not in this record', missing),
    [
      `reason ${cause.reason}, evidence ${cause.evidence}, ${samples.times.length} samples, pillion ${sidecar.version}${
        application.port === undefined ? '' : `, port ${application.port}`
      }`,
    ],
  ]
  return `${blocks
    .filter(block => block.length > 0)
    .map(block => block.map(printable).join('\n'))
    .join('\n\n')}\n`
}

function list(heading: string, items: readonly string[]): readonly string[] {
  return items.length === 0 ? [] : [`${heading}:`, ...items.map(each => `  ${each}`)]
}

/** Texts come from outside, and must not speak to the terminal or look like more lines than one. */
function printable(line: string): string {
  return line
    .toWellFormed()
    .replace(/\s*[\r\n]+\s*/g, ' ⏎ ')
    .replace(/[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g, '\ufffd')
}
