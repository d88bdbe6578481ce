// The stock SDKs of four languages send all three signals over each protocol they speak, compressed and not: every item
// arrives, none twice, the numbers are right, and no SDK has anything to complain about.

import { execFile, execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import { Child } from '../e2e/child.ts'
import { missing } from '../e2e/programs.ts'
import { type Ride, startSidecar } from '../e2e/ride.ts'

/** What each client sends in each run: spans, data points, log records. */
const SENT = { traces: 600, metrics: 5, logs: 300 } as const

/** The first run fetches and compiles the libraries; later ones find them in the caches of their package managers. */
const INSTALLING_MS = 8 * 60_000
t.setTimeout(4 * INSTALLING_MS)

const run = promisify(execFile)

interface Client {
  readonly language: string
  readonly skip: string | false
  readonly protocols: readonly string[]
  /** Makes the client ready and gives the command that runs it. */
  install(): Promise<readonly [command: string, ...args: string[]]>
}

const CLIENTS: readonly Client[] = [
  {
    language: 'node',
    skip: false,
    protocols: ['http/protobuf', 'http/json', 'grpc'],
    install: async () => [process.execPath, source('node/client.ts')],
  },
  {
    language: 'python',
    skip: missing('python3', 'python3-venv'),
    protocols: ['http/protobuf', 'grpc'],
    async install() {
      const wanted = source('python/requirements.txt')
      const venv = cache('python', wanted)
      const python = join(venv, 'bin/python')
      if (!done(venv)) {
        await installing('python3', ['-m', 'venv', venv])
        await installing(python, ['-m', 'pip', 'install', '--quiet', '--requirement', wanted])
        writeFileSync(join(venv, DONE), '')
      }
      return [python, source('python/client.py')]
    },
  },
  {
    language: 'go',
    skip: missing('go', 'golang-go') || oldGo(),
    protocols: ['http/protobuf', 'grpc'],
    async install() {
      // `go build` knows by itself what has changed.
      const program = join(cache('go', source('go/go.mod')), 'client')
      await installing('go', ['build', '-C', source('go'), '-buildvcs=false', '-o', program, '.'])
      return [program]
    },
  },
  {
    language: 'java',
    skip: missing('java', 'default-jdk-headless') || missing('mvn', 'maven'),
    protocols: ['http/protobuf', 'grpc'],
    async install() {
      const pom = source('java/pom.xml')
      const path = join(cache('java', pom), 'classpath')
      const goal = ['dependency:build-classpath', `-Dmdep.outputFile=${path}`]
      await installing('mvn', ['--quiet', '--batch-mode', '--file', pom, ...goal])
      return ['java', '-cp', readFileSync(path, 'utf8'), source('java/Client.java')]
    },
  },
]

for (const { language, skip, protocols, install } of CLIENTS)
  t.test(`the SDK of ${language}`, { skip }, async t => {
    const [command, ...args] = await install()
    await using ride = await startSidecar()
    let runs = 0
    for (const protocol of protocols)
      for (const compression of ['none', 'gzip'])
        await t.test(`${protocol}, compression ${compression}`, async t => {
          const service = `${language} ${protocol} ${compression}`
          await using client = await Child.start(command, args, {
            OTEL_SERVICE_NAME: service,
            OTEL_EXPORTER_OTLP_ENDPOINT: protocol === 'grpc' ? ride.grpc : ride.otlp,
            OTEL_EXPORTER_OTLP_PROTOCOL: protocol,
            // Python's gRPC exporter knows no "none".
            ...(compression === 'gzip' ? { OTEL_EXPORTER_OTLP_COMPRESSION: 'gzip' } : {}),
            OTEL_TRACES_EXPORTER: 'otlp',
            OTEL_METRICS_EXPORTER: 'otlp',
            OTEL_LOGS_EXPORTER: 'otlp',
          })
          t.same(await client.ended, { code: 0, signal: null }, client.stderr)
          t.equal(client.stderr, '', 'the SDK has nothing to complain about')
          runs += 1
          await everythingIsThere(t, ride, service, runs)
        })
  })

async function everythingIsThere(t: Test, ride: Ride, service: string, runs: number): Promise<void> {
  for (const [signal, items] of Object.entries(SENT)) {
    t.equal(await ride.value('pillion_otlp_received_items_total', { signal }), runs * items, signal)
    t.equal(await ride.value('pillion_otlp_accepted_items_total', { signal }), runs * items, signal)
  }
  const span = { service, span_name: 'GET /orders', span_kind: 'SPAN_KIND_SERVER' }
  const value = ride.value
  t.equal(await value('traces_spanmetrics_calls_total', { ...span, status_code: 'STATUS_CODE_ERROR' }), 6)
  t.equal(await value('traces_spanmetrics_calls_total', { ...span, status_code: 'STATUS_CODE_UNSET' }), 594)
  t.equal(await value('traces_spanmetrics_latency_sum', span), 600 * 0.25)

  const job = service
  for (const [shop, count] of Object.entries({ north: 10, south: 20, west: 30 }))
    t.equal(await value('interop_orders_total', { job, shop }), count, `orders of ${shop}`)
  t.equal(await value('interop_wait_seconds_count', { job }), 3)
  t.equal(await value('interop_wait_seconds_sum', { job }), 2.75)
  t.equal(await value('interop_queue', { job }), 7)

  t.equal(await value('app_log_records_total', { service, severity: 'ERROR' }), 100)
  t.equal(await value('app_log_records_total', { service, severity: 'INFO' }), 200)
}

/** From Go 1.21 on, the release that a module wants is fetched by itself. */
function oldGo(): string | false {
  const version = execFileSync('go', ['env', 'GOVERSION'], { encoding: 'utf8' }).trim()
  return Number(version.split('.')[1]) >= 21 ? false : `needs Go 1.21 or newer, not ${version}: PATH=$(.ci/go):$PATH`
}

function source(name: string): string {
  return fileURLToPath(new URL(name, import.meta.url))
}

const DONE = '.complete'

/** A folder outside the repository for what was installed from this list of versions. */
function cache(language: string, list: string): string {
  const key = createHash('sha256').update(readFileSync(list)).digest('hex').slice(0, 12)
  const folder = join(tmpdir(), 'pillion-interop', `${language}-${key}`)
  mkdirSync(folder, { recursive: true })
  return folder
}

function done(folder: string): boolean {
  try {
    readFileSync(join(folder, DONE))
    return true
  } catch {
    return false
  }
}

async function installing(command: string, args: readonly string[]): Promise<void> {
  // tap's own NODE_OPTIONS and the like are nothing to these.
  await run(command, [...args], { timeout: INSTALLING_MS, killSignal: 'SIGKILL', maxBuffer: 16 * 1024 * 1024 })
}
