// Records that are written before an end: a real leak up to its limit, and a real stop beside an application that runs.

import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { Files } from '../../exporter/flight/files.ts'
import { extracted, type FlightRecord } from '../../exporter/flight/record.ts'
import { until } from '../e2e/child.ts'
import { startSidecar } from '../e2e/ride.ts'
import { impossible, limited, removeGroup } from './ends.ts'

t.setTimeout(400_000)

async function records(dir: string): Promise<readonly FlightRecord[]> {
  const files = new Files(dir, { keep: 1000, max_bytes: 1e9 }, () => {})
  const kept = await files.list().catch(() => [])
  return await Promise.all(kept.map(async ({ name }) => extracted((await files.read(name))?.toString('utf8') ?? '')))
}

/** Rests for longer than a start, and then takes 0.8 MiB a second until its 96 MiB are used. */
const LEAKS = `
  const kept = []
  console.log('up ' + process.pid)
  setTimeout(() => setInterval(() => kept.push(Buffer.alloc(2 ** 18, 1)), 300), 65000)`

t.test(
  'a leak in a cgroup leaves a record before the kernel ends it, and one after',
  { skip: impossible('oom') },
  async t => {
    const dir = join(t.testdir({}), 'records')
    const group = limited()
    t.teardown(() => removeGroup(group))
    const command = ['sh', '-c', `echo $$ > ${group}/cgroup.procs && exec "$@"`, 'sh', process.execPath, '-e', LEAKS]
    await using ride = await startSidecar({ flags: ['--flight.dir', dir, '--health.enabled', 'false'], command })
    await ride.child.ended
    const all = await records(dir)
    const dying = all.find(({ trigger }) => trigger === 'dying')
    const gone = all.find(({ trigger }) => trigger === 'gone')
    t.match(gone, { cause: { reason: 'oom' } }, ride.child.stderr)
    t.match(
      dying,
      { cause: { text: /^memory: \d+ % of the limit is used, and all of it in \d+ s/ } },
      ride.child.stderr,
    )
    const lead = (gone!.at - dying!.at) / 1000
    t.comment(`${lead.toFixed(1)} s before the end: ${dying!.cause.text}`)
    t.ok(lead > 3)
  },
)

t.test('a sidecar that is told to stop while the application runs leaves a record within its grace', async t => {
  const dir = join(t.testdir({}), 'records')
  const app = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: 'ignore' })
  t.teardown(() => app.kill('SIGKILL'))
  const flags = ['--flight.dir', dir, '--health.enabled', 'false', '--app.pid', String(app.pid)]
  await using ride = await startSidecar({ flags })
  await until('samples', async () => ((await ride.value('pillion_moments_total')) ?? 0) >= 20 || undefined)
  const begun = performance.now()
  t.match(await ride.child.stop(), { code: 0, signal: null })
  t.comment(`ended after ${Math.round(performance.now() - begun)} ms`)
  t.match(await records(dir), [{ trigger: 'stopping', application: { pid: app.pid } }])
  t.ok(existsSync(`/proc/${app.pid}`))
})
