import t from 'tap'
import { metrics } from '../../processors/points.ts'
import { receiver } from '../otlp/receiver.ts'
import { world } from '../world.ts'
import {
  at,
  attributes,
  CUMULATIVE,
  deltaSum,
  encoded,
  from,
  gauge,
  type Message,
  OPENMETRICS,
  OPTIONS,
  point,
  SHOP,
  sidecar,
  sum,
} from './otlp.ts'

t.test('gauges and sums appear beside ours, with the labels of their resource', async t => {
  const { take, page } = sidecar(t)
  take(
    from(
      SHOP,
      { ...gauge('room.temperature', point(21.5, { room: 'a' })), unit: 'Cel', description: 'How warm.\n"Very".' },
      { ...sum('orders', point(7, { kind: 'x' })), description: 'Orders.' },
      {
        name: 'queue.length',
        sum: { dataPoints: [point(-3)], isMonotonic: false, aggregationTemporality: CUMULATIVE },
      },
    ),
  )
  const text = (await page()).toString()
  t.match(text, '# HELP room_temperature_celsius How warm.\\n"Very".\n# TYPE room_temperature_celsius gauge\n')
  t.match(text, 'room_temperature_celsius{instance="one",job="eu/shop",room="a"} 21.5\n')
  t.match(text, '# TYPE orders_total counter\norders_total{instance="one",job="eu/shop",kind="x"} 7\n')
  t.match(text, '# TYPE queue_length gauge\nqueue_length{instance="one",job="eu/shop"} -3\n')
  t.match(text, 'pillion_collector_success{collector="metrics"} 1\n')
  t.match((await page(OPENMETRICS)).toString(), '# UNIT room_temperature_celsius celsius\n')
})

t.test('the official example request becomes what Prometheus’ own translator makes of it', async t => {
  const { running, host } = start()
  const { readFileSync } = await import('node:fs')
  const example = readFileSync(new URL('../fixtures/otlp/metrics.json', import.meta.url))
  const { fetch } = await receiver(t, { spans: [], metrics: [running] })
  t.equal((await fetch('/v1/metrics', { type: 'application/json', body: example })).body.toString(), '{}')
  const text = await host.metrics.registry.metrics()
  const labels = 'job="my.service"'
  t.match(text, `my_counter_total{${labels},my_counter_attr="some value"} 5`)
  t.match(text, `my_gauge_ratio{${labels},my_gauge_attr="some value"} 10`)
  t.match(text, /my_histogram_bucket\{.*le="1"\} 1\n/)
  t.match(text, /my_histogram_bucket\{.*le="\+Inf"\} 2\n/)
  // Two observations in (4, 8], one zero; scale 0.
  t.match(text, /my_exponential_histogram_bucket\{.*le="4"\} 1\n/)
  t.match(text, /my_exponential_histogram_bucket\{.*le="8"\} 3\n/)
  t.match(text, /my_exponential_histogram_sum\{.*\} 10\n/)
})

/** The collector on its own. */
function start(options = {}) {
  const host = world('/proc')
  return { host, running: metrics.start({ ...OPTIONS, ...options }, host) }
}

t.test('target_info carries the other attributes of the resource, one for each job and instance', async t => {
  const { take, page } = sidecar(t)
  const lines = async () => (await page()).toString().match(/^target_info.*/gm)
  take(from({ ...SHOP, 'host.name': 'h"1', 'process.pid': 42, 'process.args': ['a', 'b'] }, gauge('g', point(1))))
  const own = 'instance="one",job="eu/shop"'
  t.same(await lines(), [`target_info{host_name="h\\"1",${own},process_args="[\\"a\\",\\"b\\"]",process_pid="42"} 1`])
  take(from({ ...SHOP, 'process.pid': 43 }, gauge('g', point(2))))
  t.same(await lines(), [`target_info{${own},process_pid="43"} 1`], 'the next process takes its place')
  take(from({ ...SHOP, 'service.instance.id': 'two' }, gauge('g', point(2))))
  t.equal((await lines())?.length, 1, 'nothing is said of a resource that is only job and instance')
  t.same((await page()).toString().match(/^g\{.*/gm), [`g{${own}} 2`, 'g{instance="two",job="eu/shop"} 2'])
})

t.test('scopes become labels unless that is switched off', async t => {
  const scope = { name: 'lib', version: '1.2', attributes: attributes({ 'a.b': 'c' }) }
  const request = (first: string): Message => ({
    scopeMetrics: [
      { scope: { ...scope, name: first }, schemaUrl: 'https://x/1', metrics: [gauge('g', point(1))] },
      { scope: { name: 'other' }, metrics: [gauge('g', point(2))] },
    ],
  })
  const on = sidecar(t, { scope_labels: true })
  t.same(on.refused(request('lib')), {})
  t.same(await on.samples(), [
    'g{otel_scope_a_b="c",otel_scope_name="lib",otel_scope_schema_url="https://x/1",otel_scope_version="1.2"} 1',
    'g{otel_scope_name="other"} 2',
  ])
  const off = sidecar(t)
  t.same(off.refused(request('lib')), { duplicate_series: 1 }, 'then two scopes cannot send one series')
  t.same(await off.samples(), ['g 1'])
})

const histogram = (temporality: number, points: readonly Message[], name = 'w'): Message => ({
  name,
  unit: 's',
  histogram: { dataPoints: points, aggregationTemporality: temporality },
})

const bucketed = (bounds: readonly number[], counts: readonly number[], sum?: number, more: Message = {}): Message => ({
  count: counts.reduce((all, each) => all + each, 0),
  ...(sum === undefined ? {} : { sum }),
  explicitBounds: bounds,
  bucketCounts: counts,
  startTimeUnixNano: at(0),
  timeUnixNano: at(10),
  ...more,
})

t.test('histograms have cumulative buckets, and no sum if the sender knows none', async t => {
  const { take, samples } = sidecar(t)
  take(from(SHOP, histogram(CUMULATIVE, [bucketed([0.5, 1], [1, 2, 3], 7.5)])))
  t.same(await samples(), [
    'w_seconds_bucket{le="0.5"} 1',
    'w_seconds_bucket{le="1"} 3',
    'w_seconds_bucket{le="+Inf"} 6',
    'w_seconds_sum 7.5',
    'w_seconds_count 6',
  ])
  take(from(SHOP, histogram(CUMULATIVE, [bucketed([], [], undefined, { count: 9, timeUnixNano: at(20) })])))
  t.same(await samples(), ['w_seconds_bucket{le="+Inf"} 9', 'w_seconds_count 9'])
})

const exponential = (temporality: number, ...points: readonly Message[]): Message => ({
  name: 'e',
  exponentialHistogram: { dataPoints: points, aggregationTemporality: temporality },
})

t.test('a last bound of +Inf, which Go’s SDK sends, is the bucket that every histogram has', async t => {
  const { take, refused, samples } = sidecar(t)
  const infinity = Number.POSITIVE_INFINITY
  t.same(refused(from(SHOP, histogram(CUMULATIVE, [bucketed([1, 2, infinity], [5, 2, 3, 0], 12.5)]))), {})
  t.same(await samples(), [
    'w_seconds_bucket{le="1"} 5',
    'w_seconds_bucket{le="2"} 7',
    'w_seconds_bucket{le="+Inf"} 10',
    'w_seconds_sum 12.5',
    'w_seconds_count 10',
  ])
  take(from({}, histogram(CUMULATIVE, [bucketed([infinity], [4, 0])], 'only')))
  t.same((await samples()).slice(0, 2), ['only_seconds_bucket{le="+Inf"} 4', 'only_seconds_count 4'])
  const most = Array.from({ length: 128 }, (_, i) => i)
  const f = (bounds: readonly number[], expected: object) =>
    t.same(
      refused(from({}, histogram(CUMULATIVE, [bucketed(bounds, Array(bounds.length + 1).fill(1))], 'n'))),
      expected,
    )
  f([...most, infinity], {})
  f([...most, 128], { invalid_point: 1 })
  f([...most, infinity, infinity], { invalid_point: 1 })
  f([...most, 128, infinity], { invalid_point: 1 })
  f([1, infinity, infinity], { invalid_point: 1 })
  f([infinity, 1], { invalid_point: 1 })
  f([-infinity, 1], { invalid_point: 1 })
})

t.test('the number of observations is there in every format, also without a sum or when the sum goes down', async t => {
  const { take, samples } = sidecar(t)
  const counts = async (accept?: string) => (await samples(accept)).filter(line => /_(sum|count)/.test(line))
  const value = (sum: number | undefined, time: number) =>
    take(
      from(
        {},
        histogram(CUMULATIVE, [bucketed([0, 1], [1, 1, 2], sum, { timeUnixNano: at(time) })], 'flip'),
        histogram(CUMULATIVE, [bucketed([-1, 0, 1], [1, 1, 1, 1], sum, { timeUnixNano: at(time) })], 'drift'),
        exponential(CUMULATIVE, {
          ...(sum === undefined ? {} : { sum }),
          zeroCount: 1,
          positive: { bucketCounts: [3] },
          timeUnixNano: at(time),
        }),
        { name: 's', summary: { dataPoints: [{ count: 4, sum, timeUnixNano: at(time) }] } },
      ),
    )
  const all = ['drift_seconds_count 4', 'e_count 4', 'flip_seconds_count 4', 's_count 4']
  for (const [i, sum] of [1.5, -0.5, undefined, 1.5].entries()) {
    value(sum, 10 + i)
    const [text, openmetrics] = [await counts(), await counts(OPENMETRICS)]
    t.same(
      text.filter(line => line.includes('_count')),
      all,
    )
    t.same(
      openmetrics.filter(line => line.includes('_count')),
      all,
    )
    if (sum !== undefined) t.equal(text.filter(line => line.includes(`_sum ${sum}`)).length, 4)
  }
})

t.test('exponential histograms far apart, with negative values and of high scale are shown in few buckets', async t => {
  const { take, samples } = sidecar(t)
  const value = { count: 6, sum: 1, scale: 20, timeUnixNano: at(10) }
  take(
    from(
      {},
      exponential(CUMULATIVE, {
        ...value,
        positive: { offset: -1, bucketCounts: [1] },
        negative: { offset: 1_048_576 * 3, bucketCounts: [2, 3] },
      }),
    ),
  )
  const lines = await samples()
  t.ok(lines.length <= 23, `${lines.length} lines`)
  t.match(lines.at(-1), 'e_count 6')
  const f = (le: number) => lines.find(line => line.includes(`le="${le}"`))?.split(' ')[1]
  t.equal(f(1), '6')
  t.ok(
    lines.some(line => /le="-8"/.test(line)),
    'negative bounds',
  )
})

t.test('summaries keep their quantiles in order', async t => {
  const { take, samples } = sidecar(t)
  const quantileValues = [
    { quantile: 0.99, value: 5 },
    { quantile: 0.5, value: 2 },
  ]
  take(
    from(SHOP, { name: 's', summary: { dataPoints: [{ count: 10, sum: 30, quantileValues, timeUnixNano: at(1) }] } }),
  )
  t.same(await samples(), ['s{quantile="0.5"} 2', 's{quantile="0.99"} 5', 's_sum 30', 's_count 10'])
})

t.test('exemplars lead from a counter and from each bucket to a trace', async t => {
  const { take, samples } = sidecar(t)
  const ids = { traceId: Buffer.alloc(16, 0xab), spanId: Buffer.alloc(8, 0xcd) }
  const exemplar = (value: number, seconds: number, more: Message = ids): Message => ({
    asDouble: value,
    timeUnixNano: at(seconds),
    ...more,
  })
  const labels = `trace_id="${'ab'.repeat(16)}",span_id="${'cd'.repeat(8)}"`
  take(
    from(
      SHOP,
      sum('c', point(1, {}, { exemplars: [exemplar(1, 1), exemplar(1, 3), exemplar(1, 2)] })),
      histogram(CUMULATIVE, [
        bucketed([1, 2], [5, 5, 5], 20, {
          exemplars: [
            exemplar(0.5, 1, { ...ids, filteredAttributes: attributes({ user: 'u1', trace_id: 'forged' }) }),
            exemplar(3, 2, { filteredAttributes: attributes({ long: 'x'.repeat(200) }) }),
            exemplar(1.5, 2, { ...ids, filteredAttributes: attributes({ long: 'x'.repeat(200) }) }),
          ],
        }),
      ]),
      gauge('g', point(1, {}, { exemplars: [exemplar(1, 1)] })),
    ),
  )
  const lines = await samples(OPENMETRICS)
  t.same(lines.slice(0, 5), [
    `c_total 1 # {${labels}} 1 1750000003.000`,
    'g 1',
    `w_seconds_bucket{le="1.0"} 5 # {${labels},user="u1"} 0.5 1750000001.000`,
    `w_seconds_bucket{le="2.0"} 10 # {${labels}} 1.5 1750000002.000`,
    'w_seconds_bucket{le="+Inf"} 15',
  ])
})

t.test('a series ends with the flag "no recorded value", or when nothing updates it', async t => {
  const { take, refused, samples, clock, page } = sidecar(t)
  take(from(SHOP, gauge('a', point(1)), gauge('b', point(1), point(2, { x: 'y' }))))
  t.same(refused(from(SHOP, gauge('b', { attributes: [], flags: 1, timeUnixNano: at(20) }))), {})
  t.same(await samples(), ['a 1', 'b{x="y"} 2'])
  await clock.pass(299_000)
  take(from(SHOP, gauge('a', point(3, {}, { timeUnixNano: at(30) }))))
  await clock.pass(2000)
  t.same(await samples(), ['a 3'])
  t.match((await page()).toString(), 'pillion_metrics_expired_series_total 1\n')
  await clock.pass(300_000)
  t.same(await samples(), [])
  take(from(SHOP, deltaSum('a', point(1))))
  t.same(await samples(), ['a_total 1'], 'and the name is free again for another type')
})

t.test('beyond the limit points are refused, counted exactly, and what expires makes room', async t => {
  const { take, refused, samples, clock } = sidecar(t, { limit: 100 })
  const many = (offset: number, count: number) =>
    from({}, gauge('g', ...Array.from({ length: count }, (_, i) => point(i, { i: offset + i }))))
  t.same(refused(many(0, 150)), { series_limit: 50 })
  t.same(refused(many(50, 5000)), { series_limit: 4950 }, 'known ones are still updated')
  t.equal((await samples()).length, 100)
  t.match(take(many(1000, 1))[0], { items: 1, text: 'data points of label sets beyond metrics.limit' })
  await clock.pass(301_000)
  t.same(refused(many(1000, 100)), {}, 'without a scrape in between')
  t.equal((await samples()).length, 100)
})

t.test('points that Prometheus could not take, or could mistake, are refused and named', async t => {
  const { refused, samples, take } = sidecar(t)
  const f = (reason: string, ...metrics: readonly Message[]) => {
    const all = take(from(SHOP, ...metrics))
    t.same(
      all.map(each => [each.reason, each.items]),
      [[reason, 1]],
      all[0]?.text ?? reason,
    )
  }
  const one = point(1)
  take(from(SHOP, gauge('known', one), histogram(CUMULATIVE, [bucketed([1], [1, 1], 1)], 'hist')))
  const before = await samples()
  f('name_collision', sum('pillion.otlp.received.items', one))
  f('name_collision', gauge('pillion_series', one))
  f('name_collision', gauge('target.info', one))
  f('name_collision', gauge('up', one))
  f('name_collision', gauge('scrape_duration_seconds', one))
  f('type_conflict', { name: 'known', summary: { dataPoints: [{ count: 1 }] } })
  f('type_conflict', gauge('hist_seconds_count', one))
  f('type_conflict', sum('known', one))
  f('invalid_name', gauge('', one))
  f('invalid_name', gauge('···', one))
  f('invalid_name', gauge('x'.repeat(300), one))
  f('unspecified_temporality', { name: 'u', sum: { dataPoints: [one], isMonotonic: true } })
  f('invalid_point', gauge('none', { timeUnixNano: at(1) }))
  f('invalid_point', sum('neg', point(-1)))
  f('invalid_point', sum('nan', { asDouble: Number.NaN }))
  f('invalid_point', histogram(CUMULATIVE, [bucketed([1, 2], [1, 1])]))
  f('invalid_point', histogram(CUMULATIVE, [bucketed([2, 1], [1, 1, 1])]))
  f('invalid_point', histogram(CUMULATIVE, [bucketed([Number.NaN], [1, 1])]))
  f(
    'invalid_point',
    histogram(CUMULATIVE, [
      bucketed(
        Array.from({ length: 200 }, (_, i) => i),
        Array(201).fill(1),
      ),
    ]),
  )
  f('invalid_point', exponential(CUMULATIVE, { scale: -5, positive: { offset: 0, bucketCounts: [1] } }))
  f('invalid_point', exponential(CUMULATIVE, { scale: 0, positive: { offset: 2_000_000_000, bucketCounts: [1] } }))
  f('invalid_point', exponential(CUMULATIVE, { scale: 0, positive: { offset: 0, bucketCounts: Array(5000).fill(1) } }))
  f('invalid_point', { name: 's', summary: { dataPoints: [{ quantileValues: [{ quantile: 2, value: 1 }] }] } })
  f('label_limit', gauge('wide', point(1, Object.fromEntries(Array.from({ length: 65 }, (_, i) => [`a${i}`, 1])))))
  f('label_limit', gauge('long', point(1, { a: 'x'.repeat(5000) })))
  f('label_limit', gauge('longer', point(1, { a: 'x'.repeat(1_000_000) })))
  t.same(await samples(), before, 'and nothing of it is left')
  t.same(refused(from(SHOP, sum('ok', one, point(-1, { a: 1 })))), { invalid_point: 1 }, 'the good ones are taken')
})

t.test('attributes cannot forge labels or lines', async t => {
  const { take, page } = sidecar(t)
  const forged = 'a"} 1\nevil{x="\\\r\0\u2028'
  take(
    from(
      SHOP,
      gauge(
        'g',
        point(1, { le: '1', job: 'mine', __name__: 'x', 'a-b': 'one', 'a.b': 'two', v: forged, '': 'empty', none: '' }),
      ),
    ),
  )
  const text = (await page()).toString()
  const line = text.split('\n').find(each => each.startsWith('g{'))
  t.equal(
    line,
    `g{a_b="one;two",exported_job="mine",exported_le="1",instance="one",job="eu/shop",key_name_="x",v="a\\"} 1\\nevil{x=\\"\\\\\r\0\u2028"} 1`,
  )
})

t.test('values of every type become label texts', async t => {
  const { take, samples } = sidecar(t)
  const values = {
    big: 9007199254740993n,
    bool: false,
    bytes: Buffer.from('hi'),
    double: 0.5,
    empty: null,
    list: [1, 'a', null, true],
    map: { k: [1.5] },
    negative: -5,
  }
  take(from({}, gauge('g', point(1, values))))
  t.same(await samples(), [
    'g{big="9007199254740993",bool="false",bytes="aGk=",double="0.5",list="[1,\\"a\\",null,true]",map="{\\"k\\":[1.5]}",negative="-5"} 1',
  ])
})

t.test('a request is understood in every order and partition that protobuf allows', async t => {
  const { take, samples } = sidecar(t)
  const { ld, double, fixed64, number, attribute } = await import('../otlp/requests.ts')
  // The resource in two pieces, one of them last; the sum in two pieces; bucket counts unpacked.
  const metric = ld(2, ld(7, ld(1, double(4, 3))), ld(1, 'c'), ld(7, number(2, 2), number(3, 1)))
  const split = ld(
    2,
    ld(9, ld(1, fixed64(6, 1n), ld(7, Buffer.from(new Float64Array([1]).buffer)), fixed64(6, 2n)), number(2, 2)),
    ld(1, 'h'),
  )
  take(
    ld(
      1,
      ld(1, attribute(1, 'service.name', 'a')),
      ld(2, metric, split),
      ld(1, attribute(1, 'service.instance.id', 'b')),
    ),
  )
  t.same(await samples(), ['c_total 3', 'h_bucket{le="1"} 1', 'h_bucket{le="+Inf"} 3', 'h_count 3'])
  const { page } = sidecar(t)
  t.notMatch((await page()).toString(), 'job=')
})

t.test(
  'if a metric has two kinds of data the last one wins, and the points of the first are accounted for',
  async t => {
    const { refused, samples } = sidecar(t)
    const { ld, double } = await import('../otlp/requests.ts')
    const points = ld(1, double(4, 3))
    t.same(refused(ld(1, ld(2, ld(2, ld(1, 'm'), ld(11, points, points), ld(5, points))))), { invalid_point: 2 })
    t.same(await samples(), ['m 3'])
  },
)

t.test('the ledger of the receiver is exact, and the sender is told what was refused', async t => {
  const { running, host } = start({ limit: 50 })
  const { fetch, counted, value } = await receiver(t, { spans: [], metrics: [running] })
  const points = Array.from({ length: 80 }, (_, i) => point(i, { i }))
  const body = encoded(
    from(SHOP, gauge('g', ...points), sum('bad', point(-1)), gauge('up', point(1), point(2, { a: 1 }))),
  )
  const answer = await fetch('/v1/metrics', { body })
  t.equal(answer.status, 200)
  t.match(answer.body.toString(), 'refused 30 data points of label sets beyond metrics.limit')
  t.equal(await value('pillion_otlp_received_items_total{signal="metrics"}'), 83)
  t.equal(await value('pillion_otlp_accepted_items_total{signal="metrics"}'), 50)
  t.same(await counted('pillion_otlp_refused_items_total'), {
    '{signal="metrics",reason="series_limit"}': 30,
    '{signal="metrics",reason="invalid_point"}': 1,
    '{signal="metrics",reason="name_collision"}': 2,
  })
  t.match(await host.metrics.registry.metrics(), 'g{i="49",instance="one",job="eu/shop"} 49')
})

t.test('nothing is left of senders that come and go', async t => {
  const { take, samples, clock, page } = sidecar(t, { limit: 50 })
  for (let round = 0; round < 200; round++) {
    take(from({ ...SHOP, pid: round }, gauge('g', point(round, {}, { timeUnixNano: at(round) }))))
    take(from({ 'service.name': `s${round}` }, gauge('h', point(round, { x: 'y' }))))
  }
  t.equal((await samples()).filter(line => line.startsWith('g')).length, 1, 'the last process holds the series')
  await clock.pass(400_000)
  t.same(await samples(), [])
  t.match((await page()).toString(), 'pillion_series{family="otlp_metrics"} 0\n')
})

t.test('a cardinality attack costs little, and every point is accounted for', async t => {
  const { take, samples } = sidecar(t)
  const bytes = encoded(
    from(SHOP, gauge('g', ...Array.from({ length: 50_000 }, (_, i) => point(i, { user: `user ${i}`, b: 'c', d: i })))),
  )
  const names = encoded(from(SHOP, ...Array.from({ length: 20_000 }, (_, i) => gauge(`n${i}`, point(i)))))
  const owners = encoded(
    ...Array.from({ length: 10_000 }, (_, i) => from({ 'service.name': `s${i}` }, gauge('z', point(i)))),
  )
  for (const [request, items] of [
    [bytes, 50_000],
    [names, 20_000],
    [owners, 10_000],
    [bytes, 50_000],
  ] as const) {
    const begin = performance.now()
    const refused = take(request).reduce((all, each) => all + each.items, 0)
    t.comment(`${items} points: ${(performance.now() - begin).toFixed(0)} ms`)
    t.ok(refused >= items - 2000, `${refused} of ${items} refused`)
  }
  const lines = await samples()
  t.ok(lines.length <= 2000)
})
