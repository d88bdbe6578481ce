// The same page in the three encodings, each read back with its published schema: every series, type and value is there.

import t from 'tap'
import { Scrape } from '../../exporter/prometheus.ts'
import { CounterColumn, HistogramColumn } from '../../metrics/columns.ts'
import { counter, gauge, histogram } from '../../metrics/family.ts'
import { Metrics } from '../../metrics/registry.ts'
import { metrics as points } from '../../processors/points.ts'
import { Memory } from '../../telemetry/memory.ts'
import { at, attributes, encoded, from, OPTIONS, gauge as otlpGauge, point, SHOP, sum } from '../points/otlp.ts'
import { FakeClock } from '../world.ts'
import { pushing, receiving, taken } from './receiver.ts'
import { type OtlpResource, otlp, type Series, series1, series2 } from './wire.ts'

const TRACE = '0af7651916cd43dd8448eb211c80319c'
const SPAN = 'b7ad6b7169203331'

/** Metrics of every kind: prom-client's, tables with exemplars and native histograms, and the application's from OTLP. */
function everything(): { metrics: Metrics; scrape: Scrape; page(): Promise<string> } {
  const metrics = new Metrics()
  metrics.counter(counter('app_calls_total', 'Calls.', ['code', 'Zone'])).inc({ code: '2"0\\0\n', Zone: 'ä' }, 7)
  metrics.gauge(gauge('app_level', 'A level.')).set(-1.5)
  metrics.histogram(histogram('app_wait_seconds', 'Waits.', ['q'], [0.5, 1])).observe({ q: 'a' }, 0.7)
  const table = metrics.table('requests', ['service', 'job_name'], 10)
  const calls = new CounterColumn(table, counter('traces_calls_total', 'Spans.', ['service', 'job_name']), {
    exemplars: true,
  })
  const latency = new HistogramColumn(table, histogram('traces_latency', 'Latency.', ['service', 'job_name'], [1, 2]), {
    native: 3,
  })
  metrics.add(calls)
  metrics.add(latency)
  const slot = table.slot(Uint32Array.from([symbol('shop'), symbol('x')]))
  const ids = Buffer.from(TRACE + SPAN, 'hex')
  calls.add(slot, 3)
  calls.exemplar(slot, 1, 1_750_000_001.5, ids, 0, 16)
  for (const value of [0.3, 1.5, 1.6, 9])
    latency.exemplar(latency.observe(slot, value), value, 1_750_000_001.5, ids, 0, 16)
  function symbol(text: string): number {
    const bytes = Buffer.from(text)
    return table.symbols.intern(bytes, 0, bytes.length)
  }

  const running = points.start(
    { ...OPTIONS, scope_labels: true },
    { metrics, clock: new FakeClock(), log: { info() {}, warn() {}, error() {} }, memory: new Memory(2 ** 30) },
  )
  t.teardown(() => running[Symbol.asyncDispose]())
  const bytes = encoded(
    from(
      { ...SHOP, 'host.name': 'h1' },
      sum('orders', point(12, { kind: 'a' })),
      otlpGauge('temperature', point(21.5)),
      {
        name: 'size',
        unit: 'By',
        exponentialHistogram: {
          aggregationTemporality: 2,
          dataPoints: [
            {
              count: 6,
              sum: 60,
              scale: 1,
              zeroCount: 1,
              positive: { offset: 2, bucketCounts: [2, 0, 3] },
              startTimeUnixNano: at(0),
              timeUnixNano: at(10),
            },
          ],
        },
      },
      {
        name: 'old',
        summary: {
          dataPoints: [
            {
              count: 4,
              sum: 8,
              quantileValues: [{ quantile: 0.5, value: 2 }],
              attributes: attributes({}),
              startTimeUnixNano: at(0),
              timeUnixNano: at(10),
            },
          ],
        },
      },
    ),
  )
  t.equal(running.take({ signal: 'metrics', received: 0, bytes, items: 4 }), undefined)
  const scrape = new Scrape(metrics, [])
  return {
    metrics,
    scrape,
    page: async () =>
      Buffer.concat(
        (await scrape.scrape('application/openmetrics-text;version=1.0.0', AbortSignal.timeout(5000))).chunks,
      ).toString(),
  }
}

/** The samples of the text page that are not the push's own, as series → value. */
function samplesOf(page: string): Map<string, number> {
  const found = new Map<string, number>()
  for (const line of page.split('\n')) {
    const [, name = '', labels = '', value = ''] = /^(\w+)(?:\{(.*)\})? (\S+)(?: # .*)?$/.exec(line) ?? []
    if (name === '' || name.startsWith('pillion_')) continue
    const pairs = [...labels.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)].map(
      ([, key, text]) => [key!, text!.replace(/\\(.)/g, (_, c) => (c === 'n' ? '\n' : c))] as const,
    )
    found.set(keyOf(name, Object.fromEntries(pairs)), Number(value.replace('Inf', 'Infinity')))
  }
  return found
}

function keyOf(name: string, labels: Readonly<Record<string, string>>): string {
  return `${name} ${JSON.stringify(Object.entries(labels).sort(([a], [b]) => (a < b ? -1 : 1)))}`
}

/** With job and instance, as remote write gives them to every series that has none. */
function identified(samples: ReadonlyMap<string, number>, instance: string): Map<string, number> {
  return new Map(
    [...samples].map(([key, value]) => {
      const [name = '', json = ''] = [key.slice(0, key.indexOf(' ')), key.slice(key.indexOf(' ') + 1)]
      const labels = Object.fromEntries(JSON.parse(json) as [string, string][])
      return [keyOf(name, { job: 'shop', instance, ...labels }), value]
    }),
  )
}

function own(all: readonly Series[]): Series[] {
  return all.filter(({ name }) => !name.startsWith('pillion_'))
}

for (const version of ['1.0', '2.0'] as const)
  t.test(`remote write ${version} has every sample of the page, with sorted labels and its exemplars`, async t => {
    const { metrics, scrape, page } = everything()
    const receiver = await receiving(t, (got, n, response) => {
      if (version === '1.0' && got.headers['x-prometheus-remote-write-version'] !== '0.1.0')
        response.writeHead(415).end()
      else taken(got, n, response)
    })
    const wanted = samplesOf(await page())
    await using pushed = await pushing(
      t,
      { endpoint: receiver.url, protocol: 'remote-write', instance: 'i1', native_histograms: true, stale_after: '0s' },
      { metrics, scrape },
    )
    await pushed.finish()
    const [first] = receiver.got.slice(version === '1.0' ? 1 : 0)
    if (!first) throw new Error('nothing came')
    t.equal(first.path, '/api/v1/write')
    t.match(first.headers, {
      'content-encoding': 'snappy',
      'user-agent': 'Pillion/1.2.3',
      'content-type':
        version === '1.0' ? 'application/x-protobuf' : 'application/x-protobuf;proto=io.prometheus.write.v2.Request',
      'x-prometheus-remote-write-version': version === '1.0' ? '0.1.0' : '2.0.0',
    })
    const all = own(version === '1.0' ? series1(first.body) : series2(first.body))
    const samples = new Map(
      all.flatMap(({ name, labels, points }) => points.map(({ value }) => [keyOf(name, labels), value] as const)),
    )
    t.strictSame([...samples].sort(), [...identified(wanted, 'i1')].sort())

    const exemplars = all.filter(each => each.exemplars.length > 0)
    t.strictSame(exemplars.find(({ name }) => name === 'traces_calls_total')?.exemplars, [
      { labels: { trace_id: TRACE, span_id: SPAN }, value: 1 },
    ])
    t.equal(exemplars.filter(({ name }) => name === 'traces_latency_bucket').length, 3, 'one for each bucket')
    if (version === '1.0') return
    const latency = all.find(({ name }) => name === 'traces_latency')
    t.match(latency?.histograms[0], { countInt: 4, schema: 3 }, 'beside the classic buckets')
    t.match(all.find(({ name }) => name === 'size_bytes')?.histograms[0], {
      countInt: 6,
      sum: 60,
      schema: 1,
      zeroCountInt: 1,
      positiveSpans: [{ offset: 3, length: 3 }],
      positiveDeltas: [2, -2, 3],
      startTimestamp: 1_750_000_000_000,
    })
    const calls = all.find(({ name }) => name === 'app_calls_total')
    t.match(calls, { type: 1, help: 'Calls.' })
    t.ok((calls?.points[0]?.startMs ?? 0) > Date.now() - 60_000, 'it began with the sidecar')
    t.equal(
      all.find(({ name }) => name === 'orders_total')?.points[0]?.startMs,
      1_750_000_000_000,
      'as the application said',
    )
    t.equal(all.find(({ name }) => name === 'app_level')?.points[0]?.startMs, 0)
  })

t.test('OTLP has every series of the page under its resource and scope, with its type', async t => {
  const { metrics, scrape } = everything()
  const receiver = await receiving(t)
  await using pushed = await pushing(
    t,
    {
      endpoint: receiver.url,
      instance: 'i1',
      resource: 'deployment.environment=a%20b,service.namespace=eu',
      labels: ['zone=z1'],
    },
    { metrics, scrape },
  )
  await pushed.finish()
  const [first] = receiver.got
  if (!first) throw new Error('nothing came')
  t.equal(first.path, '/v1/metrics')
  t.match(first.headers, { 'content-type': 'application/x-protobuf', 'content-encoding': 'gzip' })
  const all = otlp(first.body, 'gzip')
  const [ours, theirs] = [
    all.find(({ scope }) => scope.name === 'pillion'),
    all.find(({ scope }) => scope.name === 'lib'),
  ]
  t.equal(all.length, 2)
  t.strictSame(ours?.resource, {
    'deployment.environment': 'a b',
    'service.namespace': 'eu',
    'service.name': 'shop',
    'service.instance.id': 'i1',
    zone: 'z1',
  })
  t.equal(ours?.scope.version, '1.2.3')
  t.strictSame(theirs?.resource, {
    'service.name': 'shop',
    'service.namespace': 'eu',
    'service.instance.id': 'one',
    host_name: 'h1',
  })

  const calls = metric(ours, 'app_calls_total')
  t.match(calls.sum, { isMonotonic: true, aggregationTemporality: 2, dataPoints: [{ asDouble: 7 }] })
  t.strictSame(
    Object.fromEntries(calls.sum?.dataPoints[0]?.attributes.map(({ key, value }) => [key, value.stringValue]) ?? []),
    { code: '2"0\\0\n', Zone: 'ä' },
  )
  t.equal(calls.description, 'Calls.')
  t.equal(metric(ours, 'app_level').gauge?.dataPoints[0]?.asDouble, -1.5)
  t.match(metric(ours, 'app_wait_seconds').histogram?.dataPoints[0], {
    count: '1',
    sum: 0.7,
    explicitBounds: [0.5, 1],
    bucketCounts: ['0', '1', '0'],
  })
  const latency = metric(ours, 'traces_latency').exponentialHistogram?.dataPoints[0]
  t.match(latency, { count: '4', scale: 3 })
  t.equal(latency?.exemplars?.length, 3)
  t.equal(
    metric(ours, 'traces_calls_total').sum?.dataPoints[0]?.exemplars?.[0]?.traceId,
    Buffer.from(TRACE, 'hex').toString('base64'),
  )

  const start = '1750000000000000000'
  t.match(metric(theirs, 'orders_total').sum, {
    isMonotonic: true,
    dataPoints: [{ asDouble: 12, startTimeUnixNano: start }],
  })
  t.equal(metric(theirs, 'temperature').gauge?.dataPoints[0]?.asDouble, 21.5)
  const size = metric(theirs, 'size_bytes')
  t.equal(size.unit, 'By')
  t.match(size.exponentialHistogram?.dataPoints[0], {
    count: '6',
    sum: 60,
    scale: 1,
    zeroCount: '1',
    positive: { offset: 2, bucketCounts: ['2', '0', '3'] },
    startTimeUnixNano: start,
  })
  t.match(metric(theirs, 'old').summary?.dataPoints[0], {
    count: '4',
    sum: 8,
    quantileValues: [{ quantile: 0.5, value: 2 }],
  })
  t.notOk(
    all.some(({ metrics }) => metrics.some(({ name }) => name === 'target_info')),
    'it is the resource',
  )
})

t.test('without native histograms, all of them have classic buckets', async t => {
  const { metrics, scrape } = everything()
  const receiver = await receiving(t)
  await using pushed = await pushing(
    t,
    { endpoint: receiver.url, native_histograms: false, compression: 'none' },
    { metrics, scrape },
  )
  await pushed.finish()
  const all = otlp(receiver.got[0]!.body, receiver.got[0]!.headers['content-encoding'])
  t.match(metric(all[0], 'traces_latency').histogram?.dataPoints[0], {
    count: '4',
    explicitBounds: [1, 2],
    bucketCounts: ['1', '2', '1'],
  })
})

t.test('a page of many requests is delivered once, whole, and each request has a moderate size', async t => {
  const metrics = new Metrics()
  const table = metrics.table('requests', ['n'], 30_000)
  const calls = new CounterColumn(table, counter('traces_calls_total', 'Spans.', ['n']))
  metrics.add(calls)
  for (let i = 0; i < 20_000; i++) {
    const text = Buffer.from(`a label of some length that makes the page large ${i}`)
    calls.add(table.slot(Uint32Array.of(table.symbols.intern(text, 0, text.length))), i)
  }
  for (const protocol of ['otlp', 'remote-write']) {
    const receiver = await receiving(t)
    await using pushed = await pushing(
      t,
      { endpoint: receiver.url, protocol, compression: 'none', stale_after: '0s' },
      { metrics: protocol === 'otlp' ? metrics : copyOf(metrics, calls) },
    )
    await pushed.finish()
    const seen = new Map<string, number>()
    for (const { body } of receiver.got) {
      if (protocol === 'otlp') t.ok(body.length < 600 * 1024, `${body.length} bytes`)
      for (const [key, value] of protocol === 'otlp'
        ? numbers(otlp(body, undefined))
        : series2(body).flatMap(each =>
            each.points.filter(({ stale }) => !stale).map(({ value }) => [each.labels['n'] ?? '', value] as const),
          ))
        if (key !== '' && !Number.isNaN(value)) seen.set(key, (seen.get(key) ?? 0) + value)
    }
    t.equal(seen.size, 20_000, protocol)
    t.ok(receiver.got.length > 4, `${receiver.got.length} requests`)
    t.equal(
      [...seen.values()].reduce((sum, each) => sum + each, 0),
      (20_000 * 19_999) / 2,
    )
  }
})

/** The push registers its own families, so each needs a registry of its own. */
function copyOf(_: Metrics, column: CounterColumn): Metrics {
  const metrics = new Metrics()
  metrics.add(column)
  return metrics
}

function numbers(all: readonly OtlpResource[]): (readonly [string, number])[] {
  return all.flatMap(({ metrics }) =>
    metrics.flatMap(({ sum }) =>
      (sum?.dataPoints ?? []).map(
        each =>
          [
            each.attributes.find(({ key }) => key === 'n')?.value.stringValue ?? '',
            each.flags === 1 ? Number.NaN : (each.asDouble ?? 0),
          ] as const,
      ),
    ),
  )
}

function metric(from: OtlpResource | undefined, name: string) {
  const found = from?.metrics.find(each => each.name === name)
  if (!found) throw new Error(`no metric ${name} in ${from?.metrics.map(each => each.name)}`)
  return found
}
