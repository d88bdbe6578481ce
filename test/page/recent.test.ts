// The recent numbers behind the page, and their JSON.

import t from 'tap'
import { families } from '../../collectors/process.ts'
import { Recent } from '../../exporter/web/recent/recent.ts'
import { quantile, Requests } from '../../exporter/web/recent/requests.ts'
import { groups, STEPS, Timeline } from '../../exporter/web/recent/timeline.ts'
import { HistogramColumn } from '../../metrics/columns.ts'
import { histogram } from '../../metrics/family.ts'
import { Metrics } from '../../metrics/registry.ts'
import { Memory } from '../../telemetry/memory.ts'
import { openServer, parsed, status } from '../web/open.ts'
import { FakeClock } from '../world.ts'

const LABELS = ['service', 'span_name', 'span_kind', 'status_code'] as const

function requests(memory = new Memory(2 ** 30)) {
  const metrics = new Metrics()
  const table = metrics.table('traces_spanmetrics', LABELS, 2000)
  const column = new HistogramColumn(table, histogram('traces_spanmetrics_latency', 'Help.', LABELS, [0.1, 1]))
  metrics.add(column)
  const timeline = new Timeline()
  const kept = new Requests(metrics, memory.allot('page', 8 << 20))
  const observe = (name: string, seconds: number, status = 'UNSET', service = 'shop', times = 1): void => {
    const values = [service, name, 'SPAN_KIND_SERVER', `STATUS_CODE_${status}`]
    column.observe(table.slot(Uint32Array.from(values, value => table.symbols.text(value))), seconds, times)
  }
  return {
    kept,
    timeline,
    memory,
    observe,
    look(seconds = 1) {
      timeline.step(timeline.steps * 1000, seconds)
      kept.look(timeline)
    },
  }
}

t.test('requests are those that came since the first look, in the second in which they came', async t => {
  const { kept, timeline, observe, look } = requests()
  observe('GET /', 0.05)
  look()
  observe('GET /', 0.05)
  observe('GET /', 0.5, 'ERROR')
  look()
  look()
  observe('GET /', 5)
  look()
  const [operation] = kept.operations
  t.match(operation, { service: 'shop', name: 'GET /', kind: 'server' })
  t.same(
    [0, 1, 2, 3].map(step => [operation!.calls(step, step + 1), operation!.errors(step, step + 1)]),
    [
      [0, 0],
      [2, 1],
      [0, 0],
      [1, 0],
    ],
  )
  const buckets = new Float64Array(3)
  operation!.addBuckets(0, timeline.steps, buckets)
  t.same([...buckets], [1, 1, 1])
  t.equal(operation!.failingSince(0, 4, 60), 1)
  t.equal(kept.entered, 3)
})

t.test('after 15 minutes the oldest second gives way', async t => {
  const { kept, timeline, observe, look } = requests()
  observe('GET /', 0.05)
  look()
  observe('GET /', 0.05)
  look()
  t.equal(kept.operations[0]!.calls(timeline.first, timeline.steps), 1)
  for (let i = 0; i < STEPS; i++) look()
  t.equal(timeline.first, 2)
  t.equal(kept.operations[0]!.calls(timeline.first, timeline.steps), 0)
})

t.test('operations beyond 200 are added up in one, and the memory is given back', async t => {
  const { kept, timeline, observe, look, memory } = requests()
  look()
  for (let i = 0; i < 250; i++) observe(`GET /${i}`, 0.05)
  look()
  t.equal(kept.operations.length, 201)
  t.equal(kept.operations.at(-1)!.calls(0, timeline.steps), 50)
  t.ok(memory.used > 200 * 1024)
  kept.forget()
  t.equal(memory.used, 0)
})

t.test('a quantile lies between the bounds of its bucket; nothing has none', async t => {
  const f = (share: number, buckets: number[], expected: number | undefined): void =>
    void t.equal(quantile(share, Float64Array.from(buckets), [0.1, 1]), expected)
  f(0.5, [0, 0, 0], undefined)
  f(0.5, [2, 0, 0], 0.05)
  f(0.5, [0, 4, 0], 0.55)
  f(0.99, [1, 0, 99], 1)
})

t.test('steps are put together at places that stay', async t => {
  const timeline = new Timeline()
  for (let i = 0; i < 11; i++) timeline.step(i * 1000, 1)
  t.same(
    groups(timeline, 5).map(({ from, to, seconds, time }) => [from, to, seconds, time]),
    [
      [0, 5, 5, 4000],
      [5, 10, 5, 9000],
    ],
  )
  t.same(
    groups(timeline, 5, 3).map(({ from }) => from),
    [5],
  )
})

t.test(
  'numbers are kept from the first question until five minutes after the last one, and no memory after that',
  async t => {
    const clock = new FakeClock(1_750_000_000_000)
    const memory = new Memory(2 ** 30)
    const log = { info() {}, warn() {}, error() {} }
    let looks = 0
    const gather = async (): Promise<void> => void looks++
    const recent = new Recent({ metrics: new Metrics(), clock, memory, log, gather })
    t.teardown(() => recent[Symbol.asyncDispose]())
    const pass = async (seconds: number): Promise<void> => {
      for (let i = 0; i < seconds; i++) {
        await clock.pass(1000)
        for (let turn = 0; turn < 5; turn++) await new Promise(setImmediate)
      }
    }
    await pass(10)
    t.equal(looks, 0, 'nobody has asked')
    t.equal(memory.used, 0)
    const kept = await recent.kept()
    t.ok(memory.used > 0)
    await pass(200)
    t.equal(looks, 201, 'a step each second')
    t.equal(kept.timeline.steps, 201)
    t.equal(await recent.kept(), kept)
    await pass(299)
    t.ok(memory.used > 0)
    await pass(3)
    t.equal(memory.used, 0)
    const before = looks
    await pass(20)
    t.equal(looks, before, 'it has ended')
    t.not(await recent.kept(), kept, 'the next question begins anew')
  },
)

t.test('an answer that has not changed is not sent again', async t => {
  const { ask } = await openServer(t)
  const { status, head, body } = parsed(await ask('GET /api/overview?head'))
  t.equal(status, 200)
  t.match(JSON.parse(body), { application: { name: 'shop' }, well: { state: 'warning' } })
  const [, tag] = /ETag: (\S+)/i.exec(head) ?? []
  t.match(parsed(await ask('GET /api/overview?head', `If-None-Match: ${tag}`)), { status: 304, body: '' })
  t.equal(parsed(await ask('GET /api/overview', 'X-Forwarded-For: 192.0.2.1')).status, 403, 'guarded as the page is')
})

t.test('ends and slow requests need attention for as long as they matter, with their reason', async t => {
  const now = Date.now()
  let running = 1
  const end = (minutesAgo: number, reason: string, pid: number) => ({
    ...{ at: now - minutesAgo * 60_000, pid, reason, evidence: 'status' },
    text: `the application's process ${pid} ended by a test`,
  })
  const episode = (service: string, minutesAgo: number | null, cause: string) => ({
    ...{ id: service, from: now - 1_200_000, service, operation: 'GET /', cause, sentence: `GET / was slow: ${cause}` },
    ...{ to: minutesAgo === null ? null : now - minutesAgo * 60_000, trace_id: 'ab', requests: 7 },
  })
  const f = async (
    given: { ends?: readonly ReturnType<typeof end>[]; episodes?: readonly ReturnType<typeof episode>[] },
    ...expected: readonly string[]
  ): Promise<void> => {
    const metrics = new Metrics()
    metrics.gauge(families.up).set(running)
    const host = { metrics, ends: () => given.ends ?? [], episodes: () => given.episodes ?? [] }
    const { ask } = await openServer(t, { host: { ...host, status: () => ({ ...status, parts: [] }) } })
    const { attention, process } = JSON.parse(parsed(await ask('GET /api/overview')).body)
    t.same(
      attention.map(({ level, text }: { level: string; text: string }) => `${level}: ${text}`),
      expected,
    )
    t.same(process.ends, given.ends ?? [])
  }
  await f({})
  await f(
    { ends: [end(1, 'terminated', 8), end(3, 'oom', 7)] },
    "warning: the application was restarted: the application's process 7 ended by a test (2 ends in the last 15 minutes)",
  )
  await f(
    { ends: [end(1, 'clean', 8)] },
    "info: the application was restarted: the application's process 8 ended by a test",
  )
  await f({ ends: [end(16, 'oom', 7)] })
  await f(
    {
      episodes: [
        episode('shop', null, 'throttled'),
        episode('cart', null, 'unexplained'),
        episode('bank', 3, 'disk'),
        episode('bank', 4, 'gc'),
        episode('shop', 5, 'gc'),
        episode('mail', 3, 'unexplained'),
        episode('post', 16, 'gc'),
      ],
    },
    'warning: shop: GET / was slow: throttled',
    'info: cart: GET / was slow: unexplained',
    'info: bank, over by now: GET / was slow: disk',
  )
  running = 0
  await f(
    { ends: [end(1, 'crash', 7)] },
    "failed: the application does not run: the application's process 7 ended by a test",
  )
})
