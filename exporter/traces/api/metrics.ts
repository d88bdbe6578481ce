// Metrics of spans: from the parameters of a request to the engine of TraceQL, and from its series to the answer.

import type { Clock } from '../../../telemetry/host.ts'
import { defaultStep } from '../../../traceql/intervals.ts'
import { metrics } from '../../../traceql/metrics.ts'
import { prepare } from '../../../traceql/prepare.ts'
import { BadQuery } from '../../../traceql/reading.ts'
import type { Outcome } from './answer.ts'
import type { Asked } from './asked.ts'
import { instantJson, seriesJson } from './json.ts'
import { durationNanos, type Params, shown } from './params.ts'

const EXEMPLARS = 100
const MOST_EXEMPLARS = 1000
/** As Tempo has them: the longest range of a metrics query, and its range where none is asked. */
const LONGEST_SECONDS = 86_400
const USUAL_SECONDS = 3600

export async function metricsAnswer(
  { params, source, pace, answer }: Asked,
  instant: boolean,
  clock: Clock,
): Promise<Outcome> {
  const q = params.text('q') ?? params.text('query')
  if (q === undefined) throw new BadQuery('invalid q: a query of metrics is needed, such as { } | rate()')
  const prepared = await prepare(q)
  if (!prepared.query.metrics)
    throw new BadQuery(`not a metrics query: ${shown(q)} is a search; add a function, such as | rate()`)
  const [from, to] = rangeOf(params, clock).map(nanos) as [bigint, bigint]
  const asked = params.duration('step')
  const step = instant ? to - from : asked === undefined ? defaultStep(from, to) : BigInt(asked)
  const exemplars = Math.min(MOST_EXEMPLARS, params.integer('exemplars', EXEMPLARS, 0, 1_000_000))
  const limits = { from, to, step, exemplars }
  const found = await metrics(prepared, source, pace, limits)
  return answer.json(instant ? instantJson(found) : await seriesJson(found, pace))
}

/** Start and end in seconds. */
function rangeOf(params: Params, clock: Clock): readonly [number, number] {
  const { from, to = clock.now() / 1000 } = params.range()
  const since = params.text('since')
  const usual = since === undefined ? USUAL_SECONDS : durationNanos(since) / 1e9
  if (Number.isNaN(usual))
    throw new BadQuery(`invalid since: must be a duration such as 15m, not ${shown(since ?? '')}`)
  const start = from ?? to - usual
  if (to - start > LONGEST_SECONDS)
    throw new BadQuery(`invalid range: ${Math.ceil(to - start)} s, and ${LONGEST_SECONDS} s are the longest`)
  return [start, to]
}

function nanos(seconds: number): bigint {
  // To the microsecond: a double of this size has no more.
  return BigInt(Math.round(seconds * 1e6)) * 1000n
}
