// The page as others read it: Prometheus' own parser (test/scrape/judge), and the strict one of the Python client.

import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { assembling } from '../../collectors/scrape/assemble.ts'
import { Messages } from '../../collectors/scrape/messages.ts'
import { Scanner } from '../../collectors/scrape/scanner.ts'
import type { ForeignPage } from '../../metrics/foreign.ts'
import type { Format } from '../../metrics/format.ts'
import { Page } from '../../metrics/page.ts'
import { FOLDER } from '../deploy/judges.ts'
import { python } from '../points/programs.ts'

const JUDGE = join(FOLDER, 'bin/scrape-judge')
/** An application with client_golang. */
export const GO_APPLICATION = join(FOLDER, 'bin/scrape-application')
export const absent = existsSync(JUDGE) ? false : 'needs: .ci/judges'

export const LIMITS = { samples: 50_000, labels: 64, labelBytes: 1024 }

const TYPES: Readonly<Record<Format, string>> = {
  text: 'text/plain; version=0.0.4; charset=utf-8',
  openmetrics: 'application/openmetrics-text; version=1.0.0; charset=utf-8',
  protobuf: 'application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited',
}

export interface Asked {
  readonly body: Buffer
  readonly format: Format
}

export interface Verdict {
  readonly error?: string
  readonly samples: readonly (readonly [series: string, value: string])[] | null
  readonly histograms: readonly (readonly [series: string, buckets: string])[] | null
  readonly exemplars: number
  readonly starts: number
}

/** The samples that Prometheus finds in each page. */
export function judged(pages: readonly Asked[]): readonly Verdict[] {
  const input = pages.map(
    ({ body, format }) => `${JSON.stringify({ type: TYPES[format], body: body.toString('base64') })}\n`,
  )
  const out = execFileSync(JUDGE, { input: input.join(''), maxBuffer: 1 << 30 })
  return out
    .toString()
    .trimEnd()
    .split('\n')
    .map(line => JSON.parse(line))
}

/** The objection of the strict parser of OpenMetrics to each page; "" if nothing. */
export function objections(pages: readonly Buffer[]): readonly string[] {
  const script = `
import sys, io, json, base64
from prometheus_client.openmetrics.parser import text_fd_to_metric_families as parse
for line in sys.stdin:
    try:
        text = base64.b64decode(line).decode('utf-8')
        for f in parse(io.StringIO(text, newline='\\n')): pass
        print(json.dumps(''))
    except Exception as e:
        print(json.dumps(repr(e)))`
  const input = pages.map(page => `${page.toString('base64')}\n`).join('')
  const out = execFileSync(python ?? 'python3', ['-c', script], { input, maxBuffer: 1 << 28 })
  return out
    .toString()
    .trimEnd()
    .split('\n')
    .map(line => JSON.parse(line))
}

/** A page in one of the text formats, read. */
export function scanned(body: Buffer, format: 'text' | 'openmetrics'): { page: ForeignPage; scanner: Scanner } {
  const scanner = new Scanner(body, format === 'openmetrics', LIMITS)
  while (!scanner.run(() => true));
  const work = assembling(scanner)
  for (;;) {
    const { value, done } = work.next()
    if (done) return { page: value.page, scanner }
  }
}

/** A page in protobuf, read: as it is, and as text. */
export function unpacked(body: Buffer): { page: ForeignPage; text: ForeignPage; messages: Messages } {
  const messages = new Messages(body, LIMITS)
  while (!messages.run(() => true));
  const text = Buffer.from([...messages.openmetrics()].join(''))
  return { page: messages, text: scanned(text, 'openmetrics').page, messages }
}

/** All families of a page, written. */
export function written(source: ForeignPage, format: Format, utf8 = true): Buffer {
  const page = new Page(undefined, utf8)
  for (const place of source.families.keys()) for (let at = 0; at >= 0; ) at = source.write(page, format, place, at)
  if (format === 'openmetrics') page.text('# EOF\n')
  return Buffer.concat(page.take())
}
