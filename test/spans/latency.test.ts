// Latencies against an oracle in integers: spans of random durations, at the bounds of buckets and a nanosecond beside them, over
// each protocol and encoding. Sums, buckets and quantiles must be what BigInt says.

import { Client, credentials } from '@grpc/grpc-js'
import t from 'tap'
import { startSidecar } from '../e2e/ride.ts'
import { attribute, fixed64, ld, number, traces } from '../otlp/requests.ts'

const SPANS = 9000
const EXPORT = '/opentelemetry.proto.collector.trace.v1.TraceService/Export'
/** Tempo's bounds in nanoseconds: 2 ms doubled thirteen times. */
const BOUNDS = Array.from({ length: 14 }, (_, i) => 2_000_000n * 2n ** BigInt(i))

interface Sample {
  readonly name: string
  readonly failed: boolean
  readonly start: bigint
  readonly end: bigint
}

let seed = 20_261_128
function random(below: number): number {
  seed = (seed * 48_271) % 2_147_483_647
  return seed % below
}

function duration(): bigint {
  const bound = BOUNDS[random(BOUNDS.length)]!
  const way = random(6)
  if (way === 0) return bound
  if (way === 1) return bound + 1n
  if (way === 2) return bound - 1n
  // Of every order of magnitude, up to some minutes.
  const digits = 10n ** BigInt(random(11) + 1)
  return (BigInt(random(1_000_000)) * digits) / 1_000_000n
}

function sample(): Sample {
  const start = 1_790_000_000_000_000_000n + BigInt(random(1_000_000_000))
  // One in fifty ends before it starts, which counts as no time.
  const end = random(50) === 0 ? start - 5n : start + duration()
  return { name: `GET /${random(3)}`, failed: random(4) === 0, start, end }
}

function id(i: number): Buffer {
  const bytes = Buffer.alloc(16, 0xab)
  bytes.writeUInt32BE(i + 1, 8)
  return bytes
}

function protobuf(samples: readonly Sample[]): Buffer {
  const spans = samples.map(({ name, failed, start, end }, i) =>
    Buffer.concat([
      ...[ld(1, id(i)), ld(2, id(i).subarray(8)), ld(5, name), number(6, 2), fixed64(7, start), fixed64(8, end)],
      ...(failed ? [ld(15, number(3, 2))] : []),
    ]),
  )
  return traces([attribute(1, 'service.name', 'shop')], ...spans)
}

function json(samples: readonly Sample[]): string {
  const spans = samples.map(({ name, failed, start, end }, i) => ({
    traceId: id(i).toString('hex'),
    spanId: id(i).toString('hex', 8),
    name,
    kind: 2,
    startTimeUnixNano: String(start),
    endTimeUnixNano: String(end),
    ...(failed ? { status: { code: 2 } } : {}),
  }))
  const resource = { attributes: [{ key: 'service.name', value: { stringValue: 'shop' } }] }
  return JSON.stringify({ resourceSpans: [{ resource, scopeSpans: [{ spans }] }] })
}

t.test('sums, buckets and quantiles of latencies are exact over each protocol and encoding', async t => {
  await using ride = await startSidecar()
  const grpc = new Client(new URL(ride.grpc).host, credentials.createInsecure())
  t.teardown(() => grpc.close())
  const same = (bytes: Buffer) => bytes
  const post = async (type: string, body: string | Uint8Array<ArrayBuffer>) => {
    const answer = await fetch(`${ride.otlp}/v1/traces`, { method: 'POST', headers: { 'content-type': type }, body })
    t.equal(answer.status, 200, await answer.text())
  }
  const call = (body: Buffer) =>
    new Promise<void>((resolve, reject) =>
      grpc.makeUnaryRequest<Buffer, Buffer>(EXPORT, same, same, body, error => (error ? reject(error) : resolve())),
    )
  const ways = [
    (samples: readonly Sample[]) => post('application/x-protobuf', new Uint8Array(protobuf(samples))),
    (samples: readonly Sample[]) => post('application/json', json(samples)),
    (samples: readonly Sample[]) => call(protobuf(samples)),
  ]
  const all = Array.from({ length: SPANS }, sample)
  for (let at = 0, way = 0; at < SPANS; way++) {
    const size = 1 + random(900)
    await ways[way % ways.length]!(all.slice(at, at + size))
    at += size
  }

  const page = await ride.scrape()
  const value = (name: string, labels: string) => {
    const line = page.split('\n').find(each => each.startsWith(`${name}{${labels}`))
    return line === undefined ? undefined : Number(line.slice(line.lastIndexOf(' ')))
  }
  const groups = Map.groupBy(all, ({ name, failed }) => `${name}|${failed}`)
  t.equal(groups.size, 6)
  for (const [key, samples] of groups) {
    const [name, failed] = key.split('|')
    const status = failed === 'true' ? 'STATUS_CODE_ERROR' : 'STATUS_CODE_UNSET'
    const labels = `service="shop",span_name="${name}",span_kind="SPAN_KIND_SERVER",status_code="${status}"`
    const lasted = samples
      .map(({ start, end }) => (end > start ? end - start : 0n))
      .sort((a, b) => (a < b ? -1 : a > b ? 1 : 0))
    const nanoseconds = lasted.reduce((sum, each) => sum + each, 0n)
    const seconds = Number(nanoseconds) / 1e9
    const sum = value('traces_spanmetrics_latency_sum', `${labels}}`) ?? Number.NaN
    t.ok(Math.abs(sum - seconds) <= 1e-12 * seconds, `${labels}: a sum of ${sum}, ${seconds} expected`)
    t.equal(value('traces_spanmetrics_latency_count', `${labels}}`), lasted.length)
    t.equal(value('traces_spanmetrics_calls_total', `${labels}}`), lasted.length)
    const counts = BOUNDS.map(bound => lasted.filter(each => each <= bound).length)
    const found = BOUNDS.map(bound =>
      value('traces_spanmetrics_latency_bucket', `${labels},le="${Number(bound) / 1e9}"`),
    )
    t.same(found, counts, labels)
    t.equal(value('traces_spanmetrics_latency_bucket', `${labels},le="+Inf"`), lasted.length)
    // A quantile of Prometheus lies in the bucket of the true one.
    for (const quantile of [0.5, 0.9, 0.99]) {
      const rank = Math.ceil(quantile * lasted.length)
      const exact = lasted[rank - 1]!
      const bucket = found.findIndex(count => (count ?? 0) >= rank)
      if (bucket < 0) t.ok(exact > BOUNDS.at(-1)!, `${quantile} is beyond the buckets`)
      else t.ok(exact <= BOUNDS[bucket]! && exact > (BOUNDS[bucket - 1] ?? -1n), `${quantile} is in its bucket`)
    }
  }
})
