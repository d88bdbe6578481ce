// Who calls whom: pairs, virtual nodes, waiting, and what happens when there is no room.

import fc from 'fast-check'
import t from 'tap'
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

t.test('the buckets are those of Tempo', async t => {
  const room = new Room()
  room.send(CALL, HANDLER)
  const bounds = (await room.lines(`${CLIENT_SECONDS}_bucket`)).map(line => /le="([^"]+)"/.exec(line)?.[1])
  t.same(bounds, ['0.1', '0.2', '0.4', '0.8', '1.6', '3.2', '6.4', '12.8', '+Inf'])
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

t.test(
  'a server span whose caller is not seen in time is a request of a user, counted on a scrape as well',
  async t => {
    const room = new Room()
    room.send(HANDLER)
    await room.clock.pass(6000)
    t.same(await room.samples(TOTAL), ['{client="user",server="cart",connection_type="virtual_node"} 1'])
    t.same(
      (await room.lines('pillion_spans_unpaired_total')).filter(line => !line.endsWith(' 0')),
      ['pillion_spans_unpaired_total{side="server",reason="wait"} 1'],
    )
    room.send(CALL)
    await room.clock.pass(6000)
    t.equal(await room.total('pillion_spans_edgeless_total'), 1, 'the client came too late, and names no peer')
  },
)

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
  t.equal(await peers({ 'url.full': 'http://x/' }), 'none')
  t.equal(
    await peers({ 'messaging.system': 'kafka', 'server.address': 'k1' }, PRODUCER),
    'server="kafka",connection_type="messaging_system"',
  )
})

t.test('a query to a database is a request to it, at once', async t => {
  const room = new Room()
  const query = (attributes: Record<string, string>, span: number) =>
    room.send({ ...CALL, span, attributes, status: ERROR })
  query({ 'db.system.name': 'postgresql', 'db.namespace': 'orders' }, 11)
  query({ 'db.system': 'redis' }, 12)
  query({ 'db.system.name': 'postgresql', 'server.address': 'db.local' }, 13)
  t.same(await room.samples(FAILED), [
    '{client="shop",server="db.local",connection_type="database"} 1',
    '{client="shop",server="orders",connection_type="database"} 1',
    '{client="shop",server="redis",connection_type="database"} 1',
  ])
})

t.test('a message joins its producer and its consumer; without a producer it comes from the broker', async t => {
  const room = new Room()
  const kafka = { 'messaging.system': 'kafka' }
  const consume: Sent = { service: 'mail', name: 'process', kind: CONSUMER, attributes: kafka }
  room.send({ ...CALL, kind: PRODUCER, attributes: kafka }, { ...consume, span: 3, parent: 2 })
  room.send({ ...consume, id: 50 })
  room.send({ ...consume, id: 51, attributes: {} })
  t.same(await room.samples(TOTAL), [
    '{client="kafka",server="mail",connection_type="messaging_system"} 1',
    '{client="shop",server="mail",connection_type="messaging_system"} 1',
    '{client="user",server="mail",connection_type="virtual_node"} 1',
  ])
})

t.test('a server span below a span of its own process is the same request seen again, and no edge', async t => {
  const room = new Room()
  const KNOWN = 0x100
  const REMOTE = 0x200
  room.send({ ...HANDLER, flags: KNOWN | 1 })
  room.send({ ...HANDLER, id: 7, flags: KNOWN | REMOTE | 1 })
  await room.clock.pass(6000)
  t.equal(await room.total(TOTAL), 1)
})

t.test('internal spans are no requests', async t => {
  const room = new Room()
  room.send({ ...CALL, kind: 1 }, { ...CALL, kind: 0 })
  await room.clock.pass(6000)
  t.equal((await room.lines('traces_service_graph')).length, 0)
})

t.test('when too many wait, the oldest goes without its other half and nothing is lost', async t => {
  const room = new Room({ graph: { ...DEFAULTS.graph, pending: 10 } })
  for (let id = 1; id <= 25; id++) room.send({ ...HANDLER, id })
  t.equal(await room.total(TOTAL), 15)
  t.ok(
    (await room.lines('pillion_spans_unpaired')).includes(
      'pillion_spans_unpaired_total{side="server",reason="full"} 15',
    ),
  )
  room.send({ ...CALL, id: 16 })
  t.ok((await room.samples(TOTAL)).includes('{client="shop",server="cart"} 1'), 'the newest ten can still be paired')
  await room.clock.pass(6000)
  t.equal(await room.total(TOTAL), 25)
})

t.test('of several servers under one client span one is its partner', async t => {
  const room = new Room()
  room.send(HANDLER, { ...HANDLER, span: 4 }, CALL)
  t.same(await room.samples(TOTAL), [
    '{client="shop",server="cart"} 1',
    '{client="user",server="cart",connection_type="virtual_node"} 1',
  ])
  t.ok(
    (await room.lines('pillion_spans_unpaired')).includes(
      'pillion_spans_unpaired_total{side="server",reason="repeated"} 1',
    ),
  )
})

t.test('with a wait of 0 nothing waits', async t => {
  const room = new Room({ graph: { ...DEFAULTS.graph, wait: 0 } })
  room.send(HANDLER, { ...CALL, attributes: { 'server.address': 'cart' } })
  t.equal(await room.total(TOTAL), 2)
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
    later: fc.constantFrom(0, 0, 1000, 4000),
  })
  await fc.assert(
    fc.asyncProperty(fc.array(span, { maxLength: 40 }), async stream => {
      const room = new Room()
      const model = new Model()
      for (const { later, peer, parent, ...rest } of stream) {
        await room.clock.pass(later)
        model.pass(later)
        const attributes: Record<string, string> = peer === undefined ? {} : { 'peer.service': peer }
        const sent: Sent = { name: 'n', attributes, ...rest, ...(parent === undefined ? {} : { parent }) }
        room.send(sent)
        model.span({ ...rest, parent, peer })
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
      this.#alone(half)
      return
    }
    const key = `${half.id} ${server ? parent : half.span}`
    const other = this.#waiting.get(key)?.half
    this.#waiting.delete(key)
    const theirs = other && (other.kind === SERVER || other.kind === CONSUMER)
    if (other && theirs !== server) {
      const [client, called] = server ? [other, half] : [half, other]
      const failed = half.status === ERROR || other.status === ERROR
      this.#count(client.service, called.service, kind >= PRODUCER ? 'messaging_system' : '', failed)
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

  #giveUp(half: Half): void {
    this.unpaired++
    this.#alone(half)
  }

  #alone({ service, kind, peer, status }: Half): void {
    const type = kind >= PRODUCER && peer !== undefined ? 'messaging_system' : 'virtual_node'
    if (kind === SERVER || kind === CONSUMER) this.#count(peer ?? 'user', service, type, status === ERROR)
    else if (peer === undefined) this.edgeless++
    else this.#count(service, peer, type, status === ERROR)
  }

  #count(client: string, server: string, type: string, failed: boolean): void {
    const labels = `{client="${client}",server="${server}"${type && `,connection_type="${type}"`}}`
    const [total, bad] = this.#edges.get(labels) ?? [0, 0]
    this.#edges.set(labels, [total + 1, bad + (failed ? 1 : 0)])
  }
}
