// A sidecar that was stopped, or had no core, for longer than an upstream may take: an answer that came in time counts, or the
// upstream would get everything twice.

import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { startSidecar } from '../e2e/ride.ts'
import { attribute, span, traces } from '../otlp/requests.ts'
import { until, upstream } from './upstream.ts'

t.setTimeout(120_000)

const GOOD = traces([attribute(1, 'service.name', 'shop')], span('a'), span('b'))

t.test('an answer of an upstream that came during a standstill is read before it is called late', async t => {
  const answer = Promise.withResolvers<void>()
  const up = await upstream(t, (_, response) => void answer.promise.then(() => response.end()))
  await using ride = await startSidecar({ flags: ['--forward.endpoint', up.url, '--forward.timeout', '3s'] })
  const headers = { 'content-type': 'application/x-protobuf' }
  await fetch(`${ride.otlp}/v1/traces`, { method: 'POST', headers, body: new Uint8Array(GOOD) })
  await until(() => up.arrived.length === 1)
  ride.child.kill('SIGSTOP')
  answer.resolve()
  await sleep(5500)
  ride.child.kill('SIGCONT')
  await until(async () => (await ride.value('pillion_forward_items_total', { signal: 'traces' })) === 2)
  const page = await ride.scrape()
  t.match(page, /^pillion_forward_requests_total\{.*code="200"\} 1$/m)
  t.notMatch(page, /code="timeout"\} [1-9]/)
  t.equal(up.arrived.length, 1, 'nothing was sent again')
})
