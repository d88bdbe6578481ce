// Resident memory under a steady load for ten minutes: flat means that memory is released as fast as it is allocated.

import { setTimeout as sleep } from 'node:timers/promises'
import { type Row as Line, median, slope, table } from '../figures.ts'
import { send } from '../load.ts'
import { cpuSeconds, memory } from '../machine.ts'
import type { Row } from '../run.ts'
import { pillion, scrape } from '../server.ts'

const MINUTES = 10
const SPANS_PER_SECOND = 10_000
const SPANS = 50
const SCRAPE_SECONDS = 15
/** Time to compile the code and to fill the tables. */
const WARM_MINUTES = 2
const SLOPE_MIB = 0.5
const MOST_MIB = 120

export const flat: Row = {
  name: 'flat',
  title: 'Resident memory over ten minutes',
  long: true,
  async measure(run) {
    const bodies = await run.bodies(SPANS)
    await using server = await pillion()
    await sleep(3000)
    const idle = memory(server.pid).rss
    const before = cpuSeconds(server.pid)
    const rate = SPANS_PER_SECOND / SPANS / 2
    const sending = Promise.all(
      (['http', 'grpc'] as const).map(protocol =>
        send({
          ...{ protocol, port: server[protocol], bodies: bodies.plain, gzip: false, connections: 4 },
          ...{ seconds: MINUTES * 60, rate },
        }),
      ),
    )
    let over = false
    const ended = sending.finally(() => {
      over = true
    })
    // Reported where it is awaited below.
    ended.catch(() => {})
    const begin = performance.now()
    const seen: (readonly [minutes: number, rss: number])[] = []
    for (let seconds = 1; !over; seconds++) {
      await sleep(Math.max(0, begin + seconds * 1000 - performance.now()))
      seen.push([(performance.now() - begin) / 60_000, memory(server.pid).rss])
      if (seconds % SCRAPE_SECONDS === 0) await scrape(server)
    }
    await ended
    const cpu = (cpuSeconds(server.pid) - before) / (MINUTES * 60)
    const minutes = Array.from({ length: MINUTES }, (_, i) => seen.filter(([at]) => at >= i && at < i + 1))
    const lines: Line[] = [
      ['median', idle.toFixed(1), ...minutes.map(part => median(part.map(([, rss]) => rss)).toFixed(1))],
      ['most', '', ...minutes.map(part => Math.max(...part.map(([, rss]) => rss)).toFixed(1))],
    ]
    const growth = slope(seen.filter(([at]) => at >= WARM_MINUTES))
    const most = Math.max(...seen.map(([, rss]) => rss))
    run.budget(
      `growth of RSS over ${MINUTES} min at 10 000 spans/s`,
      `≤ ${SLOPE_MIB} MiB/min`,
      `${growth.toFixed(2)} MiB/min`,
      growth <= SLOPE_MIB,
    )
    run.budget(
      `RSS over ${MINUTES} min at 10 000 spans/s, HTTP and gRPC`,
      `≤ ${MOST_MIB} MiB`,
      `${most.toFixed(1)} MiB`,
      most <= MOST_MIB,
    )
    return [
      `MiB of RSS by minute, at ${SPANS_PER_SECOND} spans a second, half over OTLP/HTTP and half over gRPC, ${SPANS} a request, a scrape each ${SCRAPE_SECONDS} s; ${(cpu * 100).toFixed(1)} % of a core. From minute ${WARM_MINUTES} on it changes by ${growth.toFixed(2)} MiB a minute, by least squares.`,
      table(['', 'idle', ...minutes.map((_, i) => String(i + 1))], lines),
    ].join('\n\n')
  },
}
