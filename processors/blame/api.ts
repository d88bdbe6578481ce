// GET /api/insight: episodes of slow requests. GET /api/insight/trace/ID: what is known about the spans of one (docs/api.md).

import type { ServerResponse } from 'node:http'
import type { Finding } from '../../telemetry/part.ts'
import type { Route } from '../../telemetry/route.ts'
import type { Bands } from './bands.ts'
import type { Episodes } from './episodes.ts'

const TRACE = '/api/insight/trace/'

export function routes(
  episodes: Episodes,
  bands: Bands,
  findings: () => readonly Finding[],
  now: () => number,
): readonly Route[] {
  return [
    {
      path: '/api/insight',
      methods: ['GET'],
      access: 'operator',
      handle(_, response) {
        episodes.pass(now())
        answer(response, 200, { episodes: episodes.all.toReversed(), findings: findings() })
      },
    },
    {
      path: TRACE,
      methods: ['GET'],
      access: 'operator',
      handle({ path }, response) {
        const id = path.slice(TRACE.length).toLowerCase()
        if (!/^[0-9a-f]{1,32}$/.test(id))
          answer(response, 400, {
            error: `cannot find a trace by ${JSON.stringify(id.slice(0, 64))}; give its id in hex`,
          })
        else answer(response, 200, { spans: bands.of(id.padStart(32, '0')) })
      },
    },
  ]
}

function answer(response: ServerResponse, status: number, value: unknown): void {
  response.statusCode = status
  response.setHeader('Content-Type', 'application/json; charset=utf-8')
  response.end(JSON.stringify(value))
}
