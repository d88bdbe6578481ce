// The built sidecar under load, from a generator in a process of its own: nothing is lost, nothing counted twice, memory
// stays in its budget, and the event loop stays free. A minute each in CI or with LOAD=60, some seconds otherwise.

import { readFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { Child, until } from '../e2e/child.ts'
import { type Ride, startSidecar } from '../e2e/ride.ts'
import { BATCH, REPORT, type Report } from './generator.ts'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const GENERATOR = fileURLToPath(new URL('generator.ts', import.meta.url))

const SECONDS = Number(process.env['LOAD'] ?? (process.env['CI'] ? 60 : 5))
const RATE = 10_000
/** The budget is 120 MiB for both. gRPC was seen at 94 to 113, and memory that V8 has not released yet varies, so its limit is wider. */
const BUDGET_MIB = { http: 120, grpc: 144 } as const
const OVERLOAD_MIB = 256
/** The budget is 30 ms on an idle machine; here the generator runs on the same cores. */
const LOOSE_DELAY_MS = 250

t.setTimeout((4 * SECONDS + 180) * 1000)

// A build of its own: `npm run build`, which empties dist/, may run in another test at the same time.
const dist = join(t.testdir(), 'dist')
t.before(async () => {
  await using build = await Child.start(process.execPath, [join(ROOT, 'scripts/build.ts'), '--out', dist], {}, ROOT)
  const { code } = await build.ended
  if (code !== 0) throw new Error(`cannot build:\n${build.stdout}${build.stderr}`)
})

for (const protocol of ['http', 'grpc'] as const)
  t.test(`${RATE} spans a second for ${SECONDS} s over ${protocol}: all accepted, within the budget`, async t => {
    await using ride = await startSidecar({ main: join(dist, 'main.js') })
    const { report, delay } = await load(ride, protocol, RATE, SECONDS)
    const offered = RATE * SECONDS
    t.match(report, { offered, accepted: offered, refused: 0, unanswered: 0 })
    t.equal(await ride.value('pillion_otlp_received_items_total', { signal: 'traces' }), offered)
    t.equal(await ride.value('pillion_otlp_accepted_items_total', { signal: 'traces' }), offered)
    t.equal(await ride.value('traces_spanmetrics_calls_total'), offered)
    const { now, peak } = memory(ride.child.pid)
    t.comment(`RSS ${now.toFixed(1)} MiB, at most ${peak.toFixed(1)}; CPU ${share(ride.child.pid, SECONDS)} of a core`)
    t.comment(`99 of 100 of its own looks at its loop were at most ${await lateness(ride)} s late`)
    t.comment(`a small request meanwhile: p50 ${delay.p50} ms, p99 ${delay.p99} ms, at most ${delay.max} ms`)
    t.comment(`an export: p50 ${report.p50} ms, p99 ${report.p99} ms, at most ${report.max} ms`)
    t.ok(peak <= BUDGET_MIB[protocol], `at most ${peak.toFixed(1)} MiB`)
    t.ok(delay.p99 <= LOOSE_DELAY_MS, `p99 ${delay.p99} ms`)
  })

for (const [protocol, retryLater] of [
  ['http', '503'],
  ['grpc', '14'],
] as const)
  t.test(`ten times as much over ${protocol}, and a standstill: memory holds, and the account is exact`, async t => {
    // Ten times as much is simply accepted, and so is what waits after a stop of a second: a body that has come whole
    // is out of memory again before the next one is read. Only a client that stays in the middle of its request makes
    // it too much.
    await using ride = await startSidecar({ main: join(dist, 'main.js'), flags: ['--otlp.max_inflight', '1MiB'] })
    // Long enough for what waits after the stop to be worked off before the end.
    const seconds = SECONDS >= 60 ? 10 : 8
    const loading = load(ride, protocol, 10 * RATE, seconds)
    await sleep((seconds / 2) * 1000)
    ride.child.kill('SIGSTOP')
    await sleep(1000)
    ride.child.kill('SIGCONT')
    const ours = await fill(ride, 2 ** 20, retryLater)
    const { report } = await loading
    const ended = performance.now()
    await until('a good request to be answered at once', async () => {
      const start = performance.now()
      const headers = { 'content-type': 'application/x-protobuf' }
      const { status } = await fetch(`${ride.otlp}/v1/traces`, { method: 'POST', headers })
      return (status === 200 && performance.now() - start < 100) || undefined
    })
    const recovery = performance.now() - ended
    const { now, peak } = memory(ride.child.pid)
    t.comment(JSON.stringify(report))
    t.comment(`RSS ${now.toFixed(1)} MiB, at most ${peak.toFixed(1)}; answers again after ${recovery.toFixed(0)} ms`)
    t.equal(report.offered, 10 * RATE * seconds)
    t.equal(report.accepted + report.refused + report.unanswered, report.offered, 'each request has one outcome')
    t.equal(await ride.value('pillion_otlp_accepted_items_total', { signal: 'traces' }), report.accepted)
    t.equal(await ride.value('traces_spanmetrics_calls_total'), report.accepted)
    const refused = await ride.value('pillion_otlp_requests_total', { signal: 'traces', code: retryLater })
    t.equal(((refused ?? 0) - ours) * BATCH, report.refused)
    t.ok(report.refused > 0, 'it was too much')
    t.ok(peak <= OVERLOAD_MIB, `at most ${peak.toFixed(1)} MiB`)
    t.ok(recovery < 10_000, `${recovery.toFixed(0)} ms`)
  })

/**
 * Takes nearly all of a budget with a request whose last bytes do not come, until others are refused: none of them fits into
 * the rest. If the budget is in use at that moment, its own request is refused, and it tries again. Returns how many of
 * its own were refused with this code.
 */
async function fill(ride: Ride, budget: number, code: string): Promise<number> {
  const most = budget - 1000
  let ours = 0
  await until('requests that are refused', async () => {
    const refusals = (await ride.value('pillion_otlp_requests_total', { signal: 'traces', code })) ?? 0
    if (refusals > ours) return true
    const stalled = connect(Number(new URL(ride.otlp).port), '127.0.0.1').on('error', () => {})
    const head = `POST /v1/traces HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-protobuf\r\nContent-Length: ${budget}\r\n\r\n`
    stalled.write(head)
    stalled.write(Buffer.alloc(most))
    const refused = new Promise<undefined>(resolve =>
      stalled
        .once('data', answer => {
          if (String(answer).startsWith(`HTTP/1.1 ${code} `)) ours++
          resolve(undefined)
        })
        .on('close', resolve),
    )
    const full = async () => {
      while (!stalled.destroyed) {
        const used = await ride.value('pillion_otlp_inflight_bytes')
        if (used !== undefined && used >= most) return true
        await sleep(10)
      }
      return undefined
    }
    const isFull = await Promise.race([full(), refused])
    if (isFull)
      for (const end = performance.now() + 5000; performance.now() < end; await sleep(20))
        if (((await ride.value('pillion_otlp_requests_total', { signal: 'traces', code })) ?? 0) > ours) break
    stalled.destroy()
    return undefined
  })
  return ours
}

interface Times {
  readonly p50: number
  readonly p99: number
  readonly max: number
}

/** Runs the generator and sends a small request every 20 ms meanwhile, whose delay is that of the event loop. */
async function load(
  ride: Ride,
  protocol: 'http' | 'grpc',
  rate: number,
  seconds: number,
): Promise<{ report: Report; delay: Times }> {
  const { port } = new URL(protocol === 'http' ? ride.otlp : ride.grpc)
  await using generator = await Child.start(process.execPath, [
    GENERATOR,
    protocol,
    port,
    String(rate),
    String(seconds),
  ])
  const times: number[] = []
  // Its report, not its end: Node's own threads were seen to wait for each other for ever at the exit of a process.
  while (generator.running && !REPORT.test(generator.stdout)) {
    const start = performance.now()
    await (await fetch(`${ride.web}/-/healthy`)).text()
    times.push(performance.now() - start)
    await sleep(20)
  }
  const [report] = await generator.says(REPORT)
  times.sort((a, b) => a - b)
  const at = (part: number) => Math.round((times[Math.floor((times.length - 1) * part)] ?? Number.NaN) * 10) / 10
  const delay = { p50: at(0.5), p99: at(0.99), max: at(1) }
  // generator.ts writes a Report.
  return { report: JSON.parse(report) as Report, delay }
}

/** proc_pid_status(5): kB are KiB. */
function memory(pid: number): { now: number; peak: number } {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  const mebibytes = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status)?.[1]) / 1024
  return { now: mebibytes('VmRSS'), peak: mebibytes('VmHWM') }
}

/** proc_pid_stat(5): utime and stime, in ticks of 10 ms. */
function share(pid: number, seconds: number): string {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return `${((Number(fields[11]) + Number(fields[12])) / seconds).toFixed(0)} %`
}

/** The bucket of pillion_event_loop_delay_seconds in which 99 of 100 are. */
async function lateness(ride: Ride): Promise<string | undefined> {
  const page = await ride.scrape()
  const lines = page.matchAll(/^pillion_event_loop_delay_seconds_bucket\{le="([^"]+)"\} (\d+)$/gm)
  const buckets = [...lines].map(([, bound, count]) => ({ bound, count: Number(count) }))
  const all = buckets.at(-1)?.count ?? 0
  return buckets.find(each => each.count >= 0.99 * all)?.bound
}
