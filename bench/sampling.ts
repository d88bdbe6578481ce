// The cost of sampling: CPU nanoseconds a span of the walk, the visit and the copy into the queue of the forwarder, without a
// sampler and with one. Bodies are those of the SDK, with new trace ids each time; time passes as 20,000 spans a second take,
// so that traces wait for a second and are decided.
//
//   node bench/sampling.ts [seconds per figure]

import { SpanVisitor } from '../otlp/visit.ts'
import { TraceSampler } from '../processors/sampling/sampler.ts'
import { MemoryStore } from '../queue/memory.ts'
import type { Queue } from '../queue/queue.ts'
import type { SpanConsumer } from '../telemetry/consumer.ts'
import { Keys } from '../telemetry/keys.ts'
import { Memory } from '../telemetry/memory.ts'
import type { Request } from '../telemetry/request.ts'
import type { SamplingOptions } from '../telemetry/sampler.ts'
import { bodies } from './bodies.ts'
import { Moved } from './moved.ts'

const seconds = Number(process.argv[2] ?? 1)
const RATE = 20_000

const OPTIONS: SamplingOptions = {
  ratio: 0.1,
  errors: true,
  slow: 'p99',
  rare: 10,
  troubled: false,
  max_spans_per_second: undefined,
  max_bytes_per_second: undefined,
  decision_wait: 1000,
  memory: 16 * 2 ** 20,
  mark: false,
}

/** A queue whose upstream takes everything at once. */
function queue(memory: Memory): Queue {
  const made = new MemoryStore(memory.allot('forward')).queue(() => {})
  return made
}

async function drain(queue: Queue): Promise<void> {
  for (;;) {
    const batch = await queue.next('traces')
    if (!batch) return
    queue.done(batch)
  }
}

/** The offsets of all trace ids. */
function ids(set: readonly Buffer[], spans: number): number[][] {
  const found: number[][] = []
  const consumer: SpanConsumer = {
    name: 'ids',
    begin: () => void found.push([]),
    span: view => void found.at(-1)!.push(view.traceId),
  }
  const visitor = new SpanVisitor(new Keys(), [consumer])
  for (const bytes of set) visitor.visit({ signal: 'traces', bytes, items: spans, received: 0 })
  return found
}

async function measure(set: readonly Buffer[], spans: number, way: 'ids' | 'plain' | Partial<SamplingOptions>) {
  const clock = new Moved()
  const memory = new Memory(2 ** 30)
  const keys = new Keys()
  const out = queue(memory)
  const places = ids(set, spans)
  const pass = (request: Request) => out.append(request)
  const sampler =
    typeof way === 'string'
      ? undefined
      : new TraceSampler({ ...OPTIONS, ...way }, { clock, memory, keys }, { pass, admit: () => 0 }, () => {})
  const visitor = new SpanVisitor(keys, sampler ? [sampler] : [])
  let turn = 1
  let since = 0
  const once = async () => {
    for (const [i, bytes] of set.entries()) {
      for (const at of places[i]!) {
        // The same for all spans of a trace, and random where R is.
        bytes.writeUInt32LE((bytes.readUInt32LE(at + 8) + turn * 0x9e3779b1) >>> 0, at + 8)
      }
      if (way === 'ids') continue
      const request: Request = { signal: 'traces', bytes, items: spans, received: 0 }
      visitor.walk.run(bytes, spans)
      visitor.show(request)
      if (!sampler) pass(request)
      since += spans
      if (clock.pass((spans / RATE) * 1000)) await new Promise(setImmediate)
      if (since > 2000) {
        since = 0
        await drain(out)
      }
    }
    turn++
  }
  // Until it is steady: what comes is what is decided.
  for (let warm = 0; warm < 3 * RATE; warm += set.length * spans) await once()
  const best: number[] = []
  for (let round = 0; round < 3; round++) {
    let done = 0
    const start = process.cpuUsage()
    let used = 0
    while (used < (seconds * 1e6) / 3) {
      await once()
      done += set.length * spans
      const { user, system } = process.cpuUsage(start)
      used = user + system
    }
    best.push((used * 1000) / done)
  }
  const held = memory.parts.get('sampling')?.used
  await sampler?.[Symbol.asyncDispose]()
  return { ns: Math.min(...best), held }
}

for (const spans of [512, 20]) {
  const set = await bodies(spans, spans === 512 ? 24 : 600)
  console.log(`${spans} spans a request`)
  const changing = (await measure(set, spans, 'ids')).ns
  const plain = (await measure(set, spans, 'plain')).ns - changing
  console.log(`  forwarded as it comes          ${plain.toFixed(0).padStart(4)} ns a span`)
  for (const [name, way] of [
    ['10 % of ordinary traces', {}],
    ['all traces, with thresholds', { ratio: 1 }],
    ['10 %, with a limit', { max_spans_per_second: 1_000_000 }],
  ] as const) {
    const { ns, held = 0 } = await measure(set, spans, way)
    const more = ns - changing - plain
    console.log(
      `  ${name.padEnd(30)} ${(ns - changing).toFixed(0).padStart(4)} ns a span, ${more.toFixed(0).padStart(4)} more; ${(held / 2 ** 20).toFixed(1)} MiB held`,
    )
  }
}
