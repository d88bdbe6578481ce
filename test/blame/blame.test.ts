// Why requests were slow: what is said of an application whose trouble is known.

import t from 'tap'
import { EPOCH } from '../path/room.ts'
import type { Phase } from './story.ts'
import { Story } from './story.ts'

const RUN = { ms: 10, does: 'run' } as const
const CALL = { call: [{ ms: 5, does: 'poll' }] } as const
const PAUSE = { ms: 25, does: 'poll' } as const

/** After 60 ordinary requests, ten that do something besides. */
async function after(extra: Phase | { readonly call: readonly Phase[] }): Promise<Story> {
  const story = new Story()
  story.ordinary(60)
  await story.settle()
  for (let i = 0; i < 10; i++) {
    story.request([RUN, extra, CALL])
    story.does(PAUSE)
  }
  await story.settle()
  return story
}

for (const [does, cause] of [
  ['run', 'own_cpu'],
  ['wait', 'waiting_for_cpu'],
  ['throttled', 'throttled'],
  ['lock', 'lock'],
  ['disk', 'disk'],
  ['paging', 'paging'],
  ['stopped', 'stopped'],
  ['gc', 'gc'],
] as const)
  t.test(`a request that took longer for ${cause} is blamed on it`, async t => {
    const story = await after({ ms: 70, does })
    t.same(await story.slow(), { [cause]: 10 })
    const seconds = await story.seconds()
    t.ok(seconds[cause]! > 0.7 * 0.7, `${seconds[cause]} s`)
  })

t.test('a slow dependency is blamed by its peer', async t => {
  const story = await after({ call: [{ ms: 70, does: 'poll' }] })
  t.same(await story.slow(), { 'dependency:db': 10 })
})

t.test('our own wait inside a call is not blamed on the dependency', async t => {
  const story = await after({
    call: [
      { ms: 5, does: 'poll' },
      { ms: 70, does: 'wait' },
    ],
  })
  t.same(await story.slow(), { waiting_for_cpu: 10 })
})

t.test('a thread that computes through the end of a call is not blamed on the dependency', async t => {
  const story = await after({
    call: [
      { ms: 5, does: 'poll' },
      { ms: 70, does: 'run' },
    ],
  })
  t.same(await story.slow(), { own_cpu: 10 })
})

t.test('many threads that wait for a core at the same time, after a stop, do not make the stop a wait', async t => {
  const story = new Story({}, { workers: 8 })
  story.ordinary(60)
  story.request([
    { ms: 10, does: 'run' },
    { ms: 80, does: 'stopped' },
    { ms: 15, does: 'wait' },
  ])
  await story.settle()
  t.same(await story.slow(), { stopped: 1 })
})

t.test('time that no moment shows is unexplained', async t => {
  const story = await after({ ms: 70, does: 'poll' })
  t.same(await story.slow(), { unexplained: 10 })
})

t.test('ordinary requests are not slow, whatever they always do', async t => {
  const story = new Story()
  story.ordinary(300)
  await story.settle()
  t.same(await story.slow(), {})
  t.same(story.ask('/api/insight').body, { episodes: [], findings: [] })
})

t.test('seconds by cause are what slow requests took beyond the usual', async t => {
  const story = await after({ ms: 70, does: 'run' })
  const seconds = Object.values(await story.seconds()).reduce((sum, each) => sum + each, 0)
  t.ok(Math.abs(seconds - 0.7) < 0.02, `${seconds} s`)
})

t.test('a request shorter than two moments is not blamed alone', async t => {
  const story = new Story()
  story.ordinary(60)
  await story.settle()
  for (let i = 0; i < 10; i++) {
    story.request([RUN, { ms: 15, does: 'run' }, CALL])
    story.does(PAUSE)
  }
  await story.settle()
  t.same(await story.slow(), { unexplained: 10 })
  const { episodes } = story.ask('/api/insight').body as { episodes: { cause: string }[] }
  t.equal(episodes[0]?.cause, 'own_cpu', 'and ten of them together are')
})

t.test('an episode is told in one sentence with numbers, and ends when it is quiet', async t => {
  const story = await after({ ms: 70, does: 'throttled' })
  const [began] = (story.ask('/api/insight').body as { episodes: Record<string, unknown>[] }).episodes
  t.match(began, { service: 'shop', operation: 'GET /x', cause: 'throttled', to: null, requests: 10 })
  t.match(
    began!['sentence'],
    /^GET \/x took up to 8\d\.\d ms instead of 15\.\d ms: 6\d\.\d ms of the 6\d\.\d ms more were throttled \(in \d+ of \d+ periods of its quota\); 10 slow requests$/,
  )
  t.match(began!['trace_id'], /^[0-9a-f]{32}$/)
  await story.clock.pass(40_000)
  const [ended] = (story.ask('/api/insight').body as { episodes: { to: number | null }[] }).episodes
  t.type(ended?.to, 'number')
  t.match(await story.page(), /^app_slow_episodes_total\{service="shop",span_name="GET \/x",cause="throttled"\} 1$/m)
})

t.test('another cause begins another episode', async t => {
  const story = await after({ ms: 70, does: 'lock' })
  for (let i = 0; i < 10; i++) {
    story.request([RUN, { ms: 70, does: 'stopped' }, CALL])
    story.does(PAUSE)
  }
  await story.settle()
  const { episodes } = story.ask('/api/insight').body as { episodes: { cause: string; to: number | null }[] }
  t.match(episodes, [
    { cause: 'stopped', to: null },
    { cause: 'lock', to: Number },
  ])
})

t.test('the log has at most one line a minute', async t => {
  const story = await after({ ms: 70, does: 'lock' })
  for (let i = 0; i < 10; i++) {
    story.request([RUN, { ms: 70, does: 'stopped' }, CALL])
    story.does(PAUSE)
  }
  await story.settle()
  t.equal(story.lines.length, 1)
  t.match(story.lines[0], /^slow requests .*"cause":"lock"/)
})

t.test('the bands of a trace say when which cause prevailed', async t => {
  const story = await after({ ms: 70, does: 'lock' })
  const { episodes } = story.ask('/api/insight').body as { episodes: { trace_id: string }[] }
  const { body } = story.ask(`/api/insight/trace/${episodes[0]!.trace_id}`)
  const { spans } = body as {
    spans: { span_id: string; causes: { cause: string; from: number; to: number; seconds: number }[] }[]
  }
  t.match(spans[0]?.span_id, /^[0-9a-f]{16}$/)
  const lock = spans[0]!.causes.find(({ cause }) => cause === 'lock')
  t.ok(lock && lock.to > lock.from && lock.seconds > 0.03)
  t.match(spans[1]?.causes, [{ cause: 'dependency:db' }])
})

t.test('the bands of a trace that is not known are empty, and an id that is none is refused', async t => {
  const story = new Story()
  t.same(story.ask('/api/insight/trace/0123456789abcdef').body, { spans: [] })
  t.equal(story.ask('/api/insight/trace/xyz').status, 400)
})

t.test('spans of another clock are not blamed on what the process does now', async t => {
  for (const ms of [3_600_000, -3_600_000]) {
    const story = new Story()
    story.skew(ms)
    story.ordinary(60)
    for (let i = 0; i < 10; i++) story.request([RUN, { ms: 70, does: 'lock' }, CALL])
    await story.settle()
    t.same(await story.slow(), { unexplained: 10 })
    t.match(await story.page(), /^pillion_blame_skipped_requests_total\{reason="no_moments"\} 10$/m)
  }
})

t.test('requests on both sides of a restart are not blamed', async t => {
  const story = new Story()
  story.ordinary(60)
  await story.settle()
  story.request([RUN, { ms: 70, does: 'lock' }, CALL])
  // The ring is begun anew after a step of the clock.
  story.ring.add(Date.UTC(2020, 0), 0, { ...({} as Parameters<typeof story.ring.add>[2]) })
  await story.settle()
  t.same(await story.slow(), { unexplained: 1 })
})

t.test('without a sampler slow requests are unexplained, and a finding says why', async t => {
  const story = new Story({}, { moments: false })
  story.ordinary(60)
  for (let i = 0; i < 10; i++) story.request([RUN, { ms: 70, does: 'lock' }, CALL])
  await story.settle()
  t.same(await story.slow(), { unexplained: 10 })
  t.match(story.part.findings?.(), [{ level: 'info', text: /the sampler does not run/ }])
})

t.test('with a threshold, requests are slow from it on', async t => {
  const story = new Story({ slow: 50 })
  story.ordinary(60)
  await story.settle()
  story.request([RUN, { ms: 30, does: 'run' }, CALL])
  story.request([RUN, { ms: 70, does: 'run' }, CALL])
  await story.settle()
  t.same(await story.slow(), { own_cpu: 1 })
})

t.test('the sampler is woken while requests come in', async t => {
  const story = new Story()
  story.ordinary(1)
  await story.settle()
  t.ok(story.woken > 0)
})

t.test('more slow requests than can be looked at are counted', async t => {
  const story = new Story({ slow: 1 })
  story.ordinary(400)
  await story.settle()
  t.match(await story.page(), /^pillion_blame_skipped_requests_total\{reason="rate"\} [1-9]/m)
})

t.test(
  'an application is in trouble while it is stopped, throttled, near its memory limit, or in an episode',
  async t => {
    const at = (story: Story) => Number(EPOCH) * 1000 + story.now
    for (const does of ['stopped', 'throttled'] as const) {
      const story = new Story()
      story.does({ ms: 100, does: 'poll' })
      const from = at(story)
      story.does({ ms: 80, does }, { ms: 200, does: 'poll' })
      t.equal(story.part.troubled(from + 30, from + 80), true, does)
      t.equal(story.part.troubled(from - 80, from - 40), false, 'and not before')
      t.equal(story.part.troubled(from - 9e9, from - 8e9), false, 'nor when nobody knows')
    }
    const story = await after({ ms: 70, does: 'lock' })
    t.equal(story.part.troubled(at(story) - 500, at(story) - 400), true, 'an episode')
  },
)
