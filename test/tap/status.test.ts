// The status port: what it tells, whom it believes, and what it lets anybody do.

import { createServer } from 'node:http'
import { connect } from 'node:net'
import t from 'tap'
import { Child } from '../e2e/child.ts'
import { startSidecar } from '../e2e/ride.ts'
import { Application, ask, flags, ports, tapAnswers, tapped, until } from './tapped.ts'

t.setTimeout(120_000)

t.test('a status port that names another process does not get it ended', async t => {
  const application = await Application.start(t)
  const at = await ports()
  await using victim = await Child.start('sleep', ['60'])
  let asked = 0
  const liar = createServer((_, answer) => {
    asked++
    const listen = { host: '127.0.0.1', port: at.tap }
    answer.end(
      JSON.stringify({ pid: victim.pid, identity: 'x', listen, numbers: { inFlight: 0, wait: { counts: [] } } }),
    )
  })
  await new Promise<void>(resolve => liar.listen(at.status, '127.0.0.1', resolve))
  t.teardown(() => liar.close())
  await using ride = await startSidecar({ flags: flags(at, application.port) })
  await ride.child.says(/cannot end the tap: it is not a process of this program here/)
  t.ok(asked > 0)
  t.ok(victim.running)
  t.equal((await fetch(`${ride.web}/metrics`)).status, 200, 'numbers that are no numbers spoil no scrape')
  await ride.child.stop()
})

t.test('the status port answers whatever is sent to it, and nothing that is sent changes anything', async t => {
  const application = await Application.start(t)
  const at = await ports()
  await tapped(t, application.port, at)
  const f = async (sent: string): Promise<string> => {
    const { promise, resolve } = Promise.withResolvers<string>()
    let got = ''
    const socket = connect(at.status, '127.0.0.1')
    socket.setEncoding('utf8').on('data', text => {
      got += text
    })
    socket.on('error', () => {}).on('close', () => resolve(got))
    socket.write(sent)
    return await promise
  }
  t.match(await f('GET / HTTP/1.1\r\nHost: a\r\n\r\n'), /^HTTP\/1.1 200 OK\r\n.*"pid":/s)
  t.match(await f('DELETE /tap HTTP/1.1\r\n\r\n'), /^HTTP\/1.1 200 OK/)
  t.equal(await f('x'.repeat(5000)), '', 'a request without an end is cut')
  t.equal(await f('GET / HTTP'), '', 'one that does not come is not waited for')
  t.equal((await ask(at.tap, '/')).status, 200)
})

t.test('other options end the tap that runs, and start another one', async t => {
  const application = await Application.start(t)
  const at = await ports()
  const first = await startSidecar({ flags: flags(at, application.port) })
  const { pid } = await tapAnswers(at)
  first.child.kill('SIGKILL')
  await first.child.ended
  const ride = await tapped(t, application.port, at, ['--tap.route_limit=7'])
  await ride.child.says(/a tap with other options runs; it is ended/)
  await until('another tap', async () => ((await tapAnswers(at)).pid !== pid ? true : undefined))
  t.equal((await ask(at.tap, '/')).status, 200)
})
