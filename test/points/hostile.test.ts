import t from 'tap'
import { Scrape } from '../../exporter/prometheus.ts'
import { Metrics } from '../../metrics/registry.ts'
import { Check } from '../../otlp/check.ts'
import { Accumulator } from '../../processors/points/accumulator.ts'
import { PointIntake } from '../../processors/points/intake.ts'
import { asText, decoded } from '../metrics/client-model.ts'
import { generate, mutate, Random, REQUEST } from '../otlp/generate.ts'
import { at, attributes, encoded, from, type Message, OPENMETRICS, PROTOBUF, SHOP } from './otlp.ts'
import { faults, parsed, promtool, python } from './programs.ts'

// Its own work is five seconds; the rest is waiting for other programs, on a machine that may be busy.
t.setTimeout(120_000)

const seed = Number(process.env['SEED'] ?? 1)

/** A request with metrics that contradict each other, and now and then themselves. */
function plausible(random: Random): Buffer {
  const several = <Value>(most: number, make: () => Value): Value[] =>
    Array.from({ length: random.below(most + 1) }, make)
  const labels = () =>
    Object.fromEntries(
      several(3, () => [
        random.pick(['a', 'a.b', 'a-b', 'le', 'job', '1', '', '__name__']),
        random.pick(['', 'x', '"\n\\', 5]),
      ]),
    )
  const count = () => random.below(random.pick([2, 50, 2 ** 31]))
  const number = () => random.pick([0, 1, -1, 0.5, 1e300, Number.NaN, Number.POSITIVE_INFINITY, random.below(1000)])
  const exemplar = (): Message => ({
    asDouble: number(),
    timeUnixNano: at(random.below(100)),
    traceId: random.bytes(random.pick([0, 16, 16, 3])),
    filteredAttributes: attributes(labels()),
  })
  const common = (): Message => ({
    attributes: attributes(labels()),
    startTimeUnixNano: random.once(3) ? 0 : at(random.below(50)),
    timeUnixNano: random.once(5) ? 0 : at(random.below(100)),
    flags: random.once(20) ? 1 : 0,
    exemplars: several(3, exemplar),
  })
  const bounds = () => random.pick([[], [1], [1, 2, 5], [-1, 0, 1], [2, 1], [0.001, 1e21]])
  const buckets = () => ({ offset: random.below(400) - 200, bucketCounts: several(30, count) })
  const points = (make: () => Message): Message[] => several(4, () => ({ ...common(), ...make() }))
  const sum = () => (random.once(3) ? {} : { sum: number() })
  const kinds: readonly (() => Message)[] = [
    () => ({ gauge: { dataPoints: points(() => ({ asDouble: number() })) } }),
    () => ({
      sum: {
        dataPoints: points(() => (random.once(9) ? {} : { asInt: count() - 1 })),
        isMonotonic: random.once(2),
        aggregationTemporality: random.below(3),
      },
    }),
    () => ({
      histogram: {
        dataPoints: points(() => {
          const explicitBounds = bounds()
          const wanted = explicitBounds.length + (random.once(9) ? 0 : 1)
          return { ...sum(), explicitBounds, bucketCounts: Array.from({ length: wanted }, count), count: count() }
        }),
        aggregationTemporality: random.below(3),
      },
    }),
    () => ({
      exponentialHistogram: {
        dataPoints: points(() => ({
          ...sum(),
          scale: random.below(27) - 6,
          zeroCount: count(),
          zeroThreshold: random.pick([0, 0, 0.001]),
          positive: buckets(),
          ...(random.once(4) ? { negative: buckets() } : {}),
        })),
        aggregationTemporality: random.below(3),
      },
    }),
    () => ({
      summary: {
        dataPoints: points(() => ({
          count: count(),
          sum: number(),
          quantileValues: several(3, () => ({ quantile: random.pick([0, 0.5, 0.99, 1, 2]), value: number() })),
        })),
      },
    }),
  ]
  const metric = (): Message => ({
    name: random.pick(['a', 'a.total', 'a_count', 'a.bucket', 'b', 'b.sum', 'target.info', 'up', '', 'c', 'd', 'e']),
    unit: random.pick(['', '', 's', '1', 'By/s', '{x}']),
    description: random.pick(['', 'line\nfeed', '\\']),
    ...random.pick(kinds)(),
  })
  const resource = random.pick([{}, SHOP, { ...SHOP, pid: random.below(3) }, { 'service.name': 'x"', le: 1 }])
  return encoded(...several(2, () => from(resource, ...several(6, metric))))
}

t.test(`20 000 random requests are accounted for, and leave valid pages (SEED=${seed})`, async t => {
  const random = new Random(seed)
  const metrics = new Metrics()
  const source = metrics.imports('otlp_metrics', { series: 500, families: 100 })
  const losses = { gap() {}, restart() {}, expired() {}, evicted() {}, returned() {} }
  const accumulator = new Accumulator(source, { monotonic: () => performance.now() }, 300_000, losses)
  const intake = new PointIntake({ scope_labels: true }, source, accumulator)
  const scrape = new Scrape(metrics, [])
  const page = async (accept?: string) =>
    Buffer.concat((await scrape.scrape(accept, AbortSignal.timeout(10_000))).chunks)
  const check = new Check()
  const totals = { items: 0, accepted: 0, refused: 0 }
  for (let i = 1; i <= 20_000; i++) {
    const whole = random.once(4) ? generate(random, 'metrics') : plausible(random)
    const bytes = random.once(2) ? whole : mutate(random, whole)
    if (check.run(bytes, REQUEST.metrics)) {
      const before = intake.accepted
      const refusals = intake.take({ signal: 'metrics', received: 0, bytes, items: check.items }) ?? []
      const refused = refusals.reduce((sum, each) => sum + each.items, 0)
      const accepted = intake.accepted - before
      if (accepted + refused !== check.items)
        t.equal(accepted + refused, check.items, `request ${i}: ${bytes.toString('hex')}`)
      totals.items += check.items
      totals.accepted += accepted
      totals.refused += refused
    }
    if (i % 200 === 0) {
      // Two views of the same numbers.
      const lines = (text: string) => text.split('\n').filter(line => !/^#|^pillion/.test(line))
      const [ours, theirs] = [lines((await page()).toString()), lines(asText(decoded(await page(PROTOBUF))))]
      if (ours.join('\n') !== theirs.join('\n')) t.same(theirs, ours, `protobuf after ${i}`)
    }
    if (i % 200 === 100) accumulator.clear()
    if (i % 4000 > 0) continue
    if (promtool) t.equal(faults(await page()), '', `promtool after ${i}`)
    if (python) t.ok(parsed(await page(OPENMETRICS)).length > 0, `the OpenMetrics parser after ${i}`)
  }
  t.comment(totals)
  t.ok(totals.accepted > 1000 && totals.refused > 1000)
  accumulator.clear()
  t.equal(source.series + source.bytes + source.families + accumulator.resources.held.size, 0, 'nothing is left behind')
})
