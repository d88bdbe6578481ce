// One whole page, as Prometheus gets it: the real program on a fake machine with a fake clock, one probe of a real server
// and one real OTLP request. The expected page is also the shortest way to see what Pillion says.
// `UPDATE=1 npx tap test/house/golden.test.ts` writes it anew.

import { readFileSync, writeFileSync } from 'node:fs'
import { createServer, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import t from 'tap'
import { readOptions } from '../../parts.ts'
import { startSidecar } from '../../sidecar.ts'
import { world } from '../world.ts'

const FIXTURES = join(import.meta.dirname, '../fixtures')
const EXPECTED = join(FIXTURES, 'golden.metrics.txt')

/** Values that differ from run to run. The page names them as such. */
const MEASURED =
  /^(pillion_(?:process|nodejs|event_loop|collector_duration|moments)\w*(?:\{[^}]*\})?|app_health_probe_(?:duration|phase|loop_delay)\w*(?:\{[^}]*\})?|pillion_memory_used_bytes\{part="moments"\}) .*$/gm

t.test('the page of the whole program', async t => {
  const server = createServer((_, response) => response.end('{"status":"pass"}')).listen(0, '127.0.0.1')
  t.teardown(() => server.close())
  await new Promise(resolve => server.once('listening', resolve))
  const { port } = server.address() as AddressInfo

  const host = world(join(FIXTURES, 'proc/pod'))
  const reading = await readOptions({
    environment: {
      PILLION_APP_PID: '7',
      PILLION_HEALTH_PROBES_0_NAME: 'ready',
      PILLION_HEALTH_PROBES_0_URL: `http://127.0.0.1:${port}/healthz`,
      PILLION_WEB_LISTEN: '127.0.0.1:0',
      PILLION_OTLP_HTTP_LISTEN: '127.0.0.1:0',
      PILLION_OTLP_GRPC_LISTEN: 'off',
    },
  })
  if (!reading.ok) throw new Error(JSON.stringify(reading.problems))
  await using sidecar = await startSidecar(reading.values, host)

  const spans = readFileSync(join(FIXTURES, 'otlp/trace.json'))
  const json = { 'content-type': 'application/json' }
  t.equal((await ask(`${sidecar.listeners.http}/v1/traces`, { method: 'POST', headers: json }, spans)).status, 200)
  const metrics = `${sidecar.listeners.web}/metrics`
  const openmetrics = { headers: { accept: 'application/openmetrics-text;version=1.0.0' } }
  let body = ''
  for (let i = 0; i < 100 && !/^app_health_up\{probe="ready"\} 1$/m.test(body); i++) {
    await host.clock.pass(250)
    body = (await ask(metrics, openmetrics)).body
  }
  const page = body
    .replace(MEASURED, '$1 …')
    .replaceAll(String(port), 'PORT')
    .replace(/node="v[^"]+"/, 'node="…"')
  if (process.env['UPDATE']) writeFileSync(EXPECTED, steady(page))
  t.equal(steady(page), readFileSync(EXPECTED, 'utf8'))
})

/** The number of probes that the wait took is chance, and so is the garbage collected meanwhile. */
function steady(page: string): string {
  return page
    .replace(/^.*pillion_nodejs_gc_duration_seconds.*\n/gm, '')
    .replace(
      /^(app_health_(?:probes_total|last_probe_timestamp_seconds|time_to_first_success_seconds)\{[^}]*\}) .*$/gm,
      '$1 …',
    )
}

function ask(url: string, options: object, send?: Buffer): Promise<{ status: number | undefined; body: string }> {
  return new Promise((resolve, reject) => {
    request(url, options, response => {
      let body = ''
      response.setEncoding('utf8').on('data', text => {
        body += text
      })
      response.on('end', () => resolve({ status: response.statusCode, body }))
    })
      .on('error', reject)
      .end(send)
  })
}
