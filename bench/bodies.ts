// Requests made by the real OpenTelemetry SDK: a small shop with server, client, database and internal spans. The bodies are
// posted by its protobuf exporter and captured by a server on a free port.

import { createServer } from 'node:http'
import { ROOT_CONTEXT as ROOT, type Span, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api'
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-proto'
import { NodeSDK } from '@opentelemetry/sdk-node'
import { decoder } from '../test/otlp/protobufjs.ts'

/** Bodies of exactly `spans` spans each. */
export async function bodies(spans: number, count: number): Promise<Buffer[]> {
  const caught: Buffer[] = []
  const server = createServer((request, answer) => {
    const chunks: Buffer[] = []
    request.on('data', chunk => chunks.push(chunk))
    request.on('end', () => {
      caught.push(Buffer.concat(chunks))
      answer.end()
    })
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  if (typeof address !== 'object' || !address) throw new Error('a TCP server has an address')

  process.env['OTEL_BSP_MAX_EXPORT_BATCH_SIZE'] = String(spans)
  process.env['OTEL_BSP_MAX_QUEUE_SIZE'] = String(spans * count * 2)
  process.env['OTEL_METRICS_EXPORTER'] = 'none'
  process.env['OTEL_LOGS_EXPORTER'] = 'none'
  const traceExporter = new OTLPTraceExporter({
    url: `http://127.0.0.1:${address.port}/v1/traces`,
    concurrencyLimit: count * 2,
  })
  const sdk = new NodeSDK({ serviceName: 'shop', traceExporter, instrumentations: [] })
  sdk.start()
  for (let i = 0; i < (spans * count) / SPANS_PER_VISIT + 1; i++) visit(i)
  await sdk.shutdown()
  trace.disable()
  await new Promise(resolve => server.close(resolve))
  // The last one may be short.
  return caught.slice(0, count)
}

/** The parts of a request that are changed, with protobufjs' names. */
interface Request {
  resourceSpans: {
    resource: { attributes: Attribute[] }
    scopeSpans: { spans: { name: string; kind: number; status: unknown; attributes: Attribute[] }[] }[]
  }[]
}

interface Attribute {
  key: string
  value: { stringValue: string }
}

export interface Variety {
  /** The number of label sets: as many operations, and nothing else that adds label sets. */
  readonly operations?: number
  /** Requests come from this many services in turn. */
  readonly services?: number
  /** Attributes of each span: first its own, then others that no consumer reads. */
  readonly attributes?: number
}

/** As many copies of a body as the variety needs. */
export function varied(body: Buffer, spans: number, { operations, services, attributes }: Variety): Buffer[] {
  const count = Math.max(8, Math.ceil((operations ?? 0) / spans), services ?? 0)
  const type = decoder('traces')
  let n = 0
  return Array.from({ length: count }, (_, i) => {
    // The SDK has encoded all these fields.
    const request = type.decode(body) as unknown as Request
    for (const { resource, scopeSpans } of request.resourceSpans) {
      const service = resource.attributes.find(({ key }) => key === 'service.name')
      if (services && service) service.value = { stringValue: `service-${i % services}` }
      for (const span of scopeSpans.flatMap(scope => scope.spans)) {
        if (operations) Object.assign(span, { name: `GET /operation/${n++ % operations}/:id`, kind: 2, status: {} })
        if (attributes === undefined) continue
        span.attributes.splice(attributes)
        for (let a = span.attributes.length; a < attributes; a++)
          span.attributes.push({ key: `app.detail.${a}`, value: { stringValue: `some value ${a}` } })
      }
    }
    // The same objects that were decoded, changed.
    return Buffer.from(type.encode(request as unknown as Parameters<typeof type.encode>[0]).finish())
  })
}

const SPANS_PER_VISIT = 4

function visit(i: number): void {
  const tracer = trace.getTracer('shop-http', '1.2.0')
  // From 1 ms to 16 s, so that every bucket is used.
  const lastsMs = 2 ** ((i * 7) % 15)
  const startTime = Date.now() - lastsMs
  const route = `/api/${['cart', 'orders', 'items', 'users'][i % 4]}/:id${i % 50}`
  const server = tracer.startSpan(`GET ${route}`, {
    kind: SpanKind.SERVER,
    startTime,
    attributes: {
      'http.request.method': 'GET',
      'http.route': route,
      'http.response.status_code': i % 20 === 0 ? 500 : 200,
      'url.path': `/api/cart/${i}`,
      'url.scheme': 'http',
      'server.address': 'shop.local',
      'server.port': 8080,
      'network.protocol.version': '1.1',
      'user_agent.original': 'Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101',
      'client.address': '10.0.0.7',
    },
  })
  const work = (name: string, kind: SpanKind, attributes: Record<string, string | number | boolean>): void => {
    tracer.startSpan(name, { kind, attributes, startTime }, trace.setSpan(ROOT, server)).end(startTime + lastsMs * 0.75)
  }
  work(`SELECT items${i % 30}`, SpanKind.CLIENT, {
    'db.system.name': 'postgresql',
    'db.namespace': 'shop',
    'db.operation.name': 'SELECT',
    'db.query.text': 'SELECT id, name, price FROM items WHERE id = $1 AND deleted = false',
    'server.address': 'db.local',
    'server.port': 5432,
    'network.peer.address': '10.0.0.9',
    'db.response.returned_rows': i % 100,
  })
  work('POST', SpanKind.CLIENT, {
    'http.request.method': 'POST',
    'url.full': `http://pay.local/v1/charges/${i}`,
    'server.address': 'pay.local',
    'server.port': 80,
    'http.response.status_code': 200,
    'network.protocol.version': '1.1',
    'network.peer.address': '10.0.0.8',
    'network.peer.port': 80,
  })
  work('render', SpanKind.INTERNAL, { 'view.name': 'cart', 'view.cached': i % 2 === 0, 'view.size': i })
  finish(server, i, startTime + lastsMs)
}

function finish(span: Span, i: number, end: number): void {
  if (i % 20 === 0) {
    span.recordException(new Error('payment declined'))
    span.setStatus({ code: SpanStatusCode.ERROR, message: 'payment declined' })
  }
  span.end(end)
}
