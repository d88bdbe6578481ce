// Cumulative series: which point is the newest, and how it is noticed that two processes write one series.

import t from 'tap'
import { from, gauge, type Message, point, SHOP, sidecar, sum, times } from './otlp.ts'

const CONFLICTS = 'pillion_metrics_conflicting_points_total'

const orders = (value: number, start: number, time: number, resource: Readonly<Record<string, unknown>> = SHOP) =>
  from(resource, sum('orders', point(value, {}, times(start, time))))

t.test('values replace what was there, a restart included, and what comes late is refused', async t => {
  const { take, refused, samples, ours } = sidecar(t)
  const f = async (value: number, start: number, time: number) => {
    take(orders(value, start, time))
    t.same(await samples(), [`orders_total ${value}`])
  }
  await f(5, 0, 10)
  await f(8, 0, 20)
  await f(1, 15, 18)
  t.same(refused(orders(9, 15, 17)), { out_of_order: 1 })
  t.same(await samples(), ['orders_total 1'])
  await f(1, 15, 18)
  t.equal(await ours(CONFLICTS), 0)
})

t.test('forked workers with one identity are counted, and their resource is named', async t => {
  const { take, samples, ours, findings, logged, clock } = sidecar(t)
  const shop = { 'service.name': 'shop' }
  for (const time of [10, 20, 30])
    for (const worker of [0, 1]) take(orders(time * (worker + 1), worker / 1000, time + worker * 3, shop))
  t.same(await samples(), ['orders_total 60'], 'in truth 90')
  t.equal(await ours(CONFLICTS), 2)
  t.same(findings(), [
    'several processes send the cumulative metrics of "shop" without service.instance.id, and replace each other’s values ' +
      '(orders_total); give each process its own service.instance.id, ' +
      'or set OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE=delta to have them added up',
  ])
  t.same(
    logged,
    findings().map(text => `warn ${text}`),
    'once in the log',
  )
  await clock.pass(301_000)
  t.same(findings(), [], 'a writer not seen again within the expiry is over')
})

t.test(
  'workers forked after the first measurement have one start time, and are told by counts that go back',
  async t => {
    const { take, ours, findings } = sidecar(t)
    const wait = (count: number, time: number): Message => ({
      name: 'wait',
      exponentialHistogram: {
        aggregationTemporality: 2,
        dataPoints: [{ sum: count, zeroCount: count, ...times(0, time) }],
      },
    })
    for (const time of [10, 20, 30])
      for (const worker of [1, 2])
        take(
          from(
            SHOP,
            sum('orders', point(time * worker, {}, times(0, time + worker))),
            wait(time * worker, time + worker),
            gauge('queue', point(worker, {}, times(0, time + worker))),
          ),
        )
    // The first worker's 30 comes after the second worker's 40, in both series.
    t.equal(await ours(CONFLICTS), 2)
    t.same(findings(), [])
    for (const worker of [1, 2]) take(from(SHOP, sum('orders', point(40 * worker, {}, times(0, 40 + worker)))))
    t.equal(findings().length, 1)
  },
)

t.test('so are processes that differ in attributes that are no labels, and histograms of theirs', async t => {
  const { take, ours, findings } = sidecar(t)
  const wait = (pid: number, start: number, time: number) =>
    from(
      { ...SHOP, pid },
      {
        name: 'wait',
        histogram: {
          aggregationTemporality: 2,
          dataPoints: [{ count: 1, sum: 1, bucketCounts: [1], ...times(start, time) }],
        },
      },
    )
  for (const time of [10, 20, 30]) for (const pid of [1, 2]) take(wait(pid, pid * 5, time + pid))
  t.equal(await ours(CONFLICTS), 2)
  t.match(findings(), [/^several processes send the cumulative metrics of "eu\/shop" with service.instance.id "one"/])
})

t.test(
  'a start time that goes back once, as after a restart with a clock set back, is counted and no finding',
  async t => {
    const { refused, samples, ours, findings, clock } = sidecar(t)
    const f = async (value: number, start: number, time: number, expected: object) => {
      t.same(refused(orders(value, start, time)), expected)
      await clock.pass(10_000)
    }
    await f(50, 1000, 1010, {})
    await f(1, 100, 110, { out_of_order: 1 })
    await f(2, 100, 120, {})
    await f(3, 100, 130, {})
    t.same(await samples(), ['orders_total 3'])
    t.equal(await ours(CONFLICTS), 1)
    t.same(findings(), [])
  },
)

t.test('many resources in conflict are named up to five, and counted', async t => {
  const { take, findings, logged } = sidecar(t)
  for (const time of [10, 20, 30])
    for (const start of [0, 1])
      take(...Array.from({ length: 8 }, (_, i) => orders(1, start, time + start, { 'service.name': `s${i}` })))
  t.equal(findings().length, 6)
  t.equal(logged.length, 5)
  t.equal(findings().at(-1), 'OTLP metrics of 3 more resources are written by several processes each')
  const long = sidecar(t)
  for (const time of [10, 20, 30])
    for (const start of [0, 1]) long.take(orders(1, start, time + start, { 'service.name': `\n${'x'.repeat(1000)}` }))
  t.ok(long.findings().join('').length < 500)
  t.notMatch(long.findings().join(''), '\n')
})

t.test('a counter goes on when the sender’s clock was set back', async t => {
  const { refused, samples } = sidecar(t)
  t.same(refused(orders(10, 0, 100)), {})
  t.same(refused(orders(20, 0, 110)), {})
  // Set back by 60 s.
  t.same(refused(orders(30, 0, 60)), { out_of_order: 1 })
  t.same(refused(orders(40, 0, 70)), {})
  t.same(refused(orders(50, 0, 80)), {})
  t.same(await samples(), ['orders_total 50'])
})

t.test('so does a gauge, whose values tell nothing, when the sender’s clock runs in step with ours', async t => {
  const { refused, samples, clock } = sidecar(t)
  const f = async (value: number, time: number, expected: object) => {
    t.same(refused(from(SHOP, gauge('g', point(value, {}, times(0, time))))), expected, `at ${time}`)
    await clock.pass(10_000)
  }
  await f(9, 100, {})
  await f(8, 110, {})
  await f(7, 60, { out_of_order: 1 })
  await f(6, 70, {})
  await f(5, 80, {})
  t.same(await samples(), ['g 5'])
})

t.test('points that are late for another reason stay refused', async t => {
  const { take, refused, samples, clock } = sidecar(t)
  take(orders(90, 0, 90), orders(100, 0, 100))
  take(from(SHOP, gauge('g', point(1, {}, times(0, 100)))))
  for (const time of [50, 60, 70])
    t.same(refused(orders(time, 0, time), from(SHOP, gauge('g', point(2, {}, times(0, time))))), { out_of_order: 2 })
  t.same(await samples(), ['g 1', 'orders_total 100'], 'a queue that comes at once')
  for (const time of [110, 120, 130]) {
    await clock.pass(10_000)
    t.same(refused(orders(time, 0, time)), {})
    t.same(refused(orders(time - 60, 0, time - 60)), { out_of_order: 1 }, 'a second way that is slower')
  }
  t.same(await samples(), ['g 1', 'orders_total 130'])
})
