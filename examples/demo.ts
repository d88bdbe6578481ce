// `npm run demo`: a shop that knows nothing of Pillion, its customers, and a sidecar attached to it; with Prometheus if it is
// installed. Runs until Ctrl-C and leaves no process behind.
//   --once       show that the first numbers arrive, then stop: exit 0, or 1 naming what was missing after a minute
//   --any-port   use free ports instead of the usual ones

import { once } from 'node:events'
import { accessSync, constants } from 'node:fs'
import { mkdtempDisposable, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { Processes } from './processes.ts'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const SHOP = join(ROOT, 'examples/shop')
const USUAL = { shop: 8080, cart: 8081, payment: 8082, web: 19464, otlp: 4318, grpc: 4317 }
const ONCE_MS = 60_000

type Ports = Readonly<typeof USUAL>

/** --once waits for a sample above zero of each of these. */
const PROMISED: readonly RegExp[] = [
  /^app_health_probes_total\{.*\} (\S+)/,
  /^app_process_cpu_seconds_total\{.*\} (\S+)/,
  ...['shop', 'cart', 'payment'].map(
    service => new RegExp(`^traces_spanmetrics_calls_total\\{.*service="${service}".*\\} (\\S+)`),
  ),
]

const stop = new AbortController()
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => stop.abort())
// The terminal or the pipe may be closed first; the processes must be stopped nevertheless.
process.stdout.on('error', () => stop.abort())

process.exitCode = await main()

async function main(): Promise<number> {
  let flags: { once?: boolean | undefined; 'any-port'?: boolean | undefined }
  try {
    flags = parseArgs({ options: { once: { type: 'boolean' }, 'any-port': { type: 'boolean' } } }).values
  } catch (error) {
    console.error(`${message(error)}; the demo knows --once and --any-port`)
    return 64
  }
  const ports = flags['any-port'] ? await freePorts() : USUAL
  const [name, taken] = (await firstTaken(ports)) ?? []
  if (name !== undefined) {
    console.error(
      `cannot start the demo: port ${taken} (${name}) is taken; free it, or say: npm run demo -- --any-port`,
    )
    return 69
  }
  // Outlives the processes: Prometheus writes there until it has stopped.
  await using folder = await mkdtempDisposable(join(tmpdir(), 'pillion-demo-'))
  await using processes = new Processes()
  const demo = flags.once ? showOnce(processes, ports) : show(processes, ports, folder.path)
  try {
    return await Promise.race([demo, processes.failure, stopped().then(() => (flags.once ? 1 : 0))])
  } catch (error) {
    console.error(message(error))
    return 1
  }
}

async function show(processes: Processes, ports: Ports, folder: string): Promise<number> {
  await startAll(processes, ports, true)
  const prometheus = await startPrometheus(processes, ports.web, folder)
  console.log(`
  the sidecar    http://127.0.0.1:${ports.web}/
  its numbers    curl -s http://127.0.0.1:${ports.web}/metrics | grep -E '^(app|traces)_'
  its traces     curl -sG http://127.0.0.1:${ports.web}/tempo/api/search --data-urlencode 'q={ status = error }'
  the shop       http://127.0.0.1:${ports.shop}/   (curl -X POST http://127.0.0.1:${ports.shop}/checkout: every tenth fails)
  a failure      curl -X PUT http://127.0.0.1:${ports.payment}/bank -d '{"open": false}'   (true ends it)
  Prometheus     ${prometheus}

Ctrl-C stops everything.
`)
  await stopped()
  return 0
}

async function showOnce(processes: Processes, ports: Ports): Promise<number> {
  const end = performance.now() + ONCE_MS
  await startAll(processes, ports, false)
  let missing = PROMISED
  while (performance.now() < end) {
    const lines = (await read(`http://127.0.0.1:${ports.web}/metrics`)).split('\n')
    const above = (wanted: RegExp) => lines.filter(line => Number(wanted.exec(line)?.[1] ?? 0) > 0)
    missing = PROMISED.filter(wanted => above(wanted).length === 0)
    if (missing.length === 0) {
      for (const line of PROMISED.flatMap(above)) console.log(line)
      return 0
    }
    await sleep(500)
  }
  for (const wanted of missing) console.error(`no number above zero within ${ONCE_MS / 1000} s: ${wanted.source}`)
  console.error(`what the sidecar said:\n${processes.said('sidecar')}`)
  return 1
}

/** The sidecar listens before the services start, so that not even their first spans are lost. */
async function startAll(processes: Processes, ports: Ports, aloud: boolean): Promise<void> {
  const node = { command: process.execPath, aloud }
  const flags = [
    ...['--app.url', `http://127.0.0.1:${ports.shop}`],
    ...(ports.web === USUAL.web ? [] : ['--web.listen', `127.0.0.1:${ports.web}`]),
    ...(ports.otlp === USUAL.otlp ? [] : ['--otlp.http.listen', `127.0.0.1:${ports.otlp}`]),
    ...(ports.grpc === USUAL.grpc ? [] : ['--otlp.grpc.listen', `127.0.0.1:${ports.grpc}`]),
  ]
  await processes.start({ ...node, name: 'sidecar', args: [join(ROOT, 'main.ts'), ...flags] })
  await answers(`http://127.0.0.1:${ports.web}/-/healthy`)

  const service = (name: 'shop' | 'cart' | 'payment', env: NodeJS.ProcessEnv = {}) =>
    processes.start({
      ...node,
      name,
      args: ['--import', join(SHOP, 'telemetry.js'), join(SHOP, `${name}.js`)],
      ready: /listening on/,
      env: {
        OTEL_SERVICE_NAME: name,
        OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${ports.otlp}`,
        // The default is five seconds; a demonstration needs its numbers sooner.
        OTEL_BSP_SCHEDULE_DELAY: '1000',
        OTEL_LOGS_EXPORTER: 'otlp',
        PORT: String(ports[name]),
        ...env,
      },
    })
  await Promise.all([service('cart'), service('payment')])
  await service('shop', {
    CART_URL: `http://127.0.0.1:${ports.cart}`,
    PAYMENT_URL: `http://127.0.0.1:${ports.payment}`,
  })
  await processes.start({ ...node, name: 'load', args: [join(SHOP, 'load.js'), `http://127.0.0.1:${ports.shop}`] })
}

/** Debian's `prometheus`, or any other on the PATH, scrapes the sidecar; its data are deleted with the demonstration. */
async function startPrometheus(processes: Processes, web: number, folder: string): Promise<string> {
  if (!onPath('prometheus')) return 'is not on the PATH; to have it here: apt-get install prometheus'
  const port = (await isFree(9090)) ? 9090 : await freePort()
  const config = join(folder, 'prometheus.yml')
  await writeFile(
    config,
    `global: { evaluation_interval: 5s }
rule_files: ${JSON.stringify([join(ROOT, 'dashboards/rules/pillion-*.yml')])}
scrape_configs: [{ job_name: pillion, scrape_interval: 5s, static_configs: [{ targets: ['127.0.0.1:${web}'] }] }]
`,
  )
  await processes.start({
    name: 'prometheus',
    command: 'prometheus',
    args: [
      `--config.file=${config}`,
      `--storage.tsdb.path=${join(folder, 'data')}`,
      `--web.listen-address=127.0.0.1:${port}`,
      '--enable-feature=exemplar-storage',
    ],
    aloud: false,
    ready: /Server is ready/,
  })
  return `http://127.0.0.1:${port}/   (scrapes the sidecar each 5 s, keeps exemplars, has the rules)`
}

async function answers(url: string): Promise<void> {
  const end = performance.now() + ONCE_MS
  while (performance.now() < end) {
    if (await read(url)) return
    await sleep(100)
  }
  throw new Error(`cannot reach the sidecar at ${url} within ${ONCE_MS / 1000} s; look at its messages above`)
}

/** The body of the answer, or undefined while there is none. */
async function read(url: string): Promise<string> {
  try {
    const response = await fetch(url)
    return response.ok ? await response.text() : ''
  } catch {
    return ''
  }
}

async function stopped(): Promise<void> {
  if (!stop.signal.aborted) await once(stop.signal, 'abort')
}

async function firstTaken(ports: Ports): Promise<[name: string, port: number] | undefined> {
  for (const [name, port] of Object.entries(ports)) if (!(await isFree(port))) return [name, port]
  return undefined
}

async function freePorts(): Promise<Ports> {
  const [shop, cart, payment] = [await freePort(), await freePort(), await freePort()]
  return { shop, cart, payment, web: await freePort(), otlp: await freePort(), grpc: await freePort() }
}

async function isFree(port: number): Promise<boolean> {
  return (await listenOnce(port)) !== undefined
}

async function freePort(): Promise<number> {
  const port = await listenOnce(0)
  if (port === undefined) throw new Error('cannot find a free port on 127.0.0.1')
  return port
}

async function listenOnce(wanted: number): Promise<number | undefined> {
  const server = createServer().listen(wanted, '127.0.0.1')
  try {
    await once(server, 'listening')
  } catch {
    return undefined
  }
  const address = server.address()
  server.close()
  await once(server, 'close')
  return address !== null && typeof address === 'object' ? address.port : undefined
}

function onPath(program: string): boolean {
  return (process.env['PATH'] ?? '').split(delimiter).some(folder => {
    try {
      accessSync(join(folder, program), constants.X_OK)
      return true
    } catch {
      return false
    }
  })
}

function message(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
