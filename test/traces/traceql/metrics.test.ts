// Metrics: which spans are counted when, under which labels, and what is made of them.

import t from 'tap'
import { defaultStep } from '../../../traceql/intervals.ts'
import { metrics } from '../../../traceql/metrics.ts'
import { prepare } from '../../../traceql/prepare.ts'
import { bucket, quantile } from '../../../traceql/quantile.ts'
import { BadQuery } from '../../../traceql/reading.ts'
import { Refusal } from '../../../traceql/refusal.ts'
import type { MetricsLimits, SeriesResult } from '../../../traceql/results.ts'
import { valueText } from '../../../traceql/text.ts'
import { attributes } from '../../points/otlp.ts'
import { EPOCH, from, Room, type Sent } from '../room.ts'
import { Steps } from './paces.ts'

/** A whole number of minutes. */
const START = Math.ceil(EPOCH / 60) * 60
const SECOND = 1_000_000_000n
const BASE = BigInt(START) * SECOND

const room = new Room(2 ** 22)
let span = 0

/** A span at so many seconds after the start; each has its own trace. */
function at(seconds: number, more: Partial<Sent> = {}): Sent {
  const id = (++span).toString(16)
  return { trace: `f${id}`, span: id, name: 'one', start: START + seconds, seconds: 0.5, ...more }
}

room.send(
  from(
    'shop',
    at(0, { attributes: { n: 1 } }),
    at(1, { attributes: { n: 4 }, seconds: 1 }),
    at(10, { attributes: { n: 2 }, status: 2, seconds: 2 }),
    at(11, { name: 'two', attributes: { n: 8, ratio: 0.5 }, seconds: 4 }),
  ),
  from('bank', at(25, { name: 'two', attributes: { n: 16, text: 'x' }, seconds: 0.25 })),
)

async function run(query: string, limits: Partial<MetricsLimits> = {}, of = room): Promise<SeriesResult> {
  const range = { from: BASE, to: BASE + 30n * SECOND, step: 10n * SECOND, exemplars: 0, ...limits }
  return await metrics(await prepare(query), of.kept, new Steps(), range)
}

/** Each series as `{labels} second=value …`, the seconds counted from the start. */
async function lines(query: string, limits: Partial<MetricsLimits> = {}, of = room): Promise<string[]> {
  const { series } = await run(query, limits, of)
  return series
    .map(({ labels, samples }) => {
      const names = labels.map(([key, value]) => `${key}=${valueText(value as never)}`).join(',')
      return `{${names}} ${samples.map(({ ms, value }) => `${ms / 1000 - START}=${value}`).join(' ')}`
    })
    .sort()
}

t.test('intervals are open on the left, closed on the right, and carry the time of their end', async t => {
  // Spans start at 0, 1, 10, 11 and 25; there is one step more at the beginning.
  t.same(await lines('{} | count_over_time()'), ['{__name__=count_over_time} 0=1 10=2 20=1 30=1'])
})

t.test('the range is widened to whole steps', async t => {
  const limits = { from: BASE + 7n * SECOND, to: BASE + 21n * SECOND }
  t.same(await lines('{} | count_over_time()', limits), ['{__name__=count_over_time} 0=1 10=2 20=1 30=1'])
})

t.test('an instant query has one interval with both ends', async t => {
  const limits = { from: BASE, to: BASE + 25n * SECOND, step: 25n * SECOND }
  t.same(await lines('{} | count_over_time()', limits), ['{__name__=count_over_time} 25=5'])
  t.same(await lines('{} | rate()', limits), ['{__name__=rate} 25=0.2'])
})

t.test('a span counts by its start to the nanosecond, also on the boundary of an interval', async t => {
  const fine = new Room(2 ** 20)
  const boundary = BASE + 10n * SECOND
  const message = from('a', ...[-1n, 0n, 1n].map(off => ({ ...at(0), name: String(off) })))
  const { spans } = (message as { scopeSpans: { spans: Record<string, unknown>[] }[] }).scopeSpans[0]!
  for (const [i, off] of [-1n, 0n, 1n].entries()) {
    spans[i]!['startTimeUnixNano'] = String(boundary + off)
    spans[i]!['endTimeUnixNano'] = String(boundary + off + 5n)
  }
  fine.send(message)
  t.same(await lines('{} | count_over_time() by (name)', {}, fine), [
    '{name=-1} 0=0 10=1 20=0 30=0',
    '{name=0} 0=0 10=1 20=0 30=0',
    '{name=1} 0=0 10=0 20=1 30=0',
  ])
})

t.test('rate is the count over the seconds of the step', async t => {
  t.same(await lines('{ resource.service.name = "bank" } | rate()'), ['{__name__=rate} 0=0 10=0 20=0 30=0.1'])
  t.same(await lines('{ false } | rate()'), ['{__name__=rate} 0=0 10=0 20=0 30=0'])
})

t.test('by makes a series of each combination, without the labels that have no value', async t => {
  t.same(await lines('{} | count_over_time() by (resource.service.name, span.text)'), [
    '{resource.service.name=bank,span.text=x} 0=0 10=0 20=0 30=1',
    '{resource.service.name=shop} 0=1 10=2 20=1 30=0',
  ])
  t.same(await lines('{} | count_over_time() by (span.text)'), [
    '{span.text=nil} 0=1 10=2 20=1 30=0',
    '{span.text=x} 0=0 10=0 20=0 30=1',
  ])
  t.same(await lines('{} | count_over_time() by (status, kind)'), [
    '{status=error,kind=server} 0=0 10=1 20=0 30=0',
    '{status=unset,kind=server} 0=1 10=1 20=1 30=1',
  ])
})

t.test('min, max, sum and avg have no sample where there is no value, and times are in seconds', async t => {
  t.same(await lines('{} | min_over_time(span.n)'), ['{__name__=min_over_time} 0=1 10=2 20=8 30=16'])
  t.same(await lines('{} | max_over_time(span.n)'), ['{__name__=max_over_time} 0=1 10=4 20=8 30=16'])
  t.same(await lines('{} | sum_over_time(span.n)'), ['{__name__=sum_over_time} 0=1 10=6 20=8 30=16'])
  t.same(await lines('{} | avg_over_time(span.n)'), ['{__name__=avg_over_time} 0=1 10=3 20=8 30=16'])
  t.same(await lines('{} | max_over_time(span.ratio)'), ['{__name__=max_over_time} 20=0.5'])
  t.same(await lines('{} | max_over_time(span.text)'), [])
  const [line] = await lines('{ status = error } | max_over_time(duration)')
  t.match(line, /10=(2|1\.9999999\d+)$/)
  t.same(await lines('{} | avg_over_time(span.n) by (name)'), ['{name=one} 0=1 10=3', '{name=two} 20=8 30=16'])
})

t.test('a histogram counts by powers of two; values below 2 and floats have no bucket', async t => {
  t.same(await lines('{} | histogram_over_time(span.n)'), [
    '{__bucket=16.0} 0=0 10=0 20=0 30=1',
    '{__bucket=2.0} 0=0 10=1 20=0 30=0',
    '{__bucket=4.0} 0=0 10=1 20=0 30=0',
    '{__bucket=8.0} 0=0 10=0 20=1 30=0',
  ])
  t.same(await lines('{} | histogram_over_time(span.ratio)'), [])
  // 0.25 s is in the bucket up to 2^28 ns.
  t.same(await lines('{ resource.service.name = "bank" } | histogram_over_time(duration) by (name)'), [
    '{name=two,__bucket=0.268435456} 0=0 10=0 20=0 30=1',
  ])
})

t.test('buckets have their bound, and a quantile has the rank that is rounded up', t => {
  t.same([0, 1, 1.9, 2, 3, 4, 5, 2 ** 40, 2 ** 40 + 1].map(bucket), [
    undefined,
    undefined,
    undefined,
    1,
    2,
    2,
    3,
    40,
    41,
  ])
  const buckets = [
    { most: 2, count: 2 },
    { most: 4, count: 2 },
    { most: 16, count: 4 },
  ]
  t.equal(quantile(0.5, buckets), 4)
  t.equal(quantile(0.25, buckets), 2)
  t.equal(quantile(0, buckets), 2 ** 0.5)
  t.equal(quantile(0.75, buckets), 8)
  t.equal(quantile(1, buckets), 16)
  t.equal(quantile(0.5, []), 0)
  t.end()
})

t.test('quantiles are a series each, 0 where there is nothing', async t => {
  t.same(await lines('{} | quantile_over_time(span.n, 0.5, 1)'), [
    '{p=0.5} 0=0 10=2 20=8 30=16',
    '{p=1.0} 0=0 10=4 20=8 30=16',
  ])
  const [line] = await lines('{ name = "two" } | quantile_over_time(duration, .9) by (name)')
  t.match(line, /^\{name=two,p=0.9\} 0=0 10=0 20=4\.29\d+ 30=0\.26\d+$/)
})

t.test('pipelines and what asks for the trace are counted trace by trace', async t => {
  t.same(await lines('{} | count() > 0 | count_over_time()'), await lines('{} | count_over_time()'))
  t.same(await lines('{ nestedSetLeft = 1 } | rate()'), await lines('{ nestedSetParent < 0 } | rate()'))
  t.same(await lines('{} | count_over_time() by (rootName)'), [
    '{rootName=one} 0=1 10=2 20=0 30=0',
    '{rootName=two} 0=0 10=0 20=1 30=1',
  ])
  t.same(await lines('{} >> {} | count_over_time()'), ['{__name__=count_over_time} 0=0 10=0 20=0 30=0'])
})

t.test('a span that was sent twice is counted once', async t => {
  const twice = new Room(2 ** 22)
  const sent = from('a', ...Array.from({ length: 3000 }, (_, i) => at(i / 1000)))
  twice.send(sent)
  twice.send(sent)
  t.same(await lines('{} | count_over_time()', {}, twice), ['{__name__=count_over_time} 0=1 10=2999 20=0 30=0'])
})

t.test('topk and bottomk rank the series at each time, and comparisons drop samples', async t => {
  t.same(await lines('{} | sum_over_time(span.n) by (span.n) | topk(1)'), [
    '{span.n=16} 30=16',
    '{span.n=1} 0=1',
    '{span.n=4} 10=4',
    '{span.n=8} 20=8',
  ])
  t.same(await lines('{} | sum_over_time(span.n) by (span.n) | bottomk(1) > 1'), [
    '{span.n=16} 30=16',
    '{span.n=2} 10=2',
    '{span.n=8} 20=8',
  ])
  t.same(await lines('{} | count_over_time() >= 2'), ['{__name__=count_over_time} 10=2'])
  t.same(await lines('{} | max_over_time(duration) > 3s'), ['{__name__=max_over_time} 20=4'])
})

t.test('compare counts the values of attributes in the selection and in the baseline', async t => {
  const whole = { from: BASE, to: BASE + 30n * SECOND, step: 30n * SECOND }
  const found = await lines('{} | compare({ name = "two" })', whole)
  for (const line of [
    '{__meta_type=baseline,name=one} 30=3',
    '{__meta_type=selection,name=two} 30=2',
    '{__meta_type=baseline,resource.service.name=shop} 30=3',
    '{__meta_type=selection,resource.service.name=shop} 30=1',
    '{__meta_type=selection,resource.service.name=bank} 30=1',
    '{__meta_type=selection,span.text=x} 30=1',
    '{__meta_type=baseline,status=error} 30=1',
    '{__meta_type=baseline_total,span.n=nil} 30=3',
    '{__meta_type=selection_total,span.n=nil} 30=2',
    '{__meta_type=selection_total,status=nil} 30=2',
    '{__meta_type=baseline,rootName=one} 30=3',
    '{__meta_type=baseline,instrumentation:name=scope} 30=3',
  ])
    t.ok(found.includes(line), line)
  t.notMatch(found.join('\n'), 'duration')
  const top = await lines('{} | compare({ name = "two" }, 1)', whole)
  t.equal(top.filter(line => line.startsWith('{__meta_type=baseline,span.n=')).length, 1)
  const [first, end] = [BASE + 20n * SECOND, BASE + 30n * SECOND]
  const ranged = await lines(`{} | compare({ name = "two" }, 10, ${first}, ${end})`, whole)
  t.ok(ranged.includes('{__meta_type=selection,name=two} 30=1'))
  t.ok(ranged.includes('{__meta_type=baseline,name=two} 30=1'))
})

t.test('compare counts attributes of events and links, and values of a busy attribute up to a limit', async t => {
  const busy = new Room(2 ** 22)
  const events = [{ name: 'e', attributes: attributes({ type: 'E' }) }]
  busy.send(from('a', ...Array.from({ length: 1500 }, (_, i) => at(1, { attributes: { id: `id${i}` }, events }))))
  const { series, partial } = await run('{} | compare({ false })', { step: 30n * SECOND }, busy)
  t.match(partial, 'span.id has more values')
  const total = series.find(
    ({ labels }) => labels[0]![1].type === 'string' && labels[1]![0] === 'span.id' && labels[1]![1].type === 'nil',
  )
  t.equal(total?.samples[0]?.value, 1500)
  t.ok(series.some(({ labels }) => labels[1]![0] === 'event.type'))
})

t.test('exemplars name traces of the interval, at most as many as allowed, unless a hint forbids them', async t => {
  const { series } = await run('{} | rate() by (resource.service.name)', { exemplars: 100 })
  const all = series.flatMap(({ exemplars }) => exemplars)
  t.equal(all.length, 5)
  const bank = series.find(({ labels }) => (labels[0]![1] as { value: string }).value === 'bank')
  t.same(bank?.exemplars, [
    {
      labels: [
        ['trace:id', { type: 'string', value: 'f5'.padStart(32, '0') }],
        ['resource.service.name', { type: 'string', value: 'bank' }],
      ],
      value: 0.1,
      ms: (START + 25) * 1000,
    },
  ])
  const few = await run('{} | rate()', { exemplars: 2 })
  t.equal(few.series[0]?.exemplars.length, 2)
  for (const hint of ['false', '0'])
    t.same((await run(`{} | rate() with(exemplars=${hint})`, { exemplars: 100 })).series[0]?.exemplars, [])
  t.equal((await run('{} | rate() with(exemplars=1)', { exemplars: 100 })).series[0]?.exemplars.length, 1)
  const quantiles = await run('{} | quantile_over_time(duration, 0.1, 1)', { exemplars: 100 })
  t.ok(quantiles.series.flatMap(({ exemplars }) => exemplars).some(({ value }) => Math.abs(value - 4) < 0.01))
})

t.test('a query without metrics, a range that ends before it starts and too many steps are refused', async t => {
  const refused = async (query: string, limits: Partial<MetricsLimits> = {}): Promise<Error> =>
    await run(query, limits).then(
      () => t.fail('accepted') as never,
      error => error,
    )
  const search = await refused('{}')
  t.type(search, Refusal)
  t.match(search.message, 'line 1, col 3: not a metrics query')
  for (const limits of [{ to: BASE }, { step: 0n }, { step: 1_000_000n }])
    t.type(await refused('{} | rate()', limits), BadQuery)
})

t.test('more series than there is memory for are left out, and the answer says so', async t => {
  const many = new Room(2 ** 22)
  many.send(from('a', ...Array.from({ length: 2000 }, (_, i) => at(1, { attributes: { i } }))))
  const limits = { from: BASE, to: BASE + 10_000n * SECOND, step: SECOND, exemplars: 0 }
  const { series, partial } = await run('{} | rate() by (span.i)', limits, many)
  t.ok(series.length > 50 && series.length < 200, `${series.length} series`)
  t.match(partial, 'there are more than')
})

t.test('the default step is round and gives about 240 samples', t => {
  const step = (seconds: number): number => Number(defaultStep(0n, BigInt(seconds) * SECOND)) / 1e9
  t.same([5, 30, 60, 300, 900, 3600, 21_600, 86_400].map(step), [0.05, 0.1, 1, 1, 3, 15, 60, 300])
  t.end()
})
