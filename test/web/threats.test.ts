// Clients that have stopped or vanished: their connections are closed.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import t from 'tap'
import { exchange, openServer, parsed, until } from './open.ts'

t.test('a client that is stopped in the middle of a request does not hold its connection', async t => {
  const { port, refused } = await openServer(t, { limits: { headersMs: 300, requestMs: 300, connections: 1 } })
  // It prints when it is connected and has sent half a head.
  const program = `const s = require('node:net').connect(${port}, '127.0.0.1', () => s.write('GET /metrics HTTP/1.1\\r\\nHo', () => console.log('half')))`
  const client = spawn(process.execPath, ['-e', program], { stdio: ['ignore', 'pipe', 'inherit'] })
  t.teardown(() => client.kill('SIGKILL'))
  await once(client.stdout, 'data')
  client.kill('SIGSTOP')
  await until(async () => (await refused('malformed')) === 1)
  // Only one connection is allowed, so an answer means that the stopped client no longer holds it.
  let answer = ''
  await until(async () => {
    answer = await exchange(port, 'GET /-/healthy HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n')
    return answer !== ''
  })
  t.equal(parsed(answer).status, 200)
  t.equal(await refused('malformed'), 1)
})
