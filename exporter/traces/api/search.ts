// Searches, and the filters that narrow tags: from the parameters of a request to the engine of TraceQL, and from what it finds
// to the answer.

import { prepare } from '../../../traceql/prepare.ts'
import { BadQuery, type Cursor } from '../../../traceql/reading.ts'
import { search, spanFilter } from '../../../traceql/search.ts'
import type { Outcome } from './answer.ts'
import type { Asked } from './asked.ts'
import { queryOf } from './form.ts'
import { searchJson } from './json.ts'
import type { Params } from './params.ts'

const LIMIT = 20
const MOST_TRACES = 1000
const SPSS = 3
const MOST_SPSS = 100

export async function searchAnswer({ params, source, pace, answer }: Asked): Promise<Outcome> {
  const limits = {
    ...params.range(),
    limit: params.integer('limit', LIMIT, 1, MOST_TRACES),
    spss: params.integer('spss', SPSS, 1, MOST_SPSS),
  }
  const prepared = await prepare(queryOf(params))
  if (prepared.query.metrics)
    throw new BadQuery('this is a query of metrics, and a search was asked; ask /api/metrics/query_range instead')
  const found = await search(prepared, source, pace, limits)
  const text = await searchJson(found, params.text('tags') === undefined, pace)
  // The JSON has no place for the reason.
  return answer.json(text, found.partial === undefined ? {} : { 'Pillion-Partial': found.partial })
}

/**
 * The filter of a query `q` that narrows tags and their values: one `{ … }`. Another query, or one that is wrong, is ignored:
 * Grafana sends what is in the editor, which may be half written.
 */
export async function filterOf(params: Params): Promise<((cursor: Cursor) => boolean) | undefined> {
  const q = params.text('q')
  if (q === undefined) return undefined
  try {
    const prepared = await prepare(q)
    const [first, ...others] = prepared.query.pipeline.stages
    if (prepared.query.metrics || others.length > 0 || first?.kind !== 'filter') return undefined
    return spanFilter(prepared)
  } catch (error) {
    if (error instanceof BadQuery) return undefined
    throw error
  }
}
