// A sidecar that was stopped, or had no core, for longer than its own timeouts: clients that sent in time are not called late.

import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { type Ride, startSidecar } from '../e2e/ride.ts'
import { Wire } from './receiver.ts'
import { attribute, span, traces } from './requests.ts'

t.setTimeout(120_000)

const GOOD = traces([attribute(1, 'service.name', 'shop')], span('a'), span('b'))
const HEAD = 'POST /v1/traces HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-protobuf\r\n'
const CHUNKED = Buffer.concat([
  Buffer.from(`${HEAD}Transfer-Encoding: chunked\r\n\r\n${GOOD.length.toString(16)}\r\n`),
  GOOD,
  Buffer.from('\r\n0\r\n\r\n'),
])
const POST = Buffer.concat([Buffer.from(`${HEAD}Content-Length: ${GOOD.length}\r\n\r\n`), GOOD])
const FLAGS = ['--otlp.http.header_timeout', '3s', '--otlp.http.request_timeout', '3s']

const answered = (wire: Wire) => wire.text.includes('HTTP/1.1 200 OK')

/** Connections that have sent something, and were accepted. */
async function begun(ride: Ride, bytes: Buffer): Promise<Wire[]> {
  const port = Number(new URL(ride.otlp).port)
  const wires = Array.from({ length: 5 }, () => new Wire(port))
  for (const wire of wires) wire.send(bytes)
  // Connections are accepted in their order.
  const last = new Wire(port)
  last.send(POST)
  await last.until(() => answered(last), 'an answer')
  last.close()
  return wires
}

for (const [what, request, first] of [
  ['before it said what it speaks', POST, 1],
  ['in the head of its request', POST, 20],
  ['in the body of its request', POST, POST.length - 5],
  ['in a chunk of its request', CHUNKED, CHUNKED.length - 15],
] as const)
  t.test(
    `a client that goes on ${what} is answered when the sidecar has stood still for longer than that may take`,
    async t => {
      await using ride = await startSidecar({ flags: FLAGS })
      const wires = await begun(ride, request.subarray(0, first))
      ride.child.kill('SIGSTOP')
      for (const wire of wires) wire.send(request.subarray(first))
      await sleep(5500)
      ride.child.kill('SIGCONT')
      for (const wire of wires) await wire.until(() => answered(wire) || wire.closed, 'an answer, or the end')
      t.same(
        wires.map(wire => wire.text.split('\r\n')[0]),
        Array(5).fill('HTTP/1.1 200 OK'),
      )
      for (const wire of wires) wire.close()
    },
  )
