// Floods that are made to hurt the store, and what is promised of ordinary traffic, in ratios of CPU within one run.

import t from 'tap'
import { QueryPace } from '../../exporter/traces/api/pace.ts'
import { clock } from '../../host/clock.ts'
import { metrics } from '../../traceql/metrics.ts'
import { prepare } from '../../traceql/prepare.ts'
import { search } from '../../traceql/search.ts'
import { encode, from, Room, type Sent } from './room.ts'
import { serve } from './served.ts'

const MIB = 2 ** 20
const SPANS = 100
const REQUESTS = 1500
/** Requests that are timed together: they replace more than half of the memory. */
const STRETCH = 100
/** The spans of a request arrive so many milliseconds after those of the one before. */
const EVERY_MS = 10

interface Flooded extends Partial<Sent> {
  readonly service?: string
}

function requests(span: (i: number) => Flooded): Buffer[] {
  return Array.from({ length: REQUESTS }, (_, r) => {
    const spans = Array.from({ length: SPANS }, (_, k) => {
      const i = r * SPANS + k + 1
      const digits = i.toString(16)
      return { service: 'shop', trace: digits, span: digits, attributes: { pad: 'x'.repeat(200) }, ...span(i) }
    })
    return spans[0]?.service === spans[1]?.service
      ? encode(from('shop', ...spans))
      : encode(...spans.map(each => from(each.service, each)))
  })
}

/**
 * Nanoseconds for each span: the best of some stretches, which are too short for others to disturb all of them, or the CPU time of
 * this thread for all of them, which some machines count in steps of 4 ms, whichever is less. Every body is sent once.
 */
function cost(span: (i: number) => Flooded, keep = 4 * MIB): number {
  const room = new Room(keep)
  const all = requests(span)
  const send = (from: number, to: number): number => {
    const before = performance.now()
    for (let i = from; i < to; i++) {
      room.raw(all[i]!)
      room.host.clock.skip(EVERY_MS)
    }
    return ((performance.now() - before) * 1e6) / ((to - from) * SPANS)
  }
  // The first third warms up and fills the memory.
  const first = REQUESTS / 3
  send(0, first)
  let best = Number.POSITIVE_INFINITY
  const before = process.threadCpuUsage()
  for (let from = first; from < REQUESTS; from += STRETCH) best = Math.min(best, send(from, from + STRETCH))
  const { user, system } = process.threadCpuUsage(before)
  return Math.min(best, ((user + system) * 1000) / ((REQUESTS - first) * SPANS))
}

/** No span may cost more than so many ordinary ones; 1 to 4 were measured. */
const MOST = 8

const FLOODS: readonly (readonly [string, (i: number) => Flooded])[] = [
  ['one trace id for all', () => ({ trace: 'a1', status: 2 })],
  ['some traces that never end', i => ({ trace: `${(i % 200) + 1}`, name: `GET /${i % 50}`, status: 2 })],
  ['the same spans again and again', i => ({ trace: `${(i % 200) + 1}`, span: `${(i % 200) + 1}`, status: 2 })],
  ['trace ids that end alike', i => ({ trace: `${i.toString(16)}00000000` })],
  ['a new name for each span', i => ({ name: `name ${i}` })],
  ['a new name for each span within others', i => ({ name: `name ${i}`, kind: 1, parent: 'ff' })],
  ['a new key for each span', i => ({ kind: 1, parent: 'ff', attributes: { [`key ${i}`]: 'x'.repeat(200) } })],
  ['a new parent for each span', i => ({ trace: 'a1', kind: 1, parent: (i - 1).toString(16) })],
  ['an error in each span', i => ({ status: 2, name: `GET /${i % 300}` })],
  ['every span slower than the one before', i => ({ seconds: i / 1000 })],
]

t.test('floods', async t => {
  const ordinarily = (i: number): Flooded => ({ name: `GET /${i % 50}`, kind: 1, parent: 'ff' })
  const compare = (name: string, span: (i: number) => Flooded, ordinary: number): unknown =>
    t.test(`${name}: a span costs a bounded multiple of an ordinary one`, t => {
      const ns = cost(span)
      t.ok(ns < ordinary * MOST, `${ns.toFixed(0)} ns, ordinary spans ${ordinary.toFixed(0)} ns`)
      t.end()
    })
  const ordinary = cost(ordinarily)
  for (const [name, span] of FLOODS) compare(name, span, ordinary)
  // A resource for each span is more to walk, whatever it says.
  const apart = cost(i => ({ ...ordinarily(i), service: `shop ${i % 2}` }))
  compare('a new service for each span', i => ({ ...ordinarily(i), service: `shop ${i}` }), apart)
})

/** The most CPU that one turn of the event loop took of this thread during the work, in milliseconds. */
async function longestTurn(work: () => Promise<unknown>): Promise<number> {
  let longest = 0
  let last = process.threadCpuUsage()
  let over = false
  const watch = (): void => {
    const { user, system } = process.threadCpuUsage(last)
    longest = Math.max(longest, (user + system) / 1000)
    last = process.threadCpuUsage()
    if (!over) setImmediate(watch)
  }
  setImmediate(watch)
  await work()
  over = true
  return longest
}

t.test('a trace of 50 000 spans is read, written and searched in turns of less than 50 ms', async t => {
  const room = await serve(t, { keep: 64 * MIB })
  for (let r = 0; r < 120; r++)
    room.send(
      from(
        'shop',
        ...Array.from({ length: 500 }, (_, k) => ({ trace: 'a1', span: (r * 500 + k + 1).toString(16), parent: '1' })),
      ),
    )
  for (const accept of ['application/protobuf', 'application/json'])
    for (let i = 0; i < 3; i++) {
      let bytes = 0
      // The client is in this process too, and takes the answer as it comes.
      const longest = await longestTurn(async () => {
        const answer = await fetch(`http://127.0.0.1:${room.port}/tempo/api/v2/traces/a1`, { headers: { accept } })
        for await (const chunk of answer.body!) bytes += chunk.length
      })
      t.ok(bytes > 2 * MIB, `${bytes} bytes`)
      t.ok(longest < 50, `${accept}: ${longest.toFixed(1)} ms`)
    }
  // The requests of the page: as columns, and as a file.
  for (const part of ['', '/otlp'])
    for (let i = 0; i < 3; i++) {
      let bytes = 0
      const longest = await longestTurn(async () => {
        const answer = await fetch(`http://127.0.0.1:${room.port}/api/traces/a1${part}`)
        t.equal(answer.status, 200)
        for await (const chunk of answer.body!) bytes += chunk.length
      })
      t.ok(bytes > 2 * MIB, `${bytes} bytes`)
      t.ok(longest < 50, `/api/traces${part}: ${longest.toFixed(1)} ms`)
    }
  // The text that a person looks for is in every span, or in none.
  for (const [text, least] of [
    ['shop', MIB / 2],
    ['nowhere', 0],
  ] as const)
    for (let i = 0; i < 3; i++) {
      let bytes = 0
      const longest = await longestTurn(async () => {
        const answer = await fetch(`http://127.0.0.1:${room.port}/api/traces/a1/find?text=${text}`)
        t.equal(answer.status, 200)
        for await (const chunk of answer.body!) bytes += chunk.length
      })
      t.ok(bytes > least, `${bytes} bytes`)
      t.ok(longest < 50, `find ${text}: ${longest.toFixed(1)} ms`)
    }
  const { status, message } = await room.json('/api/v2/traces/a1')
  t.equal(status, 'PARTIAL')
  t.match(message, /more than 50000 spans/)
})

t.test('no query about a trace of 50 000 spans has a turn of more than 50 ms', async t => {
  const room = new Room(64 * MIB)
  const begin = 1_750_000_000
  for (let i = 0; i < 50_000; i += 500)
    room.send(
      from(
        'shop',
        ...Array.from({ length: 500 }, (_, k) => ({
          trace: 'a1',
          span: (i + k + 1).toString(16),
          ...(i + k > 0 && { parent: ((i + k + 1) >> 1).toString(16) }),
          name: `step ${k % 50}`,
          start: begin + (i + k) / 1000,
          attributes: { n: k },
        })),
      ),
    )
  const limits = { from: undefined, to: undefined, limit: 20, spss: 3 }
  const times = { from: BigInt(begin) * 10n ** 9n, to: BigInt(begin + 60) * 10n ** 9n, step: 10n ** 10n, exemplars: 10 }
  for (const text of [
    '{ }',
    '{ name = "step 7" }',
    '{ rootName = "step 0" && span.n = 499 }',
    '{ span.n = 7 } >> { span.n = 8 }',
    '{ nestedSetParent < 0 } | rate()',
    '{ } >> { span.n = 3 } | rate()',
  ]) {
    const query = await prepare(text)
    for (let i = 0; i < 3; i++) {
      const pace = new QueryPace(clock, 60_000, new AbortController().signal)
      const longest = await longestTurn(() =>
        query.query.metrics ? metrics(query, room.kept, pace, times) : search(query, room.kept, pace, limits),
      )
      t.ok(longest < 50, `${text}: ${longest.toFixed(1)} ms of CPU`)
    }
  }
})

t.test('a search is held to slices: no turn of the loop is longer than 50 ms', async t => {
  const room = new Room(64 * MIB)
  for (let r = 0; r < 200; r++)
    room.send(
      from(
        'shop',
        ...Array.from({ length: 500 }, (_, k) => ({
          trace: (r * 500 + k + 1).toString(16),
          span: '1',
          attributes: { n: k },
        })),
      ),
    )
  const query = await prepare('{ span.n > 10 && span.text != "x" } || { span.n =~ ".*7" }')
  const pace = new QueryPace(clock, 60_000, new AbortController().signal)
  const longest = await longestTurn(() =>
    search(query, room.kept, pace, { from: undefined, to: undefined, limit: 20, spss: 3 }),
  )
  t.ok(longest < 50, `${longest.toFixed(1)} ms of CPU`)
})
