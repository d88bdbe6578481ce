// Two accounts of the same spans: the answers that the senders got, and the ledger in the sidecar's metrics.

import type { Spans } from './ridden.ts'
import type { Account } from './sender.ts'

/** The senders' account: spans offered, acknowledged, rejected, and requests by answer. */
export interface Sent {
  readonly offered: number
  readonly underWay: number
  readonly taken: number
  readonly rejected: number
  readonly refused: number
  readonly unanswered: number
  readonly answers: Readonly<Record<string, number>>
}

/** The ledger on a page of metrics. */
export interface Ledger {
  readonly received: number
  readonly accepted: number
  readonly refused: number
  readonly calls: number
  readonly answers: Readonly<Record<string, number>>
}

/** Differences that a sidecar shows at a quiet moment, and should not. */
export function differences(sent: Sent, ledger: Ledger): string[] {
  const faults: string[] = []
  const f = (what: string, found: number, expected: number) => {
    if (found !== expected) faults.push(`${what} is ${found} instead of ${expected}`)
  }
  f('received', ledger.received, sent.taken)
  f('refused', ledger.refused, sent.rejected)
  f('accepted', ledger.accepted, sent.taken - sent.rejected)
  f('calls', ledger.calls, ledger.accepted)
  // The requests of the application's SDK go over HTTP too, and only their spans are counted.
  for (const [name, count] of Object.entries(sent.answers))
    if (name !== 'http 200') f(`requests answered with ${name}`, ledger.answers[name] ?? 0, count)
  f('refused requests, in spans', sent.refused, 0)
  f('spans in requests that were never answered', sent.unanswered, 0)
  return faults
}

export function together(sender: Account, application: Spans): Sent {
  const { answers, rejected, refused } = sender
  const ended = application.taken + application.failed
  return {
    offered: sender.offered - sender.unsent + ended,
    underWay: sender.underWay + application.sent - ended,
    taken: sender.taken + application.taken,
    unanswered: sender.unanswered + application.failed,
    ...{ answers, rejected, refused },
  }
}

export function show({ received, accepted, refused }: Ledger): string {
  return `${received} = ${accepted} accepted + ${refused} refused`
}

/** The spans sent from `before` until `now`, including those that were in flight before. */
export function difference(now: Sent, before: Sent): Sent {
  const answers = Object.fromEntries(
    Object.entries(now.answers).map(([name, count]) => [name, count - (before.answers[name] ?? 0)]),
  )
  return {
    offered: now.offered - before.offered,
    underWay: now.underWay,
    taken: now.taken - before.taken,
    rejected: now.rejected - before.rejected,
    refused: now.refused - before.refused,
    unanswered: now.unanswered - before.unanswered,
    answers,
  }
}

/** Reads the ledger from a page, in the text format or OpenMetrics. */
export function ledgerOf(page: string): Ledger {
  const answers: Record<string, number> = {}
  const all = { received: 0, accepted: 0, refused: 0, calls: 0 }
  for (const [, name, labels = '', value] of page.matchAll(
    /^(pillion_otlp_\w+_total|traces_spanmetrics_calls_total)\{([^}]*)\} (\S+)/gm,
  )) {
    const label = (key: string) => new RegExp(`(?:^|,)${key}="([^"]*)"`).exec(labels)?.[1]
    const count = Number(value)
    if (name === 'traces_spanmetrics_calls_total') all.calls += count
    if (label('signal') !== 'traces') continue
    if (name === 'pillion_otlp_received_items_total') all.received += count
    if (name === 'pillion_otlp_accepted_items_total') all.accepted += count
    if (name === 'pillion_otlp_refused_items_total') all.refused += count
    if (name === 'pillion_otlp_requests_total' && count > 0) answers[`${label('transport')} ${label('code')}`] = count
  }
  return { ...all, answers }
}

/** Sum of a family's samples. */
export function total(page: string, name: string): number {
  let sum = 0
  for (const [, value] of page.matchAll(new RegExp(`^${name}(?:\\{[^}]*\\})? (\\S+)`, 'gm'))) sum += Number(value)
  return sum
}
