// Real servers write the logs, and their own counts are compared with ours; and the three stories of applications
// without an SDK: each gets what the Application and Requests dashboards and the alerts ask for.

import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { Child, until as came, freePort } from '../e2e/child.ts'
import type { Ride } from '../e2e/ride.ts'
import { ask, beside, missing, nginx } from './servers.ts'
import { folder } from './start.ts'
import { jsonOutput, legacy, php } from './stories.ts'

t.setTimeout(240_000)

/** The requests of a short day: users, an order that fails, a page that is not there. Returns the statuses. */
async function traffic(port: number, count: number): Promise<ReadonlyMap<number, number>> {
  const statuses = new Map<number, number>()
  for (let i = 0; i < count; i++) {
    const path = i % 10 === 9 ? '/fails' : i % 10 === 8 ? `/nowhere/${i}` : `/users/${i}/orders?token=secret${i}`
    const status = await ask(port, path)
    statuses.set(status, (statuses.get(status) ?? 0) + 1)
  }
  return statuses
}

const SERVED = { span_kind: 'SPAN_KIND_SERVER' } as const
const calls = async (ride: Ride, labels: Readonly<Record<string, string>> = {}): Promise<number> =>
  (await ride.value('traces_spanmetrics_calls_total', { ...SERVED, ...labels })) ?? 0

t.test(
  'nginx: as many requests as it counts itself, by route and outcome',
  { skip: missing('nginx', 'nginx-light') },
  async t => {
    const { dir } = folder(t)
    const server = await nginx(
      t,
      dir,
      'location /users { return 200 "ok"; } location = /fails { return 503; } location = / { return 200 "hello"; } location / { return 404; }',
    )
    await using ride = await beside(
      dir,
      `files: { sources: [{ name: web, paths: [${server.log}], start: beginning, requests: nginx, service: shop }] }`,
    )
    const statuses = await traffic(server.port, 200)
    t.same([...statuses].sort(), [
      [200, 160],
      [404, 20],
      [503, 20],
    ])
    const lines = readFileSync(server.log, 'utf8').split('\n').length - 1
    await came('all requests', async () => (await calls(ride, { service: 'shop' })) === lines || undefined)
    const asked = await server.requests()
    t.equal(lines, asked - 1, 'every request that nginx counts but that for its count is in the log')
    t.equal(await calls(ride, { span_name: 'GET /users/{id}/orders', status_code: 'STATUS_CODE_UNSET' }), 160)
    t.equal(await calls(ride, { span_name: 'GET /fails', status_code: 'STATUS_CODE_ERROR' }), 20)
    t.equal(
      await calls(ride, { span_name: 'GET', status_code: 'STATUS_CODE_UNSET' }),
      20,
      'a file that is not there has no route',
    )
    t.equal(await ride.value('app_log_file_unparsed_lines_total', { source: 'web' }), 0)
    t.notMatch(await ride.scrape(), /secret/)
    await ride.child.stop()
  },
)

t.test(
  'nginx: logrotate’s way, rename and USR1, loses no request',
  { skip: missing('nginx', 'nginx-light') },
  async t => {
    const { dir } = folder(t)
    const server = await nginx(t, dir, 'location / { return 200 "ok"; }')
    await using ride = await beside(
      dir,
      `files: { poll: 50ms, sources: [{ name: web, paths: [${server.log}], start: beginning, requests: nginx }] }`,
    )
    await came('the file', async () => (await ride.value('app_log_files')) === 1 || undefined)
    for (let n = 0; n < 5; n++) {
      await traffic(server.port, 40)
      process.getBuiltinModule('node:fs').renameSync(server.log, `${server.log}.${n}`)
      process.kill(Number(readFileSync(join(dir, 'pid'), 'utf8')), 'SIGUSR1')
      await came('the new file', () => existsSync(server.log) || undefined)
    }
    await traffic(server.port, 10)
    const asked = (await server.requests()) - 1
    await came('all requests', async () => (await calls(ride)) === asked || undefined)
    t.equal(await calls(ride), asked)
    t.equal(await ride.value('app_log_file_rotations_total', { source: 'web' }), 5)
    await ride.child.stop()
  },
)

t.test(
  'Apache: as many requests as are in its log, with %D as the duration',
  { skip: missing('apache2', 'apache2-bin') },
  async t => {
    const { dir, write } = folder(t)
    const port = await freePort()
    const log = join(dir, 'access.log')
    const modules = '/usr/lib/apache2/modules'
    const load = ['mpm_event', 'authz_core', 'alias'].map(each => `LoadModule ${each}_module ${modules}/mod_${each}.so`)
    const conf = write(
      'apache.conf',
      `${load.join('\n')}
ServerRoot ${dir}
ServerName localhost
${process.getuid?.() === 0 ? 'User www-data\nGroup www-data' : ''}
PidFile ${dir}/pid
Listen 127.0.0.1:${port}
ErrorLog ${dir}/error.log
LogFormat "%h %l %u %t \\"%r\\" %>s %b \\"%{Referer}i\\" \\"%{User-Agent}i\\" %D" timed
CustomLog ${log} timed
RedirectMatch 410 ^/users
RedirectMatch 404 ^/nowhere
Redirect 503 /fails
`,
    )
    const server = await Child.start('apache2', ['-f', conf, '-DFOREGROUND'])
    t.teardown(() => server.stop())
    await came('Apache', () => ask(port, '/users/1').then(() => true))
    await using ride = await beside(
      dir,
      `files: { sources: [{ name: web, paths: [${log}], start: beginning, requests: apache, routes: ["/users/{id}/orders"] }] }`,
    )
    const statuses = await traffic(port, 100)
    t.same([...statuses].sort(), [
      [404, 10],
      [410, 80],
      [503, 10],
    ])
    const lines = readFileSync(log, 'utf8').split('\n').length - 1
    t.equal(lines, 101)
    await came('all requests', async () => (await calls(ride)) === lines || undefined)
    t.equal(await calls(ride, { span_name: 'GET /users/{id}/orders' }), 80)
    t.equal(await calls(ride, { status_code: 'STATUS_CODE_ERROR' }), 10)
    const seconds = (await ride.value('traces_spanmetrics_latency_sum', SERVED)) ?? 0
    const micros = readFileSync(log, 'utf8')
      .trim()
      .split('\n')
      .map(line => Number(line.split(' ').at(-1)))
    t.ok(Math.abs(seconds - micros.reduce((sum, each) => sum + each, 0) / 1e6) < 1e-6, `${seconds} s`)
    await ride.child.stop()
  },
)

/** The series that the Application and Requests dashboards and the alerts of requests ask for. */
async function hasDashboards(t: Test, ride: Ride, service: string, spanName: string): Promise<void> {
  const labels = { service, span_name: spanName }
  t.ok((await calls(ride, labels)) > 0, 'requests')
  t.ok((await calls(ride, { ...labels, status_code: 'STATUS_CODE_ERROR' })) > 0, 'errors')
  const buckets = await ride.value('traces_spanmetrics_latency_bucket', { ...SERVED, ...labels, le: '+Inf' })
  t.equal(buckets, await calls(ride, labels), 'latency')
  t.ok((await ride.value('app_log_records_total', { service })) ?? 0, 'log records')
  t.equal(await ride.value('app_health_up', { probe: 'ready' }), 1, 'readiness by what is seen')
}

t.test(
  'story: an application like PHP behind nginx, without an SDK',
  { skip: missing('nginx', 'nginx-light') },
  async t => {
    await using story = await php(t)
    const { ride } = story
    await story.send?.(20)
    await came('all requests', async () => (await calls(ride, { span_name: 'GET /cart/{id}' })) === 20 || undefined)
    await came(
      'errors',
      async () =>
        (await ride.value('app_log_records_total', { service: 'shop', severity: 'FATAL' })) === 4 || undefined,
    )
    await came('readiness', async () => (await ride.value('app_health_up', { probe: 'ready' })) === 1 || undefined)
    await hasDashboards(t, ride, 'shop', 'GET /cart/{id}')
    t.ok(((await ride.value('traces_spanmetrics_latency_sum', { span_name: 'GET /cart/{id}' })) ?? 0) > 20 * 0.003)
  },
)

t.test('story: a legacy program that only writes text', async t => {
  await using story = await legacy(t)
  const { ride } = story
  const name = { span_name: 'POST /orders/{id}' }
  await came('20 requests', async () => (await calls(ride, name)) >= 20 || undefined)
  await came('readiness', async () => (await ride.value('app_health_up', { probe: 'ready' })) === 1 || undefined)
  await hasDashboards(t, ride, 'legacy', 'POST /orders/{id}')
  t.ok(((await ride.value('app_log_records_total', { service: 'legacy', severity: 'ERROR' })) ?? 0) >= 4)
})

t.test('story: an application that logs JSON to standard output', async t => {
  await using story = await jsonOutput(t)
  const { ride } = story
  const name = { span_name: 'GET /api/users/{id}' }
  await came('20 requests', async () => (await calls(ride, name)) >= 20 || undefined)
  await came('readiness', async () => (await ride.value('app_health_up', { probe: 'ready' })) === 1 || undefined)
  await hasDashboards(t, ride, 'api', 'GET /api/users/{id}')
  const { records } = (await (await fetch(`${ride.web}/api/logs?severity=error&limit=1`)).json()) as {
    records: { body: string; traceId: string }[]
  }
  t.match(records, [{ body: 'boom', traceId: '4bf92f3577b34da6a3ce929d0e0e4736' }], 'beside its trace')
})
