// Scrapes: CPU of one scrape by size and format, and how much a scrape delays other requests to the same process.

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

type Format = TextFormat | 'protobuf'

const ACCEPT: Readonly<Record<Format, string>> = {
  text: 'text/plain;version=0.0.4',
  openmetrics: 'application/openmetrics-text;version=1.0.0',
  protobuf: 'application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited',
}
/** Code is compiled while it runs, so a server is scraped for so long before it is measured. */
const WARM_SECONDS = 3
/** A label set of request metrics is this many series: 2 of calls, 17 of the histogram, 1 of the size. */
const SERIES_PER_SET = 20

export const exposition: Row = {
  name: 'exposition',
  title: 'Exposition',
  async measure(run) {
    const lines: Line[] = []
    const own = await ownFamilies(run)
    run.budget('/metrics without series of an application, CPU', '≤ 2 ms', `${own.toFixed(2)} ms`, own <= 2)
    for (const series of [1000, 10_000, 100_000]) {
      await using loaded = await Loaded.start(run, series)
      for (const format of ['text', 'openmetrics', 'protobuf'] as const) {
        await using rival = format === 'protobuf' ? undefined : await promClient(series / SERIES_PER_SET, format)
        const { ours, collector } = loaded
        const [plain, packed, theirs, others, otherPacked] = await costs(run, format, [
          { server: ours, gzip: false },
          { server: ours, gzip: true },
          { server: rival, gzip: false },
          { server: collector, gzip: false },
          { server: collector, gzip: true },
        ])
        if (!plain || !packed) throw new Error('ours is measured always')
        const ratio = theirs && theirs.perSample / plain.perSample
        const besides = others && others.perSample / plain.perSample
        lines.push([
          `${short(series)}, ${format}`,
          `${short(plain.samples)}, ${short(plain.bytes)}`,
          milliseconds(plain),
          milliseconds(packed),
          theirs ? milliseconds(theirs) : '',
          ratio ? advantage(ratio, 'prom-client') : '',
          ...(others && otherPacked && besides
            ? [milliseconds(others), milliseconds(otherPacked), advantage(besides, 'the Collector')]
            : []),
        ])
        if (format !== 'text' || series < 10_000) continue
        const what = `/metrics of ${short(series)} series, CPU a sample`
        if (ratio) run.budget(`${what}, beside prom-client`, '≥ 10 ×', `${ratio.toFixed(1)} ×`, ratio >= 10)
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
      `CPU milliseconds of the whole server process for one scrape, back to back; without any series of an application a scrape costs ${own.toFixed(2)} ms. The ratios are those of CPU a sample, since our page has our own families besides, and the Collector has no size and no errors at 0. OpenMetrics and protobuf have exemplars in Pillion and, where it knows the format, in prom-client, which has no protobuf; in the Collector they are off, its default.`,
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

interface Contestant {
  readonly server: Server | undefined
  readonly gzip: boolean
}

/** The cost of a scrape of each program, measured in turn; undefined for programs that are not installed. */
async function costs(run: Run, format: Format, all: readonly Contestant[]): Promise<(Cost | undefined)[]> {
  const scraping = (server: Server, gzip: boolean) => ({ port: server.metrics, accept: ACCEPT[format], gzip })
  const spent = all.map((): number[] => [])
  const bytes = all.map(() => 0)
  for (const { server, gzip } of all)
    if (server) await scrapeFor({ ...scraping(server, gzip), seconds: run.quick ? 1 : WARM_SECONDS })
  for (let round = 0; round < run.rounds; round++)
    for (const [n, { server, gzip }] of all.entries()) {
      if (!server) continue
      const before = cpuSeconds(server.pid)
      const scraped = await scrapeFor({ ...scraping(server, gzip), seconds: run.seconds })
      spent[n]!.push(((cpuSeconds(server.pid) - before) * 1000) / scraped.scrapes)
      bytes[n] = scraped.bytes
    }
  const measured: (Cost | undefined)[] = []
  for (const [n, { server }] of all.entries()) {
    if (!server) {
      measured.push(undefined)
      continue
    }
    // The samples of a protobuf page are those of the text page.
    const page = await scrape(server, ACCEPT[format === 'openmetrics' ? format : 'text'])
    const samples = page.match(/^[^#\n]/gm)?.length ?? 0
    const ms = median(spent[n]!)
    measured.push({ ms, samples, bytes: bytes[n]!, perSample: ms / samples })
  }
  return measured
}

/** CPU milliseconds of a scrape of a sidecar without any telemetry. */
async function ownFamilies(run: Run): Promise<number> {
  await using idle = await pillion()
  const [cost] = await costs(run, 'text', [{ server: idle, gzip: false }])
  if (!cost) throw new Error('it was measured')
  return cost.ms
}

/** Pillion and the Collector with the same label sets. */
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

/** Milliseconds of each request until `over`. */
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
