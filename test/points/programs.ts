// Programs that are not ours and must understand what we write. A test that needs one is skipped where it is missing.

import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import { type AddressInfo, createServer as createSocket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'tap'

/** The first of these commands that can be run, or why none can. */
function found(commands: readonly (readonly [string, ...string[]])[]): string | undefined {
  for (const [program, ...args] of commands)
    try {
      execFileSync(program, args, { stdio: 'ignore' })
      return program
    } catch {}
  return undefined
}

export const promtool = found([['promtool', '--version']])
export const prometheus = found([['prometheus', '--version']])
const parser = 'import prometheus_client.openmetrics.parser'
export const python = found([
  ['python3', '-c', parser],
  ['/usr/bin/python3', '-c', parser],
])

export const needs = {
  promtool: promtool ? false : 'needs promtool: apt-get install prometheus',
  prometheus: prometheus ? false : 'needs prometheus: apt-get install prometheus',
  python: python ? false : 'needs the OpenMetrics parser: apt-get install python3-prometheus-client',
}

/** The faults that promtool finds in a text page, other than matters of style. */
export function faults(page: Buffer): string {
  try {
    execFileSync('promtool', ['check', 'metrics'], { input: page, stdio: 'pipe' })
    return ''
  } catch (error) {
    const { status, stderr } = error as { status?: number; stderr?: Buffer }
    // 3: it was parsed, and there is advice about names.
    return status === 3 ? '' : String(stderr)
  }
}

export type Parsed = readonly [name: string, labels: Readonly<Record<string, string>>, value: string][]

/** The samples that the strict OpenMetrics parser finds; throws what it objects to, other than a count without a sum. */
export function parsed(whole: Buffer): Parsed {
  const page = withoutLoneCounts(whole)
  const script = `
import sys, io, json
from prometheus_client.openmetrics.parser import text_fd_to_metric_families as parse
text = sys.stdin.buffer.read().decode('utf-8')
print(json.dumps([[s.name, s.labels, str(s.value)] for f in parse(io.StringIO(text, newline='\\n')) for s in f.samples]))`
  try {
    const out = execFileSync(python ?? 'python3', ['-c', script], { input: page, stdio: 'pipe', maxBuffer: 1 << 28 })
    return JSON.parse(out.toString())
  } catch (error) {
    const { stderr } = error as { stderr?: Buffer }
    throw new Error(`the OpenMetrics parser refused the page: ${String(stderr).trim().split('\n').at(-1)}`)
  }
}

/** OpenMetrics 1.0 allows a histogram's count only beside its sum; metrics/sample.ts says why it is written nevertheless. */
function withoutLoneCounts(page: Buffer): Buffer {
  const lines = page.toString().split('\n')
  const series = (line: string): string => line.slice(0, line.lastIndexOf(' '))
  const sums = new Set(lines.map(series).filter(each => /^\w+_sum\b/.test(each)))
  const alone = (line: string): boolean =>
    /^\w+_count\b/.test(line) && !sums.has(series(line).replace(/^(\w+)_count/, '$1_sum'))
  return Buffer.from(lines.filter(line => !alone(line)).join('\n'))
}

export interface Served {
  /** The first element of an instant vector: labels and value, once the query has a result. */
  query(expression: string): Promise<{ labels: Record<string, string>; value: string }>
  api(path: string): Promise<unknown>
  /** The Accept headers that Prometheus sent. */
  readonly accepts: string[]
}

/** A real Prometheus that scrapes `page` each second, with these flags. */
export async function served(
  t: Test,
  page: (accept: string | undefined) => Promise<{ contentType: string; body: Buffer }>,
  flags: readonly string[] = [],
): Promise<Served> {
  const accepts: string[] = []
  const target: Server = createServer(async (request, response) => {
    accepts.push(request.headers.accept ?? '')
    const { contentType, body } = await page(request.headers.accept)
    response.writeHead(200, { 'content-type': contentType }).end(body)
  })
  await new Promise<void>(resolve => target.listen(0, '127.0.0.1', resolve))
  t.teardown(() => target.close())
  // The address of a listening TCP server is an object.
  const { port } = target.address() as AddressInfo

  const folder = mkdtempSync(join(tmpdir(), 'pillion-prometheus-'))
  const job = { job_name: 'pillion', honor_labels: true, static_configs: [{ targets: [`127.0.0.1:${port}`] }] }
  // YAML is a superset of JSON.
  const global = { scrape_interval: '1s', scrape_timeout: '1s' }
  writeFileSync(join(folder, 'prometheus.yml'), JSON.stringify({ global, scrape_configs: [job] }))
  const own = await freePort()
  const child: ChildProcess = spawn(
    'prometheus',
    [
      `--config.file=${folder}/prometheus.yml`,
      `--storage.tsdb.path=${folder}/data`,
      `--web.listen-address=127.0.0.1:${own}`,
      ...flags,
    ],
    { stdio: ['ignore', 'ignore', 'pipe'] },
  )
  let log = ''
  child.stderr?.on('data', chunk => {
    log = `${log}${chunk}`.slice(-4000)
  })
  const ended = new Promise<void>(resolve => child.on('close', () => resolve()))
  t.teardown(async () => {
    child.kill('SIGKILL')
    await ended
    rmSync(folder, { recursive: true, force: true })
  })

  const api = async (path: string): Promise<unknown> => (await fetch(`http://127.0.0.1:${own}/api/v1/${path}`)).json()
  return {
    accepts,
    api,
    async query(expression) {
      for (const deadline = Date.now() + 60_000; Date.now() < deadline; ) {
        const answer = await api(`query?query=${encodeURIComponent(expression)}`).catch(() => undefined)
        const { data } = (answer ?? {}) as {
          data?: { result: { metric: Record<string, string>; value: [number, string] }[] }
        }
        const first = data?.result[0]
        if (first) return { labels: first.metric, value: first.value[1] }
        await new Promise(resolve => setTimeout(resolve, 200))
      }
      throw new Error(`no result of ${expression} within 60 s; Prometheus says: ${log}`)
    },
  }
}

async function freePort(): Promise<number> {
  const socket = createSocket()
  await new Promise<void>(resolve => socket.listen(0, '127.0.0.1', resolve))
  const { port } = socket.address() as AddressInfo
  await new Promise(resolve => socket.close(resolve))
  return port
}
