// The routes below /api/traces, for the page (docs/api.md). Errors are plain text.
//
//   /api/traces?q=…            the newest traces that a query finds
//   /api/traces/ID             one as columns
//   /api/traces/ID/otlp        the same as OTLP/JSON
//   /api/traces/ID/find?text=  the spans that have a text
//   /api/traces/ID/SPAN        one span as OTLP/JSON

import type { Kept } from '../../../store/kept.ts'
import type { RouteRequest } from '../../../telemetry/route.ts'
import { BadQuery } from '../../../traceql/reading.ts'
import type { Outcome } from '../api/answer.ts'
import type { Asked } from '../api/asked.ts'
import { shown } from '../api/params.ts'
import { list } from './list.ts'

export const PREFIX = '/api/traces'
const LONGEST_TEXT = 1000

/** The kind of query that a path is, for the counter; undefined if it is none. */
export function kindOf(path: string): 'trace' | 'search' | undefined {
  if (path === PREFIX) return 'search'
  return /^\/api\/traces\/[^/]+(?:\/[^/]+)?$/.test(path) ? 'trace' : undefined
}

/** Answers a path that has a kind. `absent` says in a sentence how far back memory goes. */
export async function answerPage(
  { path }: RouteRequest,
  asked: Asked,
  signal: AbortSignal,
  kept: Kept | undefined,
  absent: (id: string) => string,
): Promise<Outcome> {
  if (path === PREFIX) return await list(asked, kept)
  const [id = '', part = ''] = path.slice(PREFIX.length + 1).split('/')
  return await one(id.toLowerCase(), part.toLowerCase(), asked, signal, kept, absent)
}

async function one(
  id: string,
  part: string,
  { params, answer, pace }: Asked,
  signal: AbortSignal,
  kept: Kept | undefined,
  absent: (id: string) => string,
): Promise<Outcome> {
  if (!/^[0-9a-f]{1,32}$/.test(id))
    throw new BadQuery(`${shown(id)} is no trace id: it must be 1 to 32 hexadecimal digits`)
  const bytes = Buffer.from(id.padStart(32, '0'), 'hex')
  if (!kept) return answer.text(404, 'this sidecar keeps no traces (traces.keep is 0B)')
  const trace = kept.trace()
  if (!kept.store?.holds(bytes, 0)) return answer.text(404, absent(id))
  kept.store.open(bytes)
  if (part === '') {
    const { columns, written } = await import('./columns.ts')
    const found = await columns(trace, bytes, pace)
    return found ? answer.json(await written(found)) : answer.text(404, absent(id))
  }
  const { details, find, otlp } = await import('./spans.ts')
  if ((await trace.loadInTurns(bytes, 0, pace)) === 0) return answer.text(404, absent(id))
  if (part === 'otlp') {
    const pieces = await otlp(trace, pace)
    const length = pieces.reduce((sum, each) => sum + each.length, 0)
    const write = answer.pieces('application/json', length, signal)
    for (const piece of pieces) await write(piece)
    return answer.end(signal)
  }
  if (part === 'find') {
    const text = params.text('text')
    if (text === undefined || text.length > LONGEST_TEXT)
      throw new BadQuery(`text must be 1 to ${LONGEST_TEXT} characters`)
    return answer.json(JSON.stringify({ spans: await find(trace, text, pace) }))
  }
  if (!/^[0-9a-f]{1,16}$/.test(part))
    throw new BadQuery(`${shown(part)} is no span id: it must be 1 to 16 hexadecimal digits`)
  const found = details(trace, part.padStart(16, '0'))
  return found === undefined ? answer.text(404, `trace ${id} has no span ${part} in memory`) : answer.json(found)
}
