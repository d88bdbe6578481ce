// CPU milliseconds to read a page of the application and to write it again, beside a parser with regular expressions and
// strings, as exporters and sidecars in this language have it. Only the ratio is meaningful on another machine.
//
//   node bench/merge.ts [rounds per figure]

import { assembling } from '../collectors/scrape/assemble.ts'
import { Scanner } from '../collectors/scrape/scanner.ts'
import type { ForeignPage } from '../metrics/foreign.ts'
import type { Format } from '../metrics/format.ts'
import { Page } from '../metrics/page.ts'

const rounds = Number(process.argv[2] ?? 30)
const LIMITS = { samples: 1_000_000, labels: 64, labelBytes: 1024 }

/** Histograms with eleven buckets and four labels, as an HTTP server has them. */
function page(lines: number): Buffer {
  const texts: string[] = []
  for (let i = 0, count = 0; count < lines; i++, count += 13) {
    const name = `http_request_duration_${Math.floor(i / 20)}_seconds`
    const labels = `method="GET",route="/api/v1/items/${i}",status="200",zone="eu-west-1a"`
    if (i % 20 === 0) texts.push(`# HELP ${name} Seconds.\n# TYPE ${name} histogram\n`)
    for (const [place, le] of [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, '+Inf'].entries())
      texts.push(`${name}_bucket{${labels},le="${le}"} ${i + place}\n`)
    texts.push(`${name}_sum{${labels}} ${i * 1.2345}\n${name}_count{${labels}} ${i + 10}\n`)
  }
  return Buffer.from(texts.join(''))
}

function read(body: Buffer): ForeignPage {
  const scanner = new Scanner(body, false, LIMITS)
  scanner.run(() => false)
  const work = assembling(scanner)
  for (;;) {
    const { value, done } = work.next()
    if (done) return value.page
  }
}

function write(source: ForeignPage, format: Format): number {
  const out = new Page()
  let bytes = 0
  for (const place of source.families.keys())
    for (let at = 0; at >= 0; ) {
      at = source.write(out, format, place, at)
      for (const chunk of out.full()) bytes += chunk.length
    }
  return bytes
}

interface Sample {
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
  readonly value: number
}

/** The plain way: split into lines, match, and make objects; then make the lines again, each series once. */
function plainly(body: Buffer): number {
  const seen = new Map<string, Sample>()
  const heads: string[] = []
  for (const line of body.toString().split('\n')) {
    if (line.startsWith('#')) heads.push(line)
    const [, name = '', text = '', value] = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)/.exec(line) ?? []
    if (value === undefined) continue
    const labels: Record<string, string> = {}
    for (const [, label = '', each = ''] of text.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)) labels[label] = each
    const key = name + JSON.stringify(Object.entries(labels).sort())
    if (!seen.has(key)) seen.set(key, { name, labels, value: Number(value) })
  }
  let page = heads.join('\n')
  for (const { name, labels, value } of seen.values()) {
    const pairs = Object.entries(labels).map(([label, each]) => `${label}="${each}"`)
    page += `${name}{${pairs.join(',')}} ${value}\n`
  }
  return Buffer.from(page).length
}

/** The median of the CPU milliseconds of a call. */
function cpu(work: () => unknown): number {
  const times = Array.from({ length: rounds }, () => {
    const before = process.cpuUsage()
    work()
    return process.cpuUsage(before).user / 1000
  })
  return times.sort((a, b) => a - b)[times.length >> 1]!
}

for (const lines of [10_000, 100_000]) {
  const body = page(lines)
  console.log(`${lines} lines, ${(body.length / 1e6).toFixed(2)} MB`)
  const ready = read(body)
  const reading = cpu(() => read(body))
  const line = (name: string, ms: number) => console.log(`  ${name.padEnd(28)} ${ms.toFixed(1).padStart(7)} ms CPU`)
  line('read', reading)
  for (const format of ['text', 'openmetrics', 'protobuf'] as const)
    line(
      `write as ${format}`,
      cpu(() => write(ready, format)),
    )
  const both = cpu(() => write(read(body), 'openmetrics'))
  line('read, write as OpenMetrics', both)
  const theirs = cpu(() => plainly(body))
  line('with regular expressions', theirs)
  console.log(`  ${(theirs / both).toFixed(1)} times less than with regular expressions`)
}
