// GET /api/logs.

import t from 'tap'
import { ld, number } from '../otlp/requests.ts'
import { openServer, parsed } from '../web/open.ts'
import { type Page, reader } from './read.ts'
import { NOW, startLogs } from './send.ts'

const TRACE = 'ab'.repeat(16)

t.test('records are found by severity, service, text and time, newest first', async t => {
  const { running, log } = startLogs()
  log('shop', 'cart is empty', { seconds: 1, severity: 9 })
  log('shop', 'Payment FAILED: card declined', { seconds: 2, severity: 17, trace: TRACE, span: '01'.repeat(8) })
  log('payment', 'payment slow', { seconds: 3, severity: 14 })
  log('payment', 'all is lost', { seconds: 4, severity: 21 })
  const { records } = await reader(t, running)
  const f = async (query: string, ...expected: string[]) =>
    t.same(
      (await records(query)).map(({ body }) => body),
      expected,
      query,
    )
  await f('', 'all is lost', 'payment slow', 'Payment FAILED: card declined', 'cart is empty')
  await f('?severity=error', 'all is lost', 'Payment FAILED: card declined')
  await f('?severity=WARN&service=payment', 'all is lost', 'payment slow')
  await f('?text=payment', 'payment slow', 'Payment FAILED: card declined')
  await f('?text=payment&severity=error', 'Payment FAILED: card declined')
  await f(`?since=${NOW + 3}`, 'all is lost', 'payment slow')
  await f(`?until=${NOW + 2}`, 'cart is empty')
  await f(`?since=${new Date((NOW + 2) * 1000).toISOString()}&until=${NOW + 3}`, 'Payment FAILED: card declined')
  await f(`?trace=${TRACE}`, 'Payment FAILED: card declined')
  await f('?span=101010101010101', 'Payment FAILED: card declined')
  await f('?service=nobody')
})

t.test('older records follow by "next", each once, while newer ones come in', async t => {
  const { running, log } = startLogs()
  for (let i = 0; i < 25; i++) log('shop', `line ${i}`)
  const { json } = await reader(t, running)
  const seen: string[] = []
  let query = '?limit=10'
  for (;;) {
    const { records, next } = await json<Page>(`/api/logs${query}`)
    seen.push(...records.map(({ body }) => body))
    log('shop', 'newer')
    if (next === undefined) break
    query = `?limit=10&before=${next}`
  }
  t.same(
    seen,
    Array.from({ length: 25 }, (_, i) => `line ${24 - i}`),
  )
})

t.test('an answer says how much is kept and how much was evicted', async t => {
  const { running, log } = startLogs({ keep: 64 * 1024 })
  for (let i = 0; i < 1000; i++) log('shop', 'x'.repeat(500))
  const { json } = await reader(t, running)
  const { kept, records } = await json<Page>('/api/logs?limit=1000')
  t.equal(kept.records, records.length)
  t.equal(kept.records + kept.evicted, 1000)
  t.ok(kept.bytes <= 64 * 1024)
})

t.test('a bad parameter is refused, with the values it can have', async t => {
  const { running } = startLogs()
  const { text } = await reader(t, running)
  const f = async (query: string, expected: string | RegExp) => {
    const { status, body } = await text(`/api/logs?${query}`)
    t.equal(status, 400, query)
    t.match(body, expected)
  }
  await f('severity=loud', 'severity must be one of trace, debug, info, warn, error, fatal')
  await f('limit=0', 'limit must be a number from 1 to 1000')
  await f('limit=1001', 'limit must be')
  await f('limit=ten', 'limit must be')
  await f('before=-1', 'before must be')
  await f('since=yesterday', 'since must be a time')
  await f('trace=xyz', 'trace must be a trace id')
  await f(`trace=${'a'.repeat(33)}`, 'trace must be')
  await f('span=', 'span must be')
  await f(`text=${'x'.repeat(1001)}`, 'text must be')
  await f('colour=red', /there is no parameter "colour"; there are severity, service, text/)
  await f('__proto__=1', 'there is no parameter')
})

t.test('records are not shown to other hosts without a token', async t => {
  const { running, log } = startLogs()
  log('shop', 'password=hunter2')
  const { ask } = await openServer(t, {
    host: { routes: () => running.routes ?? [] },
    options: { listen: { host: '0.0.0.0', port: 0 } },
  })
  for (const path of ['/api/logs', '/loki/api/v1/query_range?query=%7B%7D']) {
    const { status, body } = parsed(await ask(`GET ${path}`))
    t.equal(status, 403, path)
    t.notMatch(body, 'hunter2')
  }
})

t.test('records after a given one are found by its number, to follow what comes in', async t => {
  const { running, log } = startLogs()
  const { json } = await reader(t, running)
  log('shop', 'one')
  log('shop', 'two')
  const first = await json<Page>('/api/logs')
  t.same(first.kept.newest, 2)
  t.same(
    first.records.map(({ number }) => number),
    [2, 1],
  )
  log('shop', 'three')
  log('cart', 'four')
  const bodies = async (query: string): Promise<string[]> =>
    (await json<Page>(`/api/logs?${query}`)).records.map(({ body }) => body)
  t.same(await bodies('after=2'), ['four', 'three'])
  t.same(await bodies('after=2&service=shop'), ['three'])
  t.same(await bodies('after=4'), [])
  t.same((await json<Page>('/api/logs?after=2&limit=1')).next, 4, 'and the rest of them is not lost')
})

t.test('a body has the value that was set last, whatever unknown fields or empty pieces follow', async t => {
  const { running } = startLogs()
  const unknown = number(77, 7)
  const bodies = [
    [ld(5, ld(1, 'text'), unknown)],
    [ld(5, number(3, 42), unknown)],
    [ld(5, number(3, 42)), ld(5)],
    [ld(5, ld(1, 'text')), ld(5, number(2, 1))],
  ]
  for (const body of bodies)
    running.take({ signal: 'logs', received: 0, bytes: ld(1, ld(2, ld(2, ...body))), items: 1 })
  const { records } = await reader(t, running)
  t.same(
    (await records()).map(({ body }) => body),
    ['true', '42', '42', 'text'],
  )
})
