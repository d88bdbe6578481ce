// Faults in deployments: too few descriptors, a killed sidecar, signals at any moment, an application that does
// not stay up.

import { execFileSync } from 'node:child_process'
import { closeSync, constants, existsSync, openSync, readFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import t from 'tap'
import { Child, freePort, until } from '../e2e/child.ts'
import { MAIN, startSidecar, sum } from '../e2e/ride.ts'
import { hex, ld } from '../otlp/requests.ts'

const SPAN = ld(2, ld(1, hex('ab'.repeat(16))), ld(2, hex('cd'.repeat(8))), ld(5, 'GET /'))
/** Rounds of events at random moments: as many as a developer can wait for; ROUNDS=100 runs more. */
const more = Number(process.env['ROUNDS'] ?? 0)
const ROUNDS = { sigterm: more || (process.env['CI'] ? 20 : 6), crash: more || (process.env['CI'] ? 20 : 8) }

t.setTimeout(180_000 + 4000 * more)

/** An export request of so many spans. */
const request = (spans: number): Buffer => ld(1, ld(2, ...Array.from({ length: spans }, () => SPAN)))

async function send(otlp: string, body: Buffer): Promise<number> {
  const headers = { 'content-type': 'application/x-protobuf' }
  const response = await fetch(`${otlp}/v1/traces`, { method: 'POST', headers, body: new Uint8Array(body) })
  await response.arrayBuffer()
  return response.status
}

t.test(
  '120 connections to a sidecar that may open 64 files: they are refused, and it continues to read and answer',
  async t => {
    const [web, otlp] = [await freePort(), await freePort()]
    const app = `require('http').createServer((request, response) => response.end('ok')).listen(0, '127.0.0.1')`
    await using application = await Child.start(process.execPath, ['-e', app])
    const listeners = ['--web.listen', String(web), '--otlp.http.listen', String(otlp), '--otlp.grpc.listen', '0']
    const command = [
      process.execPath,
      '--max-semi-space-size=1',
      MAIN,
      ...listeners,
      '--app.pid',
      String(application.pid),
    ]
    await using sidecar = await Child.start('sh', ['-c', 'ulimit -n 64; exec "$@"', 'limited', ...command])
    const scrape = async () =>
      await (await fetch(`http://127.0.0.1:${web}/metrics`, { headers: { connection: 'close' } })).text()
    await until('the application', async () => sum(await scrape(), 'app_process_up') === 1 || undefined)

    const sockets = Array.from({ length: 120 }, () => connect(otlp, '127.0.0.1').on('error', () => {}))
    const closed = (socket: Socket) => socket.closed || socket.destroyed || socket.readableEnded
    for (const socket of sockets) socket.resume()
    await until('the surplus to be refused', () => sockets.filter(closed).length > 100 || undefined)
    const page = await scrape()
    t.equal(sum(page, 'app_process_up'), 1)
    t.ok((sum(page, 'app_process_open_fds') ?? 0) > 0)
    t.equal(sum(page, 'pillion_collector_success', { collector: 'process' }), 1)
    t.ok((sum(page, 'pillion_otlp_refused_connections_total', { transport: 'http' }) ?? 0) > 100)

    for (const socket of sockets) socket.destroy()
    await until('an export', async () => (await send(`http://127.0.0.1:${otlp}`, request(1))) === 200 || undefined)
    await sidecar.says(/64 .*(ulimit|LimitNOFILE)/)
    t.notMatch(sidecar.stderr, /EMFILE/)
  },
)

t.test(
  'a sidecar that is killed while the application writes and exports: the application goes on to its own end',
  async t => {
    const app = `
    let n = 0
    const timer = setInterval(async () => {
      console.log('line ' + ++n)
      await fetch(process.env.OTEL_EXPORTER_OTLP_ENDPOINT + '/v1/traces', { method: 'POST', body: '{}',
        headers: { 'content-type': 'application/json' } }).catch(() => console.log('not exported'))
      if (n === 40) { clearInterval(timer); console.log('the end'); process.exitCode = 9 }
    }, 25)`
    await using ride = await startSidecar({ command: [process.execPath, '-e', app] })
    await ride.child.says(/line 5\n/)
    ride.child.kill('SIGKILL')
    // Its output closes when the application, the last writer, has ended.
    t.same(await ride.child.ended, { code: null, signal: 'SIGKILL' })
    const lines = ride.child.stdout.split('\n').filter(line => line.startsWith('line '))
    t.same(
      lines,
      Array.from({ length: 40 }, (_, n) => `line ${n + 1}`),
      'every line is there, once',
    )
    t.match(ride.child.stdout, /not exported/)
    t.match(ride.child.stdout, /the end\n$|the end\nnot exported\n$/)
  },
)

t.test(
  `SIGTERM at any moment under load, ${ROUNDS.sigterm} times: the ledger is exact, and it ends with 0`,
  async t => {
    for (let round = 0; round < ROUNDS.sigterm; round += 1) {
      await using ride = await startSidecar()
      const counts = { acknowledged: 0, refused: 0, unanswered: 0 }
      const body = request(100)
      let over = false
      const load = async (): Promise<void> => {
        while (!over)
          try {
            const status = await send(ride.otlp, body)
            if (status === 200) counts.acknowledged += 100
            else counts.refused += 1
          } catch {
            counts.unanswered += 1
            over = true
          }
      }
      const senders = [load(), load(), load()]
      const at = Date.now() + Math.random() * 300
      while (Date.now() < at) {
        const acknowledged = counts.acknowledged
        const counted = (await ride.value('traces_spanmetrics_calls_total')) ?? 0
        if (counted < acknowledged) t.fail(`${counted} counted, ${acknowledged} had been acknowledged`)
      }
      ride.child.kill('SIGTERM')
      const ending = await ride.child.ended
      over = true
      await Promise.all(senders)
      const what = `round ${round}: ${JSON.stringify(counts)}`
      t.same(ending, { code: 0, signal: null }, what)
      const [, accepted, refused] =
        /msg=stopped traces_accepted=(\d+) traces_refused=(\d+)\n$/.exec(ride.child.stderr) ?? []
      t.equal(Number(accepted), counts.acknowledged, what)
      t.equal(Number(refused), 0)
      t.notMatch(ride.child.stderr, /error/i)
    }
  },
)

t.test('SIGTERM while it starts: it ends, at whatever moment', async t => {
  for (const after of [0, 50, 150, 300, 500]) {
    const listeners = ['--web.listen', '0', '--otlp.http.listen', '0', '--otlp.grpc.listen', '0']
    await using child = await Child.start(process.execPath, [MAIN, ...listeners])
    await new Promise(resolve => setTimeout(resolve, after))
    child.kill('SIGTERM')
    const { code, signal } = await child.ended
    t.ok(code === 0 || signal === 'SIGTERM', `after ${after} ms: ${code ?? signal}`)
    t.notMatch(child.stderr, /error/i)
  }
})

/** Its configuration is a pipe without content, so it stays in the middle of its start until the pipe is closed. */
async function starting(folder: string, before: string[], args: string[]): Promise<{ child: Child; go(): void }> {
  const pipe = join(folder, `${args[0]}.yaml`)
  execFileSync('mkfifo', [pipe])
  const [first = '', ...more] = [...before, process.execPath, MAIN, ...args]
  const child = await Child.start(first, more, { PILLION_CONFIG: pipe })
  // Without waiting, a pipe can be opened for writing only when somebody reads it.
  const file = await until('the configuration to be read', () =>
    openSync(pipe, constants.O_WRONLY | constants.O_NONBLOCK),
  )
  return { child, go: () => closeSync(file) }
}

t.test('SIGTERM in the middle of the start: 0 when attached; with a command 143, and it is never started', async t => {
  const folder = t.testdir({})
  const f = async (args: string[], code: number) => {
    const { child, go } = await starting(folder, [], args)
    await using sidecar = child
    sidecar.kill('SIGTERM')
    go()
    t.same(await sidecar.ended, { code, signal: null }, sidecar.stderr)
  }
  await f(['--web.listen=0'], 0)
  await f(['run', '--', 'touch', join(folder, 'started')], 143)
  t.notOk(existsSync(join(folder, 'started')))
  // A check that has been told to end and has its whole file at the same moment may be done first.
  const { child, go } = await starting(folder, [], ['check'])
  await using check = child
  check.kill('SIGTERM')
  t.same(await check.ended, { code: 143, signal: null }, check.stderr)
  go()
})

t.test(
  'as process 1 too, which no signal ends that it does not handle',
  { skip: process.getuid?.() === 0 ? false : 'needs root, for namespaces' },
  async t => {
    const { child, go } = await starting(
      t.testdir({}),
      ['unshare', '--pid', '--fork', '--kill-child'],
      ['--web.listen=0'],
    )
    await using unshare = child
    const pid = Number(readFileSync(`/proc/${unshare.pid}/task/${unshare.pid}/children`, 'utf8'))
    t.match(readFileSync(`/proc/${pid}/status`, 'utf8'), /^NSpid:\t\d+\t1$/m)
    process.kill(pid, 'SIGTERM')
    go()
    t.same(await unshare.ended, { code: 0, signal: null }, unshare.stderr)
  },
)

t.test('SIGPIPE, and streams that are closed, end nothing', async t => {
  const [web, otlp] = [await freePort(), await freePort()]
  const listeners = ['--web.listen', String(web), '--otlp.http.listen', String(otlp), '--otlp.grpc.listen', 'off']
  const closed = ['-c', 'exec "$@" <&- >&- 2>&-', 'closed', process.execPath, MAIN, ...listeners]
  await using child = await Child.start('sh', closed)
  await until('an answer', async () => (await send(`http://127.0.0.1:${otlp}`, request(1))) === 200 || undefined)
  child.kill('SIGPIPE')
  await new Promise(resolve => setTimeout(resolve, 100))
  const page = await (await fetch(`http://127.0.0.1:${web}/metrics`)).text()
  t.equal(sum(page, 'traces_spanmetrics_calls_total'), 1)
  t.equal(sum(page, 'pillion_uncaught_exceptions_total'), 0)
  child.kill('SIGTERM')
  t.same(await child.ended, { code: 0, signal: null })
})

t.test(
  `an application that ends at once, ${ROUNDS.crash} times, in every way: each exit code or signal comes back`,
  async t => {
    const dir = t.testdir({ plain: '#!/bin/sh\n' })
    const ways: readonly (readonly [command: readonly string[], end: number | NodeJS.Signals])[] = [
      [['sh', '-c', 'exit 0'], 0],
      [['sh', '-c', 'exit 1'], 1],
      [['sh', '-c', 'exit 77'], 77],
      [['sh', '-c', 'kill -SEGV $$'], 128 + 11],
      [['sh', '-c', 'kill -KILL $$'], 'SIGKILL'],
      [['sh', '-c', 'kill -TERM $$'], 'SIGTERM'],
      [[`${dir}/nowhere`], 127],
      [[`${dir}/plain`], 126],
    ]
    const round = async (n: number): Promise<void> => {
      const [command, end] = ways[n % ways.length]!
      const listeners = ['--web.listen', '0', '--otlp.http.listen', '0', '--otlp.grpc.listen', '0']
      await using child = await Child.start(process.execPath, [MAIN, 'run', ...listeners, '--', ...command])
      const ending = typeof end === 'number' ? { code: end, signal: null } : { code: null, signal: end }
      t.same(await child.ended, ending, command.join(' '))
      t.notMatch(child.stderr, /goes on/, 'no error that nothing caught')
    }
    for (let n = 0; n < ROUNDS.crash; n += 2) await Promise.all([round(n), round(n + 1)])
  },
)

t.test('an application that ignores SIGTERM decides itself, and SIGKILL ends both', async t => {
  const script = 'trap "echo no" TERM; echo up $$; while :; do sleep 0.05; done'
  await using ride = await startSidecar({ command: ['sh', '-c', script] })
  const [, pid] = await ride.child.says(/up (\d+)\n/)
  for (const refusals of [1, 2, 3]) {
    ride.child.kill('SIGTERM')
    await until('it to be refused', () => ride.child.stdout.match(/no\n/g)?.length === refusals || undefined)
  }
  t.ok(ride.child.running, 'the sidecar stays as long as the application does')
  t.equal(await ride.value('pillion_uncaught_exceptions_total'), 0)
  process.kill(Number(pid), 'SIGKILL')
  t.same(await ride.child.ended, { code: null, signal: 'SIGKILL' })
})

t.test('an application that forks and exits: its exit code comes back, and what it leaves behind lives on', async t => {
  const file = `${t.testdir({})}/pid`
  const script = `sleep 600 >/dev/null 2>&1 & echo $! > ${file}; exit 5`
  const listeners = ['--web.listen', '0', '--otlp.http.listen', '0', '--otlp.grpc.listen', '0']
  await using child = await Child.start(process.execPath, [MAIN, 'run', ...listeners, '--', 'sh', '-c', script])
  t.same(await child.ended, { code: 5, signal: null })
  const pid = Number(readFileSync(file, 'utf8'))
  t.ok(process.kill(pid, 0), 'nobody has ended it')
  process.kill(pid, 'SIGKILL')
})
