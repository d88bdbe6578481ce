// The newest traces that failed, and the slowest of the others, for a flight record.

import type { Kept } from '../../store/kept.ts'
import type { Recall, RememberedTrace } from '../../telemetry/flight.ts'
import type { Clock } from '../../telemetry/host.ts'
import { prepare } from '../../traceql/prepare.ts'
import type { FoundTrace } from '../../traceql/results.ts'
import { search } from '../../traceql/search.ts'
import { QueryPace } from './api/pace.ts'

/** For both questions together. */
const MOST_MS = 2000
/** The slowest are chosen from so many of the newest. */
const SLOW_OF = 300

export async function remembered(
  kept: Kept,
  clock: Clock,
  { since, most }: Recall,
  signal: AbortSignal,
): Promise<readonly RememberedTrace[]> {
  const pace = new QueryPace(clock, MOST_MS, signal)
  const found = new Map<string, RememberedTrace>()
  const limits = { from: undefined, to: undefined, spss: 1 }
  for (const [query, limit] of [['{ status = error }', most] as const, ['{ nestedSetParent < 0 }', SLOW_OF] as const]) {
    const { traces } = await search(await prepare(query), kept, pace, { ...limits, limit })
    for (const each of traces) found.set(each.id, shown(each))
  }
  const all = [...found.values()].filter(({ at, ms }) => at + ms >= since)
  const failed = all.filter(({ errors }) => errors > 0).sort((a, b) => b.at - a.at)
  const slow = all.filter(({ errors }) => errors === 0).sort((a, b) => b.ms - a.ms)
  const half = Math.ceil(most / 2)
  return [...failed.slice(0, Math.max(half, most - slow.length)), ...slow].slice(0, most)
}

function shown({ id, rootService, rootName, startNanos, durationNanos, services }: FoundTrace): RememberedTrace {
  let [spans, errors] = [0, 0]
  for (const each of services.values()) {
    spans += each.spans
    errors += each.errors
  }
  return {
    traceId: id,
    at: Number(startNanos / 1000n) / 1000,
    ms: durationNanos / 1e6,
    service: rootService ?? '',
    name: rootName ?? '',
    spans,
    errors,
  }
}
