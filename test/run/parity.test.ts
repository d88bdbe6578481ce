// The application has under `pillion run` and `pillion exec` what it would have had without: each property of `exec CMD`,
// compared with the same command started alone.

import { spawn, spawnSync } from 'node:child_process'
import { chmodSync, existsSync, readFileSync } from 'node:fs'
import { delimiter, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'

const LAUNCHER = fileURLToPath(new URL('../../supervise/launcher.sh', import.meta.url))
const MAIN = fileURLToPath(new URL('../../main.ts', import.meta.url))
const FIXTURES = join(import.meta.dirname, 'fixtures')
const PROBE = join(FIXTURES, 'probe.sh')
const UNUSUAL = join(FIXTURES, 'unusual.sh')
const PORTS = ['--web.listen', '0', '--otlp.http.listen', '0', '--otlp.grpc.listen', '0', '--quiet']

// Each start is a whole sidecar.
t.setTimeout(180_000)

/** Nothing of the test runner, and what shells find hard: names that are none to them, line ends, quotes, nothing. */
const ENVIRONMENT = {
  PATH: `${dirname(process.execPath)}${delimiter}/usr/local/bin:/usr/bin:/bin`,
  HOME: '/nowhere',
  'spring.profiles.active': 'a b',
  'with-dash': "it's",
  LINES_IN: 'one\ntwo\n',
  EMPTY: '',
  NODE_OPTIONS: '--no-deprecation',
}
const ARGUMENTS = ['a b', '', '*', '$HOME', '--', '--web.listen', "it's", '-x', 'line\nend', 'ü']

interface Way {
  readonly name: string
  /** The words before the command. */
  readonly words: readonly string[]
}

const ALONE: Way = { name: 'alone', words: [] }
const WAYS: readonly Way[] = [
  { name: 'run', words: [LAUNCHER, 'run', ...PORTS, '--'] },
  { name: 'exec', words: [LAUNCHER, 'exec', ...PORTS, '--'] },
]

interface Outcome {
  readonly out: string
  readonly err: string
  readonly pid: number
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

/** Runs it in a session of its own, where its process is the leader, as a service manager would. */
async function outcome(command: readonly string[], env: NodeJS.ProcessEnv = ENVIRONMENT): Promise<Outcome> {
  const [file = '', ...args] = withoutRunner(env, command)
  const child = spawn(file, args, { detached: true, stdio: ['ignore', 'pipe', 'pipe'], env })
  let [out, err] = ['', '']
  child.stdout.on('data', chunk => {
    out += chunk
  })
  child.stderr.on('data', chunk => {
    err += chunk
  })
  const ended = new Promise<[number | null, NodeJS.Signals | null]>(resolve =>
    child.once('close', (...how) => resolve(how)),
  )
  const [code, signal] = await ended
  return { out, err, pid: child.pid!, code, signal }
}

/** tap adds variables to whatever is spawned, so env(1) starts from nothing. It keeps the process. */
function withoutRunner(env: NodeJS.ProcessEnv, command: readonly string[]): string[] {
  return ['env', '-i', ...Object.entries(env).map(([name, value]) => `${name}=${value}`), ...command]
}

/** The lines of probe.sh, without what we add on purpose, and with the leader's number as a word. */
function properties({ out, pid }: Outcome): string[] {
  return out
    .replaceAll('\r', '')
    .split('\n')
    .filter(
      line =>
        !/^environment OTEL_(?:EXPORTER_OTLP_(?:ENDPOINT|PROTOCOL)|SERVICE_NAME|METRIC_EXPORT_INTERVAL)=/.test(line),
    )
    .map(line =>
      line
        .replace(/(socket|pipe):\[\d+\]/, '$1')
        .replace(new RegExp(`^(process group|session) ${pid}$`), '$1 of the leader'),
    )
}

function folder(t: Test): string {
  return t.testdir({ seventeen: '', forty: '' })
}

t.test('a program is given everything that it would have without us', async t => {
  const dir = folder(t)
  const command = (way: Way): string[] => ['bash', UNUSUAL, dir, ...way.words, 'sh', PROBE, ...ARGUMENTS]
  const alone = await outcome(command(ALONE))
  t.match(alone.out, 'session')
  for (const way of WAYS) {
    const ours = await outcome(command(way))
    t.same(properties(ours), properties(alone), way.name)
    t.match(ours.out, 'environment OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:', way.name)
  }
})

const script = existsSync('/usr/bin/script') ? false : 'needs script(1): apt-get install bsdutils'
t.test('on a terminal it has the same terminal, in the same state and in the foreground', { skip: script }, async t => {
  const dir = folder(t)
  // script(1) gives its command to a shell, which becomes it.
  const command = (way: Way): string[] => {
    const words = ['bash', UNUSUAL, dir, ...way.words, 'sh', PROBE].map(word => `'${word}'`).join(' ')
    return ['script', '-qec', `exec ${words}`, '/dev/null']
  }
  /** Numbers of processes and terminals differ each time. */
  const comparable = (ours: Outcome): string[] =>
    properties(ours)
      .filter(line => /^(?!time=)/.test(line))
      .map(line => line.replace(/^(process group|session|terminal) [1-9]\d*/, '$1 N').replace(/\/dev\/pts\/\d+/, 'T'))
  const alone = comparable(await outcome(command(ALONE)))
  t.ok(alone.includes('in the foreground'))
  for (const way of WAYS) t.same(comparable(await outcome(command(way))), alone, way.name)
})

const namespace = spawnSync('unshare', ['-Urpf', '--mount-proc', 'true']).status === 0 ? false : 'needs namespaces'
t.test('as process 1 of a namespace too, and the exit code is kept', { skip: namespace }, async t => {
  const dir = folder(t)
  const inside = (way: Way, words: readonly string[]): string[] => [
    ...['unshare', '-Urpf', '--mount-proc', 'bash', UNUSUAL, dir],
    ...way.words,
    ...words,
  ]
  const alone = await outcome(inside(ALONE, ['sh', PROBE]))
  for (const way of WAYS) {
    t.same(properties(await outcome(inside(way, ['sh', PROBE]))), properties(alone), way.name)
    t.equal((await outcome(inside(way, ['sh', '-c', 'exit 7']))).code, 7, way.name)
  }
  const [run] = WAYS
  t.equal((await outcome(inside(run!, ['sh', '-c', 'kill -KILL $$']))).code, 137)
})

t.test('through npm, from the scripts of package.json', async t => {
  const scripts = Object.fromEntries(
    [ALONE, ...WAYS].map(({ name, words }) => [name, `${[...words, 'sh', PROBE].join(' ')}`]),
  )
  const dir = t.testdir({ 'package.json': JSON.stringify({ name: '@acme/shop', version: '1.0.0', scripts }) })
  const env = { ...ENVIRONMENT, HOME: dir, npm_config_update_notifier: 'false' }
  const started = (way: Way): Promise<Outcome> => outcome(['npm', '--silent', '--prefix', dir, 'run', way.name], env)
  const comparable = (ours: Outcome): string[] =>
    properties(ours).filter(line => !/^environment npm_(?:lifecycle_|command)|^descriptor \d+ pipe/.test(line))
  const alone = comparable(await started(ALONE))
  t.ok(alone.length > 20)
  for (const way of WAYS) t.same(comparable(await started(way)), alone, way.name)
})

t.test('it ends as the application ends', async t => {
  const endings = ['exit 0', 'exit 3', 'exit 255', 'kill -TERM $$', 'kill -INT $$', 'kill -HUP $$', 'kill -KILL $$']
  for (const way of WAYS)
    await Promise.all(
      endings.map(async ending => {
        const alone = await outcome(['sh', '-c', ending])
        const ours = await outcome([...way.words, 'sh', '-c', ending])
        t.same([ours.code, ours.signal], [alone.code, alone.signal], `${way.name}: ${ending}`)
      }),
    )
  const dump = await outcome([...WAYS[0]!.words, 'sh', '-c', 'kill -SEGV $$'])
  t.equal(dump.code, 139, 'no memory dump of the sidecar')
})

t.test('every signal arrives once, whoever is signalled is still there, and the sidecar goes on', async t => {
  // Signals of faults and KILL and STOP aside; 32 and 33 belong to the C library.
  const faults = [4, 5, 7, 8, 11]
  const all = Array.from({ length: 64 }, (_, at) => at + 1).filter(n => ![9, 17, 19, 32, 33].includes(n))
  // Not to be heard in Node: faults, PIPE and XFSZ, which its own writes raise, and real-time signals.
  const heard = all.filter(n => n < 32 && ![...faults, 13, 25].includes(n))
  // Not bash, which itself loses one of some thousand signals if each comes as soon as the one before has been told of. Here a
  // signal can come only while it is waited for.
  const listens = `use POSIX; my @all = (${all.join(', ')}); sigprocmask(SIG_BLOCK, POSIX::SigSet->new(@all));
    for my $n (@all) { sigaction($n, POSIX::SigAction->new(sub { syswrite STDOUT, "got $n\n"; exit 0 if $n == 18 })) }
    syswrite STDOUT, "up\n"; sigsuspend(POSIX::SigSet->new) while 1`
  for (const [way, signals] of [
    [WAYS[0]!, heard],
    [WAYS[1]!, all],
  ] as const) {
    const [file = '', ...args] = withoutRunner(ENVIRONMENT, [...way.words, 'perl', '-e', listens])
    const child = spawn(file, args, { detached: true, stdio: ['ignore', 'pipe', 'pipe'] })
    t.teardown(() => child.kill('SIGKILL'))
    let out = ''
    child.stdout.on('data', chunk => {
      out += chunk
    })
    child.stderr.resume()
    const until = async (wanted: string): Promise<void> => {
      while (!out.includes(wanted)) await new Promise(resolve => setTimeout(resolve, 10))
    }
    await until('up\n')
    for (const signal of signals.filter(n => n !== 18)) {
      process.kill(child.pid!, signal)
      await until(`got ${signal}\n`)
    }
    process.kill(child.pid!, 'SIGCONT')
    const code = await new Promise(resolve => child.once('exit', resolve))
    t.equal(code, 0, way.name)
    t.same(
      out.trim().split('\n'),
      ['up', ...signals.filter(n => n !== 18).map(n => `got ${n}`), 'got 18'],
      `${way.name}: each once`,
    )
  }
})

t.test('exec starts the application without the settings of a sidecar that could not start', async t => {
  const env = {
    ...ENVIRONMENT,
    PATH: `${brokenNode(t)}${delimiter}${ENVIRONMENT.PATH}`,
    PILLION_FORWARD_HEADERS: 'authorization=s3cr3t\nPILLION_FORGED=1',
    PILLION_CONFIG: '/nowhere',
    PILLION_SERVICE_HOST: '10.0.0.1',
  }
  const { out, code } = await outcome([...WAYS[1]!.words, 'sh', '-c', 'env | grep -a PILLION; exit 7'], env)
  t.equal(out, 'PILLION_SERVICE_HOST=10.0.0.1\n')
  t.equal(code, 7)
})

/** A folder whose `node` ends at once, as one does that is too old or for another processor. */
function brokenNode(t: Test): string {
  const dir = t.testdir({ node: '#!/bin/sh\nexit 1\n' })
  chmodSync(join(dir, 'node'), 0o755)
  return dir
}

t.test('the launcher starts Node with the flags that main.ts names', async t => {
  const [, flags] = /^#!\/usr\/bin\/env -S node (.*)\n/.exec(readFileSync(MAIN, 'utf8')) ?? []
  t.match(readFileSync(LAUNCHER, 'utf8'), `_pillion_flags='${flags}'`)
})
