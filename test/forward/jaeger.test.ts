// Jaeger as what is behind the sidecar: every trace is found by its own query API, with every span as it was sent.

import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { FOLDER } from '../deploy/judges.ts'
import { Child, freePort, until } from '../e2e/child.ts'
import { startSidecar } from '../e2e/ride.ts'

t.setTimeout(120_000)

const JAEGER = join(FOLDER, 'bin', 'jaeger')
const skip = existsSync(JAEGER) ? false : 'needs Jaeger: .ci/judges'
const TRACES = 40
const SPANS = 5

interface Jaeger extends AsyncDisposable {
  readonly http: string
  readonly grpc: string
  /** The answer of its query API, which wraps what it found in `data`. */
  ask(path: string): Promise<unknown>
}

async function jaeger(t: Test): Promise<Jaeger> {
  const [http, grpc, query, queryGrpc] = [await freePort(), await freePort(), await freePort(), await freePort()]
  const at = (port: number) => ({ endpoint: `127.0.0.1:${port}` })
  const config = {
    extensions: {
      jaeger_storage: { backends: { memory: { memory: { max_traces: 10_000 } } } },
      jaeger_query: { storage: { traces: 'memory' }, http: at(query), grpc: at(queryGrpc) },
    },
    receivers: { otlp: { protocols: { http: at(http), grpc: at(grpc) } } },
    exporters: { jaeger_storage_exporter: { trace_storage: 'memory' } },
    service: {
      telemetry: { metrics: { level: 'none' }, logs: { level: 'info' } },
      extensions: ['jaeger_storage', 'jaeger_query'],
      pipelines: { traces: { receivers: ['otlp'], exporters: ['jaeger_storage_exporter'] } },
    },
  }
  const file = join(t.testdir({}), 'jaeger.yaml')
  // YAML is a superset of JSON.
  writeFileSync(file, JSON.stringify(config))
  const child = await Child.start(JAEGER, ['--config', file])
  await child.says(/Everything is ready/)
  return {
    http: `http://127.0.0.1:${http}`,
    grpc: `http://127.0.0.1:${grpc}`,
    ask: async path => {
      const response = await fetch(`http://127.0.0.1:${query}/api/${path}`)
      // Of what it does not have it says 404.
      return response.ok ? ((await response.json()) as { data: unknown }).data : undefined
    },
    [Symbol.asyncDispose]: () => child[Symbol.asyncDispose](),
  }
}

/** A trace as Jaeger's API gives it (jaegertracing.io/docs, "HTTP JSON API"). */
interface Found {
  readonly traceID: string
  readonly spans: readonly {
    readonly spanID: string
    readonly operationName: string
    readonly references: readonly { readonly refType: string; readonly spanID: string }[]
    readonly duration: number
    readonly tags: readonly { readonly key: string; readonly value: unknown }[]
    readonly logs: readonly unknown[]
  }[]
  readonly processes: Readonly<Record<string, { readonly serviceName: string }>>
}

for (const protocol of ['http', 'grpc'] as const)
  t.test(`Jaeger finds every trace that is forwarded to it over OTLP/${protocol}, whole`, { skip }, async t => {
    await using server = await jaeger(t)
    const forward = ['--forward.endpoint', server[protocol], '--forward.protocol', PROTOCOLS[protocol]]
    await using ride = await startSidecar({ flags: ['--health.guess', 'false', ...forward] })
    const began = BigInt(Date.now()) * 1_000_000n
    for (let n = 0; n < TRACES; n++) {
      const spans = Array.from({ length: SPANS }, (_, s) => ({
        traceId: trace(n),
        spanId: hex(100 * n + s + 1, 16),
        ...(s > 0 && { parentSpanId: hex(100 * n + s, 16) }),
        name: `step ${s}`,
        kind: 2,
        startTimeUnixNano: String(began + BigInt(s) * 1_000_000n),
        endTimeUnixNano: String(began + 50_000_000n),
        attributes: [{ key: 'order.id', value: { stringValue: `order ${n}` } }],
        events: [{ timeUnixNano: String(began), name: 'paid' }],
        ...(s === 0 && n % 4 === 0 && { status: { code: 2, message: 'no stock' } }),
      }))
      const resource = { attributes: [{ key: 'service.name', value: { stringValue: 'shop' } }] }
      const body = JSON.stringify({ resourceSpans: [{ resource, scopeSpans: [{ scope: { name: 'till' }, spans }] }] })
      const headers = { 'content-type': 'application/json' }
      t.equal((await fetch(`${ride.otlp}/v1/traces`, { method: 'POST', headers, body })).status, 200)
    }
    const traces = { signal: 'traces' }
    await until(
      'it forwarded',
      async () => (await ride.value('pillion_forward_items_total', traces)) === TRACES * SPANS || undefined,
    )
    t.equal(await ride.value('pillion_forward_dropped_items_total', traces), 0)

    t.strictSame(await server.ask('services'), ['shop'])
    const all = (await server.ask(`traces?service=shop&limit=${10 * TRACES}`)) as Found[]
    t.equal(all.length, TRACES)
    t.equal(
      all.reduce((sum, { spans }) => sum + spans.length, 0),
      TRACES * SPANS,
    )
    const tagged = encodeURIComponent('{"order.id":"order 7"}')
    const found = (await server.ask(`traces?service=shop&limit=100&tags=${tagged}`)) as Found[]
    t.strictSame(
      found.map(({ traceID }) => traceID),
      [trace(7)],
      'found by an attribute',
    )
    const [whole] = (await server.ask(`traces/${trace(4)}`)) as Found[]
    t.equal(whole?.spans.length, SPANS)
    t.equal(Object.values(whole?.processes ?? {})[0]?.serviceName, 'shop')
    const third = whole?.spans.find(({ operationName }) => operationName === 'step 2')
    t.match(third, {
      spanID: hex(403, 16),
      duration: 48_000,
      references: [{ refType: 'CHILD_OF', spanID: hex(402, 16) }],
    })
    const tags = Object.fromEntries(third?.tags.map(({ key, value }) => [key, value]) ?? [])
    t.match(tags, { 'order.id': 'order 4', 'span.kind': 'server', 'otel.scope.name': 'till' })
    t.equal(third?.logs.length, 1)
    const first = whole?.spans.find(({ operationName }) => operationName === 'step 0')
    t.ok(first?.tags.some(({ key, value }) => key === 'error' && value === true))
  })

const PROTOCOLS = { http: 'http/protobuf', grpc: 'grpc' } as const

function hex(value: number, digits: number): string {
  return value.toString(16).padStart(digits, '0')
}

function trace(n: number): string {
  return `0af7${hex(n, 28)}`
}
