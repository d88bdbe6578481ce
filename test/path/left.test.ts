// Operations that the request metrics have found, and that need not be found again.

import t from 'tap'
import type { SpansOptions } from '../../processors/spans.ts'
import { attribute, ld } from '../otlp/requests.ts'
import { encoded, Room, type Sent } from './room.ts'

const LONG = 'a-name-of-more-bytes-than-are-kept-to-be-compared.'.repeat(6)
const NAMES = ['a', 'overflow', 'GET', 'GET /cart/:id', `${LONG}1`, `${LONG}2`]
const PEERS = [undefined, 'db', 'db.local', 'a peer of more than thirty-two bytes', LONG]
const KINDS = [0, 1, 3, 4, 5]
const MS = 1_000_000

/** Requests with every kind, name, peer and status of children, those of one name and kind one after another. */
function requests(): Sent[] {
  const sent: Sent[] = []
  let trace = 1
  for (const name of NAMES)
    for (const kind of KINDS)
      for (const failed of [false, true]) {
        const root = 1000 * trace
        PEERS.forEach((peer, i) => {
          const times = { from: 10 * i * MS, to: (10 * i + 1 + trace) * MS }
          const of = peer === undefined ? {} : { peer }
          sent.push({ trace, id: root + 1 + i, parent: root, name, kind, failed, ...times, ...of })
        })
        sent.push({ trace, id: root, name: `root of ${name}`, from: 0, to: 100 * MS })
        trace++
      }
  return sent
}

function bodyOf(service: string, sent: readonly Sent[]): Buffer {
  return ld(1, ld(1, attribute(1, 'service.name', service)), ld(2, ...sent.map(span => ld(2, encoded(span)))))
}

async function shown(options: { limit?: number }, counted?: Partial<SpansOptions>): Promise<string[]> {
  const room = new Room(options, 2 ** 30, counted)
  const sent = requests()
  const lines: string[] = []
  for (let round = 0; round < 4; round++) {
    for (const service of ['shop', 'cart', 'shop']) {
      const body = bodyOf(service, sent)
      room.sendBytes(body, sent.length)
      // Ids of traces are those of the last time: they are decided before they come again.
      await room.pass(1500)
    }
    for (const family of ['traces_critical_path_seconds_total', 'traces_critical_path_async_seconds_total'])
      lines.push(...(await room.samples(family)).map(({ labels, value }) => `${family} ${labels} ${value}`))
  }
  return lines
}

for (const limit of [1000, 7])
  t.test(`the critical path is the same whether or not the request metrics see the spans (limit ${limit})`, async t => {
    const alone = await shown({ limit })
    t.ok(alone.length > 20)
    t.same(await shown({ limit }, {}), alone)
    t.same(await shown({ limit }, { dimensions: ['peer.service'] }), alone)
    t.same(await shown({ limit }, { limit: 3 }), alone, 'with operations that have no room in the request metrics')
    t.same(await shown({ limit }, { expiry: 1000 }), alone, 'with label sets that expire and are used for others')
    t.same(await shown({ limit }, { kinds: ['server', 'client'] }), alone, 'with kinds that are not counted')
  })

t.test('an operation is found by what another consumer has left, and by its peer', async t => {
  const room = new Room({}, 2 ** 30, {})
  const call = (trace: number, peer?: string): Sent[] => [
    { trace, id: trace * 10 + 1, parent: trace * 10, name: 'call', kind: 3, from: 0, to: 5, ...(peer ? { peer } : {}) },
    { trace, id: trace * 10, name: 'GET', from: 0, to: 5 },
  ]
  await room.whole(...call(1, LONG), ...call(2), ...call(3, 'db'), ...call(4), ...call(5, LONG), ...call(6, 'db'))
  const rows = await room.samples('traces_critical_path_seconds_total')
  const ns = rows.filter(({ labels }) => labels.includes('"call"')).map(({ value }) => Math.round(value * 1e9))
  t.same(ns.sort(), [10, 10, 10])
})
