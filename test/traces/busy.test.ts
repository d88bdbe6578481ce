// The store under everything at once, and what its limits do: slices, the deadline, the clients that go, too many queries.

import { request } from 'node:http'
import t from 'tap'
import { Places } from '../../exporter/traces/api/places.ts'
import { spans } from '../../processors/spans.ts'
import fc from '../property.ts'
import { DEFAULTS } from '../spans/room.ts'
import { EPOCH, from, Room } from './room.ts'
import { type Served, serve } from './served.ts'

const MIB = 2 ** 20
let counter = 0

function fill(room: { send(...parts: ReturnType<typeof from>[]): void }, traces: number): void {
  for (let i = 0; i < traces; i++) {
    const trace = (++counter).toString(16)
    const pad = { 'http.route': `/${counter % 50}`, text: 'x'.repeat(counter % 200) }
    room.send(
      from(
        `service ${counter % 7}`,
        {
          trace,
          span: '1',
          name: `GET /${counter % 50}`,
          seconds: (counter % 13) / 10,
          status: counter % 9 === 0 ? 2 : 0,
          attributes: pad,
        },
        { trace, span: '2', parent: '1', kind: 3, name: 'query', attributes: pad },
      ),
    )
  }
}

t.test('a store that is full and evicts is queried and scraped at once, and every answer is sound', async t => {
  const room = await serve(t, { keep: MIB }, (host, keys) => [spans.start(DEFAULTS, { ...host, keys })])
  fill(room, 2000)
  let over = false
  let rounds = 0
  const traffic = (async () => {
    for (; !over; rounds++) {
      fill(room, 50)
      await new Promise(resolve => setImmediate(resolve))
    }
  })()
  const paths = [
    '/api/search?q=%7Bstatus%3Derror%7D&limit=100&spss=10',
    '/api/search?q=%7B%7D%20%3E%3E%20%7Bname%3D%22query%22%7D',
    '/api/v2/search/tags',
    '/api/v2/search/tag/span.http.route/values',
    '/api/v2/search/tag/name/values?q=%7Bstatus%3Derror%7D',
  ]
  const asking = async (path: string) => {
    for (let i = 0; i < 15; i++) {
      const found = await room.json(path)
      for (const { traceID, spanSets = [] } of found.traces ?? []) {
        t.match(traceID, /^[0-9a-f]{32}$/)
        for (const { spans, matched } of spanSets) if (matched < spans.length) t.fail('fewer matched than are shown')
      }
      for (const { traceID } of (found.traces ?? []).slice(0, 3)) {
        const { status } = await room.get(`/api/v2/traces/${traceID}`, { accept: 'application/protobuf' })
        t.ok(status === 200 || status === 404, `${status}`)
      }
    }
  }
  const scraping = async () => {
    for (let i = 0; i < 10; i++) {
      const lines = await room.lines('')
      t.ok(lines.includes('pillion_traces_exemplars_unresolved 0'))
      t.ok(lines.some(line => line.startsWith('traces_spanmetrics_calls_total')))
    }
  }
  await Promise.all([...paths.map(asking), scraping()])
  over = true
  await traffic
  t.ok(rounds > 20, `${rounds} rounds of traffic`)
})

t.test('two queries run at a time, others wait, and beyond these the client is told to come again', async t => {
  const places = new Places()
  const { signal } = new AbortController()
  // The timers of time limits do not keep a process alive.
  const alive = setInterval(() => {}, 1000)
  t.teardown(() => clearInterval(alive))
  const first = await places.take(signal, 5000)
  const second = await places.take(signal, 5000)
  const waiting = Array.from({ length: 32 }, () => places.take(signal, 5000))
  t.equal(await places.take(signal, 5000), undefined)
  first?.()
  first?.()
  const third = await waiting[0]
  t.type(third, 'function')
  const gone = new AbortController()
  second?.()
  third?.()
  for (const each of waiting.slice(1)) (await each)?.()
  const all = [await places.take(signal, 5000), await places.take(signal, 5000)]
  const leaving = places.take(gone.signal, 5000)
  gone.abort()
  await t.rejects(leaving, /the client has gone/)
  await t.rejects(places.take(signal, 1), /other queries took all the time/)
  for (const done of all) done?.()
  t.type(await places.take(signal, 5000), 'function')
})

t.test('a query is ended at the deadline, and the answer says which option sets it', async t => {
  const room = await serve(t, { keep: 64 * MIB, query: { timeout: 1 } })
  fill(room, 30_000)
  const { status, text } = await room.get('/api/v2/search/tags')
  t.equal(status, 504)
  t.match(text, /^the query took longer than 1 ms \(traces\.query\.timeout\)/)
  t.same(await outcomes(room, 'tags'), ['timeout'])
})

t.test('a query ends when its client goes', async t => {
  const room = await serve(t, { keep: 64 * MIB })
  fill(room, 30_000)
  const leave = () =>
    new Promise<void>(resolve => {
      const asking = request({ port: room.port, path: '/tempo/api/v2/search/tags', agent: false })
      asking.on('error', () => {})
      asking.on('close', resolve)
      asking.on('finish', () => setImmediate(() => asking.destroy()))
      asking.end()
    })
  let found: string[] = []
  for (const deadline = Date.now() + 60_000; !found.includes('gone') && Date.now() < deadline; ) {
    await leave()
    await new Promise(resolve => setTimeout(resolve, 20))
    found = await outcomes(room, 'tags')
  }
  t.ok(found.includes('gone'), `${found}`)
})

/** The outcomes that were counted for a kind of query. */
async function outcomes(room: Served, kind: string): Promise<string[]> {
  const lines = await room.lines(`pillion_traces_queries_total{kind="${kind}"`)
  return lines.filter(line => !line.endsWith(' 0')).map(line => /outcome="(\w+)"/.exec(line)?.[1] ?? '')
}

t.test('whatever is asked is answered or refused, and never with an error of ours', async t => {
  const room = await serve(t, { keep: MIB })
  fill(room, 500)
  const word = fc.oneof(
    fc.constantFrom(
      '',
      '0',
      '-1',
      '1e9',
      'NaN',
      '20',
      '{}',
      '{status=error}',
      'span.http.route',
      'name',
      '.a',
      '..',
      '%',
      '%252F',
      'a b',
      '"',
      'ffffffffffffffffffffffffffffffffffff',
      'a1',
      '1750000000',
      '1750000000000000000',
      '5m',
      '💥',
      '\u0000',
    ),
    fc.string({ maxLength: 20 }),
  )
  const path = fc.constantFrom(
    '/api/search',
    '/api/search/tags',
    '/api/v2/search/tags',
    '/api/v2/search/tag/name/values',
    '/api/status/buildinfo',
    '/api/v2/traces/a1',
  )
  const parameter = fc.tuple(
    fc.constantFrom('q', 'tags', 'limit', 'spss', 'start', 'end', 'scope', 'tag', 'minDuration', 'maxDuration', 'x'),
    word,
  )
  const target = fc.oneof(
    fc.tuple(path, fc.array(parameter, { maxLength: 4 })).map(([at, all]) => `${at}?${new URLSearchParams(all)}`),
    word.map(id => `/api/v2/traces/${encodeURIComponent(id)}`),
    word.map(tag => `/api/v2/search/tag/${encodeURIComponent(tag)}/values`),
    word.map(tag => `/api/search/tag/${encodeURIComponent(tag)}/values?limit=3`),
  )
  await fc.assert(
    fc.asyncProperty(target, async at => {
      const { status, type, text } = await room.get(at)
      if (status === 200) {
        if (type === 'application/json') JSON.parse(text)
        return
      }
      if (status !== 400 && status !== 404) throw new Error(`${status} ${text}`)
      if (type !== 'text/plain; charset=utf-8' || text.trim().length < 10) throw new Error(`${type} ${text}`)
    }),
    { numRuns: 400 },
  )
})

t.test('any order of requests of any size leaves what a plain model has: the newest, and no half request', async () => {
  await fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 0, max: 3000 })), {
        minLength: 50,
        maxLength: 300,
      }),
      sizes => {
        const room = new Room(MIB)
        const sent: { trace: string; spans: number }[] = []
        for (const [count, bytes] of sizes) {
          const trace = (++counter).toString(16)
          sent.push({ trace, spans: count })
          room.send(
            from(
              'shop',
              ...Array.from({ length: count }, (_, i) => ({
                trace,
                span: `${i + 1}`,
                parent: 'ff',
                kind: 1,
                start: EPOCH,
                name: `n${(counter * i) % 97}`,
                attributes: { pad: 'x'.repeat(Math.floor(bytes / count)) },
              })),
            ),
          )
        }
        const held = sent.map(({ trace }) => room.names(trace).length)
        const first = held.findIndex(spans => spans > 0)
        // From the oldest that is held on, all are.
        for (let i = first; i < sent.length; i++)
          if (held[i] !== sent[i]!.spans) throw new Error(`${i} has ${held[i]} spans`)
        const { store } = room.kept
        const total = sent.reduce((sum, { spans }) => sum + spans, 0)
        if (store!.spans + store!.evicted.newer !== total) throw new Error('the books do not add up')
        if (store!.newest.held > store!.newest.capacity) throw new Error('more is held than there is room for')
      },
    ),
    { numRuns: 30 },
  )
})
