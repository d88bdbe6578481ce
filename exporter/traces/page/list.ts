// GET /api/traces: the newest traces that a query of TraceQL finds, with what a list shows of each.

import { ends, isOwn, ofProbe } from '../../../otlp/trace-state.ts'
import type { Kept } from '../../../store/kept.ts'
import { STRING } from '../../../telemetry/attribute.ts'
import { PROBE_AGENT_END } from '../../../telemetry/probe.ts'
import { prepare } from '../../../traceql/prepare.ts'
import { BadQuery, type Trace } from '../../../traceql/reading.ts'
import type { FoundTrace } from '../../../traceql/results.ts'
import { search } from '../../../traceql/search.ts'
import { AttributeValue, Key } from '../../../traceql/value.ts'
import type { Outcome } from '../api/answer.ts'
import type { Asked } from '../api/asked.ts'

const LIMIT = 100
const MOST = 1000

export async function list({ params, source, pace, answer }: Asked, kept: Kept | undefined): Promise<Outcome> {
  const probes = params.text('probes') ?? 'exclude'
  if (probes !== 'exclude' && probes !== 'include') throw new BadQuery('probes must be exclude or include')
  const limit = params.integer('limit', LIMIT, 1, MOST)
  const prepared = await prepare(params.text('q') ?? '{ }')
  if (prepared.query.metrics)
    throw new BadQuery('this is a query of metrics; leave out what follows the last pipe to see traces')
  let probed = 0
  const accept = (trace: Trace): boolean => {
    if (!ofOurs(trace)) return true
    probed++
    return false
  }
  const limits = { ...params.range(), limit, spss: 1, ...(probes === 'exclude' && { accept }) }
  const { traces, partial } = await search(prepared, source, pace, limits)
  const store = kept?.store
  return answer.json(
    JSON.stringify({
      traces: traces.map(shown),
      /** More may be there: ask again with `end` before the last start. */
      full: traces.length === limit,
      probes: probed,
      ...(partial !== undefined && { partial }),
      kept: { spans: store?.spans ?? 0, since: store?.newest.oldestReceived ?? null },
    }),
  )
}

function shown({ id, rootService, rootName, startNanos, durationNanos, spansets, services }: FoundTrace): object {
  let [spans, errors] = [0, 0]
  for (const each of services.values()) {
    spans += each.spans
    errors += each.errors
  }
  const first = spansets[0]?.spans[0]
  return {
    traceId: id,
    service: rootService ?? null,
    name: rootName ?? null,
    /** Milliseconds since the epoch, and how many. */
    start: Number(startNanos / 1000n) / 1000,
    duration: durationNanos / 1e6,
    spans,
    errors,
    services: [...services].map(([name, each]) => ({ name, ...each })),
    matched: spansets.reduce((sum, { matched }) => sum + matched, 0),
    ...(first && { span: first.id }),
  }
}

const AGENT_END = Buffer.from(PROBE_AGENT_END)
const AGENTS = ['user_agent.original', 'http.user_agent'].map(key => new Key(key))
const VALUE = new AttributeValue()

/** Whether the trace was made by a health probe of ours, or for work of the sidecar itself. */
function ofOurs(trace: Trace): boolean {
  for (let i = 0; i < Math.min(trace.size, 3); i++) {
    const span = trace.span(i)
    if (span.traceState(VALUE)) {
      const { bytes, start, end } = VALUE
      if (ofProbe(bytes, start, end) || isOwn(bytes, start, end)) return true
    }
    for (const key of AGENTS)
      if (
        span.attribute('span', key, VALUE) &&
        VALUE.type === STRING &&
        ends(VALUE.bytes, VALUE.start, VALUE.end, AGENT_END)
      )
        return true
  }
  return false
}
