// The exit status of an application that somebody else has started: real ends on the real kernel, told by the real program.

import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, copyFileSync, existsSync, readFileSync, writeFileSync } from 'node:fs'
import { constants } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { Ends } from '../../collectors/process/ends.ts'
import { exits } from '../../collectors/process/exit.ts'
import { Witness } from '../../collectors/process/witness.ts'
import { compileExitStatus } from '../../scripts/exit-status.ts'
import { until } from '../e2e/child.ts'
import { startSidecar } from '../e2e/ride.ts'
import { world } from '../world.ts'
import { sample } from './machine.ts'
import { ALONE, impossible, type Ride, ride } from './real.ts'
import { compiledHelper, nursery, witnesses } from './witnessed.ts'

const { path: helper, skip } = compiledHelper()
const NAMESPACE = ['--user', '--map-root-user', '--pid', '--fork', '--mount-proc']
const NO_NAMESPACE = impossible('unshare', [...NAMESPACE, 'true'], 'allow user namespaces')
const SLEEPS = ['sleep', '600'] as const
/** Leaves with this code when it gets SIGUSR1. */
const leaves = (code: number): [string, ...string[]] => [
  'sh',
  '-c',
  `trap 'exit ${code}' USR1; while :; do sleep 0.05; done`,
]
/** Its parent waits for it at once, mostly before it can be looked at. */
const MOSTLY_UNKNOWN = /^(unknown|killed)$/

t.setTimeout(300_000)

const series = (reason: string, evidence = 'status') =>
  `app_process_exits_total{reason="${reason}",evidence="${evidence}"}`

/** All ends that were counted. */
function counted(text: string): number {
  const values = [...text.matchAll(/^app_process_exits_total\{.*\} (\d+)$/gm)].map(([, value]) => Number(value))
  return values.reduce((sum, value) => sum + value, 0)
}

/** Field 22 of its stat; the name of the program has no ')'. */
function startTicks(pid: number): number {
  return Number(readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ')[1]!.split(' ')[19])
}

/** Attached to a process whose number stands in a file; once it is found it has a witness. */
async function attached(t: Test, pid: number): Promise<Ride & { follow(next: number): Promise<void> }> {
  const file = join(t.testdir({}), 'pid')
  writeFileSync(file, String(pid))
  const watched = await ride({ select: { pid_file: file } }, { exit_helper: helper })
  const follow = async (next: number): Promise<void> => {
    writeFileSync(file, String(next))
    await watched.until(() => watched.app.pid === next)
    await until('a witness', () => witnesses(helper, next).length > 0 || undefined)
  }
  await follow(pid)
  return Object.assign(watched, { follow })
}

const KINDS: readonly (readonly [string, readonly [string, ...string[]], NodeJS.Signals, string, RegExp])[] = [
  ['SIGKILL', SLEEPS, 'SIGKILL', 'killed', /ended by SIGKILL$/],
  ['SIGTERM', SLEEPS, 'SIGTERM', 'terminated', /ended by SIGTERM$/],
  ['SIGSEGV', SLEEPS, 'SIGSEGV', 'crash', /ended by SIGSEGV$/],
  ['exit code 7', leaves(7), 'SIGUSR1', 'error', /ended with exit code 7$/],
  ['exit code 0', leaves(0), 'SIGUSR1', 'clean', /ended with exit code 0$/],
]

t.test('20 ends of each kind beside the sidecar, and all of them are known', { skip, jobs: KINDS.length }, async t => {
  for (const [what, command, signal, reason, text] of KINDS)
    t.test(what, { buffered: true }, async t => {
      using parent = nursery()
      let pid = await parent.bear(...command)
      await using watched = await attached(t, pid)
      for (let ends = 1; ends <= 20; ends++) {
        process.kill(pid, signal)
        const next = await parent.bear(...command)
        const last = pid
        await watched.follow(next)
        const page = await watched.until(text => counted(text) === ends)
        t.equal(sample(page, series(reason)), ends)
        t.match(watched.app.ended, { pid: last, reason, evidence: 'status', text })
        t.same(witnesses(helper, last, false), [], 'no witness is left of it')
        pid = next
      }
      process.kill(pid, 'SIGKILL')
    })
})

t.test(
  'an application that ends and is back at once is judged by the status that comes a moment later',
  { skip },
  async t => {
    const child = spawn('sleep', ['600'])
    const host = world('/proc')
    using ends = new Ends(host, helper)
    ends.watch(child.pid!, startTicks(child.pid!))
    await until('a witness', () => witnesses(helper, child.pid!).length > 0 || undefined)
    ends.add({ pid: child.pid!, startSeconds: 0, stat: undefined, readable: true, kills: 'none', memoryShare: 0.5 })
    ends.forget()
    t.equal(host.app.ended, undefined)
    child.kill('SIGTERM')
    await until('a status', () => host.app.ended)
    t.match(host.app.ended, { reason: 'terminated', evidence: 'status' })
    t.equal(ends.last, undefined, 'nothing is said of it beside the one that runs')
  },
)

t.test('only the main process has a witness, however many workers it has', { skip }, async t => {
  using parent = nursery()
  const loop = 'i=0; while [ $i -lt 2000 ]; do /bin/true & i=$((i+1)); done; wait; echo done > "$0"; sleep 600'
  const done = join(t.testdir({}), 'done')
  const pid = await parent.bear('sh', '-c', loop, done)
  await using watched = await attached(t, pid)
  const most: number[] = []
  await until('2000 workers', () => {
    most.push(
      spawnSync('pgrep', ['-c', '-f', `^${helper} `], { encoding: 'utf8' })
        .stdout.trim()
        .split('\n')
        .map(Number)[0]!,
    )
    return existsSync(done) || undefined
  })
  t.same([...new Set(most)], [1])
  process.kill(pid, 'SIGKILL')
  await watched.until(text => sample(text, series('killed')) === 1)
})

t.test('a main thread that ends before the others does not end the process', { skip }, async t => {
  const folder = t.testdir({
    'late.c': `#include <pthread.h>
      #include <unistd.h>
      static void *work(void *x) { for (;;) pause(); return x; }
      int main(void) { pthread_t t; pthread_create(&t, 0, work, 0); pthread_exit(0); }`,
  })
  execFileSync('cc', ['-pthread', '-o', join(folder, 'late'), join(folder, 'late.c')])
  using parent = nursery()
  const pid = await parent.bear(join(folder, 'late'))
  await until('a dead main thread', () => /\) Z /.test(readFileSync(`/proc/${pid}/stat`, 'latin1')) || undefined)
  const file = join(folder, 'pid')
  writeFileSync(file, String(pid))
  await using watched = await ride({ select: { pid_file: file } }, { exit_helper: helper })
  await watched.until(text => sample(text, 'app_process_up') === 1)
  await until('a witness', () => witnesses(helper, pid).length > 0 || undefined)
  for (let i = 0; i < 5; i++) {
    await watched.until(text => sample(text, 'app_process_up') === 1)
    t.equal(counted(await watched.scrape()), 0)
  }
  process.kill(pid, 'SIGTERM')
  const page = await watched.until(text => counted(text) === 1)
  t.equal(sample(page, series('terminated')), 1)
})

t.test(
  'a number that is given to another process is told of neither early nor late',
  { skip: skip || NO_NAMESPACE },
  async t => {
    const said = spawnSync('unshare', [...NAMESPACE, process.execPath, ALONE, 'told', helper], { encoding: 'utf8' })
    t.equal(said.status, 0, said.stderr)
    t.same(JSON.parse(said.stdout), { early: 'watching\nended 9\n', late: 'cannot find 3\n' })
  },
)

t.test('a witness that is killed is said to be, and another one takes its place after a minute', { skip }, async t => {
  const child = spawn('sleep', ['600'])
  const pid = child.pid!
  const start = startTicks(pid)
  const host = world('/proc')
  using ends = new Ends(host, helper)
  const first = async (): Promise<number> => await until('a witness', () => witnesses(helper, pid)[0])
  ends.watch(pid, start)
  process.kill(await first(), 'SIGKILL')
  await until('a word about it', () => ends.trouble)
  t.match(ends.trouble, /has ended early \(SIGKILL\)$/)
  ends.watch(pid, start)
  t.same(witnesses(helper, pid, false), [], 'not at once')
  host.clock.skip(60_000)
  ends.watch(pid, start)
  await first()
  t.equal(ends.trouble, undefined)
  child.kill('SIGKILL')
  await once(child, 'exit')
  ends.add({ pid, startSeconds: 0, stat: undefined, readable: true, kills: 'none', memoryShare: 0.5 })
  await until('a status', () => host.app.ended)
  t.match(
    (await host.metrics.samples(exits)).filter(({ value }) => value > 0),
    [{ labels: { reason: 'killed', evidence: 'status' }, value: 1 }],
  )
})

t.test('signals that go to the whole cgroup do not end the witness before the application', { skip }, async t => {
  const child = spawn('sleep', ['600'])
  const pid = child.pid!
  using witness = new Witness(helper, pid, startTicks(pid))
  const own = await until('a witness', () => witnesses(helper, pid)[0])
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.kill(own, signal)
  child.kill('SIGTERM')
  await until('a status', () => !witness.waiting || undefined)
  t.match(witness, { status: constants.signals.SIGTERM, trouble: undefined })
})

t.test('a witness that could not be started is tried again after a minute', { skip }, async t => {
  const child = spawn('sleep', ['600'])
  t.teardown(() => child.kill('SIGKILL'))
  const pid = child.pid!
  const late = join(t.testdir({}), 'late')
  const host = world('/proc')
  using ends = new Ends(host, late)
  ends.watch(pid, startTicks(pid))
  await until('a word about it', () => ends.trouble)
  t.match(ends.trouble, /cannot start .*ENOENT/)
  copyFileSync(helper, late)
  host.clock.skip(60_000)
  ends.watch(pid, startTicks(pid))
  await until('a witness', () => witnesses(late, pid)[0])
  t.equal(ends.trouble, undefined)
})

t.test('without a free descriptor the reason is that, and not an error of ours', { skip }, async t => {
  const script = `
    import { openSync } from 'node:fs'
    import { Witness } from '${new URL('../../collectors/process/witness.ts', import.meta.url)}'
    new Witness('/none', 1, 1) // Loads what a start needs.
    try { for (;;) openSync('/dev/null') } catch {}
    using witness = new Witness('${helper}', process.pid, 1)
    await witness.done
    console.log(witness.trouble)`
  const command = 'ulimit -n 100; exec "$0" --input-type=module-typescript -e "$1"'
  const { stdout, stderr } = spawnSync('sh', ['-c', command, process.execPath, script], { encoding: 'utf8' })
  t.match(stdout, /^cannot start .*: spawn .* EMFILE$/m, stderr)
})

t.test('a witness that hangs is waited for two seconds, and does not stay', { skip }, async t => {
  using parent = nursery()
  const pid = await parent.bear(...SLEEPS)
  await using watched = await attached(t, pid)
  const [hanging] = witnesses(helper, pid)
  process.kill(hanging!, 'SIGSTOP')
  process.kill(pid, 'SIGKILL')
  await watched.until(text => counted(text) === 1)
  t.match(watched.app.ended, { pid, reason: MOSTLY_UNKNOWN })
  await until('its end', () => witnesses(helper, pid, false).length === 0 || undefined)
})

t.test('nothing is left when the sidecar ends, in whatever way', { skip }, async t => {
  using parent = nursery()
  const pid = await parent.bear(...SLEEPS)
  for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
    await using sidecar = await startSidecar({ flags: ['--app.pid', String(pid), '--process.exit_helper', helper] })
    const [found] = await until('a witness', () =>
      witnesses(helper, pid).length > 0 ? witnesses(helper, pid) : undefined,
    )
    sidecar.child.kill(signal)
    await sidecar.child.ended
    await until('its end', () => !existsSync(`/proc/${found}`) || undefined)
  }
  t.ok(existsSync(`/proc/${pid}`), 'the application goes on')
})

t.test(
  'where the kernel refuses, the end is judged as without a witness, and a finding says why',
  { skip },
  async t => {
    const folder = t.testdir({
      'refuse.c': `#include <errno.h>
      #include <linux/filter.h>
      #include <linux/seccomp.h>
      #include <stddef.h>
      #include <stdlib.h>
      #include <sys/prctl.h>
      #include <unistd.h>
      int main(int count, char **words) {
        struct sock_filter rules[] = {
          BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
          BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, atoi(words[1]), 0, 1),
          BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | atoi(words[2])),
          BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        };
        struct sock_fprog program = { 4, rules };
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0) return 9;
        execv(words[3], words + 3);
        return count;
      }`,
    })
    execFileSync('cc', ['-o', join(folder, 'refuse'), join(folder, 'refuse.c')])
    const f = async (call: number, error: number, expected: RegExp): Promise<void> => {
      const refused = join(folder, `refused-${call}-${error}`)
      writeFileSync(refused, `#!/bin/sh\nexec ${folder}/refuse ${call} ${error} ${helper} "$@"\n`)
      chmodSync(refused, 0o755)
      using parent = nursery()
      const pid = await parent.bear(...SLEEPS)
      await using watched = await ride({ select: { pid } }, { exit_helper: refused })
      await watched.until(() => watched.findings().some(({ text }) => expected.test(text)))
      process.kill(pid, 'SIGKILL')
      await watched.until(text => counted(text) === 1)
      t.match(watched.app.ended, { pid, reason: MOSTLY_UNKNOWN })
    }
    const [PIDFD_OPEN, IOCTL] = [434, process.arch === 'x64' ? 16 : 29]
    const [EPERM, ENOMEM, EINVAL, ENOTTY, ENOSYS] = [1, 12, 22, 25, 38]
    await f(PIDFD_OPEN, EPERM, /exit status will not be known: .* pidfd_open \(EPERM\): seccomp/)
    await f(PIDFD_OPEN, ENOMEM, /pidfd_open \(ENOMEM\)$/)
    await f(PIDFD_OPEN, ENOSYS, /pidfd_open \(ENOSYS\): it needs Linux 6\.15/)
    await f(IOCTL, ENOTTY, /PIDFD_GET_INFO \(ENOTTY\): it needs Linux 6\.15/)
    await f(IOCTL, EINVAL, /PIDFD_GET_INFO \(EINVAL\): it needs Linux 6\.15/)
  },
)

t.test('without the program, and with one that does not run, all is as before', async t => {
  const folder = t.testdir({ text: 'no program' })
  const f = async (exit_helper: string, expected: RegExp | undefined): Promise<void> => {
    using parent = nursery()
    const pid = await parent.bear(...SLEEPS)
    await using watched = await ride({ select: { pid } }, { exit_helper })
    await watched.until(() => {
      const told = watched.findings().filter(({ text }) => text.startsWith('its exit status will not be known'))
      return expected ? told.some(({ text }) => expected.test(text)) : told.length === 0 && watched.app.pid === pid
    })
    process.kill(pid, 'SIGKILL')
    await watched.until(text => counted(text) === 1)
    t.match(watched.app.ended, { pid, reason: MOSTLY_UNKNOWN })
  }
  await f('off', undefined)
  await f(join(folder, 'text'), /cannot start .*EACCES/)
  await f(join(folder, 'nothing'), /cannot start .*ENOENT/)
  t.match(compileExitStatus(folder, '/nowhere/cc'), { why: /no C compiler/ })
})

t.test('the child of the sidecar needs no witness', { skip }, async t => {
  const child = spawn('sleep', ['600'])
  t.teardown(() => child.kill('SIGKILL'))
  await using watched = await ride({ child: child.pid! }, { exit_helper: helper })
  await watched.until(text => sample(text, 'app_process_up') === 1)
  t.same(witnesses(helper, child.pid!, false), [])
})
