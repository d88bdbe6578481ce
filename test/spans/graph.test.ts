// The edges of the service graph: pairs, virtual nodes, waiting, and what happens when there is no room.

import t from 'tap'
import type { SpansOptions } from '../../processors/spans.ts'
import { UNTIMED } from '../../telemetry/span.ts'
import fc from '../property.ts'
import { DEFAULTS, Room } from './room.ts'
import type { Sent } from './views.ts'

const SERVER = 2
const CLIENT = 3
const PRODUCER = 4
const CONSUMER = 5
const ERROR = 2

const TOTAL = 'traces_service_graph_request_total'
const FAILED = 'traces_service_graph_request_failed_total'
const CLIENT_SECONDS = 'traces_service_graph_request_client_seconds'
const SERVER_SECONDS = 'traces_service_graph_request_server_seconds'

const CALL: Sent = { service: 'shop', name: 'POST', kind: CLIENT, span: 2, seconds: 0.3 }
const HANDLER: Sent = { service: 'cart', name: 'POST /items', kind: SERVER, span: 3, parent: 2, seconds: 0.15 }

t.test('a client span and the server span below it are one request between their services', async t => {
  for (const [first, second] of [
    [CALL, HANDLER],
    [HANDLER, CALL],
  ] as const) {
    const room = new Room()
    room.send(first)
    t.same(await room.samples(TOTAL), [], 'it waits')
    await room.clock.pass(5999)
    room.send(second)
    t.same(await room.samples(TOTAL), ['{client="shop",server="cart"} 1'])
    t.same(await room.samples(FAILED), ['{client="shop",server="cart"} 0'], 'errors are exposed from 0 on')
    t.same(await room.samples(`${CLIENT_SECONDS}_sum`), ['{client="shop",server="cart"} 0.3'])
    t.same(await room.samples(`${SERVER_SECONDS}_sum`), ['{client="shop",server="cart"} 0.15'])
    t.equal(await room.total('pillion_spans_unpaired_total'), 0)
  }
})

t.test('a half of which nobody knows how long it took is half a request, and not in the seconds', async t => {
  for (const halves of [
    [CALL, { ...HANDLER, seconds: 0, attributes: { [UNTIMED]: 'true' } }],
    [{ ...HANDLER, seconds: 0, attributes: { [UNTIMED]: 'true' } }, CALL],
  ]) {
    const room = new Room()
    room.send(...halves)
    t.same(await room.samples(TOTAL), ['{client="shop",server="cart"} 1'])
    t.same(await room.samples(`${CLIENT_SECONDS}_sum`), ['{client="shop",server="cart"} 0.3'])
    t.same(await room.lines(`${SERVER_SECONDS}_`), [])
  }
})

t.test('the buckets are those of the span metrics', async t => {
  const bounds = async (name: string, options: Partial<SpansOptions>) => {
    const room = new Room(options)
    room.send(CALL, HANDLER)
    const lines = (await room.lines(`${name}_bucket`)).filter(line => !line.includes('span_name="POST /items"'))
    return lines.map(line => /le="([^"]+)"/.exec(line)?.[1])
  }
  for (const options of [{}, { buckets: [1000, 0.5, 50] }]) {
    const expected = await bounds('traces_spanmetrics_latency', options)
    t.same(await bounds(CLIENT_SECONDS, options), expected)
    t.same(await bounds(SERVER_SECONDS, options), expected)
  }
})

t.test('a request has failed if either side says so', async t => {
  const room = new Room()
  room.send({ ...CALL, status: ERROR }, HANDLER)
  room.send({ ...CALL, id: 8 }, { ...HANDLER, id: 8, status: ERROR })
  room.send({ ...CALL, id: 9 }, { ...HANDLER, id: 9 })
  t.equal(await room.total(TOTAL), 3)
  t.equal(await room.total(FAILED), 2)
})

t.test('spans of other traces are not the other half', async t => {
  const room = new Room()
  room.send({ ...CALL, id: 1 }, { ...HANDLER, id: 2 })
  t.same(await room.samples(TOTAL), [])
})

t.test('a server span without a parent is a request of a user, at once', async t => {
  const room = new Room()
  room.send({ service: 'shop', name: 'GET /', kind: SERVER, seconds: 0.2 })
  const edge = '{client="user",server="shop",connection_type="virtual_node"}'
  t.same(await room.samples(TOTAL), [`${edge} 1`])
  t.same(await room.samples(`${SERVER_SECONDS}_sum`), [`${edge} 0.2`])
  t.same(await room.samples(`${CLIENT_SECONDS}_sum`), [], 'nobody saw how long the user waited')
})

t.test('a server span whose caller is not seen in time is no edge, and is counted, on a scrape as well', async t => {
  const room = new Room()
  // Even with a name for the caller: its own sidecar has the request, and twice would be once too often.
  room.send({ ...HANDLER, attributes: { 'peer.service': 'shop' } })
  await room.clock.pass(6000)
  t.same(await room.samples(TOTAL), [])
  t.same(
    (await room.lines('pillion_spans_unpaired_total')).filter(line => !line.endsWith(' 0')),
    ['pillion_spans_unpaired_total{side="server",reason="wait"} 1'],
  )
  t.same(await room.samples('pillion_spans_edgeless_total'), ['{side="client"} 0', '{side="server"} 1'])
  room.send(CALL)
  await room.clock.pass(6000)
  t.same(
    await room.samples('pillion_spans_edgeless_total'),
    ['{side="client"} 1', '{side="server"} 1'],
    'the client came too late, and names no peer',
  )
})

t.test('with a sidecar for each service a chain of calls has each edge once, and one user', async t => {
  // gateway → shop → cart, each service with a sidecar that sees no other's spans.
  const peer = (name: string) => ({ attributes: { 'peer.service': name } })
  const seen: readonly (readonly Sent[])[] = [
    [
      { service: 'gateway', name: 'GET /', kind: SERVER, span: 1 },
      { service: 'gateway', name: 'GET', kind: CLIENT, span: 2, parent: 1, ...peer('shop') },
    ],
    [
      { service: 'shop', name: 'GET /', kind: SERVER, span: 3, parent: 2 },
      { service: 'shop', name: 'GET', kind: CLIENT, span: 4, parent: 3, ...peer('cart') },
    ],
    [{ service: 'cart', name: 'GET /', kind: SERVER, span: 5, parent: 4 }],
  ]
  const edges: string[] = []
  for (const spans of seen) {
    const room = new Room()
    room.send(...spans)
    await room.clock.pass(6000)
    edges.push(...(await room.samples(TOTAL)))
  }
  t.same(edges, [
    '{client="gateway",server="shop",connection_type="virtual_node"} 1',
    '{client="user",server="gateway",connection_type="virtual_node"} 1',
    '{client="shop",server="cart",connection_type="virtual_node"} 1',
  ])
})

t.test('a client span whose server is not seen is a request to the peer that it names', async t => {
  const peers = async (attributes: Record<string, string>, kind = CLIENT) => {
    const room = new Room()
    room.send({ ...CALL, kind, attributes })
    await room.clock.pass(6000)
    t.same(await room.samples(`${CLIENT_SECONDS}_count`), await room.samples(`${SERVER_SECONDS}_count`))
    const [sample = 'none'] = await room.samples(TOTAL)
    return sample.replace('{client="shop",', '').replace('} 1', '')
  }
  const address = { 'server.address': 'pay.local', 'network.peer.address': '10.0.0.9' }
  t.equal(await peers(address), 'server="pay.local",connection_type="virtual_node"')
  t.equal(await peers({ ...address, 'peer.service': 'pay' }), 'server="pay",connection_type="virtual_node"')
  t.equal(await peers({ 'net.peer.name': 'old.local' }), 'server="old.local",connection_type="virtual_node"')
  t.equal(
    await peers({ ...address, 'net.peer.name': 'pay' }),
    'server="pay",connection_type="virtual_node"',
    'the one by which Grafana looks for it',
  )
  t.equal(await peers({ 'url.full': 'http://x/' }), 'none')
  t.equal(
    await peers({ 'messaging.system': 'kafka', 'server.address': 'k1' }, PRODUCER),
    'server="kafka",connection_type="messaging_system"',
  )
})

const OTHER: Sent = { service: 'other', name: 'GET /', kind: SERVER, id: 99, parent: 9, flags: 1 | 0x100 }

t.test('a query to a database is a request to it, at once while one service alone sends spans', async t => {
  const room = new Room()
  room.send({ ...CALL, attributes: { 'db.system': 'redis' } })
  t.same(await room.samples(TOTAL), ['{client="shop",server="redis",connection_type="database"} 1'])
  t.same(await room.samples(`${CLIENT_SECONDS}_count`), await room.samples(`${SERVER_SECONDS}_count`))
})

t.test('where several send spans, a query waits for that of its database, and misses nothing', async t => {
  const room = new Room()
  room.send({ ...CALL, kind: 1 }, OTHER)
  const query = (attributes: Record<string, string>, span: number) =>
    room.send({ ...CALL, span, attributes, status: ERROR })
  query({ 'db.system.name': 'postgresql', 'db.namespace': 'orders' }, 11)
  query({ 'db.system': 'redis' }, 12)
  query({ 'db.system.name': 'postgresql', 'server.address': 'db.local' }, 13)
  t.same(await room.samples(TOTAL), [], 'its own span may come')
  await room.clock.pass(6000)
  t.same(await room.samples(FAILED), [
    '{client="shop",server="db.local",connection_type="database"} 1',
    '{client="shop",server="orders",connection_type="database"} 1',
    '{client="shop",server="redis",connection_type="database"} 1',
  ])
  t.same(await room.samples(`${CLIENT_SECONDS}_count`), await room.samples(`${SERVER_SECONDS}_count`))
  t.equal(await room.total('pillion_spans_unpaired_total'), 0)
})

t.test('a database whose first span follows the first query is no user’s server either', async t => {
  const room = new Room()
  room.send(
    { ...CALL, name: 'SELECT', parent: 1, attributes: { 'db.system': 'clickhouse', 'server.address': 'ch-0' } },
    { ...HANDLER, service: 'clickhouse', name: 'query', flags: 0x300 },
  )
  await room.clock.pass(6000)
  t.same(await room.samples(TOTAL), ['{client="shop",server="clickhouse",connection_type="database"} 1'])
})

t.test('a database that sends spans itself is one edge under its own name, and no user calls it', async t => {
  const query: Sent = { ...CALL, name: 'SELECT', parent: 1, attributes: { 'db.system': 'clickhouse' } }
  const itself: Sent = { ...HANDLER, service: 'clickhouse-eu', name: 'query', flags: 0x300 }
  for (const spans of [
    [query, itself],
    [itself, query],
  ]) {
    const room = new Room()
    room.send({ ...CALL, kind: 1 }, OTHER)
    for (const span of spans) room.send(span)
    await room.clock.pass(6000)
    const edge = '{client="shop",server="clickhouse-eu",connection_type="database"}'
    t.same(await room.samples(TOTAL), [`${edge} 1`])
    t.same(await room.samples(`${CLIENT_SECONDS}_sum`), [`${edge} 0.3`])
    t.same(await room.samples(`${SERVER_SECONDS}_sum`), [`${edge} 0.15`])
    t.equal(await room.total('pillion_spans_unpaired_total'), 0)
    t.equal(await room.total('pillion_spans_edgeless_total'), 0)
  }
})

t.test('queries without number do not take the room of requests between services', async t => {
  const room = new Room({ graph: { ...DEFAULTS.graph, pending: 2 } })
  room.send(CALL, OTHER)
  for (let i = 10; i < 30; i++) room.send({ ...CALL, id: i, attributes: { 'db.system': 'redis' } })
  t.same(
    await room.samples(TOTAL),
    ['{client="shop",server="redis",connection_type="database"} 18'],
    'those beyond the room are counted at once',
  )
  t.equal(await room.total('pillion_spans_unpaired_total'), 0)
  room.send(HANDLER)
  t.match(await room.samples(TOTAL), ['{client="shop",server="cart"} 1'])
})

t.test('a virtual node is named by an attribute that Grafana looks for, if the span has one', async t => {
  const node = async (attributes: Record<string, string>, kind = CLIENT) => {
    const room = new Room()
    room.send({ ...CALL, kind, attributes })
    await room.clock.pass(6000)
    return /server="([^"]*)"/.exec((await room.samples(TOTAL)).join())?.[1]
  }
  const address = { 'server.address': 'ch-0', 'network.peer.address': '10.0.0.9' }
  t.equal(await node({ ...address, 'db.system': 'clickhouse' }), 'clickhouse')
  t.equal(await node({ ...address, 'db.system': 'clickhouse', 'db.name': 'orders' }), 'orders')
  t.equal(await node({ ...address, 'db.system': 'clickhouse', 'net.peer.name': 'ch' }), 'ch')
  t.equal(await node({ ...address, 'db.system.name': 'clickhouse', 'db.namespace': 'orders' }), 'ch-0', 'it has none')
  t.equal(await node({ ...address, 'messaging.system': 'kafka' }, PRODUCER), 'kafka')
  t.equal(await node({ ...address, 'messaging.system': 'kafka' }), 'kafka')
})

t.test('a message joins its producer and its consumer; without a producer it comes from the broker', async t => {
  const room = new Room()
  const kafka = { 'messaging.system': 'kafka' }
  const consume: Sent = { service: 'mail', name: 'process', kind: CONSUMER, attributes: kafka }
  room.send({ ...CALL, kind: PRODUCER, attributes: kafka }, { ...consume, span: 3, parent: 2 })
  room.send({ ...consume, id: 50 }, { ...consume, id: 52, parent: 7 })
  room.send({ ...consume, id: 51, attributes: {} }, { ...consume, id: 53, parent: 7, attributes: {} })
  await room.clock.pass(6000)
  t.same(await room.samples(TOTAL), [
    '{client="kafka",server="mail",connection_type="messaging_system"} 2',
    '{client="shop",server="mail",connection_type="messaging_system"} 1',
    '{client="user",server="mail",connection_type="virtual_node"} 1',
  ])
  t.same(await room.samples('pillion_spans_edgeless_total'), ['{side="client"} 0', '{side="server"} 1'])
})

t.test('a server span below a span of its own process is the same request seen again, and no edge', async t => {
  const room = new Room()
  const KNOWN = 0x100
  const REMOTE = 0x200
  room.send({ ...HANDLER, flags: KNOWN | 1 }, CALL)
  room.send({ ...HANDLER, id: 7, flags: KNOWN | REMOTE | 1 }, { ...CALL, id: 7 })
  await room.clock.pass(6000)
  t.same(await room.samples(TOTAL), ['{client="shop",server="cart"} 1'])
})

t.test('internal spans are no requests', async t => {
  const room = new Room()
  room.send({ ...CALL, kind: 1 }, { ...CALL, kind: 0 })
  await room.clock.pass(6000)
  t.equal((await room.lines('traces_service_graph')).length, 0)
})

t.test('when too many wait, the oldest goes without its other half and nothing is lost', async t => {
  const room = new Room({ graph: { ...DEFAULTS.graph, pending: 10 } })
  for (let id = 1; id <= 25; id++) room.send({ ...CALL, id, attributes: { 'peer.service': 'cart' } })
  t.equal(await room.total(TOTAL), 15)
  t.ok(
    (await room.lines('pillion_spans_unpaired')).includes(
      'pillion_spans_unpaired_total{side="client",reason="full"} 15',
    ),
  )
  room.send({ ...HANDLER, id: 16 })
  t.ok((await room.samples(TOTAL)).includes('{client="shop",server="cart"} 1'), 'the newest ten can still be paired')
  await room.clock.pass(6000)
  t.equal(await room.total(TOTAL), 25)
})

t.test('of several servers under one client span one is its partner', async t => {
  const room = new Room()
  room.send(HANDLER, { ...HANDLER, span: 4 }, CALL)
  t.same(await room.samples(TOTAL), ['{client="shop",server="cart"} 1'])
  t.ok(
    (await room.lines('pillion_spans_unpaired')).includes(
      'pillion_spans_unpaired_total{side="server",reason="repeated"} 1',
    ),
  )
  t.same(await room.samples('pillion_spans_edgeless_total'), ['{side="client"} 0', '{side="server"} 1'])
})

t.test('with a wait of 0 nothing waits', async t => {
  const room = new Room({ graph: { ...DEFAULTS.graph, wait: 0 } })
  room.send(HANDLER, { ...CALL, attributes: { 'server.address': 'cart' } })
  t.same(await room.samples(TOTAL), ['{client="shop",server="cart",connection_type="virtual_node"} 1'])
})

t.test('the graph can be switched off', async t => {
  const room = new Room({ graph: { ...DEFAULTS.graph, enabled: false } })
  room.send(HANDLER, CALL)
  t.same(await room.lines('traces_service_graph'), [])
  t.equal(await room.total('traces_spanmetrics_calls_total'), 2)
})

t.test(
  'peers beyond the limit are counted in the overflow series, and names of paired requests are not hoarded',
  async t => {
    const room = new Room({ graph: { ...DEFAULTS.graph, limit: 5 } })
    const sent = Array.from({ length: 400 }, (_, i) => i + 1)
    for (const id of sent) {
      room.send({ ...CALL, id, attributes: { 'server.address': `host-${id}` } })
      // Every second one is paired after all, and makes no series of its peer.
      if (id % 2 === 0) room.send({ ...HANDLER, id })
    }
    await room.clock.pass(6000)
    t.equal(await room.total(TOTAL), 400)
    t.equal((await room.samples(TOTAL)).length, 6)
  },
)

t.test('exemplars of the durations are the spans that had them', async t => {
  const room = new Room()
  room.send({ ...CALL, id: 5 })
  room.send({ ...HANDLER, id: 5 })
  const exemplar = async (name: string) =>
    (await room.lines(`${name}_bucket`, 'application/openmetrics-text'))
      .flatMap(line => line.split(' # ').slice(1))
      .join()
  t.match(await exemplar(CLIENT_SECONDS), `trace_id="${'05'.repeat(16)}",span_id="${'02'.repeat(8)}"} 0.3`)
  t.match(await exemplar(SERVER_SECONDS), `trace_id="${'05'.repeat(16)}",span_id="${'03'.repeat(8)}"} 0.15`)
})

t.test('any stream of spans yields the edges that a plain model yields', async t => {
  const span = fc.record({
    service: fc.constantFrom('a', 'b'),
    kind: fc.constantFrom(SERVER, CLIENT, PRODUCER, CONSUMER, 1),
    status: fc.constantFrom(0, ERROR),
    id: fc.integer({ min: 1, max: 2 }),
    span: fc.integer({ min: 1, max: 4 }),
    parent: fc.option(fc.integer({ min: 1, max: 4 }), { nil: undefined }),
    peer: fc.option(fc.constantFrom('x', 'y'), { nil: undefined }),
    query: fc.boolean(),
    later: fc.constantFrom(0, 0, 1000, 4000),
  })
  await fc.assert(
    fc.asyncProperty(fc.array(span, { maxLength: 40 }), async stream => {
      const room = new Room()
      const model = new Model()
      room.send({ ...CALL, kind: 1 }, OTHER)
      for (const { later, peer, parent, query, ...rest } of stream) {
        await room.clock.pass(later)
        model.pass(later)
        const attributes: Record<string, string> = {
          ...(peer === undefined ? {} : { 'peer.service': peer }),
          ...(query ? { 'db.system': 'sql' } : {}),
        }
        const sent: Sent = { name: 'n', attributes, ...rest, ...(parent === undefined ? {} : { parent }) }
        room.send(sent)
        model.span({ ...rest, parent, peer, query })
      }
      await room.clock.pass(6000)
      model.pass(6000)
      t.same(await room.samples(TOTAL), model.lines(0))
      t.same(await room.samples(FAILED), model.lines(1))
      t.equal(await room.total('pillion_spans_unpaired_total'), model.unpaired)
      t.equal(await room.total('pillion_spans_edgeless_total'), model.edgeless)
    }),
    { numRuns: 60 },
  )
})

interface Half {
  readonly service: string
  readonly kind: number
  readonly status: number
  readonly id: number
  readonly span: number
  readonly parent: number | undefined
  readonly peer: string | undefined
  readonly query: boolean
}

/** The rules again, with maps and texts. */
class Model {
  unpaired = 0
  edgeless = 0
  #now = 0
  readonly #edges = new Map<string, [number, number]>()
  readonly #waiting = new Map<string, { since: number; half: Half }>()

  span(half: Half): void {
    const { kind, parent } = half
    if (kind < SERVER) return
    const server = kind === SERVER || kind === CONSUMER
    if (server && parent === undefined) {
      this.#root(half)
      return
    }
    const key = `${half.id} ${server ? parent : half.span}`
    const other = this.#waiting.get(key)?.half
    this.#waiting.delete(key)
    const theirs = other && (other.kind === SERVER || other.kind === CONSUMER)
    if (other && theirs !== server) {
      const [client, called] = server ? [other, half] : [half, other]
      const failed = half.status === ERROR || other.status === ERROR
      const message = client.kind === PRODUCER || called.kind === CONSUMER
      const query = client.kind === CLIENT && client.query
      this.#count(client.service, called.service, query ? 'database' : message ? 'messaging_system' : '', failed)
      return
    }
    if (other) this.#giveUp(other)
    this.#waiting.set(key, { since: this.#now, half })
  }

  pass(ms: number): void {
    this.#now += ms
    for (const [key, { since, half }] of this.#waiting) {
      if (this.#now - since < 6000) continue
      this.#waiting.delete(key)
      this.#giveUp(half)
    }
  }

  lines(which: 0 | 1): string[] {
    return [...this.#edges].map(([labels, counts]) => `${labels} ${counts[which]}`).sort()
  }

  #root({ service, kind, peer, status }: Half): void {
    const type = kind === CONSUMER && peer !== undefined ? 'messaging_system' : 'virtual_node'
    this.#count(peer ?? 'user', service, type, status === ERROR)
  }

  #giveUp({ service, kind, peer, status, query }: Half): void {
    const database = kind === CLIENT && query
    if (!database) this.unpaired++
    if (database) this.#count(service, peer ?? 'sql', 'database', status === ERROR)
    else if (kind === SERVER || peer === undefined) this.edgeless++
    else if (kind === CONSUMER) this.#count(peer, service, 'messaging_system', status === ERROR)
    else this.#count(service, peer, kind === PRODUCER ? 'messaging_system' : 'virtual_node', status === ERROR)
  }

  #count(client: string, server: string, type: string, failed: boolean): void {
    const labels = `{client="${client}",server="${server}"${type && `,connection_type="${type}"`}}`
    const [total, bad] = this.#edges.get(labels) ?? [0, 0]
    this.#edges.set(labels, [total + 1, bad + (failed ? 1 : 0)])
  }
}
