// POST /-/flight writes a record now. GET /api/flight lists the records, GET /api/flight/NAME is one (docs/api.md).

import type { ServerResponse } from 'node:http'
import type { Route } from '../../telemetry/route.ts'
import type { Recorder } from './recorder.ts'

const ONE = '/api/flight/'
const OFF = 'no flight records are written; set flight.dir to a folder for them'
/** Between two records that are asked for. */
const EVERY_MS = 1000

/** `recorder` is undefined while flight.dir is not set. */
export function routes(recorder: Recorder | undefined, monotonic: () => number): readonly Route[] {
  let asked = Number.NEGATIVE_INFINITY
  return [
    {
      path: '/-/flight',
      methods: ['POST'],
      access: 'operator',
      async handle(_, response) {
        if (!recorder) return answer(response, 409, { error: OFF })
        const now = monotonic()
        if (now - asked < EVERY_MS) return answer(response, 429, { error: 'a record has just been asked for' })
        asked = now
        try {
          answer(response, 201, { name: await recorder.ask() })
        } catch (error) {
          answer(response, 503, {
            error: `cannot write a flight record: ${error instanceof Error ? error.message : error}`,
          })
        }
      },
    },
    {
      path: '/api/flight',
      methods: ['GET'],
      access: 'operator',
      async handle(_, response) {
        const kept = recorder ? await recorder.kept().catch(() => []) : []
        answer(response, 200, {
          on: recorder !== undefined,
          records: kept.map(({ name, trigger, bytes, at }) => ({ name, trigger, bytes, at })),
        })
      },
    },
    {
      path: ONE,
      methods: ['GET'],
      access: 'operator',
      async handle({ path }, response) {
        const name = path.slice(ONE.length)
        const bytes = await recorder?.files.read(name)
        if (!bytes) return answer(response, 404, { error: 'there is no such flight record; /api/flight lists them' })
        response
          .writeHead(200, {
            'Content-Type': 'text/html; charset=utf-8',
            'Content-Length': bytes.length,
            // Saved and not shown: what it holds comes from outside, and this origin may do more than a file.
            'Content-Disposition': `attachment; filename="${name}"`,
          })
          .end(bytes)
      },
    },
  ]
}

function answer(response: ServerResponse, status: number, value: object): void {
  const text = JSON.stringify(value)
  response
    .writeHead(status, { 'Content-Type': 'application/json; charset=utf-8', 'Content-Length': Buffer.byteLength(text) })
    .end(text)
}
