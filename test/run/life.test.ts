// `pillion run` from its start to its end, as a process of its own.

import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { createServer } from 'node:net'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { TerminalWriter, terminalModes } from '../../host/terminal.ts'
import { openable, sameListeners } from '../../supervise/ports.ts'
import { Child, freePort, until } from '../e2e/child.ts'
import { MAIN, runSidecar } from '../e2e/ride.ts'

t.setTimeout(400_000)

/** Listening on free ports, or where it is said. */
const listening = (at: { web?: number; http?: number } = {}): string[] => [
  ...['--web.listen', `${at.web ?? 0}`, '--otlp.http.listen', `${at.http ?? 0}`, '--otlp.grpc.listen', '0'],
]
const FREE = listening()
const run = (flags: readonly string[], ...command: string[]): Promise<Child> =>
  runSidecar(['run', ...FREE, ...flags, '--', ...command])

/** A port of 127.0.0.1 that is taken for as long as the test runs. */
async function takenPort(t: Test): Promise<number> {
  const server = createServer()
  t.teardown(() => server.close())
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  return (server.address() as { port: number }).port // a TCP server that listens
}

t.test('the way the application ended is the last thing said, however soon it ended', async t => {
  const f = async (script: string, said: RegExp): Promise<void> => {
    await using child = await run([], 'sh', '-c', script)
    t.match(child.stderr, said)
    t.notMatch(child.stderr, 'no application to watch')
  }
  await f('exit 2', /level=warn logger=pillion msg="the application ended with exit code 2 after \d+\.\d s"/)
  await f('kill -SEGV $$', /level=warn .* msg="the application was ended by SIGSEGV after \d+\.\d s"/)
  await f('exit 0', /level=info .* msg="the application ended with exit code 0 after \d+\.\d s" cpu_seconds=\S+/)
  const burn = 'i=0; while [ $i -lt 600000 ]; do i=$((i+1)); done'
  await f(burn, /msg="the application ended .*" cpu_seconds=(?!0 )[\d.]+ peak_memory_bytes=\d{6,}/)
})

t.test('a port that is taken does not keep the application from starting, unless run.strict', async t => {
  const port = await takenPort(t)
  const command = [
    'sh',
    '-c',
    'echo started, sends to "$OTEL_EXPORTER_OTLP_ENDPOINT" by "$OTEL_EXPORTER_OTLP_PROTOCOL"',
  ]
  await using ours = await runSidecar(['run', ...listening({ http: port }), '--', ...command])
  t.match(ours.stdout, /^started, sends to http:\/\/127\.0\.0\.1:\d+ by grpc\n$/)
  t.match(
    ours.stderr,
    `! run      cannot listen on 127.0.0.1:${port} for OTLP/HTTP: the port is taken; the application starts`,
  )
  await using strict = await runSidecar(['run', ...listening({ http: port }), '--run.strict', '--', ...command])
  t.equal((await strict.ended).code, 69)
  t.equal(strict.stdout, '')
})

t.test('a default port that is taken is replaced by a free one, and a configured one by nothing', async t => {
  const [taken, free] = [await takenPort(t), await freePort()]
  const at = (port: number) => ({ host: '127.0.0.1', port })
  const options = {
    web: { listen: at(taken), other: 1 },
    otlp: { http: { listen: at(taken) }, grpc: { listen: at(free) } },
  }
  const origins = new Map([['otlp.http.listen', 'flag --otlp.http.listen']])
  const opened = await openable(options, path => origins.get(path))
  t.same(opened.options, {
    web: { listen: at(0), other: 1 },
    otlp: { http: { listen: undefined }, grpc: { listen: at(free) } },
  })
  t.match(opened.findings, [
    `cannot listen on 127.0.0.1:${taken} for the web server: the port is taken; a free port is used instead`,
    /for OTLP\/HTTP: the port is taken; the application starts without it; .* --otlp.http.listen$/,
  ])
  const elsewhere = { ...options, web: { listen: { host: '192.0.2.1', port: free }, other: 1 } }
  t.match(
    (await openable(elsewhere, () => 'flag')).findings[0],
    /: this machine has no such address; .*; choose another/,
  )
  t.same(sameListeners({ ...options, more: 2 }, options, opened.options), { ...opened.options, more: 2 })
  t.same(
    sameListeners({ ...options, web: { listen: at(1), other: 1 } }, options, opened.options).web.listen,
    at(1),
    'a changed configuration is judged anew',
  )
})

t.test('run.linger keeps /metrics up after the end, until a signal', async t => {
  const port = await freePort()
  const args = [MAIN, 'run', ...listening({ web: port }), '--run.linger', '1h', '--', 'sh', '-c', 'exit 6']
  await using child = await Child.start(process.execPath, args)
  await child.says(/msg="stays for a last scrape" seconds=3600/)
  // The process is looked for once a second, so the first scrape may come before its end was noticed.
  await until('the end in the metrics', async () => {
    const answer = await fetch(`http://127.0.0.1:${port}/metrics`)
    return /^app_process_up 0$/m.test(await answer.text()) || undefined
  })
  child.kill('SIGTERM')
  t.equal((await child.ended).code, 6)
})

t.test('the end of the application is counted once, by its status, however soon it ended', async t => {
  const f = async (script: string, reason: string) => {
    const port = await freePort()
    const args = [MAIN, 'run', ...listening({ web: port }), '--run.linger', '1h', '--', 'sh', '-c', script]
    await using child = await Child.start(process.execPath, args)
    await child.says(/msg="stays for a last scrape"/)
    const answer = await fetch(`http://127.0.0.1:${port}/metrics`)
    const counted = [
      ...(await answer.text()).matchAll(/^app_process_exits_total\{reason="(\w+)",evidence="(\w+)"\} 1$/gm),
    ]
    t.same(
      counted.map(([, ...labels]) => labels),
      [[reason, 'status']],
      script,
    )
    child.kill('SIGTERM')
    await child.ended
  }
  await f('exit 6', 'error')
  await f('exit 0', 'clean')
  await f('sleep 2; kill -SEGV $$', 'crash')
  await f('sleep 2; kill -KILL $$', 'killed')
})

t.test('run.group sends a signal to all that the application started', async t => {
  const script = 'sleep 300 & echo $!; wait'
  await using child = await Child.start(process.execPath, [
    MAIN,
    'run',
    ...FREE,
    '--run.group',
    '--',
    'sh',
    '-c',
    script,
  ])
  const [, sleeper] = await child.says(/^(\d+)\n/m)
  child.kill('SIGTERM')
  t.equal((await child.ended).signal, 'SIGTERM')
  await until('the end of what it started', () => !existsSync(`/proc/${sleeper}/fd/0`) || undefined)
})

t.test('a process that the command started and that outlives it is named', async t => {
  const port = await freePort()
  await using child = await Child.start(process.execPath, [
    ...[MAIN, 'run', ...listening({ web: port })],
    ...['--', 'sh', '-c', 'sleep 300 >/dev/null 2>&1 & echo $!; wait; true'],
  ])
  const [, pid] = await child.says(/^(\d+)\n/m)
  t.teardown(() => process.kill(Number(pid), 'SIGKILL'))
  await until('both in the metrics', async () => {
    const answer = await fetch(`http://127.0.0.1:${port}/metrics`)
    return /^app_processes 2$/m.test(await answer.text()) || undefined
  })
  child.kill('SIGTERM')
  await child.says(new RegExp(`the command has ended, but what it started still runs; --run.group .*" pids=${pid}\n`))
})

t.test('--quiet leaves out the banner and ordinary lines, and says what went wrong', async t => {
  await using well = await run(['--quiet'], 'true')
  t.equal(well.stderr, '')
  await using badly = await run(['--quiet'], 'false')
  t.match(badly.stderr, /^time=\S+ level=warn .*the application ended with exit code 1 [^\n]*\n$/)
})

t.test('the banner stands before the first line of the application, and names the service', async t => {
  await using child = await run([], 'sh', '-c', 'echo first >&2; sleep 0.2')
  t.match(child.stderr, /^pillion \S+ rides with sh …\n {2}service {2}sh\n {2}metrics {2}http:(?:.|\n)*\nfirst\n/)
})

t.test('--log.format json writes one object for each line', async t => {
  await using child = await run(['--log.format', 'json'], 'false')
  const lines = child.stderr.split('\n').filter(line => line.startsWith('{'))
  t.ok(lines.length > 0)
  const [ended] = lines.map(line => JSON.parse(line)).filter(({ msg }) => /exit code 1/.test(msg))
  t.match(ended, { time: /^\d{4}-.*Z$/, level: 'warn', logger: 'pillion', cpu_seconds: Number })
})

t.test(
  'nothing is written into a full-screen program, nor from the background of a terminal that stops writers',
  async t => {
    const f = async (
      lines: boolean,
      stopsWriters: boolean,
      foreground: boolean,
      expected: readonly string[],
    ): Promise<void> => {
      const written: string[] = []
      const write = (text: string): boolean => written.push(text) > 0
      const writer = new TerminalWriter(
        write,
        () => foreground,
        async () => ({ lines, stopsWriters }),
      )
      for (let n = 0; n < 64; n++) t.ok(writer.write(`${n}`))
      t.notOk(writer.write('too much'))
      await writer.settled()
      t.same(written.slice(0, 1), expected)
    }
    await f(true, false, false, ['0'])
    await f(true, true, true, ['0'])
    await f(true, true, false, [])
    await f(false, false, true, [])
    const unknown: string[] = []
    const writer = new TerminalWriter(
      text => unknown.push(text) > 0,
      () => true,
      async () => undefined,
    )
    writer.write('a')
    await writer.settled()
    t.same(unknown, ['a'])
    t.equal(await terminalModes(0), undefined, 'no terminal')
  },
)

const script = existsSync('/usr/bin/script') ? false : 'needs script(1): apt-get install bsdutils'

t.test('on a terminal', { skip: script }, async t => {
  /** Types on a terminal on which `command` runs, and reads what it shows. */
  const typed = (t: Test, command: string) => {
    const child = spawn('env', ['-u', 'NODE_OPTIONS', 'script', '-qec', command, '/dev/null'], {
      stdio: 'pipe',
      env: { ...process.env, SHELL: '/bin/sh', PS1: '$ ' },
    })
    t.teardown(() => child.kill('SIGKILL'))
    let out = ''
    child.stdout.on('data', chunk => {
      out += chunk
    })
    const shows = (wanted: RegExp) => until(`${wanted} on the terminal`, () => wanted.exec(out) ?? undefined)
    return {
      type: (text: string) => child.stdin.write(text),
      shows,
      out: () => out,
      ended: new Promise(resolve => child.once('exit', resolve)),
    }
  }

  t.test('Ctrl-Z stops the job, and fg lets it go on', async t => {
    const dir = t.testdir({
      'app.sh': `trap 'echo continued' CONT; trap 'echo interrupted; exit 0' INT; echo up; while :; do sleep 0.05; done`,
    })
    const { type, shows, ended } = typed(t, 'exec bash --norc --noprofile -i')
    await shows(/\$ /)
    type(`${process.execPath} ${MAIN} run ${FREE.join(' ')} --quiet -- sh ${dir}/app.sh\n`)
    await shows(/^up/m)
    type('\x1a')
    await shows(/Stopped/)
    type('fg\n')
    await shows(/^continued/m)
    type('\x03')
    await shows(/^(?:\^C)?interrupted/m)
    type('exit\n')
    await ended
  })

  t.test('an application that stops before the sidecar hears of it stops the job too', async t => {
    // It runs before the sidecar, which started it, does: nearly always on a machine that is busy, sometimes on one that is not.
    for (let round = 0; round < 5; round++) {
      const { type, shows } = typed(t, 'exec bash --norc --noprofile -i')
      await shows(/\$ /)
      type(`${process.execPath} ${MAIN} run ${FREE.join(' ')} --quiet -- sh -c 'kill -STOP $$; echo went "on"'\n`)
      await shows(/Stopped/)
      type('fg\n')
      await shows(/^went on/m)
    }
  })

  t.test('Ctrl-S, or a terminal that nobody reads, does not hold the sidecar', async t => {
    const port = await freePort()
    const flags = [...listening({ web: port }), '--app.url', `http://127.0.0.1:${await freePort()}`]
    const { type, shows, out, ended } = typed(t, `exec ${process.execPath} ${MAIN} ${flags.join(' ')}`)
    await shows(/pillion/)
    type('\x13')
    const reload = async (): Promise<number> => {
      const url = `http://127.0.0.1:${port}/-/reload`
      const answer = await fetch(url, { method: 'POST', signal: AbortSignal.timeout(5000) })
      await answer.arrayBuffer()
      return answer.status
    }
    // Each writes a line, until Ctrl-S is in effect.
    await until('a line that is not shown', async () => {
      const before = out()
      t.equal(await reload(), 200)
      await new Promise(resolve => setTimeout(resolve, 500))
      return out() === before || undefined
    })
    type('\x11')
    await until('how many lines were not shown', async () => {
      await reload()
      return / dropped=\d/.test(out()) || undefined
    })
    // Attached, it takes the end of its terminal (SIGHUP) for a wish to reload.
    type('\x03')
    await ended
  })

  t.test('a program that takes single keys is not written into', async t => {
    const app = 'stty -icanon; echo up; sleep 5; stty icanon; echo end'
    const { shows, out } = typed(t, `exec ${process.execPath} ${MAIN} run ${FREE.join(' ')} -- sh -c '${app}'`)
    await shows(/^end/m)
    const between = out().slice(out().indexOf('up'), out().indexOf('end'))
    t.equal(between.replace(/\r/g, ''), 'up\n')
  })
})

t.test('check of a FIFO that nobody writes to ends on SIGTERM', async t => {
  const fifo = `${t.testdir({})}/config`
  await using made = await Child.start('mkfifo', [fifo])
  await made.ended
  await using child = await Child.start(process.execPath, [MAIN, 'check', '--config', fifo])
  await until('the file being open', () => existsSync(`/proc/${child.pid}/fd/3`) || undefined)
  await new Promise(resolve => setTimeout(resolve, 1000))
  t.equal((await child.stop()).code, 143)
})

t.test('a configuration is read from a FIFO whose writer comes late', async t => {
  const fifo = `${t.testdir({})}/config`
  const main = fileURLToPath(new URL('../../main.ts', import.meta.url))
  const script = `mkfifo ${fifo}; (sleep 1; echo 'app: { name: shop }' >${fifo}) & exec "$0" ${main} print-config --config ${fifo}`
  await using child = await Child.start('sh', ['-c', script, process.execPath])
  t.equal((await child.ended).code, 0)
  t.match(child.stdout, /name: shop +# file /)
})
