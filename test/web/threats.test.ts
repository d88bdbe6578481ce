// Clients that mean harm, or have died without a word: what they cost is bounded and short.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import t from 'tap'
import { Token } from '../../exporter/web/token.ts'
import { clock } from '../../host/clock.ts'
import { door, exchange, parsed, silent, text, until } from './door.ts'

t.test('forty readers that never read cost little memory, and are cut off', async t => {
  const body = Buffer.alloc(14 * 1024 * 1024, 'x')
  const { port, ask, refused } = await door(t, {
    deps: { scrape: async () => ({ contentType: text, chunks: [body] }) },
    options: { scrape_timeout: 500 },
    limits: { responseMs: 1500 },
  })
  const before = process.memoryUsage().rss
  const readers = Array.from({ length: 40 }, () => silent(port, 'GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n'))
  t.teardown(() => {
    for (const socket of readers) socket.destroy()
  })
  await until(async () => ((await refused('busy')) ?? 0) >= 36)
  const grown = (process.memoryUsage().rss - before) / 2 ** 20
  t.ok(grown < 20, `${grown.toFixed(1)} MiB more`)
  t.equal(parsed(await ask('GET /-/healthy')).status, 200, 'others are served meanwhile')
  await until(async () => ((await refused('slow')) ?? 0) >= 3)
  await until(async () => parsed(await ask('HEAD /metrics')).status === 200)
})

t.test('a client that is stopped in the middle of a request does not hold its connection', async t => {
  const { port, refused } = await door(t, { limits: { headersMs: 300, requestMs: 300, connections: 1 } })
  // It prints when it is connected and has sent half a head.
  const program = `const s = require('node:net').connect(${port}, '127.0.0.1', () => s.write('GET /metrics HTTP/1.1\\r\\nHo', () => console.log('half')))`
  const client = spawn(process.execPath, ['-e', program], { stdio: ['ignore', 'pipe', 'inherit'] })
  t.teardown(() => client.kill('SIGKILL'))
  await once(client.stdout, 'data')
  client.kill('SIGSTOP')
  await until(async () => (await refused('malformed')) === 1)
  // The one connection that there may be is free again.
  const answered = async (): Promise<boolean> => {
    return (
      parsed(await exchange(port, 'GET /-/healthy HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n')).status ===
      200
    )
  }
  await until(answered)
})

t.test('a hundred wrong tokens cost less than a twentieth of a second of CPU', async t => {
  const log = { info() {}, warn() {}, error() {} }
  const token = await Token.open(join(t.testdir({ token: 'right' }), 'token'), clock, log)
  const begun = process.cpuUsage()
  let right = 0
  for (let i = 0; i < 100; i++) if (await token.matches(`Bearer ${'wrong'.repeat(i)}`)) right++
  const { user, system } = process.cpuUsage(begun)
  t.equal(right, 0)
  t.ok(user + system < 50_000, `${user + system} µs`)
})
