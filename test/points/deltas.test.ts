// Deltas are added up: each exactly once, whoever sends them and in whatever order they come.

import t from 'tap'
import { Scrape } from '../../exporter/prometheus.ts'
import { metrics } from '../../processors/points.ts'
import { decoded } from '../metrics/client-model.ts'
import { receiver } from '../otlp/receiver.ts'
import { world } from '../world.ts'
import {
  at,
  DELTA,
  deltaSum,
  encoded,
  from,
  gauge,
  type Message,
  OPENMETRICS,
  OPTIONS,
  PROTOBUF,
  point,
  SHOP,
  sidecar,
  sum,
  times,
} from './otlp.ts'

const MISSING = 'pillion_metrics_delta_gaps_total{reason="missing_interval"}'
const CHANGED = 'pillion_metrics_delta_gaps_total{reason="changed_buckets"}'

const orders = (value: number, start: number, time: number, resource: Readonly<Record<string, unknown>> = SHOP) =>
  from(resource, deltaSum('orders', point(value, {}, times(start, time))))

t.test('intervals that follow each other are added, gaps are counted, and a repetition is refused', async t => {
  const { take, refused, samples, ours } = sidecar(t)
  take(orders(5, 0, 10))
  take(orders(3, 10, 20))
  t.same(await samples(), ['orders_total 8'])
  t.equal(await ours(MISSING), 0)
  t.same(refused(orders(3, 10, 20)), { out_of_order: 1 }, 'a retry of what was taken')
  t.same(refused(orders(5, 0, 10)), { out_of_order: 1 }, 'and of what was taken before')
  take(orders(1, 30, 40))
  t.same(await samples(), ['orders_total 9'])
  t.equal(await ours(MISSING), 1)
  take(orders(1, 40, 50), orders(2, 50, 60))
  t.same(await samples(), ['orders_total 12'], 'two intervals in one request')
})

t.test('a delta with the times of the last one and another value is no retry, and is added', async t => {
  const { take, refused, samples } = sidecar(t)
  take(orders(20, 0, 10))
  t.same(refused(orders(16, 0, 10)), {}, 'as Micrometer reports what came in since, when it ends')
  t.same(await samples(), ['orders_total 36'])
  t.same(refused(orders(16, 0, 10)), { out_of_order: 1 }, 'a retry of that')
  t.same(await samples(), ['orders_total 36'])
})

t.test('one writer whose start time stays that of the process loses nothing', async t => {
  const { refused, samples, ours } = sidecar(t)
  for (const time of [10, 20, 30, 40, 50]) t.same(refused(orders(10, 0, time)), {})
  t.same(await samples(), ['orders_total 50'])
  t.equal(await ours(MISSING), 0)
  t.same(refused(orders(10, 0, 40)), { out_of_order: 1 })
})

t.test('two forked workers with one resource lose nothing, though their intervals overlap', async t => {
  const { refused, samples } = sidecar(t)
  for (const [start, time] of [
    [0, 10],
    [5, 12],
    [10, 20],
    [12, 22],
    [20, 30],
    [22, 32],
  ] as const)
    t.same(refused(orders(10, start, time)), {})
  t.same(await samples(), ['orders_total 60'])
  t.same(refused(orders(10, 20, 30)), { out_of_order: 1 }, 'the retry of the one after the other has sent')
})

t.test('an interval that comes late, after a newer one, is added', async t => {
  const { refused, samples } = sidecar(t)
  for (const start of [0, 20, 10, 40, 30]) t.same(refused(orders(1, start, start + 10)), {})
  t.same(await samples(), ['orders_total 5'])
})

t.test('a repetition that comes after more than sixteen newer intervals is refused too', async t => {
  const { take, refused, samples } = sidecar(t)
  for (let i = 0; i < 40; i++) take(orders(1, i * 10, i * 10 + 10))
  t.same(refused(orders(1, 30, 40)), { out_of_order: 1 })
  t.same(await samples(), ['orders_total 40'])
})

t.test('processes that differ only in other attributes are added, a repetition by each of them is not', async t => {
  const { take, refused, samples } = sidecar(t)
  const by = (pid: number, start: number) => orders(1, start, start + 10, { ...SHOP, pid })
  for (const start of [0, 10, 20]) for (const pid of [1, 2]) take(by(pid, start))
  t.same(await samples(), ['orders_total 6'])
  t.same(refused(by(1, 20)), { out_of_order: 1 })
  t.same(refused(by(2, 10)), { out_of_order: 1 })
  t.same(await samples(), ['orders_total 6'])
})

t.test('the next process goes on counting where the last one stopped, also with a clock that is behind', async t => {
  const { take, refused, samples } = sidecar(t)
  const by = (pid: number, value: number, start: number, time: number) =>
    from(
      { ...SHOP, pid },
      deltaSum('c', point(value, {}, times(start, time))),
      sum('d', point(value, {}, times(start, time))),
    )
  take(by(1, 5, 0, 10))
  take(by(2, 3, 4, 9))
  t.same(await samples(), ['c_total 8', 'd_total 3'])
  t.same(
    refused(by(1, 1, 10, 20), by(2, 1, 10, 20)),
    { duplicate_series: 2 },
    'but both in one request are not one series',
  )
})

t.test('a counter that is silent for longer than the expiry goes on from where it was', async t => {
  const { take, samples, clock, ours, page } = sidecar(t)
  const described = { ...SHOP, 'host.name': 'h' }
  for (let i = 1; i <= 4; i++) {
    take(from(described, deltaSum('jobs', point(1, {}, times(i * 600 - 60, i * 600))), gauge('busy', point(1))))
    await clock.pass(600_000)
    t.same(await samples(), [`jobs_total ${i}`], 'the gauge is gone')
    t.match(
      (await page()).toString(),
      /^target_info\{.*host_name="h".*\} 1$/m,
      'the metric that it is joined with stays',
    )
  }
  t.equal(await ours('pillion_metrics_evicted_sums_total'), 0)
})

t.test('a series that had nothing to report while its process reported others is no gap', async t => {
  const { take, ours } = sidecar(t)
  const report = (i: number, ...names: readonly string[]) =>
    take(from(SHOP, ...names.map(name => deltaSum(name, point(1, {}, times(i * 10, i * 10 + 10))))))
  report(0, 'often', 'seldom')
  for (let i = 1; i < 5; i++) report(i, 'often')
  report(5, 'often', 'seldom')
  t.equal(await ours(MISSING), 0)
  report(7, 'often', 'seldom')
  t.equal(await ours(MISSING), 2, 'where all are missing something was lost')
})

t.test('at the limit idle sums make room for new series, the longest idle first, and are counted', async t => {
  const { take, refused, samples, clock, ours } = sidecar(t, { limit: 32 })
  const counters = (first: number, count: number, time: number) =>
    from(
      {},
      ...Array.from({ length: count }, (_, i) => deltaSum(`c${first + i}`, point(1, {}, times(time, time + 10)))),
    )
  take(counters(0, 16, 0))
  await clock.pass(60_000)
  take(counters(16, 16, 60))
  t.same(refused(counters(100, 1, 61)), { series_limit: 1 }, 'a sum that was updated within the expiry keeps its place')
  await clock.pass(270_000)
  t.equal((await samples()).length, 32, 'nobody needs their place')
  t.same(refused(counters(200, 3, 330)), {})
  const names = (await samples()).map(each => each.split(' ')[0])
  t.equal(await ours('pillion_metrics_evicted_sums_total'), 4)
  t.equal(names.length, 31)
  t.same(
    names.filter(each => /^c(\d|1[0-5])_total$/.test(each ?? '')).length,
    12,
    'only those that were idle the longest have gone',
  )
  t.same(refused(counters(300, 40, 331)), { series_limit: 27 }, 'those updated within the expiry stay')
  t.equal(await ours('pillion_metrics_evicted_sums_total'), 16)
  t.equal(await ours('pillion_series{family="otlp_metrics"}'), 32)
})

t.test('the memory of all series is bounded: idle sums make room, and without any new series are refused', async t => {
  const memory = 1024 * 1024
  const { take, refused, clock, ours } = sidecar(t, { memory })
  const wide = (first: number, count: number, time: number): Message =>
    from(
      {},
      {
        name: 'wide',
        exponentialHistogram: {
          aggregationTemporality: DELTA,
          dataPoints: Array.from({ length: count }, (_, i) => ({
            attributes: [{ key: 'long', value: { stringValue: `${first + i}`.padEnd(3000, 'x') } }],
            positive: { bucketCounts: Array(160).fill(1) },
            ...times(time, time + 10),
          })),
        },
      },
    )
  const many = refused(wide(0, 500, 0))
  t.same(Object.keys(many), ['memory_limit'])
  const held = await ours('pillion_series{family="otlp_metrics"}')
  t.equal(held + many['memory_limit']!, 500)
  t.ok((await ours('pillion_metrics_held_bytes')) < memory + 12_000)
  t.same(refused(wide(0, held, 10)), {}, 'known ones are still added to')
  await clock.pass(301_000)
  t.same(take(wide(1000, 5, 400)), [])
  t.ok((await ours('pillion_metrics_evicted_sums_total')) > 0)
  t.ok((await ours('pillion_metrics_held_bytes')) < memory + 12_000)
})

t.test('a sum that a restarted process adds to is not the one that makes room', async t => {
  const { take, samples, clock, ours } = sidecar(t, { limit: 16 })
  const by = (pid: number, name: string, time: number) =>
    from({ pid }, deltaSum(name, point(1, {}, times(time, time + 10))))
  for (let i = 0; i < 16; i++) take(by(1, `c${i}`, i))
  await clock.pass(301_000)
  take(by(2, 'c0', 400))
  t.ok((await samples()).includes('c0_total 2'))
  t.equal(await ours('pillion_metrics_evicted_sums_total'), 0)
})

t.test('a crash loop of processes with ids of their own stays within the limit', async t => {
  const { take, samples, clock, ours } = sidecar(t, { limit: 100 })
  for (let run = 0; run < 100; run++) {
    const resource = { ...SHOP, 'service.instance.id': `run ${run}`, 'process.pid': run }
    const refusals = take(from(resource, ...Array.from({ length: 9 }, (_, i) => deltaSum(`c${i}`, point(1)))))
    t.same(refusals, [])
    await clock.pass(310_000)
  }
  t.ok((await samples()).length <= 100)
  t.ok((await ours('pillion_metrics_evicted_sums_total')) >= 800)
  t.ok((await ours('pillion_series{family="otlp_metrics"}')) <= 100)
})

t.test('a sum that a cumulative series takes over expires like one', async t => {
  const { take, samples, clock } = sidecar(t)
  take(orders(5, 0, 10))
  take(from(SHOP, sum('orders', point(7, {}, times(0, 20)))))
  t.same(await samples(), ['orders_total 7'])
  await clock.pass(301_000)
  t.same(await samples(), [])
})

t.test('deltas of an up-down counter are added as well', async t => {
  const { take, samples } = sidecar(t)
  const open = (value: number, start: number, time: number): Message =>
    from(SHOP, {
      name: 'open',
      sum: { dataPoints: [point(value, {}, times(start, time))], aggregationTemporality: DELTA },
    })
  take(open(5, 0, 10), open(-2, 0, 20), open(1, 0, 30))
  t.same(await samples(), ['open 4'])
})

t.test('a delta that is not finite is refused, since it would never leave the sum', async t => {
  const { refused, samples } = sidecar(t)
  const add = (asDouble: number, time: number, isMonotonic: boolean, name: string) =>
    refused(
      from(SHOP, {
        name,
        sum: { dataPoints: [{ asDouble, ...times(0, time) }], aggregationTemporality: DELTA, isMonotonic },
      }),
    )
  t.same(add(1, 10, true, 'c'), {})
  t.same(add(1, 10, false, 'u'), {})
  for (const odd of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
    t.same(add(odd, 20, true, 'c'), { invalid_point: 1 })
    t.same(add(odd, 20, false, 'u'), { invalid_point: 1 })
  }
  t.same(add(1, 20, true, 'c'), {})
  t.same(add(1, 20, false, 'u'), {})
  t.same(await samples(), ['c_total 2', 'u 2'])
})

t.test('a recording that is played once more at its own speed is not added again', async t => {
  const { refused, samples, clock } = sidecar(t)
  for (const expected of [{}, { out_of_order: 1 }])
    for (let i = 0; i < 12; i++) {
      t.same(refused(orders(1, i * 10, i * 10 + 10)), expected)
      await clock.pass(10_000)
    }
  t.same(await samples(), ['orders_total 12'])
})

t.test('deltas without times are added, since nothing tells them apart', async t => {
  const { refused, samples } = sidecar(t)
  const untimed = () => from(SHOP, deltaSum('c', point(1, {}, { startTimeUnixNano: 0, timeUnixNano: 0 })))
  for (let i = 0; i < 3; i++) t.same(refused(untimed()), {})
  t.same(await samples(), ['c_total 3'])
})

t.test('deltas go on when the sender’s clock was set back by hours', async t => {
  const { refused, samples, clock } = sidecar(t)
  const f = async (start: number, time: number, expected: object) => {
    t.same(refused(orders(1, start, time)), expected, `${start} to ${time}`)
    await clock.pass(10_000)
  }
  for (let i = 0; i < 30; i++) await f(100_000 + i * 10, 100_010 + i * 10, {})
  await f(90_000, 90_010, { out_of_order: 1 })
  await f(90_010, 90_020, {})
  await f(90_020, 90_030, {})
  t.same(await samples(), ['orders_total 32'])
  t.same(refused(orders(1, 100_290, 100_300)), { out_of_order: 1 }, 'a retry from before')
  for (let i = 0; i < 40; i++) await f(90_030 + i * 10, 90_040 + i * 10, {})
  t.same(await samples(), ['orders_total 72'])
  t.same(refused(orders(1, 90_020, 90_030)), { out_of_order: 1 })
})

t.test(
  'a queue of old deltas that is delivered once more is refused, since it comes faster than it was filled',
  async t => {
    const { refused, samples, clock } = sidecar(t)
    for (let i = 0; i < 60; i++) {
      t.same(refused(orders(1, i * 10, i * 10 + 10)), {})
      await clock.pass(10_000)
    }
    for (let i = 0; i < 60; i++) t.same(refused(orders(1, i * 10, i * 10 + 10)), { out_of_order: 1 })
    t.same(await samples(), ['orders_total 60'])
  },
)

const bucketed = (bounds: readonly number[], counts: readonly number[], i: number, total?: number): Message =>
  from(SHOP, {
    name: 'w',
    unit: 's',
    histogram: {
      aggregationTemporality: DELTA,
      dataPoints: [
        {
          count: counts.reduce((all, each) => all + each, 0),
          ...(total === undefined ? {} : { sum: total }),
          explicitBounds: bounds,
          bucketCounts: counts,
          ...times(0, i * 10 + 10),
        },
      ],
    },
  })

t.test('histograms are added while their bounds are the same, and begin again when they change', async t => {
  const { take, samples, ours } = sidecar(t)
  const all = (le: string, low: number, sum: number, count: number) => [
    `w_seconds_bucket{le="${le}"} ${low}`,
    `w_seconds_bucket{le="+Inf"} ${count}`,
    `w_seconds_sum ${sum}`,
    `w_seconds_count ${count}`,
  ]
  take(bucketed([1], [1, 2], 0, 1), bucketed([1], [3, 4], 1, 1))
  t.same(await samples(), all('1', 4, 2, 10))
  take(bucketed([1, Number.POSITIVE_INFINITY], [1, 0, 0], 2, 1))
  t.same(await samples(), all('1', 5, 3, 11), 'a last bound of +Inf is no other bound')
  t.equal(await ours(CHANGED), 0)
  take(bucketed([2], [1, 1], 3, 1))
  t.same(await samples(), all('2', 1, 1, 2))
  t.equal(await ours(CHANGED), 1)
})

const native = (i: number, value: Message): Message =>
  from(SHOP, {
    name: 'e',
    exponentialHistogram: {
      aggregationTemporality: DELTA,
      dataPoints: [{ sum: 1, startTimeUnixNano: at(i * 10), timeUnixNano: at(i * 10 + 10), ...value }],
    },
  })

t.test('deltas sent as JSON and as protobuf give the same pages in every format', async t => {
  const stream = [0, 1, 2].map(i =>
    from(
      SHOP,
      deltaSum('orders', point(10, {}, times(0, i * 10 + 10))),
      {
        name: 'w',
        histogram: {
          aggregationTemporality: DELTA,
          dataPoints: [
            {
              count: 3,
              sum: 4.5,
              bucketCounts: [1, 2, 0],
              explicitBounds: [1, Number.POSITIVE_INFINITY],
              ...times(0, i * 10 + 10),
            },
          ],
        },
      },
      {
        name: 'e',
        exponentialHistogram: {
          aggregationTemporality: DELTA,
          dataPoints: [
            { count: 3, zeroThreshold: i / 8, scale: i, positive: { bucketCounts: [1, 2] }, ...times(0, i * 10 + 10) },
          ],
        },
      },
    ),
  )
  const pages = async (encoding: 'json' | 'protobuf') => {
    const host = world('/proc')
    const running = metrics.start(OPTIONS, host)
    const { fetch } = await receiver(t, { spans: [], metrics: [running] })
    for (const each of stream) {
      const json = JSON.stringify({ resourceMetrics: [each] }, (_, value) =>
        value === Number.POSITIVE_INFINITY ? 'Infinity' : value,
      )
      const sent = encoding === 'json' ? { type: 'application/json', body: Buffer.from(json) } : { body: encoded(each) }
      const answer = await fetch('/v1/metrics', sent)
      t.match(
        answer,
        { status: 200, body: encoding === 'json' ? Buffer.from('{}') : Buffer.alloc(0) },
        answer.body.toString(),
      )
    }
    const scrape = new Scrape(host.metrics, [])
    const own = async (accept?: string) =>
      Buffer.concat((await scrape.scrape(accept, AbortSignal.timeout(5000))).chunks)
    const families = decoded(await own(PROTOBUF)).filter(({ name }) => !name.startsWith('pillion_'))
    const lines = async (accept?: string) =>
      (await own(accept))
        .toString()
        .split('\n')
        .filter(line => !line.includes('pillion_'))
    return { families, text: await lines(), openmetrics: await lines(OPENMETRICS) }
  }
  const [json, protobuf] = [await pages('json'), await pages('protobuf')]
  t.same(json, protobuf)
  for (const page of [json.text, json.openmetrics]) {
    t.ok(page.includes('orders_total{instance="one",job="eu/shop"} 30'))
    t.ok(page.includes('w_count{instance="one",job="eu/shop"} 9'))
    t.ok(page.includes('e_count{instance="one",job="eu/shop"} 9'))
  }
  t.equal(json.families.find(({ name }) => name === 'e')?.metric?.[0]?.histogram?.sampleCount, 9)
})

t.test('exponential histograms are added at the lower scale of the two', async t => {
  const { take, samples } = sidecar(t)
  // (1, 1.41] and (1.41, 2] at scale 1; then (1, 2] and (2, 4] at scale 0.
  take(native(0, { scale: 1, zeroCount: 1, positive: { bucketCounts: [1, 2] } }))
  take(native(1, { scale: 0, zeroCount: 1, positive: { bucketCounts: [10, 20] } }))
  t.same(await samples(), [
    'e_bucket{le="1"} 2',
    'e_bucket{le="2"} 15',
    'e_bucket{le="4"} 35',
    'e_bucket{le="+Inf"} 35',
    'e_sum 2',
    'e_count 35',
  ])
})

t.test(
  'exponential histograms are added when the zero threshold changes: the larger one takes in what is below',
  async t => {
    const { take, samples, ours } = sidecar(t)
    const f = (i: number, zeroThreshold: number, offset: number, ...bucketCounts: readonly number[]) =>
      take(native(i, { scale: 0, zeroCount: 1, zeroThreshold, positive: { offset, bucketCounts } }))
    // (0.125, 0.25], (0.25, 0.5], (0.5, 1] and (1, 2].
    f(0, 0, -3, 1, 2, 4, 8)
    f(1, 0.25, -1, 0, 1)
    t.same(await samples(), [
      'e_bucket{le="0.25"} 3',
      'e_bucket{le="0.5"} 5',
      'e_bucket{le="1"} 9',
      'e_bucket{le="2"} 18',
      'e_bucket{le="+Inf"} 18',
      'e_sum 2',
      'e_count 18',
    ])
    // 0.4 would split (0.25, 0.5], so the threshold becomes 0.5.
    f(2, 0.4, -1, 0, 1)
    t.same((await samples()).slice(0, 3), ['e_bucket{le="0.5"} 6', 'e_bucket{le="1"} 10', 'e_bucket{le="2"} 20'])
    f(3, 0, -3, 1, 0, 0, 0)
    t.same((await samples()).slice(0, 3), ['e_bucket{le="0.5"} 8', 'e_bucket{le="1"} 12', 'e_bucket{le="2"} 22'])
    t.equal(await ours(CHANGED), 0)
  },
)
