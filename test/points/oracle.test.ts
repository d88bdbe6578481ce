// Random streams of deltas beside an oracle that keeps every single observation: several writers of one series, some with
// constant start times, restarts, retries and intervals in the wrong order. The page must show exactly what was observed.

import t from 'tap'
import { decoded, type Histogram } from '../metrics/client-model.ts'
import fc from '../property.ts'
import { DELTA, from, type Message, PROTOBUF, SHOP, sidecar, times } from './otlp.ts'

/** The start of a writer's interval is where its last one ended, or that of its process. */
type Style = 'interval' | 'process'

interface Writer {
  readonly style: Style
  /** An attribute that is no label: writers without it have the same resource. */
  readonly pid: number | undefined
  readonly skew: number
  readonly period: number
  /** After so many intervals another process goes on, started then. */
  readonly restart: number
  readonly intervals: readonly (readonly number[])[]
}

/** One delta, and when it is delivered: again as often as it is retried. */
interface Delta {
  readonly pid: number | undefined
  readonly start: number
  readonly time: number
  readonly values: readonly number[]
  readonly lag: number
  readonly retries: readonly number[]
}

// Values between the bounds of buckets: on a bound, a logarithm of the test's own could err.
const value = fc
  .double({ min: 0.01, max: 1000, noNaN: true })
  .filter(v => Math.abs(Math.log2(v) * 8 - Math.round(Math.log2(v) * 8)) > 1e-6)

const writer = (values: fc.Arbitrary<number>): fc.Arbitrary<Writer> =>
  fc.record({
    style: fc.constantFrom<Style>('interval', 'process'),
    pid: fc.option(fc.nat(2), { nil: undefined }),
    skew: fc.nat(9000),
    period: fc.constantFrom(10_000, 10_001, 60_000),
    restart: fc.integer({ min: 2, max: 20 }),
    intervals: fc.array(fc.array(values, { maxLength: 4 }), { minLength: 1, maxLength: 20 }),
  })

const delays = fc.array(
  fc.record({ lag: fc.constantFrom(0, 0, 0, 1, 3), retries: fc.constantFrom([], [], [0], [2], [1, 4]) }),
  {
    minLength: 1,
    maxLength: 30,
  },
)

/** The deltas of all writers, in the order in which they are delivered. */
function delivered(writers: readonly Writer[], delay: readonly { lag: number; retries: readonly number[] }[]): Delta[] {
  const all: Delta[] = []
  for (const [i, { style, pid, skew, period, restart, intervals }] of writers.entries()) {
    // A millisecond of its own for each writer, so that no two have equal intervals by chance.
    let [began, end] = [skew + i / 1000, skew + i / 1000]
    for (const [k, values] of intervals.entries()) {
      if (k > 0 && k % restart === 0) {
        end += 500
        began = end
      }
      const start = style === 'process' ? began : end
      end += period
      const { lag, retries } = delay[(i * 7 + k) % delay.length]!
      all.push({ pid, start: start / 1000, time: end / 1000, values, lag, retries })
    }
  }
  // Delivered by time, each a few places later than its turn; retries follow some places behind.
  const places = all
    .sort((a, b) => a.time - b.time)
    .flatMap((delta, place) => {
      const first = place + delta.lag + 0.5
      return [{ delta, place: first }, ...delta.retries.map(by => ({ delta, place: first + by + 0.25 }))]
    })
  return places.sort((a, b) => a.place - b.place).map(({ delta }) => delta)
}

type Make = (values: readonly number[], k: number) => Message

/** Delivers everything, checks the ledger, and returns what should be there: each delta's values once. */
async function run(
  make: Make,
  deltas: readonly Delta[],
): Promise<{ observed: readonly number[]; page: (accept?: string) => Promise<Buffer>; samples: Map<string, number> }> {
  const { take, page, samples } = sidecar(t)
  const seen = new Set<Delta>()
  for (const [k, delta] of deltas.entries()) {
    const resource = delta.pid === undefined ? SHOP : { ...SHOP, 'process.pid': delta.pid }
    const metric = make(delta.values, k)
    const refusals = take(from(resource, { ...metric, ...dated(metric, delta) }))
    const expected = seen.has(delta) ? [['out_of_order', 1]] : []
    if (JSON.stringify(refusals.map(({ reason, items }) => [reason, items])) !== JSON.stringify(expected))
      throw new Error(`delta ${k} (${delta.start} to ${delta.time}): ${JSON.stringify(refusals)}`)
    seen.add(delta)
  }
  const lines = (await samples()).map(line => line.split(' '))
  return {
    observed: [...seen].flatMap(({ values }) => values),
    page,
    samples: new Map(lines.map(([name = '', number]) => [name, Number(number)])),
  }
}

/** The metric's only data point with the times of a delta. */
function dated(metric: Message, { start, time }: Delta): Message {
  const kind = ['sum', 'histogram', 'exponentialHistogram'].find(each => each in metric)!
  const data = metric[kind] as { dataPoints: readonly Message[] }
  return { [kind]: { ...data, dataPoints: data.dataPoints.map(each => ({ ...each, ...times(start, time) })) } }
}

const total = (values: readonly number[]) => values.reduce((all, each) => all + each, 0)

async function holds(
  values: fc.Arbitrary<number>,
  make: Make,
  check: (result: Awaited<ReturnType<typeof run>>) => boolean | Promise<boolean>,
): Promise<void> {
  const property = fc.asyncProperty(
    fc.array(writer(values), { minLength: 1, maxLength: 4 }),
    delays,
    async (writers, delay) => await check(await run(make, delivered(writers, delay))),
  )
  await fc.assert(property, { numRuns: 60 })
}

const close = (a: number, b: number) => Math.abs(a - b) <= 1e-9 * Math.max(1, Math.abs(a), Math.abs(b))

t.test('counters show the sum of all deltas, each once', async () => {
  const make: Make = values => ({
    name: 'c',
    sum: { aggregationTemporality: DELTA, isMonotonic: true, dataPoints: [{ asInt: total(values) }] },
  })
  await holds(fc.nat(1000), make, ({ observed, samples }) => samples.get('c_total') === total(observed))
})

t.test('up-down counters show the sum of all deltas, each once', async () => {
  const make: Make = values => ({
    name: 'u',
    sum: { aggregationTemporality: DELTA, dataPoints: [{ asDouble: total(values) }] },
  })
  await holds(
    fc.integer({ min: -1000, max: 1000 }),
    make,
    ({ observed, samples }) => samples.get('u') === total(observed),
  )
})

t.test('histograms show every observation in its bucket, once', async () => {
  const explicitBounds = [0.1, 1, 10, 100]
  const make: Make = values => ({
    name: 'h',
    histogram: {
      aggregationTemporality: DELTA,
      dataPoints: [
        {
          count: values.length,
          sum: total(values),
          explicitBounds,
          bucketCounts: [...explicitBounds, Number.POSITIVE_INFINITY].map(
            (le, i) => values.filter(v => v <= le && v > (explicitBounds[i - 1] ?? Number.NEGATIVE_INFINITY)).length,
          ),
        },
      ],
    },
  })
  await holds(
    value,
    make,
    ({ observed, samples }) =>
      samples.get('h_count') === observed.length &&
      close(samples.get('h_sum') ?? Number.NaN, total(observed)) &&
      explicitBounds.every(le => samples.get(`h_bucket{le="${le}"}`) === observed.filter(v => v <= le).length),
  )
})

/** An exponential histogram of these values, made in the plainest way. */
function exponential(values: readonly number[], scale: number, zeroThreshold: number): Message {
  const above = values.filter(v => v > zeroThreshold)
  const index = (v: number) => Math.ceil(Math.log2(v) * 2 ** scale) - 1
  const offset = above.length > 0 ? Math.min(...above.map(index)) : 0
  const bucketCounts = above.length > 0 ? Array(Math.max(...above.map(index)) - offset + 1).fill(0) : []
  for (const v of above) bucketCounts[index(v) - offset]++
  return {
    count: values.length,
    sum: total(values),
    scale,
    zeroThreshold,
    zeroCount: values.length - above.length,
    positive: { offset, bucketCounts },
  }
}

/** The upper bounds of a native histogram's buckets and what they count up to there, as Prometheus reads them. */
function cumulative({
  schema = 0,
  zeroThreshold = 0,
  zeroCount = 0,
  positiveSpan = [],
  positiveDelta = [],
}: Histogram) {
  const found: [bound: number, count: number][] = [[zeroThreshold, zeroCount]]
  let [index, count, at, all] = [0, 0, 0, zeroCount]
  for (const { offset = 0, length = 0 } of positiveSpan) {
    index += offset
    for (let i = 0; i < length; i++, index++) {
      count += positiveDelta[at++] ?? 0
      all += count
      found.push([2 ** (index * 2 ** -schema), all])
    }
  }
  return found
}

t.test(
  'exponential histograms of changing scales and zero thresholds show every observation where it was',
  async () => {
    const thresholds = [0, 0, 0.02, 2 ** -3, 0.3]
    const make: Make = (values, k) => ({
      name: 'e',
      exponentialHistogram: {
        aggregationTemporality: DELTA,
        dataPoints: [exponential(values, [3, 1, 0, 2, -1][(k * 3) % 5]!, thresholds[(k * 7) % 5]!)],
      },
    })
    await holds(value, make, async ({ observed, samples, page }) => {
      const family = decoded(await page(PROTOBUF)).find(each => each.name === 'e')
      const native = family?.metric?.[0]?.histogram
      if (!native) return false
      const below = (bound: number) => observed.filter(v => v <= bound).length
      const classic = [...samples].filter(([name]) => name.startsWith('e_bucket') && !name.includes('Inf'))
      return (
        native.sampleCount === observed.length &&
        samples.get('e_count') === observed.length &&
        close(native.sampleSum ?? Number.NaN, total(observed)) &&
        cumulative(native).every(([bound, count]) => bound === 0 || count === below(bound)) &&
        classic.every(([name, count]) => count === below(Number(/le="([^"]+)"/.exec(name)?.[1])))
      )
    })
  },
)
