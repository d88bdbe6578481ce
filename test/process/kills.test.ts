// Kills for lack of memory are counted, even if the cgroup goes with the only process in it: real ones in a cgroup of
// version 1, and for version 2 in folders, whose changes the kernel reports in the same way.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, readFileSync, rmdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { Cgroup } from '../../collectors/process/cgroup.ts'
import { parseMounts } from '../../collectors/process/hierarchy.ts'
import { world } from '../world.ts'
import { type Files, folder, sample } from './machine.ts'
import { ride } from './real.ts'

const KILLS = 'app_cgroup_oom_kills_total'
const V2_MOUNT = '32 31 0:29 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n'

const mount = parseMounts(readFileSync('/proc/self/mountinfo', 'utf8')).get('memory')
const memory = join(mount?.point ?? '/nowhere', `pillion-test-${process.pid}`)

/** False, or why no memory cgroup of version 1 can be made here. */
function impossible(): string | false {
  if (!mount) return 'no cgroup v1 memory controller is mounted here'
  try {
    mkdirSync(memory)
    rmdirSync(memory)
    return false
  } catch {
    return `cannot make a cgroup in ${mount.point}; run as root, with cgroups writable`
  }
}

const NO_MEMORY_CGROUP = impossible()

/** A container with one process, which takes all memory there is when it is told to, and is killed for it. */
async function container(t: Test, name: string) {
  const path = join(memory, name)
  mkdirSync(path, { recursive: true })
  writeFileSync(join(path, 'memory.limit_in_bytes'), String(48 * 1024 ** 2))
  // A process of its own, so that it is not taken for something that the sidecar (here, this test) started.
  const script = `echo $$ > ${path}/cgroup.procs; echo $$; read go; exec tail -n 1 /dev/zero`
  const child = spawn('setsid', ['sh', '-c', script], { stdio: ['pipe', 'pipe', 'ignore'] })
  t.teardown(() => child.kill('SIGKILL'))
  const [line] = await once(child.stdout, 'data')
  return {
    pid: Number(String(line)),
    /** Resolves when it has been killed. */
    async exhaust() {
      const ended = once(child, 'exit')
      child.stdin.write('go\n')
      const [, signal] = await ended
      t.equal(signal, 'SIGKILL')
    },
    /** Removes the cgroup, as its runtime does next. The kernel lets go of the memory a moment after the last process. */
    async remove() {
      for (let tries = 0; existsSync(path) && tries < 100; tries++) {
        try {
          rmdirSync(path)
        } catch {
          await sleep(20)
        }
      }
    },
  }
}

// Programs start slowly on a busy machine.
t.setTimeout(120_000)

t.test('each kill of the only process of a container is counted', { skip: NO_MEMORY_CGROUP }, async t => {
  mkdirSync(memory)
  const pidFile = join(t.testdir({}), 'pid')
  await using watched = await ride({ select: { pid_file: pidFile } })
  for (let kills = 1; kills <= 4; kills++) {
    const app = await container(t, `container-${kills}`)
    writeFileSync(pidFile, String(app.pid))
    await watched.until(text => sample(text, 'app_process_up') === 1)
    t.equal(sample(await watched.scrape(), KILLS), kills - 1)
    await app.exhaust()
    // A container runtime takes at least this long.
    await sleep(60)
    await app.remove()
    const text = await watched.until(text => sample(text, 'app_process_up') === 0)
    t.equal(sample(text, KILLS), kills)
    t.equal(sample(text, 'app_process_exits_total{reason="oom",evidence="oom_counter"}'), kills)
    t.match(watched.findings()[0]?.text, /process \d+ ended; its cgroup counted a kill for lack of memory/)
  }
  rmdirSync(memory)
})

t.test('a cgroup that stays is read on while its process stays away', { skip: NO_MEMORY_CGROUP }, async t => {
  const app = await container(t, 'stays')
  {
    await using watched = await ride({ select: { pid: app.pid } })
    await watched.until(text => sample(text, 'app_process_up') === 1)
    await app.exhaust()
    await watched.until(text => sample(text, 'app_process_up') === 0)
    t.equal(sample(await watched.scrape(), KILLS), 1)
    // The next try of its supervisor, which is over before it is found.
    const again = await container(t, 'stays')
    await again.exhaust()
    t.equal(sample(await watched.until(text => sample(text, KILLS) === 2), KILLS), 2)
    t.equal(sample(await watched.scrape(), 'app_process_up'), 0)
  }
  await app.remove()
  rmdirSync(memory)
})

t.test('an end that has nothing to do with memory is not called that', { skip: NO_MEMORY_CGROUP }, async t => {
  const app = await container(t, 'ends')
  {
    await using watched = await ride({ select: { pid: app.pid } })
    await watched.until(text => sample(text, 'app_process_up') === 1)
    process.kill(app.pid, 'SIGKILL')
    const text = await watched.until(text => sample(text, 'app_process_up') === 0)
    t.equal(sample(text, KILLS), 0)
    t.match(watched.findings()[0]?.text, `the application's process ${app.pid} ended`)
    t.notMatch(watched.findings()[0]?.text, /memory/)
  }
  await app.remove()
  rmdirSync(memory)
})

t.test(
  'a process that is moved out of a cgroup that is then removed is counted on',
  { skip: NO_MEMORY_CGROUP },
  async t => {
    const app = await container(t, 'before')
    {
      await using watched = await ride({ select: { pid: app.pid } })
      await watched.until(text => sample(text, 'app_cgroup_memory_limit_bytes') === 48 * 1024 ** 2)
      mkdirSync(join(memory, 'after'))
      writeFileSync(join(memory, 'after/memory.limit_in_bytes'), String(40 * 1024 ** 2))
      writeFileSync(join(memory, 'after/cgroup.procs'), String(app.pid))
      await app.remove()
      const text = await watched.scrape()
      t.equal(sample(text, 'app_cgroup_memory_limit_bytes'), 40 * 1024 ** 2)
      t.equal(sample(text, 'app_process_readable{file="cgroup"}'), 1)
      t.equal(sample(text, KILLS), 0)
      await app.exhaust()
      t.equal(sample(await watched.until(text => sample(text, KILLS) === 1), KILLS), 1)
    }
    rmdirSync(join(memory, 'after'))
    rmdirSync(memory)
  },
)

/** A cgroup of version 2 in a pod, as the machine's folders show it. */
function pod(t: Test, more: Files = {}, before = 0) {
  const proc = t.testdir({
    7: { ...folder(7), cgroup: '0::/pod/app\n' },
    self: { mountinfo: V2_MOUNT, root: { sys: { fs: { cgroup: { pod: { app: container2(before), ...more } } } } } },
    vmstat: 'nr_free_pages 5\noom_kill 3\n',
  })
  const pod = join(proc, 'self/root/sys/fs/cgroup/pod')
  const cgroup = new Cgroup(world(proc))
  t.teardown(() => cgroup[Symbol.dispose]())
  cgroup.begin(7)
  cgroup.look(0)
  return {
    cgroup,
    kill: (where: string, kills: number) => writeFileSync(join(pod, where, 'memory.events'), events(kills)),
    kernel: (kills: number) => writeFileSync(join(proc, 'vmstat'), `nr_free_pages 5\noom_kill ${kills}\n`),
    /** Its files answer nothing from then on, as the kernel's do with ENODEV. */
    remove() {
      writeFileSync(join(pod, 'app/memory.events'), '')
      rmSync(join(pod, 'app'), { recursive: true })
    },
  }
}

const events = (kills: number) => `low 0\noom 1\noom_kill ${kills}\n`
const container2 = (kills: number): Files => ({ 'cgroup.procs': '7\n', 'memory.events': events(kills) })

t.test('v2: a kill is counted when the kernel tells of it, without a look', async t => {
  const { cgroup, kill, remove } = pod(t)
  t.equal(cgroup.totals.oomKills, 0)
  kill('app', 1)
  for (const deadline = performance.now() + 60_000; cgroup.totals.oomKills !== 1 && performance.now() < deadline; )
    await sleep(5)
  t.equal(cgroup.totals.oomKills, 1)
  remove()
  t.same(cgroup.end(500), { number: 1, of: 'cgroup' })
  t.equal(cgroup.totals.oomKills, 1)
})

t.test(
  'v2: where the cgroup has gone already, the one above proves a kill, if nothing else in it was killed',
  async t => {
    const f = (name: string, more: Files, expected: unknown, kills: number) => {
      const { cgroup, kill, remove } = pod(t, { 'memory.events': events(4), ...more })
      kill('.', 5)
      remove()
      t.same(cgroup.end(500), expected, name)
      t.equal(cgroup.totals.oomKills, kills, name)
    }
    f('alone', {}, { number: 1, of: 'cgroup' }, 1)
    f('beside one without kills', { sidecar: container2(0) }, { number: 1, of: 'cgroup' }, 1)
    f('beside one with kills', { sidecar: container2(1) }, undefined, 0)
    f('beside one that cannot be read', { sidecar: { 'memory.events': {} } }, undefined, 0)
    f('processes of the pod itself', { 'memory.events.local': events(1) }, undefined, 0)
  },
)

t.test(
  'where nothing is left to ask, the count of the machine says what may have been, and nothing is counted',
  async t => {
    const f = (kills: number, expected: unknown) => {
      const { cgroup, kernel, remove } = pod(t)
      cgroup.alive()
      kernel(kills)
      remove()
      t.same(cgroup.end(500), expected)
      t.equal(cgroup.totals.oomKills, 0)
    }
    f(4, { number: 1, of: 'machine' })
    f(3, undefined)
    const { cgroup, kernel } = pod(t)
    kernel(4)
    t.equal(cgroup.end(500), 'none', 'its own count is there, and has not grown')
  },
)

t.test('kills of the time before the sidecar are in the total, but explain no end', async t => {
  const { cgroup } = pod(t, {}, 3)
  t.equal(cgroup.totals.oomKills, 3)
  t.equal(cgroup.end(500), 'none')
})
