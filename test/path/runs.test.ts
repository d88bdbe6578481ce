// Requests whose spans come in any order among those of others: spans of one trace that follow each other are taken together.

import t from 'tap'
import { OWN_TRACESTATE } from '../../telemetry/probe.ts'
import { Room, type Sent } from './room.ts'

/** A request of `children` calls, one after the other, which end in this order. */
function trace(number: number, children: number): Sent[] {
  const calls = Array.from({ length: children }, (_, i) => ({
    ...{ trace: number, id: 100 * number + i + 2, parent: 100 * number, name: `call ${i}` },
    ...{ from: 10 * i, to: 10 * i + 10 },
  }))
  return [...calls, { trace: number, id: 100 * number, name: `GET /${number % 3}`, from: 0, to: 10 * children + 5 }]
}

/** Takes the next span of one after another; `at` says which, of those that have some left. */
function woven(all: readonly (readonly Sent[])[], at: (i: number) => number): Sent[] {
  const left = all.map(each => [...each])
  const spans: Sent[] = []
  for (let i = 0; left.length > 0; i++) {
    const which = at(i) % left.length
    spans.push(left[which]!.shift()!)
    if (left[which]!.length === 0) left.splice(which, 1)
  }
  return spans
}

/** Nanoseconds by label set, as a scrape shows them. */
async function seconds(room: Room): Promise<[labels: string, ns: number][]> {
  const rows = await room.samples('traces_critical_path_seconds_total')
  return rows.map(({ labels, value }): [string, number] => [labels, Math.round(value * 1e9)]).sort()
}

const TRACES = Array.from({ length: 60 }, (_, i) => trace(i + 1, i % 7))

t.test('however the spans of requests are woven into each other, they are put together the same', async t => {
  const plain = new Room()
  await plain.whole(...TRACES.flat())
  const expected = await seconds(plain)
  t.equal(
    expected.reduce((sum, [, ns]) => sum + ns, 0),
    TRACES.flat().reduce((sum, { parent, to }) => (parent === undefined ? sum + Number(to) : sum), 0),
  )
  for (const at of [(i: number) => i, (i: number) => Math.floor(i / 3), (i: number) => 7 * i + Math.floor(i / 60)]) {
    const room = new Room()
    await room.whole(...woven(TRACES, at))
    t.same(await seconds(room), expected)
    t.same(
      (await room.samples('pillion_trees_requests_total')).map(({ value }) => value),
      [60],
    )
  }
})

t.test('the sidecar’s own spans are left out wherever they stand among those of a trace', async t => {
  const own = (id: number): Sent => ({ trace: 1, id, parent: 100, name: 'own', from: 0, to: 5, state: OWN_TRACESTATE })
  const spans = trace(1, 4)
  for (let at = 0; at <= spans.length; at++) {
    const room = new Room()
    await room.whole(...spans.slice(0, at), own(7), own(8), ...spans.slice(at), own(9))
    t.same(await room.path(), { 'call 0': 10, 'call 1': 10, 'call 2': 10, 'call 3': 10, 'GET /1': 5 })
  }
})

t.test('places that spans have left are used again, in any order', async t => {
  const room = new Room()
  for (let round = 0; round < 40; round++) {
    room.send(...woven(TRACES.slice(0, 1 + ((7 * round) % 60)), i => 3 * i + round))
    await room.pass(round % 3 === 0 ? 1200 : 100)
  }
  await room.pass(2000)
  t.same(
    (await room.samples('pillion_trees_held_spans')).map(({ value }) => value),
    [0],
  )
  const sent = Array.from({ length: 40 }, (_, round) => 1 + ((7 * round) % 60))
  const requests = (await room.samples('pillion_trees_requests_total'))[0]?.value ?? 0
  t.equal(
    requests,
    sent.reduce((sum, each) => sum + each, 0),
  )
})
