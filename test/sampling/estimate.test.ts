// With the thresholds that are written into what is kept, a sum of adjusted counts is an unbiased estimate of what came. Each
// test draws 100,000 traces from a fixed seed and demands that sums by operation and status are within 4.5 standard
// deviations, which one right estimate in 150,000 is not.

import t, { type Test } from 'tap'
import { numbers } from '../random.ts'
import { adjusted, id, PLAIN, randomIn, type Sent, Stage, thresholdIn } from './stage.ts'

const TRACES = 100_000
const OPERATIONS = ['GET /', 'GET /cart', 'POST /order', 'GET /rare']
const PARENT = Buffer.alloc(8, 7)

/** Traces of one to four spans. One in 40 fails, one operation in 200 is seldom. */
function traces(
  random: () => number,
  count = TRACES,
  state?: (random: () => number, trace: Buffer) => string | undefined,
) {
  return Array.from({ length: count }, (): Sent[] => {
    const trace = id(random)
    const name = random() < 0.005 ? OPERATIONS[3]! : OPERATIONS[Math.floor(random() * 3)]!
    const status = random() < 0.025 ? 2 : 0
    const more = state?.(random, trace)
    const common = { trace, ...(more === undefined ? {} : { state: more }) }
    const children = Array.from({ length: Math.floor(random() * 4) }, () => ({
      ...common,
      span: id(random, 8),
      parent: PARENT,
      kind: 3,
      name: `query for ${name}`,
      status: 0,
    }))
    return [...children, { ...common, span: id(random, 8), name, status, seconds: 0.02 * -Math.log(1 - random()) }]
  })
}

/** The sums by operation and status: of what came, of what is estimated, and the variance of the estimate. */
function sums(stage: Stage, came: readonly (readonly Sent[])[], weight = (_: Sent) => 1) {
  const rows = new Map<string, { truth: number; estimate: number; variance: number; kept: number }>()
  const row = (name: string, status: number) => {
    const key = `${name} ${status}`
    const found = rows.get(key) ?? { truth: 0, estimate: 0, variance: 0, kept: 0 }
    rows.set(key, found)
    return found
  }
  for (const span of came.flat()) row(span.name!, span.status!).truth += weight(span)
  // All spans of a trace are kept or none, so what they add to a sum varies together.
  const byTrace = new Map<string, { row: ReturnType<typeof row>; count: number; spans: number }>()
  for (const span of stage.spans) {
    const count = adjusted(span)
    const found = row(span.name, span.status)
    found.estimate += count
    found.kept++
    const key = `${span.traceId} ${span.name} ${span.status}`
    const group = byTrace.get(key) ?? { row: found, count, spans: 0 }
    group.spans++
    byTrace.set(key, group)
  }
  // Horvitz and Thompson: the variance of n spans kept with probability p is n² (1 − p) / p, of which one in 1/p is seen.
  for (const { row, count, spans } of byTrace.values()) row.variance += spans ** 2 * count * (count - 1)
  return rows
}

function judge(t: Test, rows: ReturnType<typeof sums>) {
  for (const [name, { truth, estimate, variance, kept }] of rows) {
    const away = Math.abs(estimate - truth) / Math.max(1, Math.sqrt(variance))
    t.ok(away < 4.5, `${name}: came ${truth}, estimated ${estimate.toFixed(0)} from ${kept}, ${away.toFixed(2)} sigma`)
  }
}

/** Each kept span passes its own threshold: what a next stage of any kind checks. */
function consistent(t: Test, stage: Stage) {
  t.ok(
    stage.spans.every(each => randomIn(each) >= (thresholdIn(each.traceState) ?? 0n)),
    'all are consistent',
  )
}

t.test('by the ratio alone', async t => {
  const stage = new Stage({ ...PLAIN, ratio: 0.1 })
  const came = traces(numbers(11))
  await stage.sendAll(came)
  t.equal(stage.sampler.heldSpans, 0)
  judge(t, sums(stage, came))
  consistent(t, stage)
})

t.test('by strata: errors are exact, and the others estimated', async t => {
  const stage = new Stage({ ratio: 0.05 })
  const came = traces(numbers(12))
  await stage.sendAll(came)
  const rows = sums(stage, came)
  judge(t, rows)
  for (const name of OPERATIONS) {
    const { truth, estimate, kept } = rows.get(`${name} 2`)!
    t.same([estimate, kept], [truth, truth])
  }
  t.ok(stage.count().kept.slow > 500 && stage.count().kept.rare >= 30)
  consistent(t, stage)
})

t.test('by a limit of spans a second, which the load passes by far and which it swings around', async t => {
  const stage = new Stage({ max_spans_per_second: 300 })
  const random = numbers(13)
  const came = traces(random)
  const seconds: number[] = []
  let second = 0
  for (let i = 0; i < came.length; second++) {
    // 150 to 850 traces a second, in waves of a minute.
    const now = Math.round(500 + 350 * Math.sin(second / 10))
    const before = stage.passed.length
    stage.send(...came.slice(i, i + now).flat())
    i += now
    await stage.pass(1000)
    seconds.push(stage.passed.slice(before).reduce((sum, each) => sum + each.items, 0))
  }
  await stage.pass(2000)
  judge(t, sums(stage, came))
  consistent(t, stage)
  t.equal(stage.count().unthresholded, 0, 'the guard was not needed')
  const settled = seconds.slice(10)
  const mean = settled.reduce((sum, each) => sum + each, 0) / settled.length
  t.ok(mean < 315 && mean > 200, `${mean} spans a second`)
})

t.test('a limit of spans a second is as often above the truth as below it, over twenty runs', async t => {
  let [sum, away, least, most] = [0, 0, Infinity, -Infinity]
  const RUNS = 20
  for (let run = 0; run < RUNS; run++) {
    const stage = new Stage({ ...PLAIN, max_spans_per_second: 300 })
    const random = numbers(100 + run)
    const came = traces(random, 5000)
    let second = 0
    for (let i = 0; i < came.length; second++) {
      const now = Math.round(500 + 350 * Math.sin(second / 3 + run))
      stage.send(...came.slice(i, i + now).flat())
      i += now
      await stage.pass(1000)
    }
    await stage.pass(2000)
    if (stage.count().unthresholded > 0) t.fail('the guard was not needed')
    let [truth, estimate, variance] = [0, 0, 0]
    for (const each of sums(stage, came).values()) {
      truth += each.truth
      estimate += each.estimate
    }
    const byTrace = new Map<string, { count: number; spans: number }>()
    for (const span of stage.spans) {
      const group = byTrace.get(span.traceId) ?? { count: adjusted(span), spans: 0 }
      group.spans++
      byTrace.set(span.traceId, group)
    }
    for (const { count, spans } of byTrace.values()) variance += spans ** 2 * count * (count - 1)
    away += (estimate - truth) / Math.sqrt(variance)
    const ratio = estimate / truth - 1
    sum += ratio
    least = Math.min(least, ratio)
    most = Math.max(most, ratio)
  }
  const percent = (ratio: number) => `${(100 * ratio).toFixed(1)} %`
  t.comment(`${percent(least)} to ${percent(most)} in one run, ${percent(sum / RUNS)} on average`)
  // A mean of twenty has a twentieth of their variance.
  t.ok(Math.abs(away) / Math.sqrt(RUNS) < 4.5, `${(away / Math.sqrt(RUNS)).toFixed(2)} sigma`)
})

t.test('by a limit of bytes a second', async t => {
  const stage = new Stage({ ratio: 0.8, max_bytes_per_second: 20_000 })
  const came = traces(numbers(14))
  await stage.sendAll(came, 1000, 500)
  await stage.pass(2000)
  judge(t, sums(stage, came))
  consistent(t, stage)
  const bytes = stage.passed.reduce((sum, each) => sum + each.bytes.length, 0) / 200
  t.ok(bytes < 30_000, `${bytes} bytes a second, with what stands around the spans`)
})

t.test('after a sampler that has written its own thresholds', async t => {
  const stage = new Stage({ ratio: 0.2, rare: 0 })
  const random = numbers(15)
  // The application keeps half of its traces, or a twentieth, by the same algorithm; some write their own random value.
  const came = traces(random, 3 * TRACES, (random, trace) => {
    const threshold = random() < 0.5 ? '8' : 'f333333'
    const rv = random() < 0.3 ? id(random, 8).toString('hex').slice(2) : undefined
    const r = BigInt(`0x${rv ?? trace.toString('hex').slice(-14)}`)
    return r >= BigInt(`0x${threshold.padEnd(14, '0')}`) ? `ot=th:${threshold}${rv ? `;rv:${rv}` : ''}` : 'dropped'
  }).filter(spans => spans[0]!.state !== 'dropped')
  await stage.sendAll(came)
  const rows = sums(stage, came, span => adjusted({ traceState: span.state! }))
  // A span that came with a threshold is an estimate of its own, so what is compared varies only by this stage.
  judge(t, rows)
  consistent(t, stage)
  t.ok(
    stage.spans.every(each => thresholdIn(each.traceState)! >= 0x8n << 52n || each.status === 2 || adjusted(each) >= 2),
  )
})

t.test('after itself: two stages in a row say what one with the smaller ratio says', async t => {
  const first = new Stage({ ...PLAIN, ratio: 0.3 })
  const second = new Stage({ ...PLAIN, ratio: 0.1 })
  const alone = new Stage({ ...PLAIN, ratio: 0.1 })
  const came = traces(numbers(16), 20_000)
  await first.sendAll(came)
  await alone.sendAll(came)
  for (const { bytes, items } of first.passed) second.sendBytes(bytes, items)
  await second.pass(2000)
  const shown = (stage: Stage) => stage.spans.map(each => `${each.spanId} ${each.traceState}`).sort()
  t.same(shown(second), shown(alone))
})

t.test('when the guard drops traces as they come, what is kept meanwhile has no threshold', async t => {
  const stage = new Stage({ ...PLAIN, max_spans_per_second: 100 })
  const random = numbers(17)
  // Fifty times the limit from one second to the next: thresholds double, and the bucket is soon empty.
  await stage.sendAll(traces(random, 400), 1000, 20)
  t.equal(stage.count().dropped.guard, 0)
  await stage.sendAll(traces(random, 20_000), 1000, 2000)
  const { dropped, unthresholded } = stage.count()
  t.ok(dropped.guard > 0 && dropped.rate_limit > 0, JSON.stringify(dropped))
  t.equal(stage.spans.filter(each => thresholdIn(each.traceState) === undefined).length, unthresholded)
  // It is over when the load is.
  await stage.sendAll(traces(random, 3000), 1000, 50)
  const last = stage.spans.slice(-100)
  t.ok(last.every(each => thresholdIn(each.traceState) !== undefined))
  t.equal(stage.balance(), 'ok')
})
