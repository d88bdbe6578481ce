// prom-client alone, as an application uses it: the same label sets and metrics as ours, behind node:http.
// `node promclient.ts PORT LABEL_SETS text|openmetrics`; with `promClient` it is launched.

import { freePort, launch, type Server } from '../server.ts'

export type TextFormat = 'text' | 'openmetrics'

export async function promClient(labelSets: number, format: TextFormat): Promise<Server> {
  const metrics = await freePort()
  return await launch({
    name: 'prom-client',
    command: process.execPath,
    args: [import.meta.filename, String(metrics), String(labelSets), format],
    ports: { http: 0, grpc: 0, metrics },
    ready: `http://127.0.0.1:${metrics}/-/healthy`,
  })
}

if (import.meta.main) {
  const { Counter, Histogram, Registry } = await import('prom-client')
  const { calls, latency, size } = await import('../../processors/spans.ts')
  const [port, labelSets, format] = process.argv.slice(2)
  const openmetrics = format === 'openmetrics'
  const registry = new Registry()
  if (openmetrics) registry.setContentType(Registry.OPENMETRICS_CONTENT_TYPE)
  const family = ({ name, help, labels }: { name: string; help: string; labels: readonly string[] }) => ({
    ...{ name, help, labelNames: labels, registers: [registry] },
  })
  const called = new Counter({ ...family(calls), enableExemplars: openmetrics })
  const lasted = new Histogram({ ...family(latency), buckets: [...latency.buckets], enableExemplars: openmetrics })
  const sized = new Counter(family(size))
  for (let n = 0; n < Number(labelSets); n++) {
    const labels = { service: 'shop', span_name: `GET /operation/${n}/:id`, span_kind: 'SPAN_KIND_SERVER' }
    const mine = { ...labels, status_code: 'STATUS_CODE_UNSET' }
    called.inc({ ...labels, status_code: 'STATUS_CODE_ERROR' }, 0)
    sized.inc(mine, 332 * 20)
    for (let i = 0; i < 20; i++) {
      const seconds = 0.001 * 2 ** ((n + i) % 15)
      const exemplarLabels = { trace_id: '0af7651916cd43dd8448eb211c80319c', span_id: 'b7ad6b7169203331' }
      if (openmetrics) {
        called.inc({ labels: mine, value: 1, exemplarLabels })
        lasted.observe({ labels: mine, value: seconds, exemplarLabels })
      } else {
        called.inc(mine)
        lasted.observe(mine, seconds)
      }
    }
  }
  const { createServer } = process.getBuiltinModule('node:http')
  createServer(async (request, response) => {
    if (request.url !== '/metrics') {
      response.end('ok')
      return
    }
    response.setHeader('Content-Type', registry.contentType)
    response.end(await registry.metrics())
  }).listen(Number(port), '127.0.0.1')
}
