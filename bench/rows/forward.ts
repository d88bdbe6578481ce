// OTLP/HTTP in, OTLP/HTTP out, compressed: spans per CPU second, beside the Collector and Rotel doing the same.

import { setTimeout as sleep } from 'node:timers/promises'
import { type Row as Line, median, short, spread, table } from '../figures.ts'
import { send } from '../load.ts'
import { cpuSeconds, memory as memoryOf } from '../machine.ts'
import { otelcol } from '../rivals/otelcol.ts'
import { fetchRotel, rotel } from '../rivals/rotel.ts'
import type { Bodies, Row, Run } from '../run.ts'
import { pillion, type Server, scrape } from '../server.ts'
import { Sink } from '../sink.ts'
import { turns } from './intake.ts'

const SIZES = [512, 20]
/** The Collector's batch processor waits 200 ms, and so does Rotel; then what is queued has to go. */
const SETTLE_MS = 700
const WARM_MS = 3000

/** Only what the rivals do. */
const FORWARDING_ONLY = ['spans', 'blame', 'path', 'metrics', 'logs', 'traces', 'health', 'process'].map(
  part => `--no-${part}.enabled`,
)

const WANTED: Readonly<Record<string, readonly [spans: number, least: number][]>> = {
  Collector: [
    [512, 3],
    [20, 2.5],
  ],
  Rotel: [
    [512, 2],
    [20, 1.6],
  ],
}

export const forward: Row = {
  name: 'forward',
  title: 'OTLP/HTTP in, OTLP/HTTP out, gzip',
  async measure(run) {
    await using sink = await Sink.start()
    await using servers = new AsyncDisposableStack()
    const upstream = ['--forward.endpoint', sink.url]
    const ours = servers.use(await pillion([...FORWARDING_ONLY, ...upstream]))
    const zstd = servers.use(
      await pillion([...FORWARDING_ONLY, ...upstream, '--forward.compression', 'zstd'], { name: 'Pillion, zstd' }),
    )
    const whole = servers.use(await pillion(upstream, { name: 'Pillion as it comes' }))
    const theirs: Server[] = []
    if (run.collector) theirs.push(servers.use(await otelcol({ folder: run.folder, upstream: sink.url })))
    if (fetchRotel()) theirs.push(servers.use(await rotel(run.folder, sink.url)))
    const everybody = [ours, zstd, whole, ...theirs]

    for (const server of everybody) await everythingArrives(run, server, sink)
    // Code is compiled while it runs, so it runs before it is measured.
    for (const server of everybody) for (const spans of SIZES) await warmUp(server, await run.bodies(spans))
    await sleep(WARM_MS)
    const lines: Line[] = []
    for (const spans of SIZES) {
      const bodies = await run.bodies(spans)
      const requests = new Map<Server, number>()
      const sizes = new Map<Server, number>()
      const memory = new Map<Server, number>()
      const kept = new Map<Server, number>()
      const measured = await turns(run, everybody, async server => {
        await sink.take(false)
        const known = await forwarded(server)
        const before = cpuSeconds(server.pid)
        const job = { protocol: 'http', port: server.http, bodies: bodies.plain, gzip: false, connections: 8 } as const
        const sent = await send({ ...job, seconds: run.quick ? 1.5 : 3 })
        memory.set(server, Math.max(memory.get(server) ?? 0, memoryOf(server.pid).rss))
        const counts = await drained(sink)
        const cpu = cpuSeconds(server.pid) - before
        // The rivals answer with an error when they have no room, and the load generator would end.
        const arrived = known === undefined ? sent.requests * spans : ((await forwarded(server)) ?? 0) - known
        requests.set(server, counts.requests / sent.requests)
        sizes.set(server, counts.bytes / ((arrived / spans) * bodies.bytes))
        kept.set(server, arrived / (sent.requests * spans))
        return arrived / cpu
      })
      const of = (server: Server) => median(measured.get(server) ?? [])
      for (const server of everybody)
        lines.push([
          `${server.name}, ${spans} spans a request`,
          `${short(of(server))} ±${spread(measured.get(server) ?? []).toFixed(0)} %`,
          theirs.includes(server) ? `${(of(ours) / of(server)).toFixed(2)} ×` : '',
          (requests.get(server) ?? 0).toFixed(3),
          `${((kept.get(server) ?? 0) * 100).toFixed(0)} %`,
          `${((sizes.get(server) ?? 0) * 100).toFixed(1)} %`,
          (memory.get(server) ?? 0).toFixed(0),
        ])
      for (const server of theirs) judge(run, spans, server.name, of(ours) / of(server))
      const [least] = theirs.map(server => memory.get(server) ?? 0).sort((a, b) => a - b)
      const most = memory.get(ours) ?? 0
      if (least !== undefined)
        run.budget(
          `RSS while forwarding, ${spans} a request`,
          'below both rivals',
          `${most.toFixed(0)} MiB beside ${least.toFixed(0)}`,
          most < least,
        )
    }
    return [
      `Spans that arrived upstream, per CPU second of the server process; 8 connections, closed loop; plain bodies in, gzip out (zstd where it says so). What comes faster than it can be sent is dropped by Pillion (the oldest) when its queue is full. Pillion does what the rivals do, with all its other parts off; "as it comes" it makes request metrics and keeps traces besides.`,
      table(
        [
          '',
          'spans per CPU second',
          'Pillion beside it',
          'requests out for one in',
          'arrived',
          'bytes out',
          'RSS, MiB',
        ],
        lines,
      ),
    ].join('\n\n')
  },
}

async function warmUp(server: Server, bodies: Bodies): Promise<void> {
  const job = { protocol: 'http', port: server.http, bodies: bodies.plain, gzip: false, connections: 8 } as const
  await send({ ...job, seconds: WARM_MS / 1000 })
}

/** Waits until nothing comes any more; returns all that came. */
async function drained(sink: Sink): Promise<{ readonly requests: number; readonly bytes: number }> {
  const all = { requests: 0, bytes: 0 }
  for (let quiet = 0; quiet < 2; ) {
    await sleep(SETTLE_MS / 2)
    const { requests, bytes } = await sink.take(false)
    quiet = requests === 0 ? quiet + 1 : 0
    all.requests += requests
    all.bytes += bytes
  }
  return all
}

/** Spans that Pillion has forwarded; undefined for the others. */
async function forwarded(server: Server): Promise<number | undefined> {
  if (!server.name.startsWith('Pillion')) return undefined
  const found = /^pillion_forward_items_total\{[^}]*signal="traces"[^}]*\} (\d+)/m.exec(await scrape(server))
  return Number(found?.[1] ?? 0)
}

function judge(run: Run, spans: number, rival: string, ratio: number): void {
  const least = WANTED[rival]?.find(([size]) => size === spans)?.[1]
  if (least === undefined) return
  const what = `forwarding, spans per CPU second at ${spans} a request, beside ${rival}`
  run.budget(what, `≥ ${least} ×`, `${ratio.toFixed(2)} ×`, ratio >= least)
}

/** Before anything is measured: what is sent arrives, all of it. */
async function everythingArrives(run: Run, server: Server, sink: Sink): Promise<void> {
  const bodies: Bodies = await run.bodies(20)
  await sink.take(true)
  const job = { protocol: 'http', port: server.http, bodies: bodies.plain, gzip: false, connections: 4 } as const
  const { requests } = await send({ ...job, requests: bodies.count })
  let arrived = 0
  for (let tries = 0; tries < 50 && arrived < requests * 20; tries++) {
    await sleep(100)
    arrived += (await sink.take(true)).spans
  }
  // A body that is compressed as zstd is not opened by the sink.
  if (!server.name.includes('zstd') && arrived !== requests * 20)
    throw new Error(`${server.name}: sent ${requests * 20} spans, of which ${arrived} arrived`)
}
