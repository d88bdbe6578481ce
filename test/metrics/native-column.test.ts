import t from 'tap'
import { Scrape } from '../../exporter/prometheus.ts'
import { HistogramColumn } from '../../metrics/columns.ts'
import { histogram } from '../../metrics/family.ts'
import { Metrics } from '../../metrics/registry.ts'
import { needs, served } from '../points/programs.ts'
import { decoded, type Histogram } from './client-model.ts'

const PROTOBUF = 'application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited'

function column(schema: number | undefined) {
  const metrics = new Metrics()
  const table = metrics.table('shop', ['route'], 1000)
  const wait = new HistogramColumn(table, histogram('shop_wait_seconds', 'Wait.', ['route'], [0.1, 1]), {
    native: schema,
  })
  metrics.add(wait)
  const scrape = new Scrape(metrics, [])
  const page = async (accept: string | undefined): Promise<Buffer> =>
    Buffer.concat((await scrape.scrape(accept, AbortSignal.timeout(5000))).chunks)
  return {
    scrape,
    page,
    observe(route: string, ...values: readonly number[]): void {
      const slot = table.slot(Uint32Array.of(table.symbols.text(route)))
      for (const value of values) wait.observe(slot, value)
    },
    async histograms(): Promise<(Histogram | undefined)[]> {
      const families = decoded(await page(PROTOBUF))
      return families.find(each => each.name === 'shop_wait_seconds')?.metric?.map(each => each.histogram) ?? []
    },
  }
}

/** The counts of a native histogram by the number of their bucket, which is Prometheus': up to base^number. */
function buckets({ positiveSpan = [], positiveDelta = [] }: Histogram): Map<number, number> {
  const found = new Map<number, number>()
  let [index, count, at] = [0, 0, 0]
  for (const { offset = 0, length = 0 } of positiveSpan) {
    index += offset
    for (let i = 0; i < length; i++, index++) {
      count += positiveDelta[at++] ?? 0
      if (count > 0) found.set(index, count)
    }
  }
  return found
}

t.test('each value is in the bucket whose bounds are around it, and the classic buckets are as ever', async t => {
  const { observe, histograms } = column(3)
  const values = [0.001, 0.25, 0.3, 1, 1.0000001, 2 ** 0.125, 2, 7.7]
  observe('/a', 0, ...values)
  const [found] = await histograms()
  t.match(found, { schema: 3, zeroCount: 1, zeroThreshold: 2 ** -128, sampleCount: 9 })
  t.strictSame(
    found?.bucket?.map(each => each.cumulativeCount),
    [2, 5, 9],
  )
  const expected = new Map<number, number>()
  for (const value of values) {
    let index = -200
    while (2 ** (index / 8) < value) index++
    expected.set(index, (expected.get(index) ?? 0) + 1)
  }
  t.strictSame(found && buckets(found), expected)
})

t.test('the schema is as chosen, and without one there are no exponential buckets', async t => {
  for (const schema of [0, 5, 8]) {
    const { observe, histograms } = column(schema)
    observe('/a', 0.7)
    const [found] = await histograms()
    t.equal(found?.schema, schema)
    t.strictSame([...(found ? buckets(found).keys() : [])], [Math.ceil(Math.log2(0.7) * 2 ** schema)])
  }
  const { observe, histograms } = column(undefined)
  observe('/a', 0.7)
  const [found] = await histograms()
  t.notOk(found && 'schema' in found)
})

t.test(
  'a label set that would need more than 160 buckets goes on at half the resolution, and loses nothing',
  async t => {
    const { observe, histograms } = column(8)
    const values = Array.from({ length: 3000 }, (_, n) => 1e-6 * 1.008 ** ((n * 7919) % 3000))
    observe('/wide', ...values)
    observe('/narrow', 0.5, 0.51)
    observe('/absurd', 1e-38, 1e300)
    const [wide, narrow, absurd] = await histograms()
    t.equal(narrow?.schema, 8, 'others keep theirs')
    t.ok(wide && wide.schema !== undefined && wide.schema < 8)
    const found = buckets(wide ?? { sampleCount: 0 })
    t.equal(
      [...found.values()].reduce((sum, count) => sum + count),
      3000,
    )
    t.ok(Math.max(...found.keys()) - Math.min(...found.keys()) < 160)
    const base = 2 ** (2 ** -(wide?.schema ?? 0))
    for (const [index, count] of found) {
      const inside = values.filter(value => value > base ** (index - 1) && value <= base ** index)
      t.ok(Math.abs(inside.length - count) <= 1, `bucket ${index}: ${count} of ${inside.length}`)
    }
    t.match(absurd, { sampleCount: 2 })
    t.ok((absurd?.schema ?? -9) >= -4, 'Prometheus takes no lower one')
  },
)

t.test('a hundred label sets keep their counts while the table grows', async t => {
  const { observe, histograms } = column(2)
  for (let n = 0; n < 300; n++) observe(`/${n}`, ...Array.from({ length: (n % 5) + 1 }, () => 0.01 * (n + 1)))
  const found = await histograms()
  t.equal(found.length, 300)
  for (const [n, each] of found.entries())
    t.strictSame([...(each ? buckets(each) : [])], [[Math.ceil(Math.log2(0.01 * (n + 1)) * 4), (n % 5) + 1]])
})

t.test('Prometheus finds quantiles within the width of a bucket', { skip: needs.prometheus }, async t => {
  const { observe, page, scrape } = column(3)
  // From 1 ms to 10 s, as many in each decade.
  const values = Array.from({ length: 1000 }, (_, n) => 0.001 * 10_000 ** (n / 999))
  const prometheus = await served(
    t,
    async accept => {
      const { contentType } = await scrape.scrape(accept, AbortSignal.timeout(5000))
      return { contentType, body: await page(accept) }
    },
    ['--enable-feature=native-histograms'],
  )
  observe('/a', ...values)
  t.match(await prometheus.query('histogram_count(shop_wait_seconds)'), { value: '1000' })
  t.match(prometheus.accepts[0], 'application/vnd.google.protobuf')
  for (const quantile of [0.1, 0.5, 0.9, 0.99]) {
    const exact = values[Math.round(quantile * 1000) - 1] ?? 0
    const found = Number((await prometheus.query(`histogram_quantile(${quantile}, shop_wait_seconds)`)).value)
    t.ok(found / exact < 2 ** 0.125 && exact / found < 2 ** 0.125, `${quantile}: ${found} for ${exact}`)
  }
})
