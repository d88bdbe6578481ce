// The passive probe: readiness by the answers that an access log or a tap has seen.

import t from 'tap'
import { health } from '../../collectors/health.ts'
import { SeenAnswers } from '../../telemetry/seen.ts'
import { world } from '../world.ts'
import { healthOptions, probeOptions, value } from './machine.ts'

t.test('answers are counted by the second, and forgotten after ten minutes', async t => {
  const host = world('/proc')
  const seen = new SeenAnswers(host.clock)
  t.same(seen.within(60_000), { answers: 0, failures: 0, meanSeconds: 0 })
  seen.answered(200, 0.1)
  seen.answered(503, 0.3)
  t.same(seen.within(1000), { answers: 2, failures: 1, meanSeconds: 0.2 })
  host.clock.skip(5000)
  t.same(seen.within(5000), { answers: 0, failures: 0, meanSeconds: 0 })
  t.same(seen.within(6000).answers, 2)
  host.clock.skip(600_000)
  seen.answered(200, 0)
  t.same(seen.within(600_000), { answers: 1, failures: 0, meanSeconds: 0 }, 'the place of an old second is used again')
})

t.test('an answer that a log tells late counts for its own second, or not at all', async t => {
  const host = world('/proc')
  const seen = new SeenAnswers(host.clock)
  seen.answered(200, 0.1, host.clock.now() - 20_000)
  seen.answered(200, 0.1, host.clock.now() - 3_600_000)
  seen.answered(200, 0.1, host.clock.now() + 5000)
  t.equal(seen.within(10_000).answers, 1, 'a clock that is ahead means now')
  t.equal(seen.within(30_000).answers, 2)
  t.equal(seen.within(600_000).answers, 2, 'an hour ago is too old')
})

t.test(
  'a passive probe is up while answers come, down when too many are errors, and says nothing in silence',
  async t => {
    const host = world('/proc')
    const seen = new SeenAnswers(host.clock)
    const probes = [
      probeOptions({
        name: 'ready',
        kind: 'passive',
        interval: 1000,
        window: 10_000,
        max_errors: 0.5,
        failure_threshold: 1,
      }),
      probeOptions({
        name: 'busy',
        kind: 'passive',
        interval: 1000,
        window: 10_000,
        min_answers: 2,
        failure_threshold: 1,
      }),
    ]
    await using running = await health.start(healthOptions({ probes }), { ...host, seen })
    await host.clock.pass(3000)
    t.equal(await value(host, 'app_health_up', { probe: 'ready' }), undefined, 'nobody has asked for anything')
    t.equal(await value(host, 'app_health_probes_total', { probe: 'ready' }), 0)
    t.equal(await value(host, 'app_health_up', { probe: 'busy' }), 0, 'silence is a failure here')
    t.equal(await value(host, 'app_health_probe_failures_total', { probe: 'busy', reason: 'silent' }), 4)

    seen.answered(200, 0.01)
    seen.answered(404, 0.01)
    await host.clock.pass(2000)
    t.equal(await value(host, 'app_health_up', { probe: 'ready' }), 1)
    t.equal(await value(host, 'app_health_up', { probe: 'busy' }), 1)

    for (let i = 0; i < 3; i++) seen.answered(500, 0.01)
    await host.clock.pass(2000)
    t.equal(await value(host, 'app_health_up', { probe: 'ready' }), 0, '3 of 5')
    t.match(
      running
        .findings?.()
        .map(({ text }) => text)
        .join(),
      /3 of 5 answers in the last 10 s have a status of 500/,
    )
    const before = await value(host, 'app_health_probes_total', { probe: 'ready' })

    await host.clock.pass(20_000)
    t.equal(await value(host, 'app_health_up', { probe: 'ready' }), 0, 'silence changes nothing')
    t.ok(((await value(host, 'app_health_probes_total', { probe: 'ready' })) ?? 0) <= (before ?? 0) + 10)
  },
)
