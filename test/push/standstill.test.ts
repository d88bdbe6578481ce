// A sidecar that was stopped, or had no core, for longer than a receiver may take.

import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { until } from '../e2e/child.ts'
import { startSidecar } from '../e2e/ride.ts'
import { receiving } from './receiver.ts'

t.setTimeout(120_000)

t.test('an answer of a receiver that came during a standstill is read before it is called late', async t => {
  const answer = Promise.withResolvers<void>()
  const receiver = await receiving(t, (_, n, response) => {
    if (n === 0) void answer.promise.then(() => response.writeHead(200).end())
    else response.writeHead(200).end()
  })
  const push = ['--push.endpoint', receiver.url, '--push.interval', '1s', '--push.timeout', '3s']
  await using ride = await startSidecar({ flags: push })
  await until('the first push', async () => receiver.got.length === 1 || undefined)
  ride.child.kill('SIGSTOP')
  answer.resolve()
  await sleep(5500)
  ride.child.kill('SIGCONT')
  await until('the second push', async () => receiver.got.length > 1 || undefined)
  const page = await ride.scrape()
  t.match(page, /^pillion_push_requests_total\{code="200"\} [1-9]/m)
  t.notMatch(page, /^pillion_push_requests_total\{code="timeout"\} [1-9]/m)
})
