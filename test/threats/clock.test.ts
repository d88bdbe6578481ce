// Somebody sets the clock of the machine while the sidecar runs, again and again.

import { existsSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { until } from '../e2e/child.ts'
import { startSidecar } from '../e2e/ride.ts'
import { attribute, ld, span, traces } from '../otlp/requests.ts'

t.setTimeout(120_000)

const SHIM = new URL('fixtures/wall.ts', import.meta.url)
const SPANS = new Uint8Array(traces([attribute(1, 'service.name', 'shop')], span('GET /')))
/** ResourceMetrics > ScopeMetrics > Metric { name, gauge { data_points { as_int 7 } } }. */
const GAUGE = new Uint8Array(
  ld(1, ld(2, ld(2, ld(1, 'jobs.waiting'), ld(5, ld(1, Buffer.from('310700000000000000', 'hex')))))),
)

t.test('the wall clock jumps six times: nothing is lost, counted twice, negative or in a hurry', async t => {
  const app = await answering(t)
  const probe = ['--health.probes.0.name', 'a', '--health.probes.0.url', `${app}/`]
  const flags = [...probe, '--health.probes.0.interval', '200ms', '--app.pid', String(process.pid)]
  const wall = join(t.testdir({}), 'wall')
  await using ride = await startSidecar({ flags, env: { NODE_OPTIONS: `--import ${SHIM.href}`, WALL: wall } })
  const post = async (path: string, body: Uint8Array<ArrayBuffer>): Promise<number> => {
    const headers = { 'content-type': 'application/x-protobuf' }
    const answer = await fetch(`${ride.otlp}${path}`, { method: 'POST', headers, body })
    await answer.arrayBuffer()
    return answer.status
  }
  t.equal(await post('/v1/metrics', GAUGE), 200)

  let sent = 0
  let before = samples(await ride.scrape())
  // The process is looked for after the start.
  while (!before.has('app_process_start_time_seconds')) before = samples(await ride.scrape())
  const first = before
  writeFileSync(wall, '')
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

/** Debian's libfaketime, which answers for the C library when it is asked for the time. */
const FAKETIME = ['x86_64', 'aarch64']
  .map(each => `/usr/lib/${each}-linux-gnu/faketime/libfaketimeMT.so.1`)
  .find(existsSync)

t.test(
  'the clock of the machine is set under libfaketime: probes, spans, moments and lifetimes go on',
  { skip: FAKETIME === undefined && 'needs libfaketime: apt-get install faketime' },
  async t => {
    const app = await answering(t)
    const offset = join(t.testdir({}), 'offset')
    // Written at once, so that half a number is never read.
    const set = (seconds: number): void => writeFileSync(offset, `${seconds < 0 ? '' : '+'}${seconds}\n`)
    set(0)
    const probe = ['--health.probes.0.name', 'a', '--health.probes.0.url', `${app}/`]
    await using ride = await startSidecar({
      flags: [
        ...probe,
        '--health.probes.0.interval',
        '200ms',
        '--app.pid',
        String(process.pid),
        '--spans.expiry',
        '10s',
      ],
      env: {
        LD_PRELOAD: FAKETIME,
        FAKETIME_TIMESTAMP_FILE: offset,
        FAKETIME_NO_CACHE: '1',
        FAKETIME_DONT_FAKE_MONOTONIC: '1',
      },
    })
    const post = async (name: string): Promise<void> => {
      const body = new Uint8Array(traces([attribute(1, 'service.name', 'shop')], span(name)))
      const headers = { 'content-type': 'application/x-protobuf' }
      const answer = await fetch(`${ride.otlp}/v1/traces`, { method: 'POST', headers, body })
      await answer.arrayBuffer()
      t.equal(answer.status, 200)
    }
    const page = async () => samples(await ride.scrape())
    const calls = (all: ReadonlyMap<string, number>, name: string) =>
      [...all].find(
        ([series]) => series.startsWith('traces_spanmetrics_calls_total{') && series.includes(`"${name}"`),
      )?.[1]
    await until('moments', async () => ((await page()).get('pillion_moments_held') ?? 0) > 3 || undefined)

    const HOUR = 3600
    let sent = 0
    let before = await page()
    for (const seconds of [HOUR, -HOUR, 10 * 365 * 24 * HOUR, -50 * 365 * 24 * HOUR, 0]) {
      set(seconds)
      await until(`the clock at ${seconds}`, async () => {
        const probed = (await page()).get('app_health_last_probe_timestamp_seconds{probe="a"}') ?? Number.NaN
        return Math.abs(probed - Date.now() / 1000 - seconds) < 60 || undefined
      })
      const begun = performance.now()
      const first = await page()
      for (let n = 0; n < 10; n++) {
        await post('GET /often')
        sent++
        await sleep(100)
      }
      const after = await page()
      const took = (performance.now() - begun) / 1000
      const grown = (series: string) => (after.get(series) ?? Number.NaN) - (first.get(series) ?? Number.NaN)
      t.equal(calls(after, 'GET /often'), sent, `${seconds} s: spans are counted, and do not expire by a jump`)
      const probes = grown('app_health_probes_total{probe="a"}')
      t.ok(probes >= 1 && probes <= took * 5 + 2, `${probes} probes in ${took.toFixed(1)} s, one each 200 ms`)
      const moments = grown('pillion_moments_total')
      t.ok(moments >= 1 && moments <= took * 60 + 5, `${moments} moments in ${took.toFixed(1)} s`)
      t.equal(after.get('app_health_up{probe="a"}'), 1)
      for (const [series, value] of after) {
        if (/_(total|count|bucket)(\{|$)/.test(series) && value < (before.get(series) ?? 0))
          t.fail(`${series} fell from ${before.get(series)} to ${value}`)
        if (/_seconds(\{|$|_total|_sum)/.test(series) && value < 0 && !/timestamp/.test(series))
          t.fail(`${series} is ${value}`)
      }
      before = after
    }
    await post('GET /once')
    set(HOUR)
    await post('GET /once')
    t.equal(calls(await page(), 'GET /once'), 2, 'a series that was just there is there after the jump')
    await until(
      'the end of what nobody asks for',
      async () => calls(await page(), 'GET /once') === undefined || undefined,
    )
    t.equal((await page()).get('pillion_uncaught_exceptions_total'), 0)
  },
)

async function answering(t: Test): Promise<string> {
  const app: Server = createServer((_, response) => response.end('ok')).listen(0, '127.0.0.1')
  t.teardown(() => app.close())
  await new Promise(resolve => app.once('listening', resolve))
  return `http://127.0.0.1:${(app.address() as AddressInfo).port}`
}

/** Every sample of a page by its series. */
function samples(page: string): Map<string, number> {
  const lines = page.split('\n').filter(line => line !== '' && !line.startsWith('#'))
  return new Map(lines.map(line => [line.slice(0, line.lastIndexOf(' ')), Number(line.slice(line.lastIndexOf(' ')))]))
}
