// The tap as a relay: what both sides hear through it is what they hear without it, whatever they say.

import t from 'tap'
import { Room } from '../../collectors/tap/framing.ts'
import { Numbers } from '../../collectors/tap/numbers.ts'
import { Relay } from '../../collectors/tap/relay.ts'
import type { Exchange, Lost } from '../../collectors/tap/watch.ts'
import { Random, SEED } from '../random.ts'
import { act, type Heard, Upstream } from './peers.ts'
import { type Script, script } from './scripts.ts'

t.setTimeout(120_000)

const EXCHANGES = 20_000
const LANES = 8

t.test('both sides of 20,000 exchanges hear through the tap what they hear without it', async t => {
  const random = new Random(SEED)
  const scripts: Script[] = []
  for (let count = 0; count < EXCHANGES; ) {
    const next = script(random)
    scripts.push(next)
    count += next.count
  }
  const kinds = new Map<string, number>()
  let differing = 0
  const numbers = new Numbers()
  await Promise.all(
    Array.from({ length: LANES }, async (_, lane) => {
      const upstream = new Upstream()
      const port = await upstream.listen()
      const closed: [Exchange, Lost | undefined][] = []
      const opaque: string[] = []
      const observer = {
        now: () => performance.now(),
        opened: () => true,
        closed: (exchange: Exchange, lost: Lost | undefined) => void closed.push([exchange, lost]),
        opaque: (reason: string) => void opaque.push(reason),
      }
      const relay = new Relay(
        {
          listen: { host: '127.0.0.1', port: 0 },
          upstream: { host: '127.0.0.1', port },
          maxConnections: 100,
          connectTimeout: 5000,
          halfClosedTimeout: 60_000,
          proxyProtocol: false,
          newIds: undefined,
        },
        numbers,
        observer,
        { maxHead: 16 * 1024, room: new Room(16 << 20) },
      )
      const through = await relay.listen()
      for (let i = lane; i < scripts.length; i += LANES) {
        const each = scripts[i]!
        kinds.set(each.kind, (kinds.get(each.kind) ?? 0) + 1)
        const direct = await act(each, upstream, port)
        closed.length = 0
        opaque.length = 0
        const tapped = await act(each, upstream, through)
        const whole = [same(direct.client, tapped.client, each), same(direct.server, tapped.server, each)]
        const found = closed.filter(([, lost]) => lost === undefined).map(([exchange]) => shown(exchange))
        const expected = each.exchanges.map(shown)
        const seen = JSON.stringify(found) === JSON.stringify(expected)
        const reason = JSON.stringify(opaque) === JSON.stringify(each.opaque === undefined ? [] : [each.opaque])
        if (whole.every(Boolean) && seen && reason) continue
        differing++
        if (differing > 5) continue
        t.comment(
          `script ${i} (${each.kind}): client ${whole[0]}, server ${whole[1]}, opaque ${opaque} for ${each.opaque}`,
        )
        t.comment(
          `ends: direct ${direct.client.end}/${direct.server.end}, tapped ${tapped.client.end}/${tapped.server.end}`,
        )
        t.comment(
          `client ${direct.client.bytes.length}/${tapped.client.bytes.length}, server ${direct.server.bytes.length}/${tapped.server.bytes.length}`,
        )
        if (!seen) t.comment(`exchanges: ${JSON.stringify(found)}\nexpected: ${JSON.stringify(expected)}`)
      }
      await relay.drain(1000)
      t.equal(relay.open, 0)
      upstream.close()
    }),
  )
  t.equal(differing, 0, `of ${scripts.length} connections`)
  t.ok(kinds.size >= 20, `every way to end a connection was there: ${[...kinds].join(' ')}`)
})

function same(direct: Heard, tapped: Heard, { reset }: Script): boolean {
  if (direct.end !== tapped.end) return false
  // Bytes that are under way when a connection is reset may be lost, with and without a tap.
  if (reset) return direct.bytes.indexOf(tapped.bytes) === 0 || tapped.bytes.indexOf(direct.bytes) === 0
  return direct.bytes.equals(tapped.bytes)
}

function shown({
  method,
  target,
  status,
  requestBytes,
  responseBytes,
}: Omit<Exchange, 'began'> | Script['exchanges'][number]) {
  return [method, target, status, requestBytes, responseBytes]
}
