// The example shop keeps the promises that the demo, the README and the end-to-end tests build on.

import { fileURLToPath } from 'node:url'
import t from 'tap'
import { Child, until } from '../e2e/child.ts'
import { startShop } from './services.ts'
import { Sink } from './sink.ts'

const LOAD = fileURLToPath(new URL('../../examples/shop/load.js', import.meta.url))

t.test('one checkout is one trace through all three services, named by their routes', async t => {
  await using sink = await Sink.start()
  await using shop = await startShop(sink.url)
  t.equal((await fetch(`${shop.url}/checkout`, { method: 'POST' })).status, 200)
  await shop.stop()
  const servers = sink.spans.filter(span => span.kind === 2)
  t.same(servers.map(span => `${span.service}: ${span.name}`).sort(), [
    'cart: DELETE /items',
    'cart: GET /items',
    'payment: POST /charge',
    'shop: POST /checkout',
  ])
  t.equal(new Set(sink.spans.map(span => span.traceId)).size, 1)
  t.equal(sink.spans.length, 7, 'four servers and three clients, nothing from fs, dns or net')
})

t.test('every tenth checkout fails, and its spans say so', async t => {
  await using sink = await Sink.start()
  await using shop = await startShop(sink.url)
  const statuses: number[] = []
  for (let n = 0; n < 20; n += 1) statuses.push((await fetch(`${shop.url}/checkout`, { method: 'POST' })).status)
  await shop.stop()
  t.same(
    statuses.flatMap((status, n) => (status === 200 ? [] : [n + 1])),
    [10, 20],
  )
  const failed = sink.spans.filter(span => span.kind === 2 && span.status === 2)
  t.same(failed.map(span => `${span.service}: ${span.name}`).sort(), [
    'payment: POST /charge',
    'payment: POST /charge',
    'shop: POST /checkout',
    'shop: POST /checkout',
  ])
})

t.test('the report takes 400 ms, and a service ends only after its answer and its last spans', async t => {
  await using sink = await Sink.start()
  await using shop = await startShop(sink.url)
  const answer = fetch(`${shop.url}/report`)
  await fetch(`${shop.url}/healthz`)
  t.same(await shop.front.stop(), { code: 0, signal: null })
  t.equal((await answer).status, 200)
  const report = sink.spans.find(span => span.name === 'GET /report')
  t.ok(report && report.seconds >= 0.39, `${report?.seconds} s`)
})

t.test('every service has a health document; that of the shop has components', async t => {
  await using sink = await Sink.start()
  await using shop = await startShop(sink.url)
  const read = async () => {
    const response = await fetch(`${shop.url}/healthz`)
    t.equal(response.headers.get('content-type'), 'application/health+json')
    return [response.status, await response.json()]
  }
  const pass = [{ componentType: 'component', status: 'pass' }]
  t.same(await read(), [200, { status: 'pass', checks: { 'cart:reached': pass, 'payment:reached': pass } }])

  await shop.payment.stop()
  t.equal((await fetch(`${shop.url}/checkout`, { method: 'POST' })).status, 502)
  const warn = [{ componentType: 'component', status: 'warn' }]
  t.same(await read(), [200, { status: 'warn', checks: { 'cart:reached': pass, 'payment:reached': warn } }])
})

t.test('requests that make no sense are refused, and the services live on', async t => {
  await using sink = await Sink.start()
  await using shop = await startShop(sink.url)
  const ask = async (method: string, path: string, body?: string) =>
    (await fetch(shop.url + path, body === undefined ? { method } : { method, body })).status
  t.equal(await ask('GET', '/nowhere'), 404)
  t.equal(await ask('DELETE', '/checkout'), 404)
  t.equal(await ask('POST', '/cart', '{"product":'), 400)
  t.equal(await ask('POST', '/cart', '{}'), 502, 'the cart wants a product')
  t.equal(await ask('POST', '/cart', '{"product":"flask"}'), 200)
  await shop.stop()
  t.ok(
    sink.spans.some(span => span.name === 'GET' && span.kind === 2),
    'an unknown path does not become a span name',
  )
})

t.test('the load visits every route and tells what was answered', async t => {
  await using sink = await Sink.start()
  await using shop = await startShop(sink.url)
  await using load = await Child.start(process.execPath, [LOAD, shop.url], { RATE: '100' })
  await until('a span of every route', () => {
    const names = new Set(sink.spans.map(span => `${span.service} ${span.name}`))
    const wanted = ['GET /', 'GET /search', 'POST /cart', 'POST /checkout', 'GET /report'].map(name => `shop ${name}`)
    return [...wanted, 'cart POST /items', 'payment POST /charge'].every(name => names.has(name)) || undefined
  })
  t.same(await load.stop(), { code: 0, signal: null })
  t.match(load.stdout, /load: \d+ requests, \d+ × 200/)
})

t.test('a port that is taken is said, and the service ends with 1', async t => {
  await using sink = await Sink.start()
  await using service = await Child.start(
    process.execPath,
    [fileURLToPath(new URL('../../examples/shop/cart.js', import.meta.url))],
    {
      PORT: new URL(sink.url).port,
    },
  )
  t.same(await service.ended, { code: 1, signal: null })
  t.match(service.stderr, /cart cannot listen on port \d+: EADDRINUSE; free it, or choose another with PORT/)
})
