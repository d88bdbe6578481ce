// A whole sidecar that forwards a sample: the ledger is exact at every scrape, sums of adjusted counts are what the request
// metrics say, each exemplar's trace is at the upstream, and the end loses nothing.

import t from 'tap'
import { type Ride, startSidecar } from '../e2e/ride.ts'
import { type Upstream, until, upstream } from '../forward/upstream.ts'
import { numbers } from '../random.ts'
import { adjusted, id, request, type Sent, spansOf } from './stage.ts'

const PARENT = Buffer.alloc(8, 7)

function traces(random: () => number, count: number): Sent[] {
  return Array.from({ length: count }, () => {
    const trace = id(random)
    const name = `GET /${Math.floor(random() * 4)}`
    return [
      { trace, span: id(random, 8), parent: PARENT, kind: 3, name: 'query' },
      { trace, span: id(random, 8), name, status: random() < 0.02 ? 2 : 0, seconds: 0.02 * -Math.log(1 - random()) },
    ]
  }).flat()
}

async function post(ride: Ride, spans: readonly Sent[]): Promise<void> {
  const headers = { 'content-type': 'application/x-protobuf' }
  const response = await fetch(`${ride.otlp}/v1/traces`, { method: 'POST', headers, body: request(spans) })
  if (!response.ok) throw new Error(`${response.status}`)
  await response.arrayBuffer()
}

async function page(ride: Ride): Promise<string> {
  const accept = 'application/openmetrics-text; version=1.0.0'
  return await (await fetch(`${ride.web}/metrics`, { headers: { accept } })).text()
}

/** The sum of a family's series whose labels contain a text. */
function total(page: string, family: string, labels = ''): number {
  const rows = page.split('\n').filter(row => row.startsWith(`${family}{`) && row.includes(labels))
  return rows.reduce((sum, row) => sum + Number(/} (\S+)/.exec(row)![1]), 0)
}

function ledger(page: string): { accepted: number; sum: number; text: string } {
  const of = (part: string) => total(page, `pillion_forward_${part}`, 'signal="traces"')
  const parts = ['items_total', 'dropped_items_total', 'sampled_out_items_total', 'held_items'].map(of)
  const accepted =
    total(page, 'pillion_otlp_received_items_total', 'traces') -
    total(page, 'pillion_otlp_refused_items_total', 'traces')
  return { accepted, sum: parts.reduce((sum, each) => sum + each, 0), text: parts.join(' + ') }
}

const arrived = (sink: Upstream) => sink.arrived.flatMap(({ bytes, items }) => spansOf(bytes, items))

t.test('a sample is forwarded: exact ledger, right sums, exemplars that lead somewhere', async t => {
  const sink = await upstream(t)
  const flags = ['--forward.endpoint', sink.url, '--forward.sampling.ratio', '0.2', '--forward.sampling.slow', 'off']
  await using ride = await startSidecar({ flags })
  const random = numbers(61)
  const all: Sent[] = []
  const named = new Set<string>()
  for (let i = 0; i < 40; i++) {
    const spans = traces(random, 250)
    all.push(...spans)
    await post(ride, spans)
    if (i % 4 !== 0) continue
    const text = await page(ride)
    const { accepted, sum, text: parts } = ledger(text)
    t.equal(sum, accepted, `${accepted} = ${parts}`)
    for (const [, trace] of text.matchAll(/trace_id="([0-9a-f]{32})"/g)) named.add(trace!)
  }
  const held = async () => total(await page(ride), 'pillion_forward_held_items')
  await until(async () => (await held()) === 0)
  const text = await page(ride)
  t.same(ledger(text).sum, all.length)
  const spans = arrived(sink)
  const errors = all.filter(each => each.status === 2).length
  t.equal(spans.filter(each => each.status === 2).length, errors, 'all errors are there')
  t.equal(total(text, 'traces_spanmetrics_calls_total', 'STATUS_CODE_ERROR'), errors)
  // 20,000 spans by 10,000 traces of two: 4.5 sigma of 2 √(n (1 − p) / p).
  const estimate = spans.reduce((sum, each) => sum + adjusted(each), 0)
  t.ok(Math.abs(estimate - all.length) < 4.5 * 2 * Math.sqrt((10_000 * 0.8) / 0.2), `${estimate} of ${all.length}`)
  t.equal(total(text, 'traces_spanmetrics_calls_total'), all.length, 'metrics are made from all')
  const there = new Set(spans.map(each => each.traceId))
  t.ok(named.size > 20, `${named.size} exemplars`)
  t.same(
    [...named].filter(each => !there.has(each)),
    [],
  )
})

t.test('the ledger is exact while the upstream fails in turns', async t => {
  const sink = await upstream(t, (_, response, n) => {
    response.statusCode = n % 3 === 0 ? 200 : n % 3 === 1 ? 503 : 400
    response.end()
  })
  const flags = ['--forward.endpoint', sink.url, '--forward.sampling.max_spans_per_second', '300']
  await using ride = await startSidecar({ flags })
  const random = numbers(62)
  let sent = 0
  for (let i = 0; i < 30; i++) {
    const spans = traces(random, 200)
    await post(ride, spans)
    sent += spans.length
    const { accepted, sum, text } = ledger(await page(ride))
    t.equal(sum, accepted, `${accepted} = ${text}`)
    t.equal(accepted, sent)
    await new Promise(resolve => setTimeout(resolve, 100))
  }
  const text = await page(ride)
  t.ok(total(text, 'pillion_forward_sampled_out_items_total') > 0)
  t.ok(total(text, 'pillion_forward_dropped_items_total') > 0)
})

t.test('at its end the sidecar decides and sends what waits', async t => {
  const sink = await upstream(t)
  const flags = ['--forward.endpoint', sink.url, '--forward.sampling.ratio', '0.5', '--forward.sampling.rare', '0']
  await using ride = await startSidecar({ flags: [...flags, '--forward.sampling.slow', 'off'] })
  const spans = traces(numbers(63), 200)
  await post(ride, spans)
  await ride.child.stop()
  const kept = spans.filter((each, i) => {
    const root = spans[i % 2 === 0 ? i + 1 : i]!
    return root.status === 2 || each.trace[9]! >= 0x80
  })
  t.same(
    arrived(sink)
      .map(each => each.spanId)
      .sort(),
    kept.map(each => each.span!.toString('hex')).sort(),
  )
})

t.test('without its options nothing is sampled, and everything is forwarded as it came', async t => {
  const sink = await upstream(t)
  await using ride = await startSidecar({ flags: ['--forward.endpoint', sink.url] })
  const spans = traces(numbers(64), 50)
  await post(ride, spans)
  await until(() => sink.taken() === 100)
  t.same(sink.arrived[0]!.bytes, request(spans))
  t.notMatch(await page(ride), /^pillion_sampling/m)
})
