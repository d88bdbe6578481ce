// Reading log files: how many lines a second of CPU, all told: finding, reading, parsing, and what is made of them (log records
// counted and kept, spans counted and kept).

import { mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Row as Line, median, table } from '../figures.ts'
import { cpuSeconds } from '../machine.ts'
import { fetchGrok, grok } from '../rivals/grok.ts'
import { hasMtail, mtail } from '../rivals/mtail.ts'
import { hasRsyslog, rsyslog } from '../rivals/rsyslog.ts'
import type { Row } from '../run.ts'
import { pillion, scrape } from '../server.ts'

const KINDS = ['plain', 'json', 'access'] as const
type Kind = (typeof KINDS)[number]
const BUDGETS: Readonly<Record<Kind, number>> = { plain: 100_000, json: 50_000, access: 80_000 }
const TITLES: Readonly<Record<Kind, string>> = {
  plain: 'text with time and severity',
  json: 'JSON (pino)',
  access: 'access log (nginx)',
}

function line(kind: Kind, i: number): string {
  const at = 1_795_903_262_000 + i
  switch (kind) {
    case 'plain':
      return `${new Date(at).toISOString()} ${i % 50 ? 'INFO' : 'ERROR'} [exec-${i % 10}] com.example.Service - handled request ${i} for user bob in ${i % 100} ms`
    case 'json':
      return `{"level":${i % 50 ? 30 : 50},"time":${at},"pid":7,"hostname":"web-1","reqId":"req-${i}","trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","span_id":"00f067aa0ba902b7","user":"bob","ms":${i % 100},"msg":"handled request ${i}"}`
    case 'access':
      return `10.0.0.${i % 250} - - [28/Nov/2026:22:01:02 +0000] "GET /users/${i % 5000}/orders?page=${i % 7} HTTP/1.1" ${i % 50 ? 200 : 500} 612 "-" "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36" 0.0${10 + (i % 80)}`
  }
}

export const files: Row = {
  name: 'files',
  title: 'Log files',
  async measure(run) {
    const lines = run.quick ? 200_000 : 1_000_000
    const rows: Line[] = []
    for (const kind of KINDS) {
      const folder = join(run.folder, `files-${kind}`)
      mkdirSync(folder, { recursive: true })
      const made = join(folder, 'made')
      writeFileSync(made, Array.from({ length: lines }, (_, i) => `${line(kind, i)}\n`).join(''))
      const rates: number[] = []
      const rivals = rivalsOf(kind, folder, made, lines)
      const theirs = new Map(rivals.map(({ name }) => [name, [] as number[]]))
      for (let round = 0; round < run.rounds; round++) {
        rates.push(lines / (await read(folder, made, kind, lines)))
        for (const { name, measure } of rivals) theirs.get(name)?.push(await measure(round))
      }
      const rate = median(rates)
      rows.push([TITLES[kind], thousands(rate), '', ''])
      for (const [name, measured] of theirs)
        rows.push([`  ${name}`, '', thousands(median(measured)), `${(rate / median(measured)).toFixed(1)} ×`])
      const least = BUDGETS[kind]
      run.budget(
        `log files, lines per CPU second, ${TITLES[kind]}`,
        `≥ ${thousands(least)}`,
        thousands(rate),
        rate >= least,
      )
      rmSync(folder, { recursive: true })
    }
    const head = ['lines', 'Pillion, per CPU s', 'rival, per CPU s', 'Pillion beside it']
    return `A file of ${lines} lines that is there at once. CPU of the whole process until all are read. Pillion makes log records or spans of them, which are counted and kept; rsyslog copies time and text to another file (imfile, omfile), and for JSON reads the line with mmjsonparse. Of the access log, mtail counts requests by method and status and their durations in a histogram; it knows no routes and makes no spans. grok-js does the same in Node with its pattern for the combined format and prom-client.\n\n${table(head, rows)}`
  },
}

interface Rival {
  readonly name: string
  /** Lines per CPU second. */
  measure(round: number): Promise<number>
}

/** A reader that is slow by far reads no more than this. */
const FEW = 100_000

/** The rivals that are here. */
function rivalsOf(kind: Kind, folder: string, made: string, lines: number): readonly Rival[] {
  const rivals: Rival[] = []
  if (kind !== 'access') {
    if (hasRsyslog())
      rivals.push({
        name: 'rsyslog',
        measure: async round => lines / (await rsyslog(join(folder, `rsyslog-${round}`), made, lines, kind === 'json')),
      })
    return rivals
  }
  if (hasMtail())
    rivals.push({
      name: 'mtail',
      measure: async round => lines / (await mtail(join(folder, `mtail-${round}`), made, lines)),
    })
  if (fetchGrok()) {
    const few = Math.min(lines, FEW)
    const part = join(folder, 'few')
    writeFileSync(part, Array.from({ length: few }, (_, i) => `${line(kind, i)}\n`).join(''))
    rivals.push({ name: 'grok-js', measure: async () => few / (await grok(part, few)) })
  }
  return rivals
}

/** CPU seconds for all lines. */
async function read(folder: string, made: string, kind: Kind, lines: number): Promise<number> {
  const config = join(folder, 'pillion.yaml')
  const path = join(folder, 'app.log')
  const requests = kind === 'access' ? 'nginx' : 'off'
  writeFileSync(
    config,
    `files: { sources: [{ name: app, paths: ["${path}"], start: beginning, requests: ${requests} }] }\n`,
  )
  await using server = await pillion(['--config', config])
  await sleep(500)
  const before = cpuSeconds(server.pid)
  renameSync(made, path)
  try {
    for (;;) {
      await sleep(100)
      const read = /^app_log_file_lines_total\{source="app"\} (\d+)/m.exec(await scrape(server))?.[1]
      // The last line waits for what may belong to it.
      if (Number(read) >= lines - 1) return cpuSeconds(server.pid) - before
    }
  } finally {
    renameSync(path, made)
  }
}

function thousands(rate: number): string {
  return `${Math.round(rate / 1000)} 000`
}
