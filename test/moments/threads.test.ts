// The waits of threads, from files as those of /proc/PID/task.

import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { Threads } from '../../collectors/moments/threads.ts'

t.test(
  'a thread that has not run since waits for the same disk still, and one that sleeps in a lock may be idle',
  t => {
    const folder = t.testdir({})
    const says = (tid: number, run: number, wchan: string): void => {
      const task = join(folder, 'task', String(tid))
      mkdirSync(task, { recursive: true })
      for (const [name, text] of [
        ['schedstat', `${run} 0 1\n`],
        ['wchan', wchan],
        ['comm', 'worker\n'],
      ] as const)
        writeFileSync(join(task, name), text)
    }
    using threads = new Threads(folder, 1, 10)
    const look = (): object => {
      threads.look(true)
      return { active: threads.active, blocked: threads.blocked, locked: threads.locked }
    }
    says(1, 1e6, '0')
    says(2, 1e6, 'futex_do_wait')
    says(3, 1e6, 'futex_do_wait')
    threads.list()
    t.same(look(), { active: 0, blocked: 0, locked: 0 })
    says(2, 2e6, 'folio_wait_bit_common')
    says(3, 2e6, 'futex_do_wait')
    t.same(look(), { active: 2, blocked: 1, locked: 1 })
    t.same(look(), { active: 0, blocked: 1, locked: 0 })
    says(2, 3e6, 'ep_poll')
    t.same(look(), { active: 1, blocked: 0, locked: 0 })
    t.same(look(), { active: 0, blocked: 0, locked: 0 })
    t.end()
  },
)

t.test('the wait of one thread is that of those that waited long, however many hardly waited', t => {
  const folder = t.testdir({})
  const says = (tid: number, waited: number, comm = 'worker'): void => {
    const task = join(folder, 'task', String(tid))
    mkdirSync(task, { recursive: true })
    writeFileSync(join(task, 'schedstat'), `1 ${waited} 1\n`)
    writeFileSync(join(task, 'comm'), `${comm}\n`)
  }
  using threads = new Threads(folder, 1, 100)
  const look = (): number => {
    threads.look(false)
    return threads.oneWait
  }
  for (let tid = 1; tid <= 30; tid++) says(tid, 0, tid === 30 ? 'GC Thread#0' : undefined)
  threads.list()
  t.equal(look(), 0)
  for (let tid = 1; tid <= 20; tid++) says(tid, 1e5)
  says(21, 80e6)
  says(30, 500e6, 'GC Thread#0')
  const one = look()
  t.ok(one > 0.075 && one <= 0.08, `${one} s`)
  t.ok(threads.wait > 0.58, 'all of them stay counted')
  t.equal(look(), 0, 'nobody waited since')
  t.end()
})

t.test('a thread that gets its name late counts as what it is called from then on', t => {
  const folder = t.testdir({})
  const says = (run: number, comm: string): void => {
    const task = join(folder, 'task', '2')
    mkdirSync(task, { recursive: true })
    writeFileSync(join(task, 'schedstat'), `${run} 0 1\n`)
    writeFileSync(join(task, 'comm'), `${comm}\n`)
  }
  using threads = new Threads(folder, 1, 10)
  const collected = (run: number, comm: string): number => {
    says(run, comm)
    threads.look(false)
    return Number(threads.gc.toFixed(6))
  }
  says(0, 'java')
  threads.list()
  t.equal(collected(0, 'java'), 0)
  t.equal(collected(1e6, 'java'), 0, 'it is not named yet')
  t.equal(collected(3e6, 'GC Thread#0'), 0.002, 'it has run twice as long, so it is asked again')
  t.equal(collected(100e6, 'GC Thread#0'), 0.099)
  t.end()
})
