import t from 'tap'
import { Scrape } from '../../exporter/prometheus.ts'
import { Metrics } from '../../metrics/registry.ts'
import { spans } from '../../processors/spans.ts'
import { Keys } from '../../telemetry/keys.ts'
import { decoded } from '../metrics/client-model.ts'
import { FakeClock } from '../world.ts'
import { DEFAULTS } from './room.ts'
import { views } from './views.ts'

t.test('latencies have exponential buckets besides the others where that is chosen', async t => {
  const f = async (native_histograms: { enabled: boolean; schema: number }) => {
    const metrics = new Metrics()
    const keys = new Keys()
    const consumer = spans.start({ ...DEFAULTS, native_histograms }, { metrics, clock: new FakeClock(), keys })
    views(
      { consumer, keys },
      [0.0011, 0.002, 0.9].map(seconds => ({ service: 'shop', name: 'GET /', kind: 2, seconds })),
    )
    const { chunks } = await new Scrape(metrics, []).scrape(
      'application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited',
      AbortSignal.timeout(5000),
    )
    const families = decoded(Buffer.concat(chunks))
    return families.find(each => each.name === 'traces_spanmetrics_latency')?.metric?.[0]?.histogram
  }
  const found = await f({ enabled: true, schema: 2 })
  t.match(found, { sampleCount: 3, schema: 2, zeroCount: 0, positiveSpan: { length: 3 } })
  t.equal(found?.bucket?.length, 15)
  t.equal((await f({ enabled: false, schema: 2 }))?.schema, undefined)
})
