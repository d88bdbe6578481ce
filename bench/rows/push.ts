// The cost of pushing the page: CPU of a whole sidecar by encoding and size, beside a scrape of the same page, and how long a
// push holds the event loop.

import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { varied } from '../bodies.ts'
import { type Row as Line, short, table } from '../figures.ts'
import { send } from '../load.ts'
import { cpuSeconds } from '../machine.ts'
import type { Bodies, Row, Run } from '../run.ts'
import { scrapeFor } from '../scraper.ts'
import { pillion, type Server } from '../server.ts'

/** A label set of request metrics is this many series: 2 of calls, 17 of the histogram, 1 of the size. */
const SERIES_PER_SET = 20
const PROTOBUF = 'application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited'
const BUDGET_MS = 50

const WAYS = ['otlp', 'remote write 2.0', 'remote write 1.0'] as const
type Way = (typeof WAYS)[number]

export const push: Row = {
  name: 'push',
  title: 'Push',
  async measure(run) {
    const lines: Line[] = []
    let held = 0
    for (const series of run.quick ? [10_000, 100_000] : [1000, 10_000, 100_000]) {
      for (const way of WAYS) {
        const found = await measured(run, series, way)
        held = Math.max(held, found.held)
        lines.push([
          `${short(series)}, ${way}`,
          short(found.samples),
          short(found.bytes),
          short(found.ms),
          short((found.ms / found.samples) * 10_000),
          short(found.scrape),
          found.held.toFixed(0),
        ])
      }
    }
    run.budget(
      'the longest that a push holds the event loop',
      `≤ ${BUDGET_MS} ms`,
      `${held.toFixed(0)} ms`,
      held <= BUDGET_MS,
    )
    const head = [
      'series, protocol',
      'samples',
      'bytes sent',
      'CPU ms',
      'CPU ms for 10 000 samples',
      'a scrape in protobuf, ms',
      'loop held, ms',
    ]
    return `${ABOUT}\n\n${table(head, lines)}`
  },
}

const ABOUT =
  'CPU milliseconds of the whole server process for one push of the page to a receiver on this machine, less what it uses meanwhile without a push; what a scrape of the same page in protobuf costs, from which a push begins; and the longest time between two turns of a timer of 1 ms. A sample is a series of remote write or a data point of OTLP, where a histogram is one.'

interface Found {
  readonly samples: number
  readonly bytes: number
  readonly ms: number
  readonly scrape: number
  readonly held: number
}

async function measured(run: Run, series: number, way: Way): Promise<Found> {
  await using sink = await Sink.start(way)
  const protocol = way === 'otlp' ? 'otlp' : 'remote-write'
  const push = ['--push.endpoint', sink.url, '--push.protocol', protocol, '--push.interval', '1s']
  const preload = new URL('../held.ts', import.meta.url).href
  await using server = await pillion(['--spans.limit', '1000000', '--health.guess', 'false', ...push], { preload })
  const operations = series / SERIES_PER_SET
  const bodies = run.pack(`push-${series}`, 512, varied((await run.sdkBodies(512))[0]!, 512, { operations }))
  const requests = Math.max(bodies.count, Math.ceil((operations * 20) / 512))
  await send({ protocol: 'http', port: server.http, bodies: bodies.plain, gzip: false, connections: 4, requests })
  // Code that runs for the first time is slow.
  await sink.pages(4)
  await since(server)
  const seconds = run.quick ? 4 : 10
  const [before, pages, bytes, samples] = [cpuSeconds(server.pid), sink.ended, sink.bytes, await samplesOf(server)]
  await sleep(seconds * 1000)
  const made = sink.ended - pages
  const spent = (cpuSeconds(server.pid) - before) * 1000
  const held = (await since(server)).cpu
  const perPush = ((await samplesOf(server)) - samples) / made
  const idle = await idling(run, bodies, requests, seconds)
  const begun = cpuSeconds(server.pid)
  const scraped = await scrapeFor({ port: server.metrics, accept: PROTOBUF, gzip: false, seconds: run.seconds * 2 })
  const scrape = ((cpuSeconds(server.pid) - begun) * 1000) / scraped.scrapes
  return {
    samples: perPush,
    bytes: (sink.bytes - bytes) / Math.max(1, sink.ended - pages),
    ms: (spent - idle) / made,
    scrape,
    held,
  }
}

/** CPU milliseconds of a sidecar with the same series that pushes nothing, in as many seconds. */
async function idling(run: Run, bodies: Bodies, requests: number, seconds: number): Promise<number> {
  const preload = new URL('../held.ts', import.meta.url).href
  await using server = await pillion(['--spans.limit', '1000000', '--health.guess', 'false'], { preload })
  await send({ protocol: 'http', port: server.http, bodies: bodies.plain, gzip: false, connections: 4, requests })
  await sleep(run.seconds * 1000)
  const before = cpuSeconds(server.pid)
  await sleep(seconds * 1000)
  return (cpuSeconds(server.pid) - before) * 1000
}

async function samplesOf(server: Server): Promise<number> {
  const page = await (await fetch(`http://127.0.0.1:${server.metrics}/metrics`)).text()
  return Number(/^pillion_push_samples_total (\S+)$/m.exec(page)?.[1] ?? 0)
}

async function since(server: Server): Promise<{ cpu: number }> {
  const answer = once(server.process, 'message')
  server.process.send({})
  return (await answer)[0]
}

/** Takes everything and counts pages, which come one a second. */
class Sink implements AsyncDisposable {
  bytes = 0
  /** Pages, as far as their requests come within half a second. */
  ended = 0
  #last = 0
  readonly #way: Way
  readonly #server = createServer((request, response) => {
    request.on('data', (chunk: Buffer) => {
      this.bytes += chunk.length
    })
    request.on('end', () => {
      const version = request.headers['x-prometheus-remote-write-version']
      if (version === '2.0.0' && this.#way === 'remote write 1.0') {
        response.writeHead(415).end()
        return
      }
      const now = performance.now()
      if (now - this.#last > 500) this.ended++
      this.#last = now
      response
        .writeHead(version === '2.0.0' ? 204 : 200, { 'X-Prometheus-Remote-Write-Samples-Written': '100000000' })
        .end()
    })
  })

  private constructor(way: Way) {
    this.#way = way
  }

  static async start(way: Way): Promise<Sink> {
    const sink = new Sink(way)
    sink.#server.listen(0, '127.0.0.1')
    await once(sink.#server, 'listening')
    return sink
  }

  get url(): string {
    // A listening TCP server has an AddressInfo (node:net).
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/`
  }

  async pages(count: number): Promise<void> {
    const wanted = this.ended + count
    while (this.ended < wanted) await sleep(50)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections()
    await this.#server[Symbol.asyncDispose]()
  }
}
