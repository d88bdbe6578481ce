// A typical application: a small HTTP server with the stock OpenTelemetry SDK, configured by the usual variables. It counts its
// own spans, which are compared with the sidecar's counters. `PORT=8080 node application.ts`

import { createHash } from 'node:crypto'
import { SpanKind, trace } from '@opentelemetry/api'
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http'
import { NodeSDK } from '@opentelemetry/sdk-node'

/** Spans that were sent, by outcome: acknowledged by the receiver, or given up. */
export interface Account {
  readonly pid: number
  readonly sent: number
  readonly taken: number
  readonly failed: number
}

const counts = { sent: 0, taken: 0, failed: 0 }

class Counting extends OTLPTraceExporter {
  override export(...[spans, done]: Parameters<OTLPTraceExporter['export']>): void {
    counts.sent += spans.length
    super.export(spans, result => {
      // 0 is success: ExportResultCode in @opentelemetry/core.
      counts[result.code === 0 ? 'taken' : 'failed'] += spans.length
      done(result)
    })
  }
}

if (import.meta.main) {
  const sdk = new NodeSDK({ traceExporter: new Counting(), instrumentations: [] })
  sdk.start()
  const tracer = trace.getTracer('soak')
  const page = Buffer.alloc(64 * 1024, 'a page of the shop')
  const account = (): string => JSON.stringify({ pid: process.pid, ...counts } satisfies Account)

  const work = (): string =>
    tracer.startActiveSpan('GET /', { kind: SpanKind.SERVER, attributes: { 'http.route': '/' } }, server => {
      const query = tracer.startSpan('SELECT items', {
        kind: SpanKind.CLIENT,
        attributes: { 'db.system.name': 'postgresql', 'server.address': 'db.local' },
      })
      query.end()
      const digest = createHash('sha256').update(page).digest('hex')
      server.end()
      return digest
    })

  const server = process.getBuiltinModule('node:http').createServer((request, answer) => {
    if (request.url === '/') answer.end(work())
    else if (request.url === '/healthz') answer.end('ok')
    else if (request.url === '/account') answer.end(account())
    else answer.writeHead(404).end()
  })
  server.listen(Number(process.env['PORT']), '127.0.0.1')

  process.once('SIGTERM', async () => {
    const closed = new Promise(resolve => server.close(resolve))
    // Requests in flight are answered; their connections would then stay open for another one.
    const closing = setInterval(() => server.closeIdleConnections(), 20)
    await closed
    clearInterval(closing)
    await sdk.shutdown().catch(() => {})
    process.stdout.write(`${account()}\n`, () => process.exit())
  })

  // Its parent, which would stop it, has ended.
  const observer = Number(process.env['SOAK_PID'])
  setInterval(() => {
    try {
      process.kill(observer, 0)
    } catch {
      process.exit(1)
    }
  }, 2000).unref()
}
