// Two sidecars of one host whose taps have the same status port, and another program at that port.

import { existsSync } from 'node:fs'
import { createServer } from 'node:http'
import t from 'tap'
import { startSidecar } from '../e2e/ride.ts'
import { Application, ask, flags, ports, tapAnswers, tapped, until } from './tapped.ts'

t.setTimeout(120_000)

t.test('a tap of another application is left alone, and the second sidecar says which port to change', async t => {
  const [one, two] = [await Application.start(t), await Application.start(t)]
  const at = await ports()
  await tapped(t, one.port, at)
  const { pid } = await tapAnswers(at)
  const second = { ...(await ports()), status: at.status }
  await using ride = await startSidecar({ flags: flags(second, two.port) })
  await ride.child.says(/another tap answers at tap.status, and is left alone; choose another tap.status/)
  await until('the second tap', async () => (await ask(second.tap, '/')).status === 200 || undefined)
  t.equal((await ask(at.tap, '/')).status, 200)
  t.equal((await tapAnswers(at)).pid, pid, 'the first one is the same process')
  t.equal(await ride.value('app_tap_up'), 0)
  t.equal(await ride.value('app_tap_requests_total'), undefined, 'the numbers of another are not its own')
  const { parts } = (await (await fetch(`${ride.web}/api/status`)).json()) as { parts: { name: string }[] }
  t.match(
    parts.find(({ name }) => name === 'tap'),
    { state: 'warning', findings: [{ text: /the numbers of this one are missing; choose another tap.status/ }] },
  )
  t.equal(one.requests, 1)
  t.equal(two.requests, 1)
  await ride.child.stop()
})

t.test('another program at the status port is no tap, and spoils neither numbers nor the page', async t => {
  const application = await Application.start(t)
  const at = await ports()
  const numbers = { inFlight: 3, wait: { counts: [1] }, requests: { x: 1 } }
  const liar = createServer((_, answer) => answer.end(JSON.stringify({ pid: 1, identity: 'x', numbers })))
  await new Promise<void>(resolve => liar.listen(at.status, '127.0.0.1', resolve))
  t.teardown(() => liar.close())
  await using ride = await startSidecar({ flags: flags(at, application.port) })
  await until('the tap', async () => (await ask(at.tap, '/')).status === 200 || undefined)
  t.equal(await ride.value('app_tap_up'), 0)
  t.equal(await ride.value('app_tap_requests_in_flight'), undefined)
  t.equal((await fetch(`${ride.web}/api/status`)).status, 200)
  await ride.child.stop()
})

t.test(
  'a tap whose port is taken is tried again, its reason is logged once, and it relays once the port is free',
  async t => {
    const application = await Application.start(t)
    const at = await ports()
    const squatter = createServer()
    await new Promise<void>(resolve => squatter.listen(at.tap, '127.0.0.1', resolve))
    t.teardown(() => squatter.close())
    await using ride = await startSidecar({ flags: flags(at, application.port) })
    await until('three tries', async () => ((await ride.value('pillion_tap_restarts_total')) ?? 0) >= 3 || undefined)
    t.equal(ride.child.stderr.match(/the tap has ended; it is started again.*the port is taken/g)?.length, 1)
    t.equal(ride.child.stderr.match(/the tap was started/g)?.length, 1)
    squatter.close()
    await tapAnswers(at)
    t.equal((await ask(at.tap, '/')).status, 200)
    await ride.child.says(/the tap runs again/)
    await ride.child.stop()
  },
)

t.test('a sidecar that a second signal ends at once leaves no tap behind', async t => {
  const application = await Application.start(t)
  const at = await ports()
  // An upstream that never answers: the first signal has much to wait for.
  const hung = createServer(() => {})
  await new Promise<void>(resolve => hung.listen(0, '127.0.0.1', resolve))
  t.teardown(() => hung.close().closeAllConnections())
  const address = hung.address()
  const port = typeof address === 'object' && address ? address.port : 0
  await using ride = await startSidecar({
    flags: flags(at, application.port, ['--forward.endpoint', `http://127.0.0.1:${port}`]),
  })
  const { pid } = await tapAnswers(at)
  await ask(at.tap, '/')
  await until('a span that waits', async () => ((await ride.value('pillion_forward_held_items')) ?? 0) > 0 || undefined)
  ride.child.kill('SIGTERM')
  await ride.child.says(/stopping/)
  ride.child.kill('SIGTERM')
  t.same(await ride.child.ended, { code: 143, signal: null })
  await until('the end of the tap', () => !existsSync(`/proc/${pid}/fd/0`) || undefined)
})
