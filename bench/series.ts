// The memory of a label set of the request metrics and of an edge of the service graph: the bytes held after a garbage
// collection with many of them, minus those with one. Used by the row label-sets; `node bench/series.ts` prints the table.

import { execFileSync } from 'node:child_process'
import { setImmediate as turn } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { Metrics } from '../metrics/registry.ts'
import { SpanVisitor } from '../otlp/visit.ts'
import { type SpansOptions, spans } from '../processors/spans.ts'
import { Keys } from '../telemetry/keys.ts'
import { decoder } from '../test/otlp/protobufjs.ts'

const BATCH = 500
const KINDS = {
  /** Two label sets: successes, and errors with a counter at 0 and no histogram. */
  operation: (i: number) => ({ name: `GET /operation/${i}/:id`, kind: 2 }),
  edge: (i: number) => ({
    ...{ name: 'query', kind: 3 },
    attributes: [{ key: 'db.system.name', value: { stringValue: `database-${i}.shop.local` } }],
  }),
} as const
type Kind = keyof typeof KINDS

const OPTIONS: Omit<SpansOptions, 'limit' | 'graph'> = {
  dimensions: [],
  kinds: ['server', 'client', 'producer', 'consumer', 'internal', 'unspecified'],
  naming: 'tempo',
  buckets: Array.from({ length: 14 }, (_, i) => 2 ** (i + 1)),
  native_histograms: { enabled: false, schema: 3 },
  sampling: 'plain',
  weight_limit: 1000,
  expiry: 3_600_000,
  probes: 'exclude',
  target_info: { limit: 100, expiry: 900_000 },
}

const [kind, number] = process.argv.slice(2)
if (kind === 'operation' || kind === 'edge') console.log(await held(kind, Number(number)))
else
  for (const each of ['operation', 'edge'] as const) {
    const one = measured(each, 1)
    for (const count of [500, 1000, 2000, 8000]) {
      const bytes = (measured(each, count) - one) / count
      console.log(`${each.padEnd(10)} ${String(count).padStart(6)} of them ${bytes.toFixed(0).padStart(6)} bytes each`)
    }
  }

/** In a process of its own, so that nothing of the previous measurement is left. */
function measured(what: Kind, count: number): number {
  return Number(execFileSync(process.execPath, [import.meta.filename, what, String(count)], { encoding: 'utf8' }))
}

async function held(what: Kind, count: number): Promise<number> {
  setFlagsFromString('--expose-gc')
  const collect: () => void = runInNewContext('gc')
  const edges = what === 'edge'
  const options: SpansOptions = {
    ...OPTIONS,
    limit: edges ? 10 : 1_000_000,
    graph: { enabled: edges, wait: 6000, pending: 10_000, limit: 100_000 },
  }
  const clock = { now: Date.now, monotonic: () => performance.now(), sleep: () => Promise.resolve() }
  const keys = new Keys()
  const consumer = spans.start(options, { metrics: new Metrics(), clock, keys })
  const visitor = new SpanVisitor(keys, [consumer])
  for (let from = 0; from < count; from += BATCH) {
    const items = Math.min(BATCH, count - from)
    const bytes = request(Array.from({ length: items }, (_, i) => KINDS[what](from + i)))
    visitor.visit({ signal: 'traces', bytes, items, received: 0 })
  }
  for (let i = 0; i < 5; i++) {
    collect()
    await turn()
  }
  const { heapUsed, arrayBuffers } = process.memoryUsage()
  // The measured objects must be alive until here.
  consumer.collect?.(AbortSignal.timeout(1000))
  return heapUsed + arrayBuffers
}

function request(sent: readonly object[]): Buffer {
  const ids = { traceId: Buffer.alloc(16, 1), spanId: Buffer.alloc(8, 2) }
  const times = { startTimeUnixNano: 1_750_000_000_000_000, endTimeUnixNano: 1_750_000_000_001_000 }
  const resource = { attributes: [{ key: 'service.name', value: { stringValue: 'shop' } }] }
  const type = decoder('traces')
  const all = [{ resource, scopeSpans: [{ spans: sent.map(each => ({ ...ids, ...times, ...each })) }] }]
  return Buffer.from(type.encode(type.fromObject({ resourceSpans: all })).finish())
}
