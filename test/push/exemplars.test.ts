// Exemplars of the push: each is sent once, however late its span came.

import t from 'tap'
import { CounterColumn, HistogramColumn } from '../../metrics/columns.ts'
import { counter, histogram } from '../../metrics/family.ts'
import { Metrics } from '../../metrics/registry.ts'
import { until } from '../e2e/child.ts'
import { pushing, type Receiving, receiving, requests, taken } from './receiver.ts'
import { type OtlpMetric, otlp, series1, series2 } from './wire.ts'

/** A counter and a histogram with two buckets, of one label set, with an exemplar for whoever asks. */
function table(metrics: Metrics) {
  const table = metrics.table('requests', ['service'], 10)
  const calls = new CounterColumn(table, counter('calls_total', 'Calls.', ['service']), { exemplars: true })
  const latency = new HistogramColumn(table, histogram('latency_seconds', 'Latency.', ['service'], [1]), {})
  metrics.add(calls)
  metrics.add(latency)
  const slot = table.slot(Uint32Array.from([table.symbols.intern(Buffer.from('shop'), 0, 4)]))
  return {
    /** A call that took so many seconds, and ended so many seconds ago; its trace is 32 times the digit. */
    call(digit: string, seconds: number, ago: number): void {
      const ids = Buffer.from(digit.repeat(48), 'hex')
      const ended = Date.now() / 1000 - ago
      calls.add(slot, 1)
      calls.exemplar(slot, 1, ended, ids, 0, 16)
      latency.exemplar(latency.observe(slot, seconds), seconds, ended, ids, 0, 16)
    },
  }
}

/** The exemplars that came with each request, as "calls a" or "latency a". */
const READ = {
  '1.0': (body: Buffer) =>
    series1(body).flatMap(({ name, exemplars }) => exemplars.map(each => said(name, each.labels['trace_id']))),
  '2.0': (body: Buffer) =>
    series2(body).flatMap(({ name, exemplars }) => exemplars.map(each => said(name, each.labels['trace_id']))),
  otlp: (body: Buffer) =>
    otlp(body, 'gzip')
      .flatMap(({ metrics }) => metrics)
      .flatMap(
        (metric: OtlpMetric) =>
          (metric.sum ?? metric.histogram)?.dataPoints.flatMap(({ exemplars }) =>
            (exemplars ?? []).map(({ traceId }) => said(metric.name, traceId)),
          ) ?? [],
      ),
} as const

function said(name: string, trace = ''): string {
  return `${name.split('_')[0]} ${hex(trace)[0]}`
}

/** protobufjs gives the bytes of an id as base64. */
function hex(id: string): string {
  return /^[0-9a-f]{32}$/.test(id) ? id : Buffer.from(id, 'base64').toString('hex')
}

for (const way of ['1.0', '2.0', 'otlp'] as const)
  t.test(`${way}: an exemplar is sent once, however long before the last push its span has ended`, async t => {
    const metrics = new Metrics()
    const { call } = table(metrics)
    const receiver = await receiving(t, (got, n, response) => {
      if (way === '1.0' && got.headers['x-prometheus-remote-write-version'] !== '0.1.0') response.writeHead(415).end()
      else taken(got, n, response)
    })
    const seen = ({ got }: Receiving): string[] =>
      got
        .filter(({ headers }) => way !== '1.0' || headers['x-prometheus-remote-write-version'] === '0.1.0')
        .flatMap(({ body }) => READ[way](body))
    const all = (count: number) =>
      until(`${count} exemplars`, () => (seen(receiver).length >= count ? seen(receiver) : undefined))

    const protocol = way === 'otlp' ? 'otlp' : 'remote-write'
    call('a', 0.5, 60)
    await using pushed = await pushing(t, { protocol, endpoint: receiver.url }, { metrics, intervalMs: 100 })
    t.same((await all(2)).sort(), ['calls a', 'latency a'])
    await requests(receiver, receiver.got.length + 2)

    // SDKs send spans some seconds after they ended: this one ended long before the last push.
    call('b', 0.5, 30)
    t.same((await all(4)).slice(2).sort(), ['calls b', 'latency b'])
    await requests(receiver, receiver.got.length + 2)

    // It is older than the last one of the counter and the first of its bucket.
    call('c', 2, 40)
    t.same((await all(5)).slice(4), ['latency c'], 'receivers want those of one series in the order of time')
    await requests(receiver, receiver.got.length + 3)
    await pushed.finish()
    t.equal(seen(receiver).length, 5, 'nothing twice')
  })
