// Numbers out: CPU of one scrape by size and format, and what a scrape does to others who wait for the same process.

import { setTimeout as sleep } from 'node:timers/promises'
import { varied } from '../bodies.ts'
import { advantage, type Row as Line, median, quantile, short, table } from '../figures.ts'
import { send } from '../load.ts'
import { cpuSeconds } from '../machine.ts'
import { otelcol, SEEN_MS } from '../rivals/otelcol.ts'
import { promClient, type TextFormat } from '../rivals/promclient.ts'
import type { Row, Run } from '../run.ts'
import { scrapeFor } from '../scraper.ts'
import { pillion, type Server, scrape } from '../server.ts'

const ACCEPT: Readonly<Record<TextFormat, string>> = {
  text: 'text/plain;version=0.0.4',
  openmetrics: 'application/openmetrics-text;version=1.0.0',
}
/** A label set of request metrics is this many series: 2 of calls, 17 of the histogram, 1 of the size. */
const SERIES_PER_SET = 20

export const exposition: Row = {
  name: 'exposition',
  title: 'Exposition',
  async measure(run) {
    const lines: Line[] = []
    for (const series of [1000, 10_000, 100_000]) {
      await using loaded = await Loaded.start(run, series)
      for (const format of ['text', 'openmetrics'] as const) {
        await using rival = await promClient(series / SERIES_PER_SET, format)
        const ours = await cost(run, loaded.ours, format, false)
        const packed = await cost(run, loaded.ours, format, true)
        const theirs = await cost(run, rival, format, false)
        const others = loaded.collector && (await cost(run, loaded.collector, format, false))
        const otherPacked = loaded.collector && (await cost(run, loaded.collector, format, true))
        const ratio = theirs.perSample / ours.perSample
        const besides = others && others.perSample / ours.perSample
        lines.push([
          `${short(series)}, ${format}`,
          `${short(ours.samples)}, ${short(ours.bytes)}`,
          milliseconds(ours),
          milliseconds(packed),
          milliseconds(theirs),
          advantage(ratio, 'prom-client'),
          ...(others && otherPacked && besides
            ? [milliseconds(others), milliseconds(otherPacked), advantage(besides, 'the Collector')]
            : []),
        ])
        if (format === 'openmetrics' || series < 10_000) continue
        const what = `/metrics of ${short(series)} series, CPU a sample`
        run.budget(`${what}, beside prom-client`, '≥ 10 ×', `${ratio.toFixed(1)} ×`, ratio >= 10)
        if (besides) run.budget(`${what}, beside the Collector`, 'less', `${besides.toFixed(1)} × less`, besides > 1)
      }
    }
    const head = [
      'series, format',
      'samples, bytes',
      'Pillion ms',
      'gzip',
      'prom-client ms',
      'beside prom-client',
      ...(run.collector ? ['Collector ms', 'gzip', 'beside the Collector'] : []),
    ]
    return [
      'CPU milliseconds of the whole server process for one scrape, back to back. The ratios are those of CPU a sample, since our page has our own families besides, and the Collector has no size and no errors at 0. OpenMetrics has exemplars in Pillion and prom-client; in the Collector they are off, its default.',
      table(head, lines),
    ].join('\n\n')
  },
}

interface Cost {
  readonly ms: number
  readonly samples: number
  readonly bytes: number
  readonly perSample: number
}

const milliseconds = ({ ms }: Cost) => short(ms)

async function cost(run: Run, server: Server, format: TextFormat, gzip: boolean): Promise<Cost> {
  const samples = (await scrape(server, ACCEPT[format])).match(/^[^#\n]/gm)?.length ?? 0
  const scraping = { port: server.metrics, accept: ACCEPT[format], gzip }
  await scrapeFor({ ...scraping, seconds: 0.3 })
  const costs: number[] = []
  let bytes = 0
  for (let round = 0; round < run.rounds; round++) {
    const before = cpuSeconds(server.pid)
    const scraped = await scrapeFor({ ...scraping, seconds: run.seconds })
    costs.push(((cpuSeconds(server.pid) - before) * 1000) / scraped.scrapes)
    bytes = scraped.bytes
  }
  const ms = median(costs)
  return { ms, samples, bytes, perSample: ms / samples }
}

/** Ours and the Collector, holding the same label sets. */
class Loaded implements AsyncDisposable {
  readonly ours: Server
  readonly collector: Server | undefined

  private constructor(ours: Server, collector: Server | undefined) {
    this.ours = ours
    this.collector = collector
  }

  static async start(run: Run, series: number): Promise<Loaded> {
    const operations = series / SERIES_PER_SET
    const bodies = run.pack(`series-${series}`, 512, varied((await run.sdkBodies(512))[0]!, 512, { operations }))
    const loaded = new Loaded(
      await pillion(['--spans.limit', '1000000']),
      run.collector ? await otelcol({ folder: run.folder }) : undefined,
    )
    for (const { http } of [loaded.ours, ...(loaded.collector ? [loaded.collector] : [])]) {
      const requests = Math.max(bodies.count, Math.ceil((operations * 20) / 512))
      await send({ protocol: 'http', port: http, bodies: bodies.plain, gzip: false, connections: 4, requests })
    }
    if (loaded.collector) await sleep(SEEN_MS)
    return loaded
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.ours[Symbol.asyncDispose]()
    await this.collector?.[Symbol.asyncDispose]()
  }
}

export const waiting: Row = {
  name: 'waiting',
  title: 'Waiting for a process that is being scraped',
  async measure(run) {
    await using loaded = await Loaded.start(run, 100_000)
    await using rival = await promClient(100_000 / SERIES_PER_SET, 'text')
    const lines: Line[] = []
    const servers = [loaded.ours, rival, ...(loaded.collector ? [loaded.collector] : [])]
    for (const server of servers)
      for (const gzip of server === rival ? [false] : [false, true]) {
        const seconds = run.quick ? 2 : 3
        const idle = await waits(server.metrics, sleep(seconds * 1000))
        const scraping = { port: server.metrics, accept: ACCEPT.text, gzip, pauseMs: 200 }
        await scrapeFor({ ...scraping, seconds: 0.5 })
        const busy = await waits(server.metrics, scrapeFor({ ...scraping, seconds }))
        const f = (list: readonly number[], share: number) => quantile(list, share).toFixed(1)
        lines.push([
          `${server.name}${gzip ? ', gzip' : ''}`,
          `${f(idle, 0.5)} / ${f(idle, 0.99)}`,
          `${f(busy, 0.5)} / ${f(busy, 0.9)} / ${f(busy, 0.99)} / ${f(busy, 1)}`,
          `${(quantile(busy, 0.99) / quantile(idle, 0.99)).toFixed(1)} ×`,
        ])
        const ratio = quantile(busy, 0.99) / quantile(idle, 0.99)
        if (server === loaded.ours && gzip)
          run.budget(
            'p99 wait during a scrape of 100 000 series, as Prometheus asks (gzip), beside idle',
            '≤ 3 ×',
            `${ratio.toFixed(1)} ×`,
            ratio <= 3,
          )
        if (server === loaded.ours)
          run.budget(
            `longest wait during a scrape of 100 000 series${gzip ? ', gzip' : ''}`,
            '≤ 50 ms',
            `${f(busy, 1)} ms`,
            quantile(busy, 1) <= 50,
          )
      }
    return [
      'Milliseconds that `GET /-/healthy` waits for its answer, asked every 5 ms by another process, while a third one scrapes 100 000 series as text with pauses of 200 ms. (The Collector answers that path with 404, on the same server.)',
      table(['', 'idle: p50 / p99', 'scraped: p50 / p90 / p99 / most', 'p99 beside idle'], lines),
    ].join('\n\n')
  },
}

/** Milliseconds that requests took until `over`. */
async function waits(port: number, over: Promise<unknown>): Promise<number[]> {
  const { request, Agent } = process.getBuiltinModule('node:http')
  const agent = new Agent({ keepAlive: true })
  const took: number[] = []
  let done = false
  void over.finally(() => {
    done = true
  })
  while (!done) {
    const begin = performance.now()
    await new Promise<void>((resolve, reject) => {
      request({ host: '127.0.0.1', port, path: '/-/healthy', agent }, answer => {
        answer.resume().on('end', resolve)
      })
        .on('error', reject)
        .end()
    })
    took.push(performance.now() - begin)
    await sleep(5)
  }
  await over
  agent.destroy()
  return took
}
