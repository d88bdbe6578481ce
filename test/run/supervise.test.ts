import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process'
import { chmodSync, closeSync, existsSync, openSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'

const RIDE = join(import.meta.dirname, 'fixtures/ride.ts')
const ATTACHED = join(import.meta.dirname, 'fixtures/attached.ts')

interface Ride {
  readonly process: ChildProcess
  /** Everything written so far. */
  out(): string
  err(): string
  /** Resolves when the sidecar has ended. */
  readonly ended: Promise<{ code: number | null; signal: string | null }>
  /** Resolves when nobody holds the output any more: sidecar and application. */
  readonly closed: Promise<void>
}

function start(t: Test, file: string, args: readonly string[], options: SpawnOptions = {}): Ride {
  const child = spawn(process.execPath, [file, ...args], { stdio: ['ignore', 'pipe', 'pipe'], ...options })
  t.teardown(() => child.kill('SIGKILL'))
  const text = { out: '', err: '' }
  child.stdout?.on('data', chunk => {
    text.out += chunk
  })
  child.stderr?.on('data', chunk => {
    text.err += chunk
  })
  return {
    process: child,
    out: () => text.out,
    err: () => text.err,
    ended: new Promise(resolve => child.once('exit', (code, signal) => resolve({ code, signal }))),
    closed: new Promise(resolve => child.once('close', () => resolve())),
  }
}

const ride = (t: Test, command: readonly string[], env: Record<string, string> = {}, more: SpawnOptions = {}): Ride =>
  start(t, RIDE, command, { env: { ...process.env, ...env }, ...more })

const shell = (script: string): string[] => ['sh', '-c', script]

async function until(claim: () => boolean): Promise<void> {
  while (!claim()) await new Promise(resolve => setTimeout(resolve, 10))
}

t.test("the exit code is the application's", async t => {
  const dir = t.testdir({
    ...{ plain: 'no program', folder: {} },
    ...{ interpreter: '#!/nowhere/sh\n', windows: '#!/bin/sh\r\n', bare: 'exit 4\n' },
  })
  for (const script of ['interpreter', 'windows', 'bare']) chmodSync(join(dir, script), 0o755)
  const f = async (command: string[], code: number, says?: RegExp): Promise<void> => {
    const { ended, closed, err } = ride(t, command)
    t.same(await ended, { code, signal: null }, JSON.stringify(command))
    await closed
    if (says) t.match(err(), says)
  }
  await f(shell('exit 0'), 0)
  await f(shell('exit 3'), 3)
  await f(shell('exit 255'), 255)
  await f(shell('kill -SEGV $$'), 139)
  await f(
    ['no-such-command-here'],
    127,
    /cannot find the command: .*no-such-command-here.*; check its spelling and PATH/,
  )
  await f([join(dir, 'plain/x')], 127, /cannot find/)
  await f([join(dir, 'plain')], 126, /cannot execute the command: .*plain.*; make it executable/)
  await f([join(dir, 'folder')], 126, /cannot execute the command: .*folder.*; it is a directory, name a program in it/)
  await f([''], 127, /cannot start the command: .*; it is empty/)
  await f(
    [join(dir, 'interpreter')],
    126,
    /cannot start the command: .*interpreter.*; its first line names .*nowhere.sh.*, which is not there/,
  )
  await f([join(dir, 'windows')], 126, /names .*bin.sh.*, with a carriage return; save the file with Unix line ends/)
  await f([join(dir, 'bare')], 4)
})

t.test('the application reads our stdin and writes to our stdout and stderr', async t => {
  const { process: child, closed, out, err } = ride(t, ['cat'], {}, { stdio: 'pipe' })
  child.stdin!.end('through and through')
  await closed
  t.equal(out(), 'through and through')
  t.match(err(), /^time=\S+ level=info logger=pillion msg=started pid=\d+\n/)
})

t.test('signals go on to the application, once', async t => {
  for (const name of ['TERM', 'HUP', 'QUIT', 'USR1', 'USR2', 'WINCH', 'INT', 'TSTP', 'TTIN', 'TTOU', 'CONT'] as const)
    t.test(`SIG${name}`, async t => {
      const script = `trap 'n=$((n+1)); echo got $n' ${name}; trap 'exit 7' ${name === 'TERM' ? 'HUP' : 'TERM'}; echo up; while :; do sleep 0.02; done`
      const { process: child, ended, out } = ride(t, shell(script))
      await until(() => out() === 'up\n')
      child.kill(`SIG${name}`)
      await until(() => out().includes('got 1'))
      child.kill(`SIG${name}`)
      await until(() => out().includes('got 2'))
      child.kill(name === 'TERM' ? 'SIGHUP' : 'SIGTERM')
      t.same(await ended, { code: 7, signal: null })
      t.equal(out(), 'up\ngot 1\ngot 2\n')
    })
})

t.test('an application that does not handle a signal dies of it, and so does the sidecar', async t => {
  const { process: child, ended, out } = ride(t, shell('echo up; exec sleep 60'))
  await until(() => out() === 'up\n')
  child.kill('SIGTERM')
  t.same(await ended, { code: null, signal: 'SIGTERM' })
})

const terminal = existsSync('/usr/bin/script') ? false : 'needs script(1): apt-get install bsdutils'
t.test('Ctrl-C on a terminal reaches the application once', { skip: terminal }, async t => {
  const dir = t.testdir({
    'app.sh': `trap 'echo interrupted' INT; trap 'echo quit' QUIT; trap 'exit 9' TERM; echo up; while :; do sleep 0.02; done`,
  })
  // A shell stays in between, which is the leader of the session and gets Ctrl-C too.
  const command = `trap : INT QUIT; ${process.execPath} ${RIDE} sh ${join(dir, 'app.sh')}; exit $?`
  const pid = join(dir, 'pid')
  const child = spawn('/usr/bin/script', ['-qec', command, '/dev/null'], {
    stdio: 'pipe',
    env: { ...process.env, SHELL: '/bin/sh', RIDE_STARTED: pid },
  })
  t.teardown(() => child.kill('SIGKILL'))
  let out = ''
  child.stdout.on('data', chunk => {
    out += chunk
  })
  const code = new Promise(resolve => child.once('exit', resolve))
  await until(() => out.includes('up') && existsSync(pid) && readFileSync(pid, 'utf8') !== '')
  child.stdin.write('\x03')
  await until(() => out.includes('interrupted'))
  child.stdin.write('\x1c')
  await until(() => out.includes('quit'))
  process.kill(Number(readFileSync(pid, 'utf8')), 'SIGTERM')
  t.equal(await code, 9)
  t.equal(out.match(/interrupted/g)?.length, 1)
  t.equal(out.match(/quit/g)?.length, 1)
})

t.test('an error in the sidecar does not end the application, and its exit code is kept', async t => {
  const f = async (fault: string, says: RegExp, uncaught: number): Promise<void> => {
    const started = join(t.testdir({}), 'started')
    const script = 'while [ ! -e "$RIDE_STARTED" ]; do sleep 0.01; done; sleep 0.1; echo alive; exit 5'
    const { ended, closed, out, err } = ride(t, shell(script), { RIDE_FAULT: fault, RIDE_STARTED: started })
    t.same(await ended, { code: 5, signal: null }, fault)
    await closed
    t.equal(out(), 'alive\n')
    t.match(err(), says)
    t.match(err(), `uncaught=${uncaught}`)
  }
  await f('throw', /level=error .*the sidecar, which goes on" error="broken while riding" at=".*ride.ts:\d+/, 1)
  await f('reject', /error="broken in a promise"/, 1)
  await f('nothing', /level=error .*the sidecar, which goes on/, 1)
})

t.test('an error while it takes note of the start does not either', async t => {
  const { ended, err } = ride(t, shell('exit 6'), { RIDE_FAULT: 'onStart' })
  t.same(await ended, { code: 6, signal: null })
  t.match(err(), 'broken at the start')
})

t.test('a sidecar that is killed leaves the application running and its output intact', async t => {
  const script =
    'i=0; while [ $i -lt 60 ]; do echo line $i; echo error $i >&2; i=$((i+1)); sleep 0.01; done; echo done; echo done >&2'
  const lines = (word: string): string => `${Array.from({ length: 60 }, (_, i) => `${word} ${i}\n`).join('')}done\n`
  const ours = /^time=.*\n/gm

  t.test('into pipes', async t => {
    const { process: child, ended, closed, out, err } = ride(t, shell(script))
    await until(() => out().includes('line 5\n'))
    child.kill('SIGKILL')
    t.same(await ended, { code: null, signal: 'SIGKILL' })
    await closed
    t.equal(out(), lines('line'))
    t.equal(err().replace(ours, ''), lines('error'))
  })

  t.test('into files', async t => {
    const dir = t.testdir({})
    const files = [join(dir, 'out'), join(dir, 'err')] as const
    const [out, err] = files.map(file => openSync(file, 'w'))
    const { process: child, ended } = ride(t, shell(script), {}, { stdio: ['ignore', out!, err!] })
    closeSync(out!)
    closeSync(err!)
    await until(() => readFileSync(files[0], 'utf8').includes('line 5\n'))
    child.kill('SIGKILL')
    t.same(await ended, { code: null, signal: 'SIGKILL' })
    await until(() => readFileSync(files[1], 'utf8').includes('done'))
    t.equal(readFileSync(files[0], 'utf8'), lines('line'))
    t.equal(readFileSync(files[1], 'utf8').replace(ours, ''), lines('error'))
  })
})

const linux = process.platform === 'linux' ? false : 'needs /proc'
t.test('our log does not make the pipes of the application non-blocking', { skip: linux }, async t => {
  const started = join(t.testdir({}), 'started')
  const script =
    'while [ ! -e "$RIDE_STARTED" ]; do sleep 0.01; done; for fd in 1 2; do grep flags /proc/self/fdinfo/$fd; done'
  const { closed, out, err } = ride(t, shell(script), { RIDE_STARTED: started })
  await closed
  t.match(err(), 'msg=started', 'the log was written first')
  const flags = [...out().matchAll(/flags:\s+(\d+)/g)].map(([, octal = '']) => Number.parseInt(octal, 8))
  t.equal(flags.length, 2)
  for (const each of flags) t.equal(each & 0o4000, 0, 'O_NONBLOCK')
})

t.test('after the application has ended, a signal ends what is left at once, with its code', async t => {
  const { process: child, ended, err } = ride(t, shell('exit 4'), { RIDE_LINGER: 'yes' })
  await until(() => err().includes('msg=ended'))
  child.kill('SIGHUP')
  child.kill('SIGTERM')
  t.same(await ended, { code: 4, signal: null })
})

t.test('attached, the first signal asks to stop and the second one insists', async t => {
  const f = async (first: NodeJS.Signals, second: NodeJS.Signals, code: number): Promise<void> => {
    const { process: child, ended, out } = start(t, ATTACHED, [])
    await until(() => out() === 'up\n')
    child.kill(first)
    await until(() => out() === `up\n${first}\n`)
    child.kill(second)
    t.same(await ended, { code, signal: null })
  }
  await f('SIGTERM', 'SIGTERM', 143)
  await f('SIGINT', 'SIGINT', 130)
  await f('SIGTERM', 'SIGINT', 130)
})
