// A real application in a cgroup namespace of its own, as in a container, read by a sidecar outside of it.

import { spawnSync } from 'node:child_process'
import { mkdirSync, readFileSync, rmdirSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { parseMounts } from '../../collectors/process/hierarchy.ts'
import { sample } from './machine.ts'
import { program, ride } from './real.ts'

const mount = parseMounts(readFileSync('/proc/self/mountinfo', 'utf8')).get('')
const folder = join(mount?.point ?? '/nowhere', `pillion-test-${process.pid}`)

/** False, or why no cgroup can be made here. */
function impossible(): string | false {
  if (!mount) return 'no cgroup2 file system is mounted here; mount one'
  try {
    mkdirSync(folder)
  } catch {
    return `cannot make a cgroup in ${mount.point}; run as root, with cgroups writable`
  }
  const { status } = spawnSync('unshare', ['--cgroup', '--mount', 'true'])
  rmdirSync(folder)
  return status !== 0 && 'no new cgroup namespace here; run as root'
}

t.test('the cgroup of a container is read through its own mount', { skip: impossible() }, async t => {
  mkdirSync(folder)
  const inside = 'umount -l /sys/fs/cgroup; mount -t cgroup2 none /sys/fs/cgroup; exec sh -c "echo ready; read end"'
  using app = program('sh', [
    '-c',
    `echo $$ > ${folder}/cgroup.procs; exec unshare --cgroup --mount --propagation private sh -c '${inside}'`,
  ])
  t.equal(await app.line(), 'ready')
  {
    await using watched = await ride({ select: { pid: app.pid } })
    const text = await watched.scrape()
    const version = /app_cgroup_info\{version="(\w+)",route="application_root"\} 1/.exec(text)?.[1]
    t.ok(version === 'v2' || version === 'hybrid', `version ${version}`)
    const user = sample(text, 'app_cgroup_cpu_usage_seconds_total{mode="user"}')!
    const system = sample(text, 'app_cgroup_cpu_usage_seconds_total{mode="system"}')!
    t.ok(user + system > 0 && user + system < 2, 'of this cgroup, not of the machine')
    t.equal(sample(text, 'app_process_readable{file="cgroup"}'), 1)
    const pressure = spawnSync('cat', [`${folder}/cpu.pressure`]).status === 0
    const waiting = sample(text, 'app_cgroup_pressure_waiting_seconds_total{resource="cpu"}')
    t.equal(waiting !== undefined, pressure, 'pressure where the kernel has it')
    app.say('end')
    await app.ended
  }
  // The kernel lets go of the cgroup a moment after its last process, and nothing of ours holds it.
  for (let tries = 0; ; tries++) {
    try {
      rmdirSync(folder)
      break
    } catch (error) {
      if (tries > 100) throw error
      await sleep(50)
    }
  }
})
