// The time for which the largest allowed requests block the event loop of a sidecar that does nothing else.

import { once } from 'node:events'
import { gzipSync } from 'node:zlib'
import { LARGE } from '../../collectors/otlp/intake.ts'
import { type Row as Line, median, table } from '../figures.ts'
import { INPUTS, type Input, JSON_BYTES, PROTOBUF } from '../largest.ts'
import type { Row } from '../run.ts'
import { pillion, type Server } from '../server.ts'

const BUDGET_MS = 50
const TURNS = 3

export const longest: Row = {
  name: 'longest',
  title: 'The longest that one request holds the event loop',
  async measure(run) {
    const ordinary = await run.sdkBodies(512)
    const lines: Line[] = []
    let most = 0
    for (const input of INPUTS) {
      const whole = await measured(input, input.encoding === 'json' ? JSON_BYTES : PROTOBUF, ordinary)
      const { first, rest, gzip } = whole
      // A malformed or refused request of this size costs less than a good one.
      const direct =
        input.code === 200 ? await measured(input, LARGE[input.encoding][input.signal], ordinary) : undefined
      most = Math.max(most, first, rest, gzip, direct?.first ?? 0, direct?.rest ?? 0)
      const ms = (value: number | undefined) => value?.toFixed(0) ?? ''
      const both = [ms(direct?.first), ms(direct?.rest)]
      lines.push([`${input.signal}: ${input.name}`, ms(first), ms(rest), ms(gzip), ms(whole.answered), ...both])
    }
    const held = `${most.toFixed(0)} ms`
    run.budget('the longest that one request holds the event loop', `≤ ${BUDGET_MS} ms`, held, most <= BUDGET_MS)
    const head = ['', 'the first', 'later ones', 'gzip', 'answered after', 'in one piece: the first', 'later ones']
    return `${ABOUT}\n\n${table(head, lines)}`
  },
}

const ABOUT = `The largest requests that are allowed by default, and the largest that are taken in one piece, each over OTLP/HTTP to a sidecar of its own that has taken 200 ordinary requests before. Milliseconds of the main thread's CPU, garbage collection included, between two turns of a timer of 1 ms: for the first such request, and the median of ${TURNS - 1} more; and milliseconds on the wall until the answer.`

async function measured(
  input: Input,
  size: number,
  ordinary: readonly Buffer[],
): Promise<{ first: number; rest: number; gzip: number; answered: number }> {
  await using server = await pillion([], { preload: new URL('../held.ts', import.meta.url).href })
  // Code that runs for the first time is slow, and no first request is this large.
  for (let i = 0; i < 200; i++) await post(server, 'traces', 'protobuf', ordinary[i % ordinary.length]!, 200)
  const plain: Held[] = []
  for (let turn = 0; turn < TURNS; turn++) plain.push(await held(server, input, input.make(turn, size)))
  const gzip = await held(server, input, gzipSync(input.make(TURNS, size), { level: 1 }), 'gzip')
  const [first, ...rest] = plain.map(each => each.cpu)
  const answered = median(plain.map(each => each.answered))
  return { first: first!, rest: median(rest), gzip: gzip.cpu, answered }
}

interface Held {
  readonly cpu: number
  readonly answered: number
}

async function held(server: Server, input: Input, body: Buffer, compression?: 'gzip'): Promise<Held> {
  await since(server)
  const begin = performance.now()
  await post(server, input.signal, input.encoding, body, input.code, compression)
  const answered = performance.now() - begin
  return { cpu: (await since(server)).cpu, answered }
}

async function since(server: Server): Promise<{ cpu: number }> {
  const answer = once(server.process, 'message')
  server.process.send({})
  return (await answer)[0]
}

async function post(
  server: Server,
  signal: Input['signal'],
  encoding: Input['encoding'],
  body: Buffer,
  code: number,
  compression?: 'gzip',
): Promise<void> {
  const response = await fetch(`http://127.0.0.1:${server.http}/v1/${signal}`, {
    method: 'POST',
    headers: {
      'content-type': encoding === 'json' ? 'application/json' : 'application/x-protobuf',
      ...(compression ? { 'content-encoding': compression } : {}),
    },
    body: new Uint8Array(body),
  })
  const text = await response.text()
  if (response.status !== code)
    throw new Error(`cannot measure ${signal}: ${response.status} instead of ${code}: ${text}`)
}
