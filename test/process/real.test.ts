// Real processes: what the collector says agrees with what other readers of the kernel say.

import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { sample } from './machine.ts'
import { ALONE, impossible, NO_OTHER_USER, NO_SETSID, NOBODY, program, ride } from './real.ts'

const NODE = process.execPath
const NO_TIME = !existsSync('/usr/bin/time') && 'no /usr/bin/time; apt-get install time'
const NAMESPACE = ['--user', '--map-root-user', '--pid', '--fork', '--mount-proc']

const NO_NAMESPACE = impossible('unshare', [...NAMESPACE, 'true'], 'allow user namespaces')
const near = (actual: number | undefined, expected: number, part: number, floor: number) =>
  actual !== undefined && Math.abs(actual - expected) <= Math.max(expected * part, floor)

/** Burns CPU on a thread beside the main one, opens files, takes memory, waits; then says so, and ends when told. */
const BUSY = `
  const { Worker } = require('node:worker_threads')
  const { openSync } = require('node:fs')
  const memory = Buffer.alloc(96 * 1024 * 1024, 1)
  for (let i = 0; i < 300; i++) openSync('/dev/null', 'r')
  const burn = 'const end = process.cpuUsage().user + 6e5; while (process.cpuUsage().user < end);'
  const wait = 'const a = new Int32Array(new SharedArrayBuffer(4)); for (let i = 0; i < 400; i++) Atomics.wait(a, 0, 0, 1);'
  const tell = 'require("node:worker_threads").parentPort.postMessage(0); setInterval(() => {}, 1000)'
  const worker = new Worker(wait + burn + tell, { eval: true })
  worker.once('message', () => console.log('ready'))
  process.stdin.once('data', () => process.exit(memory[0] - 1)).once('end', () => process.exit())
`

// Programs start slowly on a busy machine.
t.setTimeout(120_000)

t.test('CPU, memory, files and context switches of threads agree with time, smaps and ls', async t => {
  const report = join(t.testdir({}), 'report')
  using timed =
    NO_TIME === false ? program('/usr/bin/time', ['-v', '-o', report, NODE, '-e', BUSY]) : program(NODE, ['-e', BUSY])
  t.equal(await timed.line(), 'ready')
  const pid =
    NO_TIME === false ? Number(readFileSync(`/proc/${timed.pid}/task/${timed.pid}/children`, 'utf8')) : timed.pid
  await using watched = await ride({ select: { pid } }, { smaps: true })
  await watched.until(text => sample(text, 'app_process_proportional_memory_bytes') !== undefined)
  const asked = Date.now() / 1000
  const text = await watched.scrape()
  const answered = Date.now() / 1000

  t.equal(sample(text, 'app_processes'), 1)
  t.equal(sample(text, 'app_process_open_fds'), readdirSync(`/proc/${pid}/fd`).length)
  t.equal(sample(text, 'app_process_threads'), readdirSync(`/proc/${pid}/task`).length)
  const rss = [...readFileSync(`/proc/${pid}/smaps`, 'utf8').matchAll(/^Rss:\s+(\d+) kB$/gm)]
  const resident = rss.reduce((sum, [, kib]) => sum + Number(kib) * 1024, 0)
  t.ok(near(sample(text, 'app_process_resident_memory_bytes'), resident, 0.05, 4e6), 'resident memory')
  t.ok(sample(text, 'app_process_resident_memory_bytes')! > 96 * 1024 ** 2)
  t.ok(sample(text, 'app_process_proportional_memory_bytes')! <= resident * 1.05)
  t.ok(sample(text, 'app_process_private_memory_bytes')! > 96 * 1024 ** 2)
  const main = sample(text, 'app_process_main_thread_cpu_seconds_total')!
  const user = sample(text, 'app_process_cpu_seconds_total{mode="user"}')!
  const system = sample(text, 'app_process_cpu_seconds_total{mode="system"}')!
  t.ok(user + system > 0.6, 'the burning thread is counted')
  t.ok(main < user + system - 0.4, 'and it is not the main thread')
  const started = sample(text, 'app_process_start_time_seconds')!
  const uptime = sample(text, 'app_process_uptime_seconds')!
  t.ok(uptime > asked - started - 1 && uptime < answered - started + 1, `up for ${uptime} s since ${started}`)

  timed.say('end')
  await timed.ended
  t.test('time -v', { skip: NO_TIME }, async t => {
    const said = readFileSync(report, 'utf8')
    const of = (key: string) => Number(new RegExp(`${key}: (\\d+(?:\\.\\d+)?)$`, 'm').exec(said)?.[1])
    const f = (ours: number | undefined, key: string, part: number, floor: number) =>
      t.ok(near(ours, of(key), part, floor), `${key}: ${of(key)}, ours ${ours}`)
    f(user, 'User time \\(seconds\\)', 0.15, 0.1)
    f(system, 'System time \\(seconds\\)', 0.15, 0.15)
    f(sample(text, 'app_process_context_switches_total{type="voluntary"}'), 'Voluntary context switches', 0.15, 20)
    f(
      sample(text, 'app_process_page_faults_total{type="minor"}'),
      'Minor \\(reclaiming a frame\\) page faults',
      0.1,
      500,
    )
  })
})

t.test('children too short-lived to be seen are counted, once', async t => {
  const work = 'i=0; while [ $i -lt 12 ]; do dd if=/dev/zero of=/dev/null bs=1M count=400 2>/dev/null; i=$((i+1)); done'
  using shell = program('sh', ['-c', `read go; ${work}; echo done; read end`])
  await using watched = await ride({ select: { pid: shell.pid } })
  const before = await watched.until(text => sample(text, 'app_process_up') === 1)
  shell.say('go')
  const line = shell.line()
  let last = 0
  for (let over = false; !over; ) {
    over = await Promise.race([line.then(() => true), sleep(20).then(() => false)])
    const text = await watched.scrape()
    const now = sample(text, 'app_process_cpu_seconds_total{mode="system"}')!
    t.ok(now >= last, 'never falls')
    last = now
  }
  // cutime and cstime of the shell: all that its children used.
  const stat = readFileSync(`/proc/${shell.pid}/stat`, 'latin1')
  const field = stat
    .slice(stat.lastIndexOf(')') + 2)
    .split(' ')
    .map(Number)
  const text = await watched.scrape()
  t.equal(sample(text, 'app_process_cpu_seconds_total{mode="system"}'), (field[12]! + field[14]!) / 100)
  t.equal(sample(text, 'app_process_cpu_seconds_total{mode="user"}'), (field[11]! + field[13]!) / 100)
  t.ok(last > sample(before, 'app_process_cpu_seconds_total{mode="system"}')!)
  t.ok(sample(text, 'app_process_page_faults_total{type="minor"}')! >= field[7]! + field[8]!)
})

t.test('the owner of a port is found, and found again after a restart', { skip: NO_SETSID }, async t => {
  const port = await freePort()
  const files = t.testdir({})
  // A process of its own: what descends from the sidecar (here, this test) is never taken for the application.
  const serve = (name: string) => {
    const pidFile = join(files, name)
    const source = `const s = require('net').createServer(c => c.end()); s.listen(${port}, '127.0.0.1', () => require('fs').writeFileSync(${JSON.stringify(pidFile)}, String(process.pid)))`
    execFileSync('setsid', ['--fork', NODE, '-e', source], { stdio: 'ignore' })
    return pidFile
  }
  const started = async (pidFile: string) => {
    while (!existsSync(pidFile) || readFileSync(pidFile, 'utf8') === '') await sleep(20)
    return Number(readFileSync(pidFile, 'utf8'))
  }
  await using watched = await ride({ url: `http://127.0.0.1:${port}` })
  t.equal(sample(await watched.scrape(), 'app_process_up'), 0)
  t.match(watched.findings()[0]?.text, /nothing listens on port/)
  const first = await started(serve('first'))
  try {
    const text = await watched.until(text => sample(text, 'app_process_up') === 1)
    t.equal(watched.app.pid, first)
    t.equal(sample(text, 'app_process_info{name="node",found_by="url"}'), 1)
    await watched.until(() => watched.app.port === port)
    await watched.until(text => sample(text, 'app_process_tcp_connections{state="listen"}')! >= 1)
  } finally {
    process.kill(first, 'SIGKILL')
  }
  const second = await started(serve('second'))
  try {
    const text = await watched.until(text => sample(text, 'app_process_restarts_total') === 1)
    t.equal(watched.app.pid, second)
    t.equal(sample(text, 'app_process_up'), 1)
  } finally {
    process.kill(second, 'SIGKILL')
  }
  rmSync(files, { recursive: true })
})

t.test('connections that the application does not accept are seen in its queue', async t => {
  // Listens, and then blocks its only thread.
  const source = `const s = require('net').createServer(); s.listen(0, '127.0.0.1', () => { console.log(s.address().port); process.stdin.once('data', () => { console.log('blocked'); for (;;); }) })`
  using server = program(NODE, ['-e', source])
  const port = Number(await server.line())
  server.say('block')
  await server.line()
  const { Socket } = await import('node:net')
  const sockets = await Promise.all(
    [1, 2, 3].map(async () => {
      const socket = new Socket()
      socket.connect(port, '127.0.0.1')
      await new Promise(resolve => socket.once('connect', resolve))
      return socket
    }),
  )
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
  })
  await using watched = await ride({ select: { pid: server.pid } })
  const text = await watched.until(text => sample(text, 'app_process_accept_queue_length') !== undefined)
  t.equal(watched.app.port, port)
  t.equal(sample(text, 'app_process_accept_queue_length'), 3)
})

t.test('a number that is given to another process is a new process', { skip: NO_NAMESPACE }, async t => {
  const said = spawnSync('unshare', [...NAMESPACE, NODE, ALONE, 'reuse'], {
    encoding: 'utf8',
    timeout: 60_000,
  })
  t.equal(said.status, 0, said.stderr)
  const { before, after } = JSON.parse(said.stdout)
  t.equal(sample(before, 'app_process_restarts_total'), 0)
  t.equal(sample(after, 'app_process_restarts_total'), 1)
  t.equal(sample(after, 'app_process_up'), 1)
  t.ok(sample(after, 'app_process_start_time_seconds')! >= sample(before, 'app_process_start_time_seconds')!)
})

t.test(
  'another user without rights sees what is left, and is told what to change',
  { skip: NO_OTHER_USER },
  async t => {
    using app = program('sleep', ['60'])
    const said = spawnSync('setpriv', [...NOBODY, NODE, ALONE, String(app.pid)], { encoding: 'utf8' })
    t.equal(said.status, 0, said.stderr)
    const { text, findings } = JSON.parse(said.stdout)
    t.equal(sample(text, 'app_process_up'), 1)
    t.type(sample(text, 'app_process_cpu_seconds_total{mode="user"}'), 'number')
    t.type(sample(text, 'app_process_resident_memory_bytes'), 'number')
    t.equal(sample(text, 'app_process_readable{file="status"}'), 1)
    for (const file of ['io', 'smaps_rollup']) t.equal(sample(text, `app_process_readable{file="${file}"}`), 0, file)
    t.equal(sample(text, 'app_process_io_read_bytes_total'), undefined)
    t.equal(sample(text, 'app_process_proportional_memory_bytes'), undefined)
    const told = findings.map(({ text }: { text: string }) => text).join('\n')
    t.match(told, /cannot read \/proc\/\d+\/io .* run the sidecar with UID 0 and GID 0/)
  },
)

async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  await new Promise(resolve => server.close(resolve))
  if (address === null || typeof address === 'string') throw new Error('no port')
  return address.port
}
