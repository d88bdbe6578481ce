// Errors are reported with their remedy, and the program ends, if at all, with the promised exit code.

import { once } from 'node:events'
import { createServer } from 'node:net'
import t from 'tap'
import { Child, freePort, until } from './child.ts'
import { MAIN, runSidecar, startSidecar } from './ride.ts'

/** Listeners on free ports, for a sidecar that is expected to end at once. */
const LISTENERS = ['--web.listen', '0', '--otlp.http.listen', '0', '--otlp.grpc.listen', '0']

t.test('a flag that does not exist: 64, and the one that was meant', async t => {
  await using child = await runSidecar(['--web.listn', '1'])
  t.equal((await child.ended).code, 64)
  t.match(child.stderr, /web\.listn.*web\.listen/s)
})

t.test('a command that does not exist: 64', async t => {
  await using child = await runSidecar(['ride'])
  t.equal((await child.ended).code, 64)
  t.match(child.stderr, /ride/)
})

t.test('a variable with a bad value: 78, and its name', async t => {
  await using child = await runSidecar(LISTENERS, { PILLION_APP_URL: 'shop' })
  t.equal((await child.ended).code, 78)
  t.match(child.stderr, /PILLION_APP_URL.*"shop"/s)
})

t.test('a file with an unknown key: 78, its line, and what was meant', async t => {
  const folder = t.testdir({ 'pillion.yaml': 'app:\n  ulr: http://127.0.0.1:1\n' })
  await using child = await runSidecar(['check', '--config', `${folder}/pillion.yaml`])
  t.equal((await child.ended).code, 78)
  t.match(child.stderr, /pillion\.yaml:2.*ulr.*url/s)
})

t.test('a file that is missing: 78', async t => {
  await using child = await runSidecar(['--config', `${t.testdir({})}/none.yaml`])
  t.equal((await child.ended).code, 78)
  t.match(child.stderr, /none\.yaml/)
})

for (const option of ['web.listen', 'otlp.http.listen', 'otlp.grpc.listen'])
  t.test(`a port that is taken: 69, and ${option}, which moves it`, async t => {
    await using taken = createServer().listen(0, '127.0.0.1')
    await once(taken, 'listening')
    const address = taken.address()
    const port = address !== null && typeof address === 'object' ? address.port : 0
    const others = LISTENERS.filter((word, at) => ![word, LISTENERS[at - 1]].includes(`--${option}`))
    await using child = await runSidecar([...others, `--${option}`, `127.0.0.1:${port}`])
    t.equal((await child.ended).code, 69)
    t.match(child.stderr, new RegExp(`${port}.*${option}`, 's'))
  })

t.test('run: a command that is not found: 127, and its name', async t => {
  await using child = await runSidecar(['run', ...LISTENERS, '--', 'no-such-program'])
  t.equal((await child.ended).code, 127)
  t.match(child.stderr, /no-such-program/)
})

t.test('run: a file that is not executable: 126', async t => {
  const folder = t.testdir({ script: '#!/bin/sh\n' })
  await using child = await runSidecar(['run', ...LISTENERS, '--', `${folder}/script`])
  t.equal((await child.ended).code, 126)
})

t.test('run: an application that dies at once: its own exit code and its output', async t => {
  await using child = await runSidecar(['run', ...LISTENERS, '--', 'sh', '-c', 'echo last words; exit 3'])
  t.equal((await child.ended).code, 3)
  t.equal(child.stdout, 'last words\n')
})

t.test('run: an application that a signal ends: 128 and its number', async t => {
  await using child = await runSidecar(['run', ...LISTENERS, '--', 'sh', '-c', 'kill -SEGV $$'])
  t.equal((await child.ended).code, 128 + 11)
})

t.test('run: SIGTERM reaches the application once, which decides how it ends', async t => {
  const script = 'trap "echo got it; exit 7" TERM; echo ready; while :; do sleep 0.05; done'
  await using ride = await startSidecar({ command: ['sh', '-c', script] })
  await ride.child.says(/ready/)
  t.equal((await ride.child.stop()).code, 7)
  t.equal(ride.child.stdout, 'ready\ngot it\n')
})

t.test('run: a sidecar that is killed leaves the application running and its output intact', async t => {
  const folder = t.testdir({})
  const script = `echo before; while ! [ -e ${folder}/go ]; do sleep 0.05; done; echo after`
  await using ride = await startSidecar({ command: ['sh', '-c', script] })
  await ride.child.says(/before/)
  ride.child.kill('SIGKILL')
  await using _go = await Child.start('touch', [`${folder}/go`])
  // The pipe closes when the application, its last writer, has ended.
  t.same(await ride.child.ended, { code: null, signal: 'SIGKILL' })
  t.equal(ride.child.stdout, 'before\nafter\n')
})

t.test('an application that cannot be reached: down, with a reason, and the sidecar stays', async t => {
  await using ride = await startSidecar({ flags: ['--app.url', `http://127.0.0.1:${await freePort()}`] })
  await until(
    'a failed probe',
    async () => ((await ride.value('app_health_probe_failures_total')) ?? 0) > 0 || undefined,
  )
  t.equal(await ride.value('app_health_probe_success'), 0)
  t.match(await ride.scrape(), /^app_health_probe_failures_total\{[^}]*reason="refused"\} [1-9]/m)
  t.equal(await ride.value('app_process_up'), 0)
  t.ok(ride.child.running)
})

t.test('a process that vanishes: its numbers vanish, app_process_up is 0, and the sidecar stays', async t => {
  await using app = await Child.start('sleep', ['1000'])
  await using ride = await startSidecar({ flags: ['--app.pid', String(app.pid)] })
  await until('the process', async () => (await ride.value('app_process_up')) === 1 || undefined)
  t.ok(((await ride.value('app_process_resident_memory_bytes')) ?? 0) > 0)
  app.kill('SIGKILL')
  await app.ended
  await until('its end', async () => (await ride.value('app_process_up')) === 0 || undefined)
  t.equal(await ride.value('app_process_resident_memory_bytes'), undefined)
  t.ok(ride.child.running)
})

t.test('requests that are no OTLP: answered, counted, survived', async t => {
  await using ride = await startSidecar()
  const status = async (init: RequestInit, path = '/v1/traces') => (await fetch(ride.otlp + path, init)).status
  const send = (type: string, body: string | Uint8Array<ArrayBuffer>) =>
    status({ method: 'POST', headers: { 'content-type': type }, body })
  t.equal(await send('application/x-protobuf', 'not protobuf'), 400)
  t.equal(await send('application/json', '{"resourceSpans":'), 400)
  t.equal(await send('text/plain', 'spans, please'), 415)
  t.equal(await send('application/x-protobuf', new Uint8Array(65 * 2 ** 20)), 413)
  t.equal(await status({ method: 'GET' }), 405)
  t.equal(await status({ method: 'POST' }, '/v2/traces'), 404)
  for (const code of ['400', '404', '405', '413', '415'])
    t.ok(((await ride.value('pillion_otlp_requests_total', { code })) ?? 0) > 0, `${code} is counted`)
  t.equal((await ride.value('traces_spanmetrics_calls_total')) ?? 0, 0)
  t.equal(await send('application/json', '{}'), 200)
})

t.test('requests that the web server has no answer for: said, survived', async t => {
  await using ride = await startSidecar()
  t.equal((await fetch(`${ride.web}/nowhere`)).status, 404)
  t.equal((await fetch(`${ride.web}/metrics`, { method: 'POST' })).status, 405)
  t.match(await ride.scrape(), /^pillion_build_info\{/m)
})

t.test('healthcheck: 0 beside a sidecar that runs, 1 beside none', async t => {
  await using ride = await startSidecar()
  const ask = async (address: string) => {
    await using child = await Child.start(process.execPath, [MAIN, 'healthcheck', '--web.listen', address])
    return await child.ended
  }
  t.equal((await ask(new URL(ride.web).host)).code, 0)
  t.equal((await ask(`127.0.0.1:${await freePort()}`)).code, 1)
})

t.test('run: what the sidecar writes leaves the application’s stdout and stderr blocking', async t => {
  const show = 'sleep 1; grep flags /proc/self/fdinfo/1 /proc/self/fdinfo/2 | sed s/.*flags://'
  await using ride = await startSidecar({ command: ['sh', '-c', `${show}; exec sleep 30`] })
  const [, ...flags] = await ride.child.says(/(0\d+)\s+(0\d+)/)
  for (const each of flags) t.equal(Number.parseInt(each, 8) & 0o4000, 0, 'O_NONBLOCK')
  t.same(await ride.child.stop(), { code: null, signal: 'SIGTERM' }, 'it ends as the application does')
})
