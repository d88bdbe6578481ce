// Somebody sets the clock of the machine while the sidecar runs, again and again.

import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import t from 'tap'
import { startSidecar } from '../e2e/ride.ts'
import { attribute, ld, span, traces } from '../otlp/requests.ts'

const SHIM = new URL('fixtures/wall.ts', import.meta.url)
const SPANS = new Uint8Array(traces([attribute(1, 'service.name', 'shop')], span('GET /')))
/** ResourceMetrics > ScopeMetrics > Metric { name, gauge { data_points { as_int 7 } } }. */
const GAUGE = new Uint8Array(
  ld(1, ld(2, ld(2, ld(1, 'jobs.waiting'), ld(5, ld(1, Buffer.from('310700000000000000', 'hex')))))),
)

t.test('the wall clock jumps six times: nothing is lost, counted twice, negative or in a hurry', async t => {
  const app = createServer((_, response) => response.end('ok')).listen(0, '127.0.0.1')
  t.teardown(() => app.close())
  await new Promise(resolve => app.once('listening', resolve))
  const { port } = app.address() as AddressInfo
  const probe = ['--health.probes.0.name', 'a', '--health.probes.0.url', `http://127.0.0.1:${port}/`]
  const flags = [...probe, '--health.probes.0.interval', '200ms', '--app.pid', String(process.pid)]
  await using ride = await startSidecar({ flags, env: { NODE_OPTIONS: `--import ${SHIM.href}` } })
  const post = async (path: string, body: Uint8Array<ArrayBuffer>): Promise<number> => {
    const headers = { 'content-type': 'application/x-protobuf' }
    const answer = await fetch(`${ride.otlp}${path}`, { method: 'POST', headers, body })
    await answer.arrayBuffer()
    return answer.status
  }
  t.equal(await post('/v1/metrics', GAUGE), 200)

  let sent = 0
  let before = samples(await ride.scrape())
  const first = before
  const begun = performance.now()
  const years = new Set<number>()
  while (performance.now() - begun < 7500) {
    t.equal(await post('/v1/traces', SPANS), 200)
    sent += 1
    const after = samples(await ride.scrape())
    years.add(1970 + Math.floor((after.get('app_health_last_probe_timestamp_seconds{probe="a"}') ?? 0) / 31_556_952))
    for (const [series, value] of after) {
      const counts = /_(total|count|bucket)(\{|$)/.test(series)
      if (counts && value < (before.get(series) ?? 0)) t.fail(`${series} fell from ${before.get(series)} to ${value}`)
      if (/seconds/.test(series) && value < 0) t.fail(`${series} is ${value}`)
    }
    for (const name of ['pillion_process_start_time_seconds', 'app_process_start_time_seconds'])
      if (after.get(name) !== first.get(name)) t.fail(`${name} moved from ${first.get(name)} to ${after.get(name)}`)
    before = after
    await new Promise(resolve => setTimeout(resolve, 50))
  }
  const seconds = (performance.now() - begun) / 1000
  const grown = (series: string) => (before.get(series) ?? Number.NaN) - (first.get(series) ?? Number.NaN)
  t.ok(years.size >= 3, `it has seen the years ${[...years].join(', ')}`)
  t.equal(grown('pillion_otlp_accepted_items_total{signal="traces"}'), sent)
  t.equal(before.get('jobs_waiting') ?? [...before].find(([name]) => name.startsWith('jobs_waiting{'))?.[1], 7)
  const probes = grown('app_health_probes_total{probe="a"}')
  t.ok(probes >= 2 && probes <= seconds * 5 + 2, `${probes} probes in ${seconds.toFixed(1)} s, one each 200 ms`)
  t.equal(before.get('app_health_up{probe="a"}'), 1)
  t.ok(grown('pillion_process_cpu_seconds_total{mode="user"}') < seconds / 2, 'it is not busy')
  t.equal(before.get('pillion_uncaught_exceptions_total'), 0)
})

/** Every sample of a page by its series. */
function samples(page: string): Map<string, number> {
  const lines = page.split('\n').filter(line => line !== '' && !line.startsWith('#'))
  return new Map(lines.map(line => [line.slice(0, line.lastIndexOf(' ')), Number(line.slice(line.lastIndexOf(' ')))]))
}
