// Many sidecars at once before a Collector, which is killed under them, and one Prometheus: every span is accounted for
// everywhere. A few by default, as many as FLEET says: FLEET=30 node test/fleet/fleet.test.ts

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { ask } from '../deploy/judges.ts'
import { Child, freePort, until } from '../e2e/child.ts'
import { missing } from '../e2e/programs.ts'
import { type Ride, startSidecar } from '../e2e/ride.ts'
import { prometheus } from '../push/prometheus.ts'
import { application, ERRORS, SPANS } from './application.ts'
import { BackEnd } from './back-end.ts'
import { CONTRIB, FILES, gateway, withoutContrib } from './gateway.ts'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const SIDECARS = Number(process.env['FLEET'] ?? 4)
const REQUESTS = 40

t.setTimeout((180 + 10 * SIDECARS) * 1000)

const skip = withoutContrib || missing('prometheus', 'prometheus')

// Built here: `npm run build`, which empties dist/, may run in another test at the same time.
const dist = join(t.testdir(), 'dist')
t.before(async () => {
  if (skip !== false) return
  await using build = await Child.start(process.execPath, [join(ROOT, 'scripts/build.ts'), '--out', dist], {}, ROOT)
  const { code } = await build.ended
  if (code !== 0) throw new Error(`cannot build:\n${build.stdout}${build.stderr}`)
})

/** Sidecars that forward to a port, and the sums of their metrics of traces. */
async function fleet(open: AsyncDisposableStack, port: number, more: readonly string[] = []) {
  const flags = ['--health.guess', 'false', '--forward.endpoint', `http://127.0.0.1:${port}`, ...more]
  const rides: Ride[] = []
  for (let n = 0; n < SIDECARS; n++)
    rides.push(
      open.use(await startSidecar({ main: join(dist, 'main.js'), flags: [...flags, '--app.name', `service-${n}`] })),
    )
  const each = (name: string) => Promise.all(rides.map(async ride => (await ride.value(name, TRACES)) ?? 0))
  const total = async (name: string) => (await each(name)).reduce((sum, value) => sum + value, 0)
  const send = async (from: number, to: number): Promise<number> =>
    (await Promise.all(rides.map((ride, n) => application(n, ride, from, to)))).reduce((sum, taken) => sum + taken, 0)
  return { rides, each, total, send }
}

const TRACES = { signal: 'traces' }
const ACCEPTED = 'pillion_otlp_accepted_items_total'
const FORWARDED = 'pillion_forward_items_total'
const SAMPLED_OUT = 'pillion_forward_sampled_out_items_total'
const DROPPED = 'pillion_forward_dropped_items_total'
const HELD = 'pillion_forward_held_items'
/** The Collector's own counters. */
const RECEIVED = 'otelcol_receiver_accepted_spans'

for (const { name, flags } of [
  { name: 'every span', flags: [] },
  { name: 'with sampling, every span that was not sampled out', flags: ['--forward.sampling.ratio', '30%'] },
])
  t.test(
    `${name} of ${SIDECARS} sidecars comes to the back end, though the Collector between is killed under load`,
    { skip },
    async t => {
      const folder = t.testdir({})
      await using open = new AsyncDisposableStack()
      const backEnd = open.use(await BackEnd.listen())
      const port = await freePort()
      const env = { LISTEN: `127.0.0.1:${port}`, TRACES: backEnd.url }
      const first = open.use(await gateway('gateway.yaml', env))
      const { rides, each, total, send } = await fleet(open, port, flags)
      const targets = rides.map(({ web }) => new URL(web).host)
      const scrape = { job_name: 'pillion', static_configs: [{ targets }] }
      const config = { global: { scrape_interval: '1s' }, scrape_configs: [scrape] }
      const server = open.use(await prometheus('prometheus', folder, config))
      const quiet = () => until('nothing held', async () => (await total(HELD)) === 0 || undefined)

      const [third, half] = [Math.floor(REQUESTS / 3), Math.floor(REQUESTS / 2)]
      let taken = await send(0, third)
      await quiet()
      const before = await total(FORWARDED)
      t.ok(before > 0)
      t.equal(await first.counter(RECEIVED), before, 'the Collector has received what the sidecars have forwarded')
      t.equal(backEnd.arrived, before, 'and it is at the back end')

      // It is killed with requests under way that the back end has and nobody was told of.
      backEnd.delayMs = 500
      const [seen, sending] = [backEnd.arrived, send(third, half)]
      await until('spans under way', () => backEnd.arrived > seen || undefined)
      first.child.kill('SIGKILL')
      await first.child.ended
      backEnd.delayMs = 0
      taken += await sending
      taken += await send(half, REQUESTS)
      t.equal(taken, SIDECARS * REQUESTS * SPANS, 'every request was taken')
      // Until each trace is decided, and each sidecar knows that the Collector is away.
      const held = await until('the held items', async () => {
        const [accepted, forwarded, out, held] = [
          await each(ACCEPTED),
          await total(FORWARDED),
          await total(SAMPLED_OUT),
          await each(HELD),
        ]
        const all = accepted.reduce((sum, value) => sum + value, 0)
        return forwarded + out + held.reduce((sum, value) => sum + value, 0) === all ? held : undefined
      })
      t.ok(Math.min(...held) > 0, `each sidecar holds some: ${held}`)
      const forwarded = await total(FORWARDED)
      const arrived = backEnd.arrived

      const second = open.use(await gateway('gateway.yaml', env))
      await quiet()
      t.equal(await second.counter(RECEIVED), (await total(FORWARDED)) - forwarded, 'the second has received the rest')
      t.equal(backEnd.arrived - arrived, await second.counter(RECEIVED))
      t.comment(`${backEnd.arrived - backEnd.seen.size} spans arrived twice`)
      t.equal(await total(ACCEPTED), taken)
      t.equal(await total(DROPPED), 0)
      t.equal((await total(FORWARDED)) + (await total(SAMPLED_OUT)), taken)
      t.equal(backEnd.seen.size, await total(FORWARDED), 'every span is at the back end')
      if (flags.length > 0) t.ok((await total(SAMPLED_OUT)) > taken / 4, 'sampling was at work')

      const f = async (query: string, expected: number) =>
        t.equal(
          await until(query, async () => {
            const [found] = await server.query(query)
            return found && Number(found.value[1]) === expected ? expected : undefined
          }),
          expected,
          query,
        )
      await f('sum(pillion_forward_items_total{signal="traces"})', backEnd.seen.size)
      await f('sum(traces_spanmetrics_calls_total{span_kind="SPAN_KIND_SERVER"})', taken)
      await f('sum(traces_spanmetrics_calls_total{status_code="STATUS_CODE_ERROR"})', SIDECARS * REQUESTS * ERRORS)
      await f('count(count by (instance, service) (traces_spanmetrics_calls_total))', SIDECARS)
    },
  )

t.test('the Collectors take the configurations of the gateways', { skip }, async t => {
  for (const name of ['gateway.yaml', 'load-balancing.yaml', 'tail-sampling.yaml']) {
    const { code, stderr } = await ask(CONTRIB, ['validate', '--config', join(FILES, name)])
    t.equal(code, 0, `${name} ${stderr}`)
  }
})

t.test('the sidecar takes its own', async t => {
  const { code, err } = await check(t.testdir({ 'pillion.yaml': readFileSync(join(FILES, 'pillion.yaml')) }))
  t.equal(code, 0, err)
})

t.test('promtool takes that of Prometheus, with the rules', { skip: missing('promtool', 'prometheus') }, async t => {
  const folder = t.testdir({ 'sidecars.json': '[{"targets": ["shop-1:19464", "shop-2:19464"]}]' })
  mkdirSync(join(folder, 'rules'))
  const rules = await ask(process.execPath, [join(ROOT, 'main.ts'), 'rules'])
  writeFileSync(join(folder, 'rules', 'pillion.yml'), rules.stdout)
  writeFileSync(join(folder, 'prometheus.yml'), readFileSync(join(FILES, 'prometheus.yml')))
  const { code, stdout, stderr } = await ask('promtool', ['check', 'config', join(folder, 'prometheus.yml')])
  t.equal(code, 0, stdout + stderr)
  t.match(stdout, /SUCCESS: \d+ rules found/)
})

async function check(folder: string): Promise<{ code: number | null; err: string }> {
  const main = join(ROOT, 'main.ts')
  const queue = join(folder, 'queue')
  await using child = await Child.start(
    process.execPath,
    [main, 'check', '--config', join(folder, 'pillion.yaml')],
    { QUEUE: queue },
    folder,
  )
  const { code } = await child.ended
  return { code, err: child.stderr }
}
