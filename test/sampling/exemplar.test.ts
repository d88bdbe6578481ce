// The exemplars of the request metrics, while traces are sampled: each of them points to a trace that is sent on.

import t from 'tap'
import { Scrape } from '../../exporter/prometheus.ts'
import { SpanVisitor } from '../../otlp/visit.ts'
import { openSampler } from '../../processors/sampling.ts'
import { spans } from '../../processors/spans.ts'
import type { SpanConsumer } from '../../telemetry/consumer.ts'
import { ExemplarChoice } from '../../telemetry/exemplar.ts'
import { Keys } from '../../telemetry/keys.ts'
import type { Request } from '../../telemetry/request.ts'
import type { SamplingOptions } from '../../telemetry/sampler.ts'
import { numbers } from '../random.ts'
import { DEFAULTS as SPANS } from '../spans/room.ts'
import { world } from '../world.ts'
import { DEFAULTS, id, PLAIN, request, type Sent, spansOf, withRandom } from './stage.ts'

const PARENT = Buffer.alloc(8, 7)
const OPEN_METRICS = 'application/openmetrics-text; version=1.0.0'

/** The request metrics and the sampler, shown the same spans in one order or the other. */
async function pair(options: Partial<SamplingOptions>, samplerFirst: boolean) {
  const host = { ...world('/proc'), keys: new Keys(), exemplars: new ExemplarChoice() }
  const passed: Request[] = []
  const pass = (request: Request) => void passed.push({ ...request, bytes: Buffer.from(request.bytes) })
  const sampler = await openSampler({ ...DEFAULTS, ...options }, host, { pass, admit: () => 0 })
  const metrics = spans.start(SPANS, host)
  const both: SpanConsumer[] = samplerFirst ? [sampler.consumer, metrics] : [metrics, sampler.consumer]
  const visitor = new SpanVisitor(host.keys, both)
  const collect = (signal: AbortSignal) => {
    sampler.collect()
    return metrics.collect?.(signal)
  }
  const scrape = new Scrape(host.metrics, [{ name: 'spans', collect }])
  return {
    ...host,
    sampler,
    send(all: readonly Sent[]) {
      visitor.visit({ signal: 'traces', bytes: request(all), items: all.length, received: 0 })
      for (const { error } of visitor.failed) throw error
    },
    sent: () => new Set(passed.flatMap(({ bytes, items }) => spansOf(bytes, items)).map(each => each.traceId)),
    page: async () => {
      const { chunks } = await scrape.scrape(OPEN_METRICS, AbortSignal.timeout(5000))
      return Buffer.concat(chunks).toString()
    },
  }
}

const ids = (page: string) => [...page.matchAll(/trace_id="([0-9a-f]{32})"/g)].map(([, trace]) => trace!)

for (const samplerFirst of [true, false])
  t.test(`every exemplar on a page is of a trace that is sent on, whoever sees it first (${samplerFirst})`, async t => {
    for (const options of [{ ratio: 0.02 }, { ratio: 0.3, max_spans_per_second: 400 }]) {
      const both = await pair(options, samplerFirst)
      const random = numbers(51)
      const named = new Set<string>()
      for (let i = 0; i < 60; i++) {
        const traces = Array.from({ length: 200 }, () => {
          const trace = id(random)
          const seconds = 0.02 * -Math.log(1 - random())
          const name = `GET /${Math.floor(random() * 5)}`
          return [
            { trace, span: id(random, 8), parent: PARENT, kind: 3, name: 'query', seconds: seconds / 2 },
            { trace, span: id(random, 8), name, seconds, status: random() < 0.01 ? 2 : 0 },
          ]
        })
        both.send(traces.flat())
        for (const each of ids(await both.page())) named.add(each)
        await both.clock.pass(500)
      }
      both.sampler.flush()
      const sent = both.sent()
      t.ok(named.size > 300, `${named.size} traces were named, ${sent.size} sent on`)
      t.same(
        [...named].filter(each => !sent.has(each)),
        [],
      )
      const page = await both.page()
      t.match(page, /pillion_sampling_traces_total\{decision="dropped",reason="(ratio|rate_limit)"\} [1-9]/)
      const calls = [...page.matchAll(/^traces_spanmetrics_calls_total\{[^}]*\} (\d+)/gm)]
      t.equal(
        calls.reduce((sum, [, n]) => sum + Number(n), 0),
        24_000,
        'metrics are made from all spans',
      )
    }
  })

t.test('a span that comes late for a trace that was left out is no exemplar', async t => {
  const both = await pair({ ...PLAIN, ratio: 0.5 }, false)
  const trace = withRandom('7')
  both.send([{ trace }])
  await both.clock.pass(1200)
  both.send([{ trace, parent: PARENT, kind: 3 }])
  t.same(ids(await both.page()), [])
})

t.test('the metrics say what was decided', async t => {
  const both = await pair({ ...PLAIN, ratio: 0.5, errors: true }, true)
  both.send([
    { trace: Buffer.alloc(16, 0xff) },
    { trace: Buffer.alloc(16, 1) },
    { trace: Buffer.alloc(16, 2), status: 2 },
  ])
  both.send([{ trace: Buffer.alloc(16, 3), parent: PARENT, kind: 3 }])
  await both.clock.pass(1200)
  const lines = (await both.page()).split('\n').filter(line => line.startsWith('pillion_sampling'))
  t.same(
    lines.filter(line => !line.endsWith(' 0')),
    [
      'pillion_sampling_traces_total{decision="kept",reason="error"} 1',
      'pillion_sampling_traces_total{decision="kept",reason="ordinary"} 1',
      'pillion_sampling_traces_total{decision="dropped",reason="ratio"} 1',
      'pillion_sampling_ratio{stratum="error"} 1',
      'pillion_sampling_ratio{stratum="slow"} 1',
      'pillion_sampling_ratio{stratum="rare"} 1',
      'pillion_sampling_ratio{stratum="ordinary"} 0.5',
      'pillion_sampling_pending_traces 1',
    ],
  )
})
