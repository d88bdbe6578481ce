// Three quick failures of those that `npm run provoke` provokes, on a real Prometheus and a real Alertmanager.

import t from 'tap'
import { missing } from '../e2e/programs.ts'
import { FAILURES } from './failures.ts'
import { startJudge } from './judge.ts'
import { provoke } from './run.ts'
import { scaledExpression } from './scale.ts'
import { row } from './table.ts'

const skip = missing('prometheus', 'prometheus') || missing('prometheus-alertmanager', 'prometheus-alertmanager')

// Waits for conditions; a busy machine needs longer for each.
t.setTimeout(300_000)

t.test('only the durations of an expression are scaled', async t => {
  t.equal(
    scaledExpression('max_over_time(x{a="[5m]b"}[1d]) > 300 and rate(y[5m] offset 1h) > 0.5'),
    'max_over_time(x{a="[10000ms]b"}[2880000ms]) > 300 and rate(y[10000ms] offset 120000ms) > 0.5',
  )
})

t.test('a killed application, a dead sidecar and a refused reload are told as they are', { skip }, async t => {
  await using judge = await startJudge(t.testdir({}), ['availability=99.9'])
  const quick = FAILURES.filter(({ name }) => ['killed', 'dead sidecar', 'refused reload'].includes(name))
  t.equal(quick.length, 3)
  const setting = { judge, folder: t.testdirName, patience: 6 }
  for (const outcome of await Promise.all(quick.map(each => provoke(each, setting)))) {
    t.comment(row(outcome))
    t.same(outcome.wrong, [], outcome.failure.about)
  }
})

t.test('an alert that does not fire, and one that says something else, are found', { skip }, async t => {
  await using judge = await startJudge(t.testdir({}), [])
  const [killed] = FAILURES
  const { wrong } = await provoke(
    {
      ...killed!,
      name: 'pretended',
      before: '2m',
      watch: '4m',
      fires: { AppDown: { within: '10m', says: /is well/ }, SidecarDown: { within: '1m', says: /./ } },
      sent: ['SidecarDown'],
      panels: { 'Overview: Unhealthy': 0 },
    },
    { judge, folder: t.testdirName, patience: 1 },
  )
  for (const found of [
    /^AppDown says “.* is down by its liveness probe” instead of/,
    /^SidecarDown did not fire within 1m$/,
    /^AppProcessGone fired after \d+ s/,
    /AppProcessGone is sent too$/,
    /^SidecarDown is not sent$/,
    /^Overview: Unhealthy shows 1 instead of 0$/,
  ])
    t.ok(
      wrong.some(each => found.test(each)),
      `${found} in ${wrong.join('; ')}`,
    )
})
