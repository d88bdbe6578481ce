// The cost of a scrape of the sidecar's own families: health, process, cgroup and itself, without any telemetry.

import { setTimeout as sleep } from 'node:timers/promises'
import { type Row as Line, median, table } from '../figures.ts'
import { cpuSeconds } from '../machine.ts'
import { ceiling } from '../rivals/ceiling.ts'
import type { Row } from '../run.ts'
import { scrapeFor } from '../scraper.ts'
import { pillion, scrape } from '../server.ts'

const ACCEPT = { text: 'text/plain;version=0.0.4', openmetrics: 'application/openmetrics-text;version=1.0.0' } as const
const BUDGET_MS = 2

export const own: Row = {
  name: 'own',
  title: 'A scrape of its own families',
  async measure(run) {
    await using app = await ceiling()
    const url = `http://127.0.0.1:${app.http}/`
    const probe = (n: number) => [`--health.probes.${n}.name=p${n}`, `--health.probes.${n}.url=${url}`]
    await using server = await pillion(['--app.url', url, ...probe(0), ...probe(1)])
    await sleep(2000)
    const lines: Line[] = []
    for (const format of ['text', 'openmetrics'] as const) {
      const accept = ACCEPT[format]
      const samples = (await scrape(server, accept)).match(/^[^#\n]/gm)?.length ?? 0
      const scraping = { port: server.metrics, accept, gzip: false }
      await scrapeFor({ ...scraping, seconds: 1 })
      const costs: number[] = []
      let bytes = 0
      for (let round = 0; round < run.rounds; round++) {
        const before = cpuSeconds(server.pid)
        const scraped = await scrapeFor({ ...scraping, seconds: run.seconds * 2 })
        costs.push(((cpuSeconds(server.pid) - before) * 1000) / scraped.scrapes)
        bytes = scraped.bytes
      }
      const ms = median(costs)
      lines.push([format, String(samples), `${(bytes / 1024).toFixed(1)} KiB`, ms.toFixed(2)])
      run.budget(`/metrics, own families, CPU, ${format}`, `< ${BUDGET_MS} ms`, `${ms.toFixed(2)} ms`, ms < BUDGET_MS)
    }
    const head = ['format', 'samples', 'page', 'CPU ms']
    return `CPU of the whole server process for one scrape, back to back. An application to observe, two probes, every listener open, nothing sent.\n\n${table(head, lines)}`
  },
}
