// Spans per CPU second of the walk, and of the walk together with the visit, for bodies made by the OpenTelemetry SDK.
// protobufjs decodes the same bodies in the same run; on another machine only the ratio is meaningful.
//
//   node bench/decode.ts [seconds per figure]

import protobuf from 'protobufjs'
import { SpanVisitor } from '../otlp/visit.ts'
import type { SpanConsumer } from '../telemetry/consumer.ts'
import { Keys } from '../telemetry/keys.ts'
import { bodies } from './bodies.ts'

const seconds = Number(process.argv[2] ?? 1)

const protos = new URL('../test/otlp/proto/', import.meta.url)
const root = new protobuf.Root()
root.resolvePath = (_, target) => new URL(target, protos).pathname
root.loadSync('opentelemetry/proto/collector/trace/v1/trace_service.proto')
const oracle = root.lookupType('opentelemetry.proto.collector.trace.v1.ExportTraceServiceRequest')

// The reads that the request metrics make with two dimensions.
// In an array, since a number in a variable would be allocated anew each time.
const sum = new Float64Array(1)
const keys = new Keys()
const [route] = ['http.route', 'http.response.status_code'].map(key => keys.span(key))
for (const key of ['service.name', 'service.namespace']) keys.resource(key)
const consumer: SpanConsumer = {
  name: 'bench',
  span(view) {
    sum[0]! += view.seconds + view.kind + view.spanAttributes.type[route!]! + view.nameEnd - view.nameStart
  },
}

for (const spans of [512, 20]) {
  const set = await bodies(spans, spans === 512 ? 24 : 128)
  const bytes = set.reduce((total, each) => total + each.length, 0) / set.length
  console.log(`${spans} spans a request, ${Math.round(bytes)} bytes`)
  const visitor = new SpanVisitor(keys, [consumer])
  const walk = (body: Buffer) => {
    if (!visitor.walk.run(body, spans)) throw new Error('the request of the SDK is good')
  }
  const both = (body: Buffer) => {
    walk(body)
    visitor.show({ signal: 'traces', bytes: body, items: spans, received: 0 })
  }
  const run = (name: string, work: (body: Buffer) => void): number => {
    const rates = Array.from({ length: 3 }, () => rate(set, spans, work))
    const best = Math.max(...rates)
    console.log(`  ${name.padEnd(16)} ${(best / 1e6).toFixed(2).padStart(6)} M spans per CPU second`)
    return best
  }
  run('walk', walk)
  const ours = run('walk + visit', both)
  const theirs = run('protobufjs', body => {
    sum[0]! += oracle.decode(body) ? 1 : 0
  })
  const heap = process.memoryUsage().heapUsed
  for (const body of set) both(body)
  const allocated = (process.memoryUsage().heapUsed - heap) / (set.length * spans)
  console.log(`  ${(ours / theirs).toFixed(1)} times protobufjs; ${allocated.toFixed(0)} bytes allocated per span`)
}

function rate(set: readonly Buffer[], spans: number, work: (body: Buffer) => void): number {
  let done = 0
  const start = process.cpuUsage()
  for (let used = 0; used < (seconds * 1e6) / 3; ) {
    for (const body of set) work(body)
    done += set.length * spans
    const { user, system } = process.cpuUsage(start)
    used = user + system
  }
  const { user, system } = process.cpuUsage(start)
  return (done / (user + system)) * 1e6
}

if (Number.isNaN(sum[0])) console.log(sum)
