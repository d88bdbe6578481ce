// Hostile clients: their cost in memory and CPU.

import { join } from 'node:path'
import t from 'tap'
import { Token } from '../../exporter/web/token.ts'
import { clock } from '../../host/clock.ts'
import { openServer, parsed, silent, text, until } from './open.ts'

t.test('forty readers that never read cost little memory, and are cut off', async t => {
  const body = Buffer.alloc(14 * 1024 * 1024, 'x')
  const { port, ask, refused } = await openServer(t, {
    host: { scrape: async () => ({ contentType: text, chunks: [body] }) },
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
