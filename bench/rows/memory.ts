// Resident memory: at rest, under a steady load, and after it.

import { setTimeout as sleep } from 'node:timers/promises'
import { type Row as Line, median, table } from '../figures.ts'
import { send } from '../load.ts'
import { cpuSeconds, memory as memoryOf } from '../machine.ts'
import { otelcol } from '../rivals/otelcol.ts'
import type { Row, Run } from '../run.ts'
import { pillion, type Server, scrape } from '../server.ts'

const SPANS_PER_SECOND = 10_000
const SIZES = [512, 20]

interface Figures {
  readonly idle: number
  readonly idleAnonymous: number
  readonly loaded: number
  readonly most: number
  readonly after: number
  readonly cpu: number
}

export const memory: Row = {
  name: 'memory',
  title: 'Resident memory',
  async measure(run) {
    const lines: Line[] = []
    for (const spans of SIZES) {
      const ours = await figures(run, spans, await pillion())
      const all: [string, Figures][] = [['Pillion', ours]]
      if (run.collector) all.push(['Collector', await figures(run, spans, await otelcol({ folder: run.folder }))])
      for (const [name, each] of all) {
        const mib = (value: number) => value.toFixed(1)
        lines.push([
          `${name}, ${spans} spans a request`,
          `${mib(each.idle)} (${mib(each.idleAnonymous)})`,
          mib(each.loaded),
          mib(each.most),
          mib(each.after),
          `${(each.cpu * 100).toFixed(1)} %`,
        ])
      }
      judge(run, spans, ours, all[1]?.[1])
    }
    return [
      `MiB of RSS, in brackets the part that no file backs; load at ${SPANS_PER_SECOND} spans a second over OTLP/HTTP, a scrape each second. Health, process, OTLP and web are on.`,
      table(['', 'idle', 'loaded', 'at most', '3 s after', 'CPU, of a core'], lines),
    ].join('\n\n')
  },
}

function judge(run: Run, spans: number, ours: Figures, theirs: Figures | undefined): void {
  const f = (what: string, budget: string, mine: number, most: number) =>
    run.budget(what, budget, `${mine.toFixed(1)} MiB beside ${most.toFixed(1)}`, mine <= most)
  f('RSS idle', '≤ 70 MiB', ours.idle, 70)
  f(`RSS at 10 000 spans/s, ${spans} a request`, '≤ 110 MiB', ours.most, 110)
  if (!theirs) return
  f('RSS idle, beside the Collector', '≤ the Collector', ours.idle, theirs.idle)
  f(`RSS at 10 000 spans/s, ${spans} a request, beside the Collector`, '≤ the Collector', ours.most, theirs.most)
}

async function figures(run: Run, spans: number, started: Server): Promise<Figures> {
  await using server = started
  await sleep(2500)
  await scrape(server)
  await sleep(1000)
  const idle = memoryOf(server.pid)
  const seconds = run.quick ? 4 : 8
  const before = cpuSeconds(server.pid)
  const bodies = await run.bodies(spans)
  const loading = send({
    ...{ protocol: 'http', port: server.http, bodies: bodies.plain, gzip: false, connections: 4 },
    ...{ seconds, rate: SPANS_PER_SECOND / spans },
  })
  const seen: number[] = []
  let over = false
  void loading.finally(() => {
    over = true
  })
  for (let n = 0; !over; n++) {
    await sleep(200)
    seen.push(memoryOf(server.pid).rss)
    if (n % 5 === 4) await scrape(server)
  }
  await loading
  const cpu = (cpuSeconds(server.pid) - before) / seconds
  await sleep(3000)
  const loaded = median(seen.slice(seen.length >> 1))
  const after = memoryOf(server.pid).rss
  return { idle: idle.rss, idleAnonymous: idle.anonymous, loaded, most: Math.max(...seen), after, cpu }
}
