// The cost of the trace store: for each span that comes in, beyond the walk and the visit, and for questions over 100
// 000 spans. In one process, without sockets. Bodies are made by the OpenTelemetry SDK; each time they are sent they
// get other trace ids.
//
//   node bench/kept.ts [rounds]

import { QueryPace } from '../exporter/traces/api/pace.ts'
import { tagNames } from '../exporter/traces/api/tags.ts'
import { clock } from '../host/clock.ts'
import { Metrics } from '../metrics/registry.ts'
import { SpanVisitor } from '../otlp/visit.ts'
import { Kept } from '../store/kept.ts'
import { view } from '../store/view.ts'
import type { SpanConsumer } from '../telemetry/consumer.ts'
import { Keys } from '../telemetry/keys.ts'
import { Memory } from '../telemetry/memory.ts'
import type { Request } from '../telemetry/request.ts'
import { prepare } from '../traceql/prepare.ts'
import { search } from '../traceql/search.ts'
import { bodies } from './bodies.ts'

const rounds = Number(process.argv[2] ?? 8)
const MIB = 2 ** 20
const SPANS = 100_000

/** Where the trace ids of a body stand. */
class Places implements SpanConsumer {
  readonly name = 'places'
  at: number[] = []
  span(view: { readonly traceId: number }): void {
    this.at.push(view.traceId)
  }
}

interface Sent {
  readonly bytes: Buffer
  /** Where the trace ids stand, and their last words. */
  readonly ids: readonly number[]
  readonly words: readonly number[]
}

let sent = 0

/** Gives a body trace ids that were never sent; spans of one trace keep one id. */
function renew({ bytes, ids, words }: Sent): void {
  const mark = Math.imul(++sent, 0x9e3779b1)
  for (let i = 0; i < ids.length; i++) bytes.writeInt32LE(words[i]! ^ mark, ids[i]! + 12)
}

async function prepared(spans: number): Promise<Sent[]> {
  return (await bodies(spans, Math.ceil(4096 / spans))).map(bytes => {
    const places = new Places()
    new SpanVisitor(new Keys(), [places]).visit({ signal: 'traces', bytes, items: spans, received: 0 })
    return { bytes, ids: places.at, words: places.at.map(at => bytes.readInt32LE(at + 12)) }
  })
}

function keeper(mebibytes: number): Kept {
  return new Kept(mebibytes * MIB, { metrics: new Metrics(), clock, memory: new Memory(4 * mebibytes * MIB) })
}

function give(visitor: SpanVisitor, each: Sent, spans: number): void {
  renew(each)
  visitor.walk.run(each.bytes, spans)
  visitor.show({ signal: 'traces', bytes: each.bytes, items: spans, received: Date.now() })
}

/** The least that keeping can cost: each request is copied into memory of the size of the store. */
class Copy implements SpanConsumer {
  readonly name = 'copy'
  readonly #ring = Buffer.allocUnsafeSlow(10 * MIB)
  #head = 0

  begin({ bytes }: Request): void {
    if (this.#head + bytes.length > this.#ring.length) this.#head = 0
    bytes.copy(this.#ring, this.#head)
    this.#head += bytes.length
  }

  span(): void {}
}

/** The best of the rounds, in nanoseconds of CPU for each span. */
async function intake(spans: number): Promise<{ without: number; copied: number; with: number }> {
  const all = await prepared(spans)
  const nothing: SpanConsumer = { name: 'nothing', span() {} }
  const visitors = [[nothing], [nothing, new Copy()], [nothing, keeper(16)]].map(
    consumers => new SpanVisitor(new Keys(), consumers),
  )
  const best = visitors.map(() => Number.POSITIVE_INFINITY)
  for (let round = 0; round < rounds; round++)
    for (const [i, visitor] of visitors.entries()) {
      const before = cpu()
      for (let n = 0; n < 40_000; n += spans) give(visitor, all[(n / spans) % all.length]!, spans)
      best[i] = Math.min(best[i]!, (cpu() - before) / 40_000)
    }
  return { without: best[0]!, copied: best[1]!, with: best[2]! }
}

/** Milliseconds of CPU for each question. */
async function questions(): Promise<Record<string, number>> {
  const all = await prepared(512)
  const kept = keeper(64)
  const visitor = new SpanVisitor(new Keys(), [kept])
  for (let n = 0; n < SPANS; n += 512) give(visitor, all[(n / 512) % all.length]!, 512)
  const found: Record<string, number> = { spans: kept.store?.spans ?? 0 }
  const time = async (name: string, work: () => unknown, times = 1) => {
    let best = Number.POSITIVE_INFINITY
    for (let round = 0; round < rounds; round++) {
      const before = cpu()
      for (let i = 0; i < times; i++) await work()
      best = Math.min(best, (cpu() - before) / times / 1e6)
    }
    found[name] = best
  }
  const ask = async (name: string, q: string) => {
    const query = await prepare(q)
    await time(name, async () => {
      const pace = new QueryPace(clock, 60_000, new AbortController().signal)
      await search(query, kept, pace, { from: undefined, to: undefined, limit: 20, spss: 3 })
    })
  }
  // Values that no span has, so that nothing ends a search early.
  await ask('attribute', '{ span.http.route = "/nowhere" }')
  await ask('attributeNumber', '{ span.http.response.status_code = 599 }')
  await ask('name', '{ name = "nowhere" }')
  await ask('service', '{ resource.service.name = "nowhere" }')
  await ask('status', '{ status = ok && duration > 1h }')
  await ask('duration', '{ duration > 1h }')
  await ask('all', '{ }')
  const pace = () => new QueryPace(clock, 60_000, new AbortController().signal)
  const everything = { from: undefined, to: undefined, filter: undefined }
  const scopes = ['span', 'resource', 'instrumentation', 'event', 'link'] as const
  await time('tags', () => tagNames(kept, scopes, 5000, everything, pace()))
  const trace = kept.trace()
  const cursor = kept.store!.newest.cursor()
  const id = Buffer.alloc(16)
  let next = kept.store!.newest.oldest
  const load = () => {
    next = next + 997 < kept.store!.newest.next ? next + 997 : kept.store!.newest.oldest
    cursor.at(next)
    cursor.bytes.copy(id, 0, cursor.traceId, cursor.traceId + 16)
    trace.load(id, 0)
  }
  await time('trace', load, 10_000)
  await time(
    'view',
    async () => {
      load()
      await view(kept.store!, id, pace())
    },
    2000,
  )
  return found
}

/** Nanoseconds. */
function cpu(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) * 1000
}

const result = { 512: await intake(512), 20: await intake(20), questions: await questions() }
process.stdout.write(`${JSON.stringify(result)}\n`)
process.exit(0)
