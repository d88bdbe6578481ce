// Pushed metrics arrive in real receivers: values queried back are those of the page, series end, and jobs that nobody
// could have scraped are seen.

import { join } from 'node:path'
import t from 'tap'
import { Child, until } from '../e2e/child.ts'
import { missing } from '../e2e/programs.ts'
import { MAIN, type Ride, startSidecar } from '../e2e/ride.ts'
import { attributes, encoded, from, gauge, point, sum } from '../points/otlp.ts'
import { NEWEST, prometheus, type Result, withoutDebian, withoutNewest } from './prometheus.ts'

t.setTimeout(180_000)

interface Way {
  readonly name: string
  readonly program: string
  readonly skip: string | false
  readonly flags: readonly string[]
  readonly protocol: 'otlp' | 'remote-write'
  readonly path: string
  readonly says: string
}

const OTLP = { protocol: 'otlp', path: '/api/v1/otlp/v1/metrics', says: 'OTLP' } as const
const WRITE = { protocol: 'remote-write', path: '/api/v1/write' } as const
const WAYS: readonly Way[] = [
  { name: 'Prometheus 3, OTLP', program: NEWEST, skip: withoutNewest, flags: ['--web.enable-otlp-receiver'], ...OTLP },
  {
    name: 'Prometheus 3, remote write 2.0',
    program: NEWEST,
    skip: withoutNewest,
    flags: [],
    ...WRITE,
    says: 'remote write 2.0',
  },
  {
    name: 'Prometheus 3, remote write 1.0',
    program: NEWEST,
    skip: withoutNewest,
    flags: ['--web.remote-write-receiver.accepted-protobuf-messages=prometheus.WriteRequest'],
    ...WRITE,
    says: 'remote write 1.0',
  },
  {
    name: 'Debian’s Prometheus 2, which says 204 to 2.0 and stores nothing',
    program: '/usr/bin/prometheus',
    skip: withoutDebian,
    flags: [],
    ...WRITE,
    says: 'remote write 1.0',
  },
]

/** Sends spans and metrics, so that there are counters, gauges and histograms. */
async function feed({ otlp }: Ride): Promise<void> {
  const now = BigInt(Date.now()) * 1_000_000n
  const times = { startTimeUnixNano: String(now - 5_000_000_000n), timeUnixNano: String(now) }
  const body = encoded(
    from(
      { 'service.name': 'shop', 'service.instance.id': 'one', 'host.name': 'h1' },
      sum('orders', point(12, { kind: 'a' }, times), point(3, { kind: 'b' }, times)),
      gauge('temperature', point(21.5, {}, times)),
      {
        name: 'wait',
        unit: 's',
        histogram: {
          aggregationTemporality: 2,
          dataPoints: [
            {
              count: 6,
              sum: 7.5,
              explicitBounds: [1, 2.5],
              bucketCounts: [3, 2, 1],
              attributes: attributes({ q: 'x' }),
              ...times,
            },
          ],
        },
      },
    ),
  )
  const headers = { 'content-type': 'application/x-protobuf' }
  const answer = await fetch(`${otlp}/v1/metrics`, { method: 'POST', headers, body: new Uint8Array(body) })
  t.equal(answer.status, 200)
  const spans = Array.from({ length: 20 }, (_, n) => ({
    traceId: `0af7651916cd43dd8448eb211c8031${(n + 16).toString(16)}`,
    spanId: `b7ad6b71692033${(n + 16).toString(16)}`,
    name: `GET /${n % 3}`,
    kind: 2,
    startTimeUnixNano: String(now - BigInt(n + 1) * 10_000_000n),
    endTimeUnixNano: String(now),
    status: { code: n % 10 === 0 ? 2 : 0 },
  }))
  const resource = { attributes: [{ key: 'service.name', value: { stringValue: 'shop' } }] }
  const json = JSON.stringify({ resourceSpans: [{ resource, scopeSpans: [{ spans }] }] })
  t.equal(
    (await fetch(`${otlp}/v1/traces`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: json }))
      .status,
    200,
  )
}

/** Families that stand still while nothing happens, so that a scrape and a push must agree on them. */
const STEADY =
  /^(traces_(?!target_info)\w+|orders_total|temperature|wait_seconds\w*|pillion_build_info|pillion_otlp_accepted_items_total|app_health_probes_total)$/

/** Names and labels besides job and instance → value. The two formats of bounds are one. */
function comparable(results: readonly Result[]): Record<string, string> {
  return Object.fromEntries(
    results
      .filter(({ metric }) => STEADY.test(metric['__name__'] ?? ''))
      .map(({ metric, value }) => {
        const { __name__: name, job: _, instance: __, exported_job: ___, exported_instance: ____, ...labels } = metric
        const le = labels['le'] === undefined ? {} : { le: String(Number(labels['le'].replace('Inf', 'Infinity'))) }
        const scope = Object.entries({ ...labels, ...le }).filter(([key]) => !key.startsWith('otel_scope_'))
        return [`${name} ${JSON.stringify(scope.sort())}`, value[1]] as const
      }),
  )
}

for (const way of WAYS)
  t.test(`${way.name}: the same series by scrape and by push have the same values`, { skip: way.skip }, async t => {
    const store = await prometheus(way.program, t.testdir({}), {}, way.flags)
    t.teardown(() => store[Symbol.asyncDispose]())
    await using ride = await startSidecar({
      flags: [
        ...[
          '--health.guess',
          'false',
          '--app.name',
          'shop',
          '--push.instance',
          'i1',
          '--push.native_histograms',
          'false',
        ],
        ...['--push.endpoint', `${store.url}${way.path}`, '--push.protocol', way.protocol, '--push.interval', '1s'],
      ],
    })
    await feed(ride)
    const folder = t.testdir({ other: {} })
    const target = {
      job_name: 'scraped',
      scrape_interval: '1s',
      static_configs: [{ targets: [new URL(ride.web).host] }],
    }
    await using scraping = await prometheus(way.program, join(folder, 'other'), { scrape_configs: [target] })
    await until('both to have it', async () => {
      const [pushed] = await store.query('orders_total{kind="a"}')
      const [scraped] = await scraping.query('orders_total{kind="a"}')
      return (pushed && scraped) || undefined
    })
    const [pushed, scraped] = [
      comparable(await store.query('{__name__=~".+"}')),
      comparable(await scraping.query('{__name__=~".+"}')),
    ]
    t.ok(Object.keys(scraped).length > 50, `${Object.keys(scraped).length} series`)
    t.strictSame(pushed, scraped)
    t.equal(
      await store.value('orders_total{kind="a",job="shop",instance="one"}'),
      12,
      'under the name of its own resource',
    )
    t.equal(await store.value('count(pillion_build_info{job="shop",instance="i1"})'), 1)
    const status = await (await fetch(`${ride.web}/api/status`)).text()
    t.match(status, way.says)
    t.equal(await ride.value('pillion_push_failing'), 0)
    t.equal(await ride.value('pillion_push_dropped_samples_total'), 0)
    const taken = await ride.value('pillion_push_samples_total')
    t.ok((taken ?? 0) > Object.keys(scraped).length)
  })

/** Sends one counter and ends, in some tens of milliseconds. */
const QUICK =
  'curl -fsS -o /dev/null -H "content-type: application/json" -d @"$BODY" "$OTEL_EXPORTER_OTLP_ENDPOINT/v1/metrics"; exit 3'
const SLOW = `sleep 2; ${QUICK.replace('; exit 3', '')}; sleep 1; exit 3`

for (const way of WAYS)
  t.test(
    `${way.name}: jobs of milliseconds and of three seconds are seen with their last numbers, and then end`,
    { skip: way.skip || missing('curl', 'curl') },
    async t => {
      const now = `${Date.now()}000000`
      const orders = {
        name: 'orders',
        sum: {
          isMonotonic: true,
          aggregationTemporality: 2,
          dataPoints: [{ asInt: '41', startTimeUnixNano: now, timeUnixNano: now }],
        },
      }
      const body = JSON.stringify({ resourceMetrics: [{ scopeMetrics: [{ metrics: [orders] }] }] })
      const folder = t.testdir({ 'body.json': body, data: {} })
      await using store = await prometheus(way.program, join(folder, 'data'), {}, way.flags)
      for (const [name, script] of [
        ['quick', QUICK],
        ['slow', SLOW],
      ] as const) {
        const push = [
          '--push.endpoint',
          `${store.url}${way.path}`,
          '--push.protocol',
          way.protocol,
          '--push.stale_after',
          '5s',
        ]
        const off = ['--web.listen', 'off', '--otlp.http.listen', '0', '--otlp.grpc.listen', 'off', '--log.quiet']
        await using job = await Child.start(
          process.execPath,
          [MAIN, 'run', ...off, ...push, '--app.name', name, '--', 'sh', '-c', script],
          { BODY: `${folder}/body.json` },
        )
        t.strictSame(await job.ended, { code: 3, signal: null }, 'with the exit code of the job')
        const selector = `{job="${name}"}`
        const [exit] = await store.query(`app_run_exit_code${selector}`)
        t.equal(exit?.value[1], '3', `${name}: seen at once`)
        t.ok((await store.value(`app_run_duration_seconds${selector}`)) > (name === 'slow' ? 2.9 : 0.001))
        t.ok((await store.value(`app_run_cpu_seconds${selector}`)) >= 0)
        if (name === 'slow') t.ok((await store.value(`sum(app_process_page_faults_total${selector})`)) > 0)
        t.equal(await store.value(`orders_total${selector}`), 41, `${name}: what it counted itself`)
        const last = Number((await store.query(`max(timestamp(app_run_exit_code${selector}))`))[0]?.value[1])
        t.equal(
          (await store.query(`app_run_exit_code${selector}`, last + 4.9)).length,
          1,
          'graphs still show it a while later',
        )
        t.equal(
          (await store.query(`{__name__=~".+",job="${name}"}`, last + 5.1)).filter(
            ({ metric }) => metric['__name__'] !== 'target_info',
          ).length,
          0,
          'and then nothing does',
        )
        t.equal((await store.query(`last_over_time(app_run_exit_code${selector}[10m])`, last + 300)).length, 1)
      }
    },
  )

t.test(
  'Prometheus 3 has the exemplars, the metadata and the native histograms of remote write 2.0',
  { skip: withoutNewest },
  async t => {
    await using store = await prometheus(NEWEST, t.testdir({}), {}, [
      '--enable-feature=exemplar-storage,metadata-wal-records',
    ])
    const write = [
      '--push.endpoint',
      `${store.url}/api/v1/write`,
      '--push.protocol',
      'remote-write',
      '--push.interval',
      '1s',
    ]
    await using ride = await startSidecar({
      flags: ['--health.guess', 'false', ...write, '--spans.native_histograms.enabled', 'true'],
    })
    await feed(ride)
    const found = await until('exemplars', async () => {
      const range = { start: String(Date.now() / 1000 - 300), end: String(Date.now() / 1000 + 60) }
      const all = (await store.api('query_exemplars', { query: 'traces_spanmetrics_latency_bucket', ...range })) as {
        exemplars: { labels: Record<string, string> }[]
      }[]
      return all.length > 0 ? all : undefined
    })
    t.match(found[0]?.exemplars[0]?.labels, { trace_id: /^0af7651916cd43dd8448eb211c8031/, span_id: /^b7ad6b71692033/ })
    t.equal(await store.value('histogram_count(sum(traces_spanmetrics_latency))'), 20, 'native')
    t.equal(await store.value('sum(traces_spanmetrics_latency_count)'), 20, 'and classic')
    t.equal(await ride.value('pillion_push_failing'), 0)
  },
)

t.test(
  'Prometheus 3 has OTLP exponential histograms as native ones, and a target_info of the application',
  { skip: withoutNewest },
  async t => {
    await using store = await prometheus(NEWEST, t.testdir({}), {}, ['--web.enable-otlp-receiver'])
    const write = [
      '--push.endpoint',
      `${store.url}/api/v1/otlp/v1/metrics`,
      '--push.interval',
      '1s',
      '--push.resource',
      'cloud.region=eu-1',
    ]
    await using ride = await startSidecar({
      flags: ['--health.guess', 'false', '--app.name', 'shop', ...write, '--spans.native_histograms.enabled', 'true'],
    })
    await feed(ride)
    t.equal(await store.value('histogram_count(sum(traces_spanmetrics_latency))'), 20)
    t.equal(await store.value('count(target_info{job="shop",instance="one",host_name="h1"})'), 1, 'of the application')
    t.equal(await store.value('count(target_info{job="shop",cloud_region="eu-1"})'), 1, 'of the sidecar')
  },
)
