import t from 'tap'
import { asText, decoded } from '../metrics/client-model.ts'
import {
  at,
  attributes,
  CUMULATIVE,
  from,
  gauge,
  type Message,
  OPENMETRICS,
  PROTOBUF,
  point,
  SHOP,
  sidecar,
  sum,
} from './otlp.ts'
import { faults, needs, parsed, served } from './programs.ts'

const ids = { traceId: Buffer.alloc(16, 0xab), spanId: Buffer.alloc(8, 0xcd) }
/** Exemplars near now: Prometheus keeps none that are too old. */
const exemplar = (asDouble: number): Message => ({
  asDouble,
  timeUnixNano: `${Date.now()}000000`,
  ...ids,
  filteredAttributes: attributes({ user: 'é' }),
})
const times = { startTimeUnixNano: at(0), timeUnixNano: at(10) }

function histogram(name: string, ...dataPoints: readonly Message[]): Message {
  return { name, unit: 's', histogram: { aggregationTemporality: CUMULATIVE, dataPoints } }
}

function exponential(name: string, ...dataPoints: readonly Message[]): Message {
  return { name, unit: 's', exponentialHistogram: { aggregationTemporality: CUMULATIVE, dataPoints } }
}

/** Something of everything, odd values included. */
const EVERYTHING = from(
  { ...SHOP, 'host.name': 'a"\\\n\0', 'process.pid': 1 },
  { ...sum('orders', point(5, { kind: 'a"} 1\nevil{x="' }, { exemplars: [exemplar(1)] })), description: 'O\n\\"\r' },
  { ...gauge('odd', point(1.5), { asDouble: Number.NaN, attributes: attributes({ a: 1 }) }), unit: '1' },
  gauge('infinite', { asDouble: Number.NEGATIVE_INFINITY }),
  histogram(
    'wait',
    { count: 6, sum: 7.5, bucketCounts: [1, 2, 3], explicitBounds: [0.5, 1e21], exemplars: [exemplar(0.1)], ...times },
    { count: 3, attributes: attributes({ no: 'sum' }), ...times },
  ),
  histogram('below', { count: 3, sum: -2, bucketCounts: [2, 1], explicitBounds: [-1], ...times }),
  histogram('sunk', { count: 3, sum: -2, bucketCounts: [2, 1], explicitBounds: [1], ...times }),
  exponential(
    'latency',
    {
      count: 103,
      sum: 200,
      scale: 3,
      zeroCount: 3,
      // 50 observations in (1, 1.09], 50 in (2, 2.18].
      positive: { offset: 0, bucketCounts: [50, 0, 0, 0, 0, 0, 0, 0, 50] },
      exemplars: [exemplar(2.1)],
      ...times,
    },
    { count: 0, sum: 0, scale: 8, attributes: attributes({ empty: true }), ...times },
    {
      count: 10,
      scale: 1,
      positive: { offset: -10, bucketCounts: [1, 1, 0, 0, 0, 0, 3] },
      negative: { offset: 3, bucketCounts: [5] },
      attributes: attributes({ both: 'sides' }),
      ...times,
    },
  ),
  {
    name: 'size',
    summary: {
      dataPoints: [
        { count: 3, sum: 4, quantileValues: [{ quantile: 0.5, value: Number.NaN }], ...times },
        { count: 3, sum: -4, quantileValues: [{ quantile: 1, value: -1 }], attributes: attributes({ a: 1 }), ...times },
      ],
    },
  },
)

t.test('promtool accepts the text page', { skip: needs.promtool }, async t => {
  const { take, page } = sidecar(t)
  t.same(take(EVERYTHING), [])
  t.equal(faults(await page()), '')
})

t.test('the strict OpenMetrics parser accepts the OpenMetrics page', { skip: needs.python }, async t => {
  const { take, page } = sidecar(t, { scope_labels: true })
  take(EVERYTHING)
  const samples = parsed(await page(OPENMETRICS))
  const f = (name: string, value: string) =>
    t.ok(
      samples.some(each => each[0] === name && each[2] === value),
      `${name} ${value}`,
    )
  f('orders_total', '5')
  f('wait_seconds_bucket', '6')
  f('latency_seconds_bucket', '53')
  f('size_count', '3')
  f('target_info', '1')
})

t.test('the protobuf page says what the text page says', async t => {
  const { take, page } = sidecar(t)
  take(EVERYTHING)
  const own = (text: string) =>
    text
      .replace(/^(#.*pillion_|pillion_).*\n/gm, '')
      // A summary's NaN is spelled the same, and a histogram without a sum has none in either.
      .split('\n')
  t.same(own(asText(decoded(await page(PROTOBUF)))), own((await page()).toString()))
})

t.test('20 000 random label values survive an independent parser', { skip: needs.python }, async t => {
  const { take, page } = sidecar(t, { limit: 20_001, memory: 128 * 1024 * 1024 })
  const alphabet = [
    '"',
    '\\',
    '\n',
    '\r',
    '\0',
    '{',
    '}',
    ',',
    '=',
    '#',
    ' ',
    'n',
    'a',
    'é',
    '\u2028',
    '😀',
    '\ud800',
    '\x7f',
    '\x1b',
  ]
  let seed = 20_260_101
  const random = (below: number) => {
    seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0
    return (seed >>> 8) % below
  }
  const values = Array.from({ length: 20_000 }, () =>
    Array.from({ length: random(12) }, () => alphabet[random(alphabet.length)])
      .join('')
      .toWellFormed(),
  )
  t.same(take(from({}, gauge('g', ...values.map((v, i) => point(i, { i, v }))))), [])
  const samples = parsed(await page(OPENMETRICS)).filter(each => each[0] === 'g')
  t.equal(samples.length, 20_000)
  const wrong = samples.filter(([, labels, value]) => (labels['v'] ?? '') !== values[Number(value)])
  t.same(wrong, [])
})

t.test(
  'Prometheus takes the page without native histograms, exemplars included',
  { skip: needs.prometheus },
  async t => {
    const { take, page } = sidecar(t)
    const prometheus = await served(
      t,
      async accept => {
        take(EVERYTHING)
        return { contentType: 'application/openmetrics-text; version=1.0.0; charset=utf-8', body: await page(accept) }
      },
      ['--enable-feature=exemplar-storage'],
    )
    t.match(await prometheus.query('orders_total'), { labels: { job: 'eu/shop', instance: 'one' }, value: '5' })
    t.match(await prometheus.query('latency_seconds_count{both="",empty=""}'), { value: '103' })
    t.match(await prometheus.query('wait_seconds_count{no="sum"}'), { value: '3' }, 'a count without a sum')
    t.match(await prometheus.query('below_seconds_count'), { value: '3' }, 'a count beside bounds below 0')
    t.match(await prometheus.query('sunk_seconds_count'), { value: '3' }, 'a count beside a sum below 0')
    t.match(await prometheus.query('histogram_quantile(0.9, latency_seconds_bucket{both="",empty=""})'), {
      value: /^2\.1/,
    })
    t.match(await prometheus.query('orders_total * on (job, instance) group_left (process_pid) target_info'), {
      labels: { process_pid: '1' },
    })
    const start = Date.now() / 1000 - 600
    const range = `start=${start}&end=${start + 1200}`
    t.match(await prometheus.api(`query_exemplars?query=wait_seconds_bucket&${range}`), {
      data: [{ exemplars: [{ labels: { trace_id: 'ab'.repeat(16), span_id: 'cd'.repeat(8), user: 'é' } }] }],
    })
  },
)

t.test('Prometheus queries native histograms that it scraped as protobuf', { skip: needs.prometheus }, async t => {
  const { take, page, scrape } = sidecar(t)
  const prometheus = await served(
    t,
    async accept => {
      take(EVERYTHING)
      const { contentType } = await scrape.scrape(accept, AbortSignal.timeout(5000))
      return { contentType, body: await page(accept) }
    },
    ['--enable-feature=native-histograms,exemplar-storage'],
  )
  const one = 'latency_seconds{both="",empty=""}'
  t.match(await prometheus.query(`histogram_quantile(0.9, ${one})`), { value: /^2\.1/ })
  t.match(prometheus.accepts[0], 'application/vnd.google.protobuf')
  t.match(await prometheus.query(`histogram_count(${one})`), { value: '103' })
  t.match(await prometheus.query(`histogram_sum(${one})`), { value: '200' })
  t.match(await prometheus.query('histogram_count(latency_seconds{both="sides"})'), { value: '10' })
  t.match(await prometheus.query('histogram_quantile(0.1, latency_seconds{both="sides"})'), { value: /^-(3|2)/ })
  t.match(await prometheus.query('histogram_count(latency_seconds{empty="true"})'), { value: '0' })
  t.match(await prometheus.query('orders_total'), { labels: { kind: 'a"} 1\nevil{x="' }, value: '5' })
  t.match(await prometheus.query('wait_seconds_bucket{le="+Inf",no=""}'), { value: '6' })
  t.match(await prometheus.query('pillion_series{family="otlp_metrics"}'), { value: '14' })
  t.match(await prometheus.api('metadata?metric=latency_seconds'), {
    data: { latency_seconds: [{ type: 'histogram' }] },
  })
})
