// The flags in the first line of main.ts, with which the program starts, and host/optimize.ts, which takes one back.

import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { Child, freePort, until } from '../e2e/child.ts'
import { MAIN, nodeFlags } from '../e2e/ride.ts'

const OPTIMIZE = fileURLToPath(new URL('../../host/optimize.ts', import.meta.url))

/** Does `work` for some milliseconds ten times a second, for some seconds, and then says so. */
const program = `
  const { optimizeUnderLoad } = await import(${JSON.stringify(OPTIMIZE)})
  const [busyMs, seconds] = process.argv.slice(1).map(Number)
  let sum = 0
  const work = n => { for (let i = 0; i < 1000; i++) sum += (n * i) % 7 }
  optimizeUnderLoad()
  const end = performance.now() + seconds * 1000
  const turn = () => {
    const until = performance.now() + busyMs
    for (let n = 0; performance.now() < until; n++) work(n)
    if (performance.now() < end) setTimeout(turn, 100)
    else console.log('done', sum)
  }
  turn()
`

async function life(busyMs: number, seconds: number): Promise<Child> {
  const flags = [...nodeFlags(MAIN), '--trace-opt', '--input-type=module', '-e', program]
  return await Child.start(process.execPath, [...flags, String(busyMs), String(seconds)])
}

t.test('under load the optimizing compiler is used, on a thread of its own', async t => {
  // As busy as other programs let it be, until it is seen.
  await using child = await life(500, 120)
  await child.says(/completed optimizing .*<JSFunction work /)
  t.match(child.stdout, /compiling method .*<JSFunction work .*TURBOFAN.*kConcurrent/)
})

t.test('at rest nothing is optimized', async t => {
  await using child = await life(0.2, 4)
  t.same(await child.ended, { code: 0, signal: null }, child.stderr)
  t.match(child.stdout, /^done/m)
  t.notMatch(child.stdout, /compiling method/)
})

/** Starts the program with the flags of its first line, and asks `url` for as long as nothing has been optimized. */
async function loaded(args: readonly string[], url: string): Promise<RegExpExecArray> {
  await using child = await Child.start(process.execPath, [...nodeFlags(MAIN), '--trace-opt', MAIN, ...args])
  await until(`an answer of ${url}`, async () => (await fetch(url)).ok || undefined)
  const busy = new AbortController()
  const asking = Array.from({ length: 4 }, async () => {
    while (!busy.signal.aborted) await (await fetch(url)).arrayBuffer()
  })
  try {
    return await child.says(/completed optimizing .*TURBOFAN/)
  } finally {
    busy.abort()
    await Promise.all(asking)
  }
}

t.test('the sidecar optimizes when it is scraped again and again', async t => {
  const web = `127.0.0.1:${await freePort()}`
  const off = ['--otlp.http.listen', 'off', '--otlp.grpc.listen', 'off', '--app.pid', String(process.pid)]
  t.ok(await loaded(['--web.listen', web, ...off], `http://${web}/metrics`))
})

t.test('so does the tap when requests go through it', async t => {
  await using server = createServer((_, answer) => answer.end('ok')).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const listen = `127.0.0.1:${await freePort()}`
  t.ok(await loaded(['tap', '--tap.listen', listen, '--tap.upstream', `127.0.0.1:${port}`], `http://${listen}/`))
})
