// Metrics of spans over HTTP: everything that Traces Drilldown asks, and the form of the answer.

import t from 'tap'
import { from } from './room.ts'
import { type Served, serve, type Tempo } from './served.ts'

const ERROR = 2
/** A minute ago, at the beginning of a minute. */
const THEN = Math.floor(Date.now() / 60_000) * 60 - 120

async function shop(t: Parameters<typeof serve>[0]): Promise<Served> {
  const room = await serve(t)
  for (let i = 0; i < 20; i++) {
    const [trace, start] = [(i + 1).toString(16), THEN + i]
    room.send(
      from('shop', {
        trace,
        span: '1',
        name: i % 2 === 0 ? 'GET /cart' : 'GET /pay',
        start,
        seconds: 0.1 * (i + 1),
        status: i % 5 === 0 ? ERROR : 0,
        attributes: { 'http.route': i % 2 === 0 ? '/cart' : '/pay' },
      }),
      from('pay', { trace, span: '2', parent: '1', name: 'charge', kind: 3, start, seconds: 0.05 }),
    )
  }
  return room
}

const range = (q: string, more = 'step=60s'): string =>
  `/api/metrics/query_range?q=${encodeURIComponent(q)}&start=${THEN - 60}&end=${THEN + 120}&${more}`

/** The sum of all samples of a series. */
function sum({ samples }: { samples: { value?: number }[] }): number {
  return samples.reduce((all, { value = 0 }) => all + value, 0)
}

t.test(
  'a range is answered exactly as Tempo does: labels with types, times as strings, zeros left out, exemplars',
  async t => {
    const { json } = await shop(t)
    const found = await json(range('{nestedSetParent<0} | rate() by(resource.service.name) with(sample=true)'))
    t.equal(found.series.length, 1)
    const [series] = found.series
    t.same(series.labels, [{ key: 'resource.service.name', value: { stringValue: 'shop' } }])
    for (const { timestampMs, value, ...others } of series.samples) {
      t.match(timestampMs, /^\d{13}$/)
      t.equal(Number(timestampMs) % 60_000, 0)
      t.not(value, 0, 'zero is left out')
      t.same(others, {})
    }
    t.ok(Math.abs(sum(series) - 20 / 60) < 1e-9)
    t.ok(series.exemplars.length > 0)
    for (const { labels, timestampMs, value } of series.exemplars) {
      t.equal(labels[0].key, 'trace:id')
      t.match(labels[0].value.stringValue, /^[0-9a-f]{32}$/)
      t.ok(Number(timestampMs) > 0)
      t.ok(value > 0)
    }
    t.match(found.metrics, { completedJobs: 1, totalJobs: 1 })
  },
)

t.test('everything that Traces Drilldown asks is answered', async t => {
  const { json } = await shop(t)
  const root = 'nestedSetParent<0'
  const f = async (q: string, series: number, check: (all: Tempo[]) => boolean = () => true) => {
    const found = await json(range(q))
    t.equal(found.series.length, series, q)
    t.ok(check(found.series), q)
  }
  await f('{} | rate()', 1)
  await f(`{${root}} | rate() by(resource.service.name) with(sample=true)`, 1)
  await f(`{${root} && status=error} | rate()`, 1, ([one]) => Math.abs(sum(one) - 4 / 60) < 1e-9)
  await f(`{${root} && span.http.route != nil} | rate() by(span.http.route)`, 2)
  await f(`{kind=server} | quantile_over_time(duration, 0.9) by(span.http.route)`, 2, all =>
    all.every(({ labels }) => labels.some(({ key }: { key: string }) => key === 'p')),
  )
  const isBucket = ({ key, value }: { key: string; value: object }) => key === '__bucket' && 'doubleValue' in value
  await f(`{${root}} | histogram_over_time(duration) with(sample=true)`, 5, all =>
    all.every(({ labels }) => labels.some(isBucket)),
  )
  const compared = await json(
    `/api/metrics/query_range?q=${encodeURIComponent(`{${root}} | compare({status=error})`)}&start=${THEN - 60}&end=${THEN + 120}&step=180s`,
  )
  const metas = new Set(
    compared.series.flatMap(({ labels }: Tempo) =>
      labels.filter(({ key }: { key: string }) => key === '__meta_type').map(({ value }: Tempo) => value.stringValue),
    ),
  )
  t.same([...metas].sort(), ['baseline', 'baseline_total', 'selection', 'selection_total'])
})

t.test('an instant query is answered with one value for each series', async t => {
  const { json } = await shop(t)
  const q = encodeURIComponent('{kind=server} | count_over_time() by(name)')
  const found = await json(`/api/metrics/query?q=${q}&start=${THEN - 60}&end=${THEN + 120}`)
  t.same(
    found.series
      .map(({ labels, value, ...others }: Tempo) => {
        t.same(Object.keys(others), [])
        return [labels[0].value.stringValue, value]
      })
      .sort(),
    [
      ['GET /cart', 10],
      ['GET /pay', 10],
    ],
  )
})

t.test('without a range the last hour is meant, and without a step about 240 samples', async t => {
  const { json } = await shop(t)
  const found = await json(`/api/metrics/query_range?q=${encodeURIComponent('{} | count_over_time()')}`)
  t.equal(sum(found.series[0]), 40)
  const [first, second] = found.series[0].samples
  t.equal(Number(second.timestampMs) - Number(first.timestampMs), 15_000)
})

t.test('a query that is out of bounds or not of metrics is refused in words', async t => {
  const { get } = await shop(t)
  const f = async (query: string, expected: RegExp) => {
    const { status, text, type } = await get(`/api/metrics/query_range?${query}`)
    t.equal(status, 400, query)
    t.equal(type, 'text/plain; charset=utf-8')
    t.match(text, expected)
  }
  const q = `q=${encodeURIComponent('{} | rate()')}`
  await f('', /^invalid q: a query of metrics is needed/)
  await f('q=%7B%7D', /^not a metrics query: "{}" is a search/)
  await f(`${q}&start=1&end=1000000`, /^invalid range: 999999 s, and 86400 s are the longest/)
  await f(`${q}&start=1000&end=80000&step=1s`, /11000 are allowed: use a longer step/)
  await f(`${q}&step=often`, /^invalid step: must be a duration such as 15s, not "often"/)
  await f(`${q}&since=often`, /^invalid since/)
  await f(`q=${encodeURIComponent('{} | rate() by(')}`, /^invalid TraceQL query: .*line 1, col/)
})
