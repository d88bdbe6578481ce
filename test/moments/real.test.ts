// The sampler beside real processes: what it says of one that computes, is stopped, ends, or has thousands of threads.

import { type ChildProcess, spawn } from 'node:child_process'
import { mkdirSync, rmdirSync, writeFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { strip } from '../../collectors/moments/api.ts'
import { Sampler } from '../../collectors/moments/sampler.ts'
import { Memory } from '../../telemetry/memory.ts'
import { STATE } from '../../telemetry/moment.ts'
import { world } from '../world.ts'

const RATES = { rest: 10, busy: 50, threads: 128 }

class Watched implements AsyncDisposable {
  readonly app: { pid: number | undefined }
  readonly sampler: Sampler
  readonly child: ChildProcess
  readonly memory = new Memory(64 * 2 ** 20)

  private constructor(child: ChildProcess) {
    const host = world('/proc', { pid: child.pid })
    this.child = child
    this.app = host.app
    const clock = { now: Date.now, monotonic: () => performance.now(), sleep: (ms: number) => sleep(ms) }
    this.sampler = new Sampler({ proc: '/proc', clock, app: host.app }, RATES, this.memory.allot('moments'))
  }

  static async start(code: string): Promise<Watched> {
    const child = spawn(process.execPath, ['-e', code], { stdio: ['pipe', 'pipe', 'inherit'] })
    const watched = new Watched(child)
    await new Promise(resolve => child.stdout!.once('data', resolve))
    return watched
  }

  /** Rows each few milliseconds, as while requests are served, or as at rest, until it is so. */
  async until(done: () => boolean, busy = true): Promise<void> {
    for (const deadline = performance.now() + 60_000; ; await sleep(10)) {
      if (busy) this.sampler.wake()
      this.sampler.sample()
      if (done()) return
      if (performance.now() > deadline) throw new Error('not so within a minute')
    }
  }

  last(name: Parameters<NonNullable<Sampler['ring']>['value']>[0]): number {
    const ring = this.sampler.ring!
    return ring.value(name, ring.next - 1)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.sampler[Symbol.dispose]()
    this.child.kill('SIGKILL')
    if (this.child.exitCode === null && this.child.signalCode === null)
      await new Promise(resolve => this.child.once('exit', resolve))
  }
}

const BURN = 'console.log("up"); setInterval(() => { for (const end = Date.now() + 20; Date.now() < end; ); }, 25)'
const IDLE = 'console.log("up"); setInterval(() => {}, 60000)'

t.test('one that computes is seen on a core, and its memory is known', async t => {
  await using watched = await Watched.start(BURN)
  await watched.until(() => watched.last('mainRun') > 0.5)
  t.ok(watched.last('allRun') > 0.2, 'its threads, counted since it was found')
  t.ok(watched.last('memory') > 2 ** 20)
  t.ok(watched.last('threads') >= 4)
  const ring = watched.sampler.ring!
  const { series } = strip(watched.sampler, ring.wall(ring.first), ring.wall(ring.next - 1))
  const used = series.find(({ name }) => name === 'cpu_used')
  t.ok(
    used?.values.some(value => value !== null && value > 0.2),
    'the page draws it',
  )
})

t.test('one that is stopped is said to be stopped, and one that idles polls', async t => {
  await using watched = await Watched.start(IDLE)
  await watched.until(() => watched.last('state') === STATE.polling)
  watched.child.kill('SIGSTOP')
  await watched.until(() => watched.last('state') === STATE.stopped)
  watched.child.kill('SIGCONT')
  await watched.until(() => watched.last('state') === STATE.polling)
  t.pass()
})

t.test(
  'at rest, where a main thread that has not run is not asked again, a stop and an end are seen all the same',
  async t => {
    await using watched = await Watched.start(IDLE)
    const rests = async (state: number): Promise<void> =>
      await watched.until(() => watched.sampler.ended !== undefined || watched.last('state') === state, false)
    await rests(STATE.polling)
    const { ring } = watched.sampler
    const from = ring!.next
    for (let i = 0; i < 20; i++) watched.sampler.sample()
    t.equal(ring!.next, from + 20, 'rows go on')
    // It may have had something left to do after its start.
    await rests(STATE.polling)
    watched.child.kill('SIGSTOP')
    await rests(STATE.stopped)
    watched.child.kill('SIGCONT')
    await rests(STATE.polling)
    watched.child.kill('SIGKILL')
    await watched.until(() => watched.sampler.ended !== undefined, false)
    t.equal(watched.sampler.ended?.pid, watched.child.pid)
  },
)

t.test('at rest, a main thread that works is seen on a core', async t => {
  await using watched = await Watched.start(BURN)
  await watched.until(() => watched.last('mainRun') > 0.5, false)
  t.ok(watched.last('memory') > 2 ** 20)
})

t.test('a lock on the main thread is seen', async t => {
  await using watched = await Watched.start(
    'console.log("up"); const a = new Int32Array(new SharedArrayBuffer(4)); setTimeout(() => Atomics.wait(a, 0, 0, 60000), 50)',
  )
  await watched.until(() => watched.last('state') === STATE.lock)
  t.pass()
})

t.test('the end is noted once, and the next process has a number of its own', async t => {
  await using watched = await Watched.start(IDLE)
  watched.sampler.sample()
  const first = watched.last('process')
  watched.child.kill('SIGKILL')
  await watched.until(() => watched.sampler.ended !== undefined)
  const { ended } = watched.sampler
  for (let i = 0; i < 5; i++) watched.sampler.sample()
  t.equal(watched.sampler.ended, ended)
  t.equal(ended?.pid, watched.child.pid)
  t.ok(ended!.at >= watched.sampler.ring!.wall(watched.sampler.ring!.next - 1))
  await using next = await Watched.start(IDLE)
  watched.app.pid = next.child.pid
  watched.sampler.sample()
  t.equal(watched.last('process'), first + 1)
  t.equal(watched.sampler.marks.at(-1)?.kind, 'start')
})

t.test('threads that come and go stay counted, and those beyond the limit are said', async t => {
  await using watched = await Watched.start(`
    const { Worker } = require('node:worker_threads')
    const burn = 'const used = () => process.threadCpuUsage().user; for (const from = used(); used() - from < 60000; );'
    let left = 60
    const next = () => { if (left-- > 0) new Worker(burn, { eval: true }).on('exit', next) }
    for (let i = 0; i < 10; i++) next()
    console.log("up")
    setInterval(() => {}, 60000)`)
  let most = 0
  const ring = () => watched.sampler.ring!
  await watched.until(() => {
    most = Math.max(most, watched.last('threads'))
    return watched.last('allRun') > 0.8 && watched.last('threads') < 16
  })
  t.ok(most > 15, `${most} threads at once`)
  let before = 0
  for (let row = ring().first; row < ring().next; row++) {
    const run = ring().value('allRun', row)
    if (run < before) t.fail(`the sum of all threads fell from ${before} to ${run}`)
    before = run
  }
})

t.test(
  'a cgroup that is removed under open files leaves its numbers absent, and the rest goes on',
  { skip: cgroups() },
  async t => {
    const folder = `/sys/fs/cgroup/cpu/pillion-moments-${process.pid}`
    mkdirSync(folder)
    try {
      await using watched = await Watched.start(BURN)
      writeFileSync(`${folder}/cgroup.procs`, String(watched.child.pid))
      writeFileSync(`${folder}/cpu.cfs_quota_us`, '20000')
      // Found in its new cgroup by a sampler that begins there.
      const host = world('/proc', { pid: watched.child.pid })
      const clock = { now: Date.now, monotonic: () => performance.now(), sleep: (ms: number) => sleep(ms) }
      using sampler = new Sampler({ proc: '/proc', clock, app: host.app }, RATES, new Memory(2 ** 26).allot('moments'))
      const last = (name: 'throttled' | 'mainRun' | 'periods') => sampler.ring!.value(name, sampler.ring!.next - 1)
      const until = async (done: () => boolean): Promise<void> => {
        for (const deadline = performance.now() + 60_000; ; await sleep(10)) {
          sampler.sample()
          if (done()) return
          if (performance.now() > deadline) throw new Error('not so within a minute')
        }
      }
      await until(() => last('throttled') > 0.1)
      writeFileSync('/sys/fs/cgroup/cpu/cgroup.procs', String(watched.child.pid))
      rmdirSync(folder)
      const run = last('mainRun')
      await until(() => !(last('throttled') > 0.1))
      await until(() => last('mainRun') > run)
      t.pass()
    } finally {
      try {
        rmdirSync(folder)
      } catch {
        // Removed already.
      }
    }
  },
)

function cgroups(): string | false {
  try {
    const folder = `/sys/fs/cgroup/cpu/pillion-try-${process.pid}`
    mkdirSync(folder)
    writeFileSync(`${folder}/cpu.cfs_quota_us`, '20000')
    rmdirSync(folder)
    return false
  } catch {
    return 'needs a writable cgroup v1 hierarchy: run as root on a machine with /sys/fs/cgroup/cpu'
  }
}

t.test('the memory of the ring is given back at the end', async t => {
  await using watched = await Watched.start(IDLE)
  watched.sampler.sample()
  t.ok(watched.memory.used > 2 ** 20)
  t.ok(watched.memory.used <= 4 * 2 ** 20)
  watched.sampler[Symbol.dispose]()
  t.equal(watched.memory.used, 0)
})
