// GET /api/map.

import t from 'tap'
import { openServer, parsed } from '../web/open.ts'
import { Room } from './room.ts'
import type { Sent } from './views.ts'

const CALL: Sent = { service: 'shop', name: 'POST', kind: 3, span: 2, seconds: 0.3 }
const HANDLER: Sent = { service: 'cart', name: 'POST /items', kind: 2, span: 3, parent: 2, seconds: 0.0035 }

async function asked(t: Parameters<typeof openServer>[0], room: Room): Promise<Record<string, unknown>> {
  const { ask } = await openServer(t, { host: { routes: () => room.consumer.routes ?? [] } })
  const { status, body } = parsed(await ask('GET /api/map'))
  t.match(status, 200)
  return JSON.parse(body)
}

t.test('the map has each edge with its requests, failures, time and buckets', async t => {
  const room = new Room({ buckets: [2, 4] })
  room.send(CALL, HANDLER)
  room.send({ ...CALL, id: 8 }, { ...HANDLER, id: 8, status: 2, seconds: 9 })
  t.same(await asked(t, room), {
    now: room.clock.now(),
    enabled: true,
    bounds: [0.002, 0.004],
    edges: [{ client: 'shop', server: 'cart', type: '', requests: 2, failed: 1, seconds: 9.0035, buckets: [0, 1, 1] }],
    overflow: 0,
  })
})

t.test('a request whose other half did not come is on the map when its wait is over', async t => {
  const room = new Room()
  room.send({ ...CALL, attributes: { 'peer.service': 'bank' } })
  t.same((await asked(t, room))['edges'], [])
  await room.clock.pass(6001)
  t.match((await asked(t, room))['edges'], [{ client: 'shop', server: 'bank', type: 'virtual_node', requests: 1 }])
})

t.test('requests beyond the limit of edges are counted without names', async t => {
  const room = new Room({ graph: { enabled: true, wait: 0, pending: 10, limit: 1 } })
  for (const peer of ['a', 'b', 'c']) room.send({ ...CALL, attributes: { 'peer.service': peer } })
  const { edges, overflow } = await asked(t, room)
  t.match(edges, [{ server: 'a', requests: 1 }])
  t.equal(overflow, 2)
})

t.test('without a service graph the map says so', async t => {
  const room = new Room({ graph: { enabled: false, wait: 0, pending: 10, limit: 1 } })
  room.send(CALL, HANDLER)
  t.match(await asked(t, room), { enabled: false, edges: [] })
})
