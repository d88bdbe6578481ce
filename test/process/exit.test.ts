// Why a process ended: the ladder of evidence, and real ends that are judged by it.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { Ends } from '../../collectors/process/ends.ts'
import { exits, judge, type Known, PAIRS, statusOf } from '../../collectors/process/exit.ts'
import { loggedEnd, parseRecord } from '../../collectors/process/kernel-log.ts'
import { world } from '../world.ts'
import { sample } from './machine.ts'
import { ride } from './real.ts'

const NOTHING: Known = { status: undefined, kills: undefined, logged: undefined, memoryShare: Number.NaN }

t.test('the strongest evidence decides, and nothing is guessed without any', async t => {
  const f = (known: Partial<Known>, reason: string, evidence: string) => {
    const exit = judge({ ...NOTHING, ...known })
    t.match(exit, { reason, evidence })
    t.ok(
      PAIRS.some(pair => pair[0] === exit.reason && pair[1] === exit.evidence),
      'it was shown as 0 before',
    )
  }
  const own = { number: 1, of: 'cgroup' } as const
  const oom = { reason: 'oom', line: 'Out of memory: Killed process 7' } as const
  f({ status: { code: 0 } }, 'clean', 'status')
  f({ status: { code: 3 } }, 'error', 'status')
  f({ status: { code: 255 } }, 'error', 'status')
  f({ status: { code: 139, signal: 'SIGSEGV' } }, 'crash', 'status')
  f({ status: { code: 143 } }, 'terminated', 'status')
  f({ status: { code: 137, signal: 'SIGKILL' } }, 'killed', 'status')
  f({ status: { code: 137, signal: 'SIGKILL' }, kills: own }, 'oom', 'oom_counter')
  f({ status: { code: 137 }, kills: own }, 'oom', 'oom_counter')
  f({ status: { code: 1 }, kills: own }, 'error', 'status')
  f({ status: { code: 137, signal: 'SIGKILL' }, logged: oom }, 'oom', 'kernel_log')
  f({ status: { code: 0 }, logged: oom }, 'clean', 'status')
  f({ kills: own }, 'oom', 'oom_counter')
  f({ kills: 'none', logged: { reason: 'crash', line: 'segfault' } }, 'crash', 'kernel_log')
  f({ kills: { number: 1, of: 'machine' } }, 'oom', 'inferred')
  f({ memoryShare: 0.99 }, 'oom', 'inferred')
  f({ memoryShare: 0.9 }, 'unknown', 'none')
  f({ memoryShare: 0.99, kills: 'none' }, 'unknown', 'none')
  f({}, 'unknown', 'none')
})

t.test('the status is read from a zombie, and 0 is believed only where the kernel shows it', async t => {
  const stat = (status: number | string, state = 'Z') => `7 (a) Z 1 b) ${state}${' 5'.repeat(48)} ${status}\n`
  const f = (text: string, readable: boolean, expected: unknown) => t.same(statusOf(text, readable), expected)
  f(stat(0), true, { code: 0, signal: undefined })
  f(stat(0), false, undefined)
  f(stat(0x0700), false, { code: 7, signal: undefined })
  f(stat(9), false, { code: 137, signal: 'SIGKILL' })
  f(stat(0x8b), true, { code: 139, signal: 'SIGSEGV' })
  f(stat(0, 'S'), true, undefined)
  f(stat('x'), true, undefined)
  f('7 (a) Z 1', true, undefined)
  f('', true, undefined)
})

t.test('the log of the kernel is believed about this process alone', async t => {
  const kill = '3,21390,24898639830,-;Memory cgroup out of memory: Killed process 23368 (tail) total-vm:51764kB'
  const f = (record: string, pid: number, start: number, expected: unknown) =>
    t.match(parseRecord(record, pid, start), expected)
  f(kill, 23_368, 24_000, { reason: 'oom', line: /^Memory cgroup out of memory: Killed process 23368 \(tail\)/ })
  t.equal(parseRecord(kill, 2336, 24_000), undefined, 'another number')
  t.equal(parseRecord(kill, 23_368, 24_900), undefined, 'it started later')
  f('6,1,24898639830,-;shop[7]: segfault at 0 ip 5 sp 5 error 4 in shop', 7, 1, { reason: 'crash' })
  f('6,1,24898639830,-;traps: shop[7] general protection fault ip:5', 7, 1, { reason: 'crash' })
  t.equal(parseRecord('6,1,24898639830,-;shop[7]: says Killed process 7 (shop)', 7, 1), undefined)
  const named = '6,1,24898639830,-;traps: a[7]: trap [99] trap invalid opcode ip:5'
  t.equal(parseRecord(named, 7, 1), undefined, 'the name of another process')
  t.equal(parseRecord(kill.replace('3,', '11,'), 23_368, 1), undefined, 'written by a program')
  for (const torn of ['', ';', '6,1', '6,1,x,-;Out of memory: Killed process 7 (x)', '\0\n\n']) f(torn, 7, 1, undefined)
  t.equal(loggedEnd(t.testdir({}), 7, 1), undefined, 'no log')
})

t.test('an application that ended beside the sidecar is counted, with its status while it can be seen', async t => {
  const f = async (script: string, reason: string, evidence: string, text: RegExp) => {
    const pidFile = join(t.testdir({}), 'pid')
    // A parent that never waits for it, so that its status stays to be seen.
    const lines = `const { spawn } = process.getBuiltinModule('node:child_process')
      const child = spawn('sh', ['-c', ${JSON.stringify(script)}], { stdio: 'ignore' })
      console.log(child.pid)
      setTimeout(() => { for (;;) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 60000) }, 10)`
    const parent = spawn(process.execPath, ['-e', lines], { stdio: ['ignore', 'pipe', 'inherit'], detached: true })
    t.teardown(() => parent.kill('SIGKILL'))
    const [line] = await once(parent.stdout, 'data')
    const pid = Number(String(line))
    writeFileSync(pidFile, String(pid))
    await using watched = await ride({ select: { pid_file: pidFile } })
    await watched.until(text => sample(text, 'app_process_up') === 1)
    const series = `app_process_exits_total{reason="${reason}",evidence="${evidence}"}`
    t.equal(sample(await watched.scrape(), series), 0)
    process.kill(pid, 'SIGUSR1')
    const page = await watched.until(text => sample(text, 'app_process_up') === 0)
    t.equal(sample(page, series), 1)
    t.match(watched.findings()[0]?.text, text)
  }
  await f("trap 'exit 7' USR1; while :; do sleep 0.1; done", 'error', 'status', /ended with exit code 7$/)
  await f("trap 'kill -SEGV $$' USR1; while :; do sleep 0.1; done", 'crash', 'status', /ended by SIGSEGV$|segfault/)
  await f("trap 'exit 0' USR1; while :; do sleep 0.1; done", 'clean', 'status', /ended with exit code 0$/)
})

t.test('the child of run is judged by what its supervisor tells, also when that comes later', async t => {
  const child = spawn('sleep', ['60'])
  await using watched = await ride({ child: child.pid })
  await watched.until(text => sample(text, 'app_process_up') === 1)
  child.kill('SIGTERM')
  await once(child, 'exit')
  await watched.until(text => sample(text, 'app_process_up') === 0)
  const terminated = 'app_process_exits_total{reason="terminated",evidence="status"}'
  t.equal(sample(await watched.scrape(), terminated), 0, 'not yet known')
  watched.app.outcome = {
    code: 143,
    signal: 'SIGTERM',
    seconds: 1,
    cpuSeconds: undefined,
    peakBytes: undefined,
    at: Date.now(),
  }
  await watched.until(text => sample(text, terminated) === 1)
  await sleep(1200)
  t.equal(sample(await watched.scrape(), terminated), 1, 'once')
})

t.test('a job that was over before it could be found is counted by what its supervisor tells', async t => {
  const host = world('/proc', {
    select: { pid_file: '/nowhere' },
    outcome: { code: 3, seconds: 0, cpuSeconds: 0, peakBytes: undefined, at: 5 },
  })
  const marks: unknown[] = []
  const ends = new Ends({
    ...host,
    moments: () => ({ ring: undefined, marks: [], ended: undefined, note: (...mark) => marks.push(mark), wake() {} }),
  })
  const { signal } = new AbortController()
  await ends.finish(signal)
  await ends.finish(signal)
  const samples = await host.metrics.samples(exits)
  t.match(
    samples.filter(({ value }) => value > 0),
    [{ labels: { reason: 'error', evidence: 'status' }, value: 1 }],
  )
  t.same(marks, [['end', "the application's process ended with exit code 3 (error, by status)", 5]])
})
