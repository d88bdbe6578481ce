// The cost of merging, and that a page of any size never holds the event loop.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import t from 'tap'
import { cpuOf, longestTurn } from '../cpu.ts'
import { OPENMETRICS, PROTOBUF, sidecar } from './application.ts'
import { scanned, written } from './judges.ts'

/** Histograms with ten buckets and four labels, as an HTTP server has them. */
export function page(lines: number): Buffer {
  const texts: string[] = []
  for (let i = 0, written = 0; written < lines; i++, written += 13) {
    const name = `http_request_duration_${Math.floor(i / 20)}_seconds`
    const labels = `method="GET",route="/api/v1/items/${i}",status="200",zone="eu-west-1a"`
    if (i % 20 === 0) texts.push(`# HELP ${name} Seconds.\n# TYPE ${name} histogram\n`)
    for (const [place, le] of [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, '+Inf'].entries())
      texts.push(`${name}_bucket{${labels},le="${le}"} ${i + place}\n`)
    texts.push(`${name}_sum{${labels}} ${i * 1.2345}\n${name}_count{${labels}} ${i + 10}\n`)
  }
  return Buffer.from(texts.join(''))
}

const SERVER = `
const page = require('node:fs').readFileSync(process.argv[1])
const server = require('node:http').createServer((_, response) => response.writeHead(200, { 'content-type': 'text/plain' }).end(page))
server.listen(0, '127.0.0.1', () => console.log('http://127.0.0.1:' + server.address().port))`

for (const format of ['text', 'openmetrics'] as const)
  t.test(`10 000 lines of text are read and written as ${format} in 10 ms of CPU`, async t => {
    const body = page(10_000)
    const times = Array.from({ length: 60 }, () => cpuOf(() => written(scanned(body, 'text').page, format)))
    // Others on the machine make it longer, and nothing makes it shorter.
    const ms = Math.min(...times)
    t.comment(`${ms.toFixed(1)} ms, ${(body.length / 1e6).toFixed(2)} MB`)
    t.ok(ms <= 10, `${ms} ms`)
  })

t.test('a page of 100 000 lines does not hold the loop for 50 ms', async t => {
  // In a process of its own: what it does is not what is measured.
  const file = `${t.testdir({})}/page`
  writeFileSync(file, page(100_000))
  const server = spawn(process.execPath, ['-e', SERVER, file], { stdio: ['ignore', 'pipe', 'inherit'] })
  t.teardown(() => server.kill('SIGKILL'))
  const url = String((await once(server.stdout, 'data'))[0]).trim()
  for (const accept of [undefined, OPENMETRICS, PROTOBUF]) {
    const own = await sidecar(t, { url, max_samples: 200_000, max_body: '64MiB', timeout: '60s' })
    // The first time includes compiling it all, and a collection of garbage may fall into any: what holds the loop by itself does so
    // each time.
    await own.text(accept, 60_000)
    const turns: number[] = []
    let bytes = 0
    for (let n = 0; n < 3; n++) {
      // A page of the application serves for a second.
      await new Promise(resolve => setTimeout(resolve, 1100))
      bytes = 0
      turns.push(
        await longestTurn(async () => {
          const { chunks } = await own.scrape.stream(accept, AbortSignal.timeout(60_000), 60_000)
          for await (const chunk of chunks) bytes += chunk.length
        }),
      )
    }
    const longest = Math.min(...turns)
    t.comment(
      `${accept?.slice(0, 30) ?? 'text'}: ${bytes} bytes, longest turns ${turns.map(ms => ms.toFixed(1)).join(', ')} ms of CPU`,
    )
    t.ok(longest <= 50, `${longest.toFixed(1)} ms of CPU`)
  }
})

t.test('one name of nine megabytes is left out without holding the event loop', t => {
  const body = Buffer.alloc(9_000_000, 'a')
  const times = Array.from({ length: 20 }, () => cpuOf(() => t.equal(scanned(body, 'text').scanner.dropped.limits, 1)))
  t.comment(`${Math.min(...times).toFixed(1)} ms of CPU`)
  t.ok(Math.min(...times) < 10, `${Math.min(...times)} ms of CPU`)
  t.end()
})
