// HTTP/2 floods sent to the gRPC receiver of a real sidecar: how soon a session is closed, and the delay of an honest client.

import { fileURLToPath } from 'node:url'
import t from 'tap'
import { type Ride, startSidecar } from '../e2e/ride.ts'
import { Wire } from '../otlp/receiver.ts'
import { hex, span, traces } from '../otlp/requests.ts'
import { CALL, frame, frames, headers, hpack, OPENING, TYPE } from './frames.ts'

const HELD = fileURLToPath(new URL('fixtures/held.ts', import.meta.url))
const CANCEL = Buffer.from([0, 0, 0, 8])
const GOOD = new Uint8Array(traces([], span('good')))

t.test('fifty calls a tick that are reset at once end their session within 200, and hold up nobody', async t => {
  await using ride = await startSidecar({ env: { NODE_OPTIONS: `--import ${HELD}` } })
  for (let n = 0; n < 10; n += 1) await good(ride)
  await held(ride, 1)
  const attackers = await Promise.all(Array.from({ length: 20 }, () => opened(ride)))
  const sent = attackers.map(() => 0)
  let slowest = 0
  for (let tick = 0; tick < 200 && attackers.some(each => !each.closed); tick += 1) {
    for (const [at, wire] of attackers.entries()) {
      if (wire.closed) continue
      const first = sent[at]!
      const calls = Array.from({ length: 50 }, (_, i) => {
        const stream = 2 * (first + i) + 1
        return Buffer.concat([headers(stream, CALL), frame(TYPE.reset, 0, stream, CANCEL)])
      })
      wire.send(Buffer.concat(calls))
      sent[at] = first + 50
    }
    slowest = Math.max(slowest, await good(ride))
  }
  await Promise.all(attackers.map(each => each.untilClosed()))
  const last = attackers.map(each => {
    const away = [...frames(each.received)].findLast(({ type }) => type === TYPE.goaway)
    return away ? (away.payload.readUInt32BE(0) + 1) / 2 : Number.NaN
  })
  const most = await held(ride, 2)
  t.comment(`cut off after ${Math.min(...last)} to ${Math.max(...last)} calls; loop held for ${most} ms`)
  t.comment(`honest request ${slowest.toFixed(0)} ms`)
  for (const calls of last) t.ok(calls <= 200, `${calls} calls`)
  t.ok(most < 100, `${most} ms`)
  // The client's own work on the answers to the attackers is in it.
  t.ok(slowest < 500, `${slowest.toFixed(0)} ms`)
  t.equal(await ride.value('pillion_uncaught_exceptions_total'), 0)
})

t.test('a header list of 65,000 pairs, in full or by reference, opens no call', async t => {
  await using ride = await startSidecar()
  const before = resident(await ride.scrape())
  const pair = hpack({ a: 'b' })
  const full = Buffer.concat([CALL, ...Array.from({ length: 65_000 }, () => pair)])
  // "a: b" enters the dynamic table once (0x40), and one byte (index 62) repeats it.
  const reference = Buffer.concat([CALL, hex('40 01 61 01 62'), Buffer.alloc(65_000, 0xbe)])
  for (const block of [full, reference]) {
    const wires = await Promise.all(Array.from({ length: 10 }, () => opened(ride)))
    for (const wire of wires) wire.send(headers(1, block))
    const refused = (wire: Wire) =>
      wire.closed || [...frames(wire.received)].some(({ type }) => type === TYPE.reset || type === TYPE.goaway)
    await Promise.all(wires.map(wire => wire.until(() => refused(wire), 'the end of the call')))
    for (const wire of wires) {
      t.notOk(
        [...frames(wire.received)].some(({ type }) => type === TYPE.headers),
        'no answer',
      )
      wire.close()
    }
  }
  t.ok((await good(ride)) < 1000)
  const grown = resident(await ride.scrape()) - before
  t.ok(grown < 32, `RSS grew by ${grown.toFixed(1)} MiB`)
  t.equal(await ride.value('pillion_uncaught_exceptions_total'), 0)
})

t.test('malformed header blocks end their session, and nothing else', async t => {
  await using ride = await startSidecar()
  const blocks = {
    'an index beyond the tables': hex('ff ff ff ff ff ff'),
    'index 0': hex('80'),
    'a number that does not end': hex(`3f ${'ff'.repeat(20)}`),
    'a table larger than agreed': hex('3f ff ff ff 07 83 86 84'),
    'a text longer than its block': hex('00 7f ff ff ff 0f 61'),
    'Huffman code with the end in it': hex('00 81 ff 81 ff ff ff ff'),
    'Huffman code that pads too much': hex('00 82 ff ff 01 61'),
    'a header without a name': hex('00 00 01 61'),
    'an upper-case name': Buffer.concat([CALL, hpack({ A: 'b' })]),
    'two methods': Buffer.concat([CALL, hpack({ ':method': 'GET' })]),
  }
  for (const [what, block] of Object.entries(blocks)) {
    const wire = await opened(ride)
    wire.send(headers(1, block))
    const refused = () =>
      wire.closed || [...frames(wire.received)].some(({ type }) => type === TYPE.reset || type === TYPE.goaway)
    await wire.until(refused, what)
    t.pass(what)
    wire.close()
  }
  t.ok((await good(ride)) < 1000)
  t.equal(await ride.value('pillion_uncaught_exceptions_total'), 0)
})

/** A session on which both sides have sent their settings. */
async function opened(ride: Ride): Promise<Wire> {
  const wire = new Wire(Number(new URL(ride.grpc).port))
  wire.send(OPENING)
  await wire.until(() => wire.received.length > 0, 'settings')
  return wire
}

/** The duration of an honest request, in milliseconds. */
async function good(ride: Ride): Promise<number> {
  const start = performance.now()
  const init = { method: 'POST', headers: { 'content-type': 'application/x-protobuf' }, body: GOOD }
  const { status } = await fetch(`${ride.otlp}/v1/traces`, init)
  if (status !== 200) throw new Error(`an honest request was answered with ${status}`)
  return performance.now() - start
}

/** The longest turn of the event loop, in milliseconds of CPU, since it was asked before. */
async function held({ child }: Ride, time: number): Promise<number> {
  child.kill('SIGUSR2')
  const [, ms] = await child.says(new RegExp(`held ${time}: (\\S+) ms`))
  return Number(ms)
}

function resident(page: string): number {
  return Number(/^pillion_process_resident_memory_bytes (\S+)/m.exec(page)?.[1]) / 2 ** 20
}
