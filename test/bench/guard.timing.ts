// Guards against becoming slower, without a clock where possible: bytes allocated and written, turns of the event loop, and
// one ratio to protobufjs in the same process. The margins are wide; the figures themselves are in bench/results.md.

import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import t from 'tap'
import { bodies } from '../../bench/bodies.ts'
import { Scrape } from '../../exporter/prometheus.ts'
import { Metrics } from '../../metrics/registry.ts'
import { SpanVisitor } from '../../otlp/visit.ts'
import { spans } from '../../processors/spans.ts'
import { Keys } from '../../telemetry/keys.ts'
import { decoder } from '../otlp/protobufjs.ts'
import { DEFAULTS, Room } from '../spans/room.ts'
import { views } from '../spans/views.ts'
import { FakeClock } from '../world.ts'

const SPANS = 512
const set = await bodies(SPANS, 8)

/** Takes requests as the receivers do: walk, then visit. */
function intake(room: Room): (body: Buffer) => void {
  const visitor = new SpanVisitor(room.keys, [room.consumer])
  return body => {
    if (!visitor.walk.run(body, SPANS)) throw new Error('the request of the SDK is good')
    visitor.show({ signal: 'traces', bytes: body, items: SPANS, received: 0 })
  }
}

const WITHOUT_GRAPH = { graph: { enabled: false, wait: 6000, pending: 10_000, limit: 500 } }

t.test('a span whose label set is known allocates next to nothing', async t => {
  setFlagsFromString('--expose-gc')
  const collect: () => void = runInNewContext('gc')
  const take = intake(new Room(WITHOUT_GRAPH))
  for (let round = 0; round < 60; round++) for (const body of set) take(body)
  const allocated = Array.from({ length: 5 }, () => {
    collect()
    const before = process.memoryUsage().heapUsed
    for (const body of set) take(body)
    return (process.memoryUsage().heapUsed - before) / (set.length * SPANS)
  })
  t.comment(`bytes per span: ${allocated.map(bytes => bytes.toFixed(0)).join(', ')}`)
  // protobufjs allocates 5 000 and more. Garbage collection or compilation in between spoils single figures.
  t.ok(Math.min(...allocated.map(Math.abs)) < 100)
})

t.test('intake with request metrics does several times what protobufjs does by decoding alone', async t => {
  const take = intake(new Room(WITHOUT_GRAPH))
  const type = decoder('traces')
  const microseconds = (work: (body: Buffer) => unknown): number => {
    const { user, system } = process.cpuUsage()
    for (const body of set) work(body)
    const after = process.cpuUsage()
    return after.user + after.system - user - system
  }
  for (let round = 0; round < 10; round++) for (const body of set) take(body)
  const ours: number[] = []
  const theirs: number[] = []
  for (let round = 0; round < 10; round++) {
    ours.push(microseconds(take))
    theirs.push(microseconds(body => type.decode(body)))
  }
  const ratio = Math.min(...theirs) / Math.min(...ours)
  t.comment(`${ratio.toFixed(1)} times protobufjs`)
  // It was 11 and more on the machine on which this was written.
  t.ok(ratio > 5, `${ratio.toFixed(1)} times`)
})

t.test('100 000 series are written in many turns of the loop, in a bounded number of bytes', async t => {
  const metrics = new Metrics()
  const keys = new Keys()
  const options = { ...DEFAULTS, ...WITHOUT_GRAPH, limit: 10_000 }
  const consumer = spans.start(options, { metrics, clock: new FakeClock(), keys })
  const sent = Array.from({ length: 5000 }, (_, n) => ({ service: 'shop', name: `GET /operation/${n}/:id`, kind: 2 }))
  for (let at = 0; at < sent.length; at += 500) views({ consumer, keys }, sent.slice(at, at + 500))
  const scrape = new Scrape(metrics, [])
  await scrape.scrape(undefined, AbortSignal.timeout(60_000))

  // CPU time of this thread, so that other load on the machine is not counted.
  const used = (): number => {
    const { user, system } = process.threadCpuUsage()
    return (user + system) / 1000
  }
  let turns = 0
  let longest = 0
  let over = false
  let last = used()
  const turn = (): void => {
    turns++
    const now = used()
    longest = Math.max(longest, now - last)
    last = now
    if (!over) setImmediate(turn)
  }
  setImmediate(turn)
  const { chunks } = await scrape.scrape(undefined, AbortSignal.timeout(60_000))
  over = true

  const page = Buffer.concat(chunks).toString()
  const samples = page.match(/^[^#\n]/gm)?.length ?? 0
  t.ok(samples > 95_000, `${samples} samples`)
  const bytes = page.length / samples
  t.comment(`${bytes.toFixed(0)} bytes a sample, ${turns} turns`)
  t.ok(bytes < 220, `${bytes.toFixed(0)} bytes a sample`)
  t.ok(turns >= 3, `${turns} turns`)
  t.comment(`the longest turn took ${longest.toFixed(1)} ms of CPU`)
  t.ok(longest < 50, `${longest.toFixed(1)} ms`)

  const held = new Set<ArrayBufferLike>()
  const { chunks: stream, release } = await scrape.stream(undefined, AbortSignal.timeout(60_000))
  for await (const chunk of stream) {
    held.add(chunk.buffer)
    release?.(chunk)
  }
  t.ok(held.size <= 3, `while it is read, the page is written into ${held.size} buffers`)
})
