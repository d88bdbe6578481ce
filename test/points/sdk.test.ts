// The real Node SDK. Its packages come with @opentelemetry/sdk-node.

import { OTLPMetricExporter } from '@opentelemetry/exporter-metrics-otlp-proto'
import { resourceFromAttributes } from '@opentelemetry/resources'
import {
  AggregationTemporality,
  AggregationType,
  MeterProvider,
  PeriodicExportingMetricReader,
} from '@opentelemetry/sdk-metrics'
import t from 'tap'
import { metrics } from '../../processors/points.ts'
import { receiver } from '../otlp/receiver.ts'
import { world } from '../world.ts'
import { OPTIONS } from './otlp.ts'

for (const temporality of ['CUMULATIVE', 'DELTA'] as const)
  t.test(`metrics that the Node SDK exports as ${temporality} add up`, async t => {
    const host = world('/proc')
    const running = metrics.start(OPTIONS, host)
    const { port, counted } = await receiver(t, { spans: [], metrics: [running] })
    const exporter = new OTLPMetricExporter({
      url: `http://127.0.0.1:${port}/v1/metrics`,
      temporalityPreference: AggregationTemporality[temporality],
    })
    const provider = new MeterProvider({
      readers: [new PeriodicExportingMetricReader({ exporter, exportIntervalMillis: 3_600_000 })],
      resource: resourceFromAttributes({
        'service.name': 's',
        'service.instance.id': 'i',
        'os.type': 'linux',
      }),
      views: [{ instrumentName: 'exp', aggregation: { type: AggregationType.EXPONENTIAL_HISTOGRAM } }],
    })
    t.teardown(() => provider.shutdown())
    const meter = provider.getMeter('lib', '1')
    const requests = meter.createCounter('requests', { unit: '{request}' })
    const wait = meter.createHistogram('wait', { unit: 'ms' })
    const exponential = meter.createHistogram('exp', { unit: 's' })
    const open = meter.createUpDownCounter('open')
    for (let i = 0; i < 5; i++) {
      requests.add(2, { route: '/' })
      wait.record(12)
      exponential.record(0.5 + i)
      open.add(-1)
      await provider.forceFlush()
    }
    t.same(await counted('pillion_otlp_accepted_items_total'), { '{signal="metrics"}': 20 })
    t.same(await counted('pillion_otlp_refused_items_total'), {})
    const page = await host.metrics.registry.metrics()
    const own = 'instance="i",job="s"'
    const f = (line: string) => t.ok(page.split('\n').includes(line), line)
    f(`requests_total{${own},route="/"} 10`)
    f(`open{${own}} -5`)
    f(`wait_milliseconds_count{${own}} 5`)
    f(`wait_milliseconds_sum{${own}} 60`)
    f(`exp_seconds_count{${own}} 5`)
    f(`exp_seconds_sum{${own}} 12.5`)
    f(`target_info{${own},os_type="linux"} 1`)
    f('pillion_metrics_delta_gaps_total{reason="missing_interval"} 0')
  })
