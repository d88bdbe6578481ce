import t, { type Test } from 'tap'
import { Scrape } from '../../exporter/prometheus.ts'
import { CounterColumn, HistogramColumn } from '../../metrics/columns.ts'
import { counter, gauge, histogram } from '../../metrics/family.ts'
import { labelText } from '../../metrics/labels.ts'
import { Metrics } from '../../metrics/registry.ts'
import type { ImportedType, ImportedValue } from '../../metrics/sample.ts'
import { asText, decoded, type Family } from './client-model.ts'

const PROTOBUF = 'application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited'
const OPENMETRICS = 'application/openmetrics-text;version=1.0.0'

const scrapes = new WeakMap<Metrics, Scrape>()

async function page(metrics: Metrics, accept?: string): Promise<Buffer> {
  const scrape = scrapes.get(metrics) ?? new Scrape(metrics, [])
  scrapes.set(metrics, scrape)
  return Buffer.concat((await scrape.scrape(accept, AbortSignal.timeout(5000))).chunks)
}

/** Checks that the protobuf page and the text page say the same. */
async function same(t: Test, metrics: Metrics): Promise<Family[]> {
  const [text, bytes] = [await page(metrics), await page(metrics, PROTOBUF)]
  const families = decoded(bytes)
  t.equal(asText(families.filter(each => each.metric)), withoutEmpty(text.toString()))
  return families
}

/** Without the heads of families that have no samples. */
function withoutEmpty(text: string): string {
  return text.replace(/# HELP [^\n]*\n# TYPE [^\n]*\n(?=# HELP|$)/g, '')
}

t.test('Prometheus gets protobuf when it asks for native histograms, and else what it asks for', async t => {
  const scrape = new Scrape(new Metrics(), [])
  const f = async (accept: string, expected: string) =>
    t.equal((await scrape.scrape(accept, AbortSignal.timeout(5000))).contentType.split(';')[0], expected, accept)
  // The headers of Prometheus 2.42 and 3 with native histograms.
  await f(
    `${PROTOBUF},application/openmetrics-text;version=1.0.0;q=0.8,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1`,
    'application/vnd.google.protobuf',
  )
  await f(`${PROTOBUF};q=0.4,text/plain;version=0.0.4;q=0.5`, 'text/plain')
  await f('application/vnd.google.protobuf', 'text/plain')
  await f('application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=text', 'text/plain')
  const { contentType } = await scrape.scrape(PROTOBUF, AbortSignal.timeout(5000))
  t.equal(
    contentType,
    'application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited; escaping=underscores',
  )
})

t.test('ordinary metrics say the same in protobuf as in text', async t => {
  const metrics = new Metrics()
  metrics.counter(counter('app_jobs_total', 'Jobs\nwith \\ done.', ['queue'])).inc({ queue: 'a"} 1\nevil{x="\\é' }, 3)
  const fds = metrics.gauge(gauge('app_fds', 'Open.'))
  fds.set(Number.NaN)
  metrics.gauge(gauge('app_low', 'Low.')).set(-1.5)
  metrics.gauge(gauge('app_huge', 'Huge.')).set(Number.POSITIVE_INFINITY)
  const wait = metrics.histogram(histogram('app_wait_seconds', 'Wait.', ['route'], [0.1, 1]))
  wait.observe({ route: '/a' }, 0.05)
  wait.observe({ route: '/a' }, 7)
  wait.observe({ route: '/b' }, 0.5)
  metrics.histogram(histogram('app_plain_seconds', 'No labels.', [], [1])).observe(2)
  const families = await same(t, metrics)
  t.match(
    families.map(each => [each.name, each.type]),
    [
      ['app_jobs_total', 'COUNTER'],
      ['app_fds', 'GAUGE'],
    ],
  )
})

t.test('series tables say the same in protobuf as in text, over many slices', async t => {
  const metrics = new Metrics()
  const table = metrics.table('shop', ['route', 'kind'], 4000)
  const calls = new CounterColumn(table, counter('shop_calls_total', 'Calls.', ['route', 'kind']), { exemplars: true })
  const wait = new HistogramColumn(table, histogram('shop_wait_seconds', 'Wait.', ['route', 'kind'], [0.1, 1, 10]))
  metrics.add(calls)
  metrics.add(wait)
  for (let i = 0; i < 4500; i++) {
    const route = table.symbols.text(`/"${i}"\\\n${'é'.repeat(i % 120)}`)
    const slot = table.slot(Uint32Array.of(route, table.symbols.text(i % 2 ? 'odd' : '')))
    calls.add(slot, i)
    if (i % 3) wait.observe(slot, i / 200)
  }
  const families = await same(t, metrics)
  t.equal(families.find(each => each.name === 'shop_calls_total')?.metric?.length, 4001)
})

t.test('exemplars of tables stand on counters and buckets in protobuf', async t => {
  const metrics = new Metrics()
  const table = metrics.table('shop', ['route'], 10)
  const calls = new CounterColumn(table, counter('shop_calls_total', 'Calls.', ['route']), { exemplars: true })
  const wait = new HistogramColumn(table, histogram('shop_wait_seconds', 'Wait.', ['route'], [0.1, 1]))
  metrics.add(calls)
  metrics.add(wait)
  const slot = table.slot(Uint32Array.of(table.symbols.text('/a')))
  const ids = Buffer.alloc(24, 0xab)
  calls.add(slot, 1)
  calls.exemplar(slot, 1, 1750000000.25, ids, 0, 16)
  wait.exemplar(wait.observe(slot, 0.5), 0.5, 1750000000.5, ids, 0, 16)
  wait.observe(slot, 5)
  const families = decoded(await page(metrics, PROTOBUF))
  const label = [
    { name: 'trace_id', value: 'ab'.repeat(16) },
    { name: 'span_id', value: 'ab'.repeat(8) },
  ]
  const of = (name: string) => families.find(each => each.name === name)?.metric?.[0]
  t.strictSame(of('shop_calls_total')?.counter, {
    value: 1,
    exemplar: { label, value: 1, timestamp: { seconds: 1750000000, nanos: 250000000 } },
  })
  t.strictSame(of('shop_wait_seconds')?.histogram?.bucket, [
    { cumulativeCount: 0, upperBound: 0.1 },
    {
      cumulativeCount: 1,
      upperBound: 1,
      exemplar: { label, value: 0.5, timestamp: { seconds: 1750000000, nanos: 500000000 } },
    },
    { cumulativeCount: 2, upperBound: Number.POSITIVE_INFINITY },
  ])
})

/** Metrics with imported families, and a way to add to them. */
function imports(limits = { series: 100, families: 10 }) {
  const metrics = new Metrics()
  const source = metrics.imports('outside', limits)
  const add = (name: string, type: ImportedType, labels: Record<string, string>, value: ImportedValue, unit = '') =>
    source.add({ name, type, help: `Help of ${name}.`, unit }, labelText(Object.entries(labels)), value, 0)
  return { metrics, source, add }
}

t.test('imported families of each type say the same in protobuf as in text, and UNIT in OpenMetrics', async t => {
  const { metrics, add } = imports()
  add('shop_orders_total', 'counter', { shop: 'a' }, 5)
  add('shop_orders_total', 'counter', { shop: 'b' }, 1e300)
  add('shop_heat_celsius', 'gauge', {}, -3.5, 'celsius')
  add('shop_thing', 'unknown', { x: 'y' }, 1)
  add('shop_wait_seconds', 'histogram', { a: '1' }, { bounds: [-1, 0.5, 1e21], counts: [1, 2, 3, 4], sum: undefined })
  add('shop_size_bytes', 'histogram', {}, { bounds: [], counts: [3], sum: 12 }, 'bytes')
  add(
    'shop_summary',
    'summary',
    { a: '1' },
    {
      count: 3,
      sum: -1,
      quantiles: [
        [0.5, -2],
        [1, 4],
      ],
    },
  )
  const families = await same(t, metrics)
  t.equal(families.find(each => each.name === 'shop_heat_celsius')?.unit, 'celsius')
  const text = (await page(metrics, OPENMETRICS)).toString()
  t.match(text, '# TYPE shop_heat_celsius gauge\n# UNIT shop_heat_celsius celsius\nshop_heat_celsius -3.5\n')
  t.match(text, '# TYPE shop_orders counter\nshop_orders_total{shop="a"} 5\n')
  t.match(text, '# TYPE shop_thing unknown\n')
  t.match(text, 'shop_wait_seconds_bucket{a="1",le="1e+21"} 6\n')
  t.match(text, 'shop_wait_seconds_count{a="1"} 10\n', 'a count also without a sum')
  t.notMatch(text, 'shop_summary_sum', 'OpenMetrics has no sum below 0')
  t.notMatch(text, 'quantile="0.5"', 'and no quantile below 0')
})

t.test('a native histogram is written with spans and deltas, and with few classic buckets besides', async t => {
  const { metrics, add } = imports()
  add(
    'shop_wait_seconds',
    'histogram',
    {},
    {
      sum: 20,
      native: {
        scale: 1,
        zeroThreshold: 1e-9,
        zeroCount: 2,
        positive: { offset: -3, counts: [1, 0, 4, 0, 0, 0, 2] },
        negative: { offset: 2, counts: [3] },
      },
    },
  )
  add(
    'shop_idle_seconds',
    'histogram',
    {},
    {
      sum: 0,
      native: {
        scale: 3,
        zeroThreshold: 0,
        zeroCount: 0,
        positive: { offset: 0, counts: [] },
        negative: { offset: 0, counts: [] },
      },
    },
  )
  const [idle, wait] = (await same(t, metrics))
    .filter(each => each.name.startsWith('shop_'))
    .map(each => each.metric?.[0]?.histogram)
  t.match(wait, {
    sampleCount: 12,
    sampleSum: 20,
    schema: 1,
    zeroThreshold: 1e-9,
    zeroCount: 2,
    // OTLP's bucket -3 is Prometheus' -2; a gap of one is filled, one of three begins a span.
    positiveSpan: [
      { offset: -2, length: 3 },
      { offset: 3, length: 1 },
    ],
    positiveDelta: [1, -1, 4, -2],
    negativeSpan: [{ offset: 3, length: 1 }],
    negativeDelta: [3],
  })
  t.match(idle, { sampleCount: 0, schema: 3, zeroThreshold: 0, zeroCount: 0, positiveSpan: [{}] })
})

t.test('classic buckets of a native histogram are exact, few, and keep their bounds as it widens', async t => {
  const { metrics, add } = imports()
  const native = (counts: readonly number[]) => ({
    scale: 5,
    zeroThreshold: 0,
    zeroCount: 0,
    positive: { offset: 0, counts },
    negative: { offset: 0, counts: [] },
  })
  const series = add('w', 'histogram', {}, { sum: 1, native: native(Array(32).fill(1)) })
  if (typeof series === 'string') throw new Error(series)
  const bounds = async () => {
    const lines = (await page(metrics)).toString().matchAll(/^w_bucket\{le="(.*)"\} (\d+)$/gm)
    return new Map(Array.from(lines, ([, le, count]) => [Number(le?.replace('+Inf', 'Infinity')), Number(count)]))
  }
  const narrow = await bounds()
  t.equal(narrow.size, 18, 'the lower edge, 16 buckets of scale 4, +Inf')
  t.equal(narrow.get(1), 0)
  t.equal(narrow.get(2), 32)
  t.equal(narrow.get(Math.SQRT2), 16)
  series.value = { sum: 1, native: native(Array(160).fill(1)) }
  const wide = await bounds()
  t.ok(wide.size <= 20)
  t.equal(wide.get(32), 160)
  const [finite, kept] = [[...narrow.keys()], [...wide.keys()].filter(le => le <= 2)]
  t.ok(
    kept.every(le => finite.includes(le)),
    `${kept} are among ${finite}`,
  )
})

t.test('a name belongs to one family, in every form that it may be written in', async t => {
  const { metrics, source, add } = imports()
  metrics.counter(counter('ours_total', 'Ours.'))
  metrics.histogram(histogram('ours_wait_seconds', 'Ours.', [], [1]))
  const f = (name: string, type: ImportedType, expected: string) => t.equal(add(name, type, {}, 1), expected, name)
  f('ours_total', 'counter', 'name_collision')
  f('ours', 'gauge', 'name_collision')
  f('ours_wait_seconds_bucket', 'gauge', 'name_collision')
  f('pillion_anything', 'gauge', 'name_collision')
  f('up', 'gauge', 'name_collision')
  t.type(add('theirs', 'histogram', {}, { bounds: [], counts: [1], sum: 1 }), 'object')
  f('theirs', 'gauge', 'type_conflict')
  f('theirs_count', 'gauge', 'type_conflict')
  const other = metrics.imports('other', { series: 5, families: 5 })
  t.equal(other.add({ name: 'theirs', type: 'histogram', help: '', unit: '' }, '', 1, 0), 'name_collision')
  t.equal(source.series, 1)
})

t.test('beyond its limits a source refuses, and what expires makes room', async t => {
  const { metrics, source, add } = imports({ series: 3, families: 2 })
  add('a', 'gauge', { x: '1' }, 1)
  add('a', 'gauge', { x: '2' }, 1)
  add('b', 'gauge', {}, 1)
  t.equal(add('c', 'gauge', {}, 1), 'series_limit')
  t.equal(add('a', 'gauge', { x: '3' }, 1), 'series_limit')
  t.type(add('a', 'gauge', { x: '2' }, 1), 'object', 'a known series is found')
  t.match((await page(metrics)).toString(), 'pillion_series{family="outside"} 3\n')
  t.equal(source.expire(1), 3)
  t.equal(source.families, 0)
  t.notMatch((await page(metrics)).toString(), '# TYPE a gauge')
  add('a', 'counter', {}, 1)
  add('b', 'gauge', {}, 1)
  t.equal(add('c', 'gauge', {}, 1), 'family_limit')
})

t.test('series that come and go between the slices of a rendering do not tear a family', async t => {
  const { metrics, source, add } = imports({ series: 10_000, families: 100 })
  for (let i = 0; i < 3000; i++) add(i < 2000 ? 'm' : 'z', 'gauge', { i: String(i) }, 1)
  const imported = metrics.registry.getMetricsAsArray().find(each => each.name === 'imported')
  if (!imported || !('write' in imported) || typeof imported.write !== 'function') throw new Error('no such metric')
  const { Page } = await import('../../metrics/page.ts')
  const out = new Page()
  let from: number = imported.write(out, 'text', 0)
  source.expire(1)
  for (let i = 0; i < 500; i++) add(i % 2 ? 'a' : 'm', 'gauge', { i: String(i) }, 2)
  while (from >= 0) from = imported.write(out, 'text', from)
  const text = Buffer.concat(out.take()).toString()
  t.equal(text.match(/# TYPE/g)?.length, 2)
  t.equal(text.match(/^[mz]\{/gm)?.length, 3000)
})

t.test('a family of ours that is registered later takes its name back', async t => {
  const { metrics, add } = imports()
  add('late', 'gauge', { theirs: 'yes' }, 1)
  add('other', 'gauge', {}, 1)
  metrics.gauge(gauge('late', 'Ours.')).set(2)
  const text = (await page(metrics)).toString()
  t.match(text, 'late 2\n')
  t.match(text, 'other 1\n')
  t.notMatch(text, 'theirs')
})

t.test('prom-client itself can read what was imported', async t => {
  const { metrics, add } = imports()
  add('shop_wait_seconds', 'histogram', { a: '"' }, { bounds: [1], counts: [2, 1], sum: 4 })
  t.match(await metrics.registry.metrics(), 'shop_wait_seconds_bucket{a="\\"",le="1"} 2\n')
})
