// A failure as lines of the table, and the table as a document: the alerts with their times, which of them are sent, and the
// panels.

import type { Outcome } from './run.ts'

/** 95 → "1m35s" */
function time(seconds: number): string {
  return seconds < 60 ? `${seconds}s` : `${Math.floor(seconds / 60)}m${String(seconds % 60).padStart(2, '0')}s`
}

/** Values in a summary change while it fires. */
function some(summaries: ReadonlySet<string>): string[] {
  const few = [...summaries].slice(0, 3)
  return summaries.size > few.length ? [...few, `and ${summaries.size - few.length} more`] : few
}

/**
 * The table as docs/provoked.md: the rows of `outcomes`, and for other failures, by their names, those that `before` had, which
 * is the document as it was.
 */
export function written(names: readonly string[], outcomes: readonly Outcome[], before: string): string {
  const known = new Map([...before.matchAll(/^\| \*\*(.+?)\*\*: .*$/gm)].map(([row, name]) => [name!, row]))
  for (const outcome of outcomes) known.set(outcome.failure.name, line(outcome))
  const rows = names.flatMap(name => known.get(name) ?? `| **${name}** | not provoked yet | – |`)
  return `${[...HEAD, ...rows].join('\n')}\n`
}

function line({ failure, fired, sent, panels }: Outcome): string {
  const alerts = [...fired]
    .filter(([name]) => name in failure.fires || sent.includes(name))
    .map(([name, { after }]) => `${name} after ${time(after)}, ${sent.includes(name) ? '**sent**' : 'not sent'}`)
  const shown = [...panels].map(([place, value]) => `${place} ${rounded(value)}`)
  const cell = (parts: readonly string[], none: string) => (parts.length > 0 ? parts.join('<br>') : none)
  return `| **${failure.name}**: ${failure.about} | ${cell(alerts, 'none')} | ${cell(shown, '–')} |`
}

const HEAD = [
  '# Provoked failures',
  '',
  'What alerts and panels said when things went wrong for real, written by `npm run provoke -- --document docs/provoked.md`',
  '([how it is done](dashboards.md#provoked-failures)). Times are those of life, from the moment of the failure; a panel is',
  'that of all instances (Overview) or of the shop. An alert that is *not sent* is silenced by one that says why. Each row is',
  'of the last run in which all of it was told right.',
  '',
  '| Failure | Alerts | Panels |',
  '|---|---|---|',
]

/** 0.2112676 → 0.21; what is no number stays. */
function rounded(value: string): string {
  return Number.isNaN(Number(value)) ? value : String(Number(Number(value).toPrecision(2)))
}

export function row({ failure, fired, sent, panels, wrong }: Outcome): string {
  const alerts = [...fired].map(
    ([name, { after, summaries }]) =>
      `    ${name.padEnd(24)} after ${time(after).padEnd(7)} ${sent.includes(name) ? 'sent     ' : 'inhibited'}  ${some(summaries).join('; ')}`,
  )
  const shown = [...panels].map(([place, value]) => `    ${place.padEnd(28)} ${value}`)
  return [
    `${wrong.length === 0 ? 'ok  ' : 'BAD '}${failure.name}: ${failure.about}`,
    ...(alerts.length > 0 ? alerts : ['    no alert']),
    ...shown,
    ...wrong.map(each => `    wrong: ${each}`),
    '',
  ].join('\n')
}
