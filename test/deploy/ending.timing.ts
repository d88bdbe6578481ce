// The time that the sidecar takes to end when it is asked to.

import { once } from 'node:events'
import { connect } from 'node:net'
import t, { type Test } from 'tap'
import { until } from '../e2e/child.ts'
import { startSidecar } from '../e2e/ride.ts'
import { span, traces } from '../otlp/requests.ts'
import { Image, unbuilt } from './image.ts'
import { Pod, signal, status } from './pod.ts'

/** In the worst case Kubernetes leaves a native sidecar this long (KEP-753). */
const WORST_MS = 2000

const skip = unbuilt()
const image = skip ? undefined : new Image()
t.teardown(() => image?.[Symbol.dispose]())

timedTest('a stop ends in time, even if clients still hold connections open', WORST_MS, async t => {
  await using ride = await startSidecar()
  const half =
    'POST /v1/traces HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{'
  for (const url of [ride.otlp, ride.web]) {
    const socket = connect(Number(new URL(url).port), '127.0.0.1').on('error', () => {})
    t.teardown(() => socket.destroy())
    await once(socket, 'connect')
    socket.write(half)
  }
  const asked = performance.now()
  ride.child.kill('SIGTERM')
  t.same(await ride.child.ended, { code: 0, signal: null })
  return performance.now() - asked
})

timedTest('a stop under load ends in time', WORST_MS, async t => {
  await using ride = await startSidecar()
  const init = { method: 'POST', headers: { 'content-type': 'application/x-protobuf' } }
  const body = new Uint8Array(traces([], ...Array.from({ length: 100 }, () => span('GET /'))))
  let sent = 0
  const load = async (): Promise<void> => {
    for (;;)
      try {
        await (await fetch(`${ride.otlp}/v1/traces`, { ...init, body })).arrayBuffer()
        sent += 1
      } catch {
        return
      }
  }
  const senders = [load(), load(), load()]
  await until('some load', () => sent > 100 || undefined)
  const asked = performance.now()
  ride.child.kill('SIGTERM')
  t.same(await ride.child.ended, { code: 0, signal: null })
  const ms = performance.now() - asked
  await Promise.all(senders)
  return ms
})

timedTest('a second SIGTERM while connections are held ends it at once', 1000, async t => {
  await using ride = await startSidecar()
  const { hostname, port } = new URL(ride.otlp)
  const socket = connect(Number(port), hostname).on('error', () => {})
  await once(socket, 'connect')
  socket.write(
    'POST /v1/traces HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-protobuf\r\nContent-Length: 100000\r\n\r\n.',
  )
  ride.child.kill('SIGTERM')
  await ride.child.says(/stopping/)
  const asked = performance.now()
  ride.child.kill('SIGTERM')
  const { code } = await ride.child.ended
  const ms = performance.now() - asked
  t.ok(code === 128 + 15 || code === 0, String(code))
  socket.destroy()
  return ms
})

timedTest(
  'as PID 1 it ends on SIGTERM, in less than the 2 s that Kubernetes leaves in the worst case',
  WORST_MS,
  async t => {
    await using pod = await Pod.compose(image!.container([]))
    const web = await pod.client(19464)
    await until('ready', async () => (await web.get('/-/ready')).status === 200 || undefined)
    t.match(status(pod.first.pid), /^NSpid:\t\d+\t1$/m)
    const asked = performance.now()
    signal(pod.first.pid, 'SIGTERM')
    t.same(await pod.first.child.ended, { code: 0, signal: null })
    return performance.now() - asked
  },
  skip,
)

/**
 * An end that takes so many milliseconds at most; seen were 1,600 where clients hold on, 1,500 of which they are waited for, and
 * up to 200 otherwise. It may be tried three times: other programs can hold up any of them, and an end that waits for something
 * does so in each.
 */
function timedTest(name: string, most: number, end: (t: Test) => Promise<number>, skip: string | false = false): void {
  t.test(name, { skip }, async t => {
    const times: number[] = []
    while (times.length < 3 && !((times.at(-1) ?? Number.POSITIVE_INFINITY) < most))
      times.push(Math.round(await end(t)))
    t.comment(`${times.join(', ')} ms`)
    t.ok(times.at(-1)! < most, `${times.join(', ')} ms`)
  })
}
