// The sidecar in a time namespace of its own, as a container that was restored from a checkpoint may be: its monotonic clock and
// its time since boot are not those of the application.

import { spawnSync } from 'node:child_process'
import t from 'tap'
import { Child, until } from '../e2e/child.ts'
import { missing } from '../e2e/programs.ts'
import { startSidecar } from '../e2e/ride.ts'

const UNSHARE = ['unshare', '--time', '--monotonic', '100000', '--boottime', '200000', '--']
const [command = '', ...args] = UNSHARE
const skip =
  missing('unshare', 'util-linux') ||
  (spawnSync(command, [...args, 'true']).status !== 0 && 'needs permission to make a time namespace: run as root')

t.test('in a time namespace with other clocks, start times and uptimes are right', { skip }, async t => {
  const before = Date.now() / 1000
  await using app = await Child.start('sleep', ['600'])
  const started = Date.now() / 1000
  await using ride = await startSidecar({ flags: ['--app.pid', String(app.pid)], wrapper: UNSHARE })
  await until('the application', async () => (await ride.value('app_process_up')) === 1 || undefined)
  const start = (await ride.value('app_process_start_time_seconds')) ?? Number.NaN
  t.ok(start > before - 1 && start < started + 1, `${start} instead of ${before} to ${started}`)
  const uptime = (await ride.value('app_process_uptime_seconds')) ?? Number.NaN
  const passed = Date.now() / 1000 - before
  t.ok(uptime > 0 && uptime < passed + 1, `${uptime} s after ${passed} s`)
  const own = (await ride.value('pillion_process_start_time_seconds')) ?? Number.NaN
  t.ok(own >= Math.floor(started) - 1 && own <= Date.now() / 1000, `its own: ${own}`)
})
