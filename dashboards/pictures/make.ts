// The pictures of the documents, by one command: node dashboards/pictures/make.ts
// Runs the demo for some minutes, stops the shop for moments so that requests are slow, takes the sidecar's own page, lets the
// shop hang until there is a flight record and alerts fire, and draws every dashboard with what Prometheus has then.
//   --minutes N         how long the demo runs before (4)
//   --prometheus URL    no demo: draw what this Prometheus has
//   --page              only the views of the sidecar's own page, and the flight record
// Needs chromium and prometheus (apt-get install chromium prometheus); installs its own packages at the first time.

import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempDisposableSync, readdirSync, readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { answered, type Picture } from './answers.ts'

const HERE = import.meta.dirname
const ROOT = join(HERE, '../..')
const OUT = join(ROOT, 'docs/pictures')
const CHROMIUM = '/usr/bin/chromium'
const ORIGIN = 'http://dashboards.example/'

/** Folded rows that are drawn open: the demo runs on Node. */
const OPENED: Readonly<Record<string, readonly string[]>> = { 'pillion-runtime': ['Node.js'] }

const { values: flags } = parseArgs({
  options: { minutes: { type: 'string', default: '4' }, prometheus: { type: 'string' }, page: { type: 'boolean' } },
})

if (!existsSync(CHROMIUM)) throw new Error(`cannot draw without ${CHROMIUM}; apt-get install chromium`)
if (!flags.page && !existsSync(join(HERE, 'node_modules'))) {
  // Grafana's packages name versions of React as peers that are older than those they work with.
  const { status } = spawnSync('npm', ['ci', '--legacy-peer-deps', '--ignore-scripts'], { cwd: HERE, stdio: 'inherit' })
  if (status !== 0) throw new Error(`cannot install the packages of ${HERE}; mend what npm says`)
}

const minutes = Number(flags.minutes)
if (flags.prometheus) await draw(flags.prometheus)
else {
  using records = mkdtempDisposableSync(join(tmpdir(), 'pillion-pictures-'))
  const demo = spawn(process.execPath, [join(ROOT, 'examples/demo.ts'), '--any-port'], {
    stdio: ['ignore', 'pipe', 'inherit'],
    // The shop sends metrics too, for the Runtime dashboard, and says its version.
    env: {
      ...process.env,
      OTEL_METRICS_EXPORTER: 'otlp',
      OTEL_METRIC_EXPORT_INTERVAL: '5000',
      OTEL_METRIC_EXPORT_TIMEOUT: '4000',
      OTEL_SEMCONV_STABILITY_OPT_IN: 'http',
      OTEL_RESOURCE_ATTRIBUTES: 'service.version=1.4.2',
      PILLION_APP_NAME: 'shop',
      PILLION_FLIGHT_DIR: records.path,
    },
  })
  const closed = once(demo, 'close')
  // The rejection after a regular end has nobody to hear it, and need not.
  const early = closed.then(([code]) => Promise.reject(new Error(`the demo ended too early, with ${code}`)))
  early.catch(() => {})
  try {
    await Promise.race([early, run(demo)])
  } finally {
    if (demo.exitCode === null && demo.kill('SIGINT')) await closed
  }
}

async function run(demo: ChildProcess): Promise<void> {
  const { sidecar, prometheus } = await addresses(demo)
  console.log(`the demo runs for ${minutes} minutes, its numbers are at ${prometheus}`)
  // Its charts are of the time since somebody first looked.
  await fetch(new URL('/api/overview', sidecar))
  await sleep(minutes * 60_000)
  const shop = shopOf(demo)
  const slow = await stutter(shop, sidecar)
  await take(sidecar, slow)
  process.kill(shop, 'SIGSTOP')
  try {
    await takeRecord(sidecar)
    if (flags.page) return
    await firing(prometheus)
    await draw(prometheus)
  } finally {
    process.kill(shop, 'SIGCONT')
  }
}

/** Stops the shop for moments, until the sidecar says that this is why its requests are slow; returns the slowest trace. */
async function stutter(shop: number, sidecar: string): Promise<string> {
  for (let n = 0; n < 200; n += 1) {
    process.kill(shop, 'SIGSTOP')
    await sleep(150)
    process.kill(shop, 'SIGCONT')
    await sleep(350)
    if (n % 10 !== 9) continue
    const { episodes } = (await (await fetch(new URL('/api/insight', sidecar))).json()) as {
      episodes: { cause: string; service: string; trace_id: string }[]
    }
    const found = episodes.find(({ cause, service }) => cause === 'stopped' && service === 'shop')
    if (found) return found.trace_id
  }
  throw new Error('the shop was stopped 200 times, and no slow request is blamed on that')
}

/** Until AppDown fires, which it does after a minute and the probes' threshold. */
async function firing(prometheus: string): Promise<void> {
  const query = new URLSearchParams({ query: 'ALERTS{alertname="AppDown", alertstate="firing"}' })
  for (let n = 0; n < 240; n += 1) {
    const answer = await fetch(`${prometheus}/api/v1/query?${query}`)
    const { data } = (await answer.json()) as { data: { result: unknown[] } }
    // A little more, so that the lines have gone down.
    if (data.result.length > 0) return sleep(15_000)
    await sleep(1000)
  }
  throw new Error('the shop hangs, and AppDown does not fire; has Prometheus loaded the rules?')
}

interface Addresses {
  readonly sidecar: string
  readonly prometheus: string
}

/** Where they listen. The later output of the demo is read too, since it must not wait for a reader. */
async function addresses(demo: ChildProcess): Promise<Addresses> {
  let said = ''
  const { promise, resolve } = Promise.withResolvers<Addresses>()
  demo.stdout!.setEncoding('utf8').on('data', (text: string) => {
    if (said.length < 1e6) said += text
    const [, sidecar, prometheus] = /the sidecar +(http:\S+).*Prometheus +(http:\S+?)\/ /s.exec(said) ?? []
    if (sidecar && prometheus) resolve({ sidecar, prometheus })
  })
  return promise
}

/** The front of the demo's shop. Stopped, it lets probes run into their timeout and customers wait. */
function shopOf(demo: ChildProcess): number {
  const pid = readdirSync('/proc').find(
    name => /^\d+$/.test(name) && parent(name) === demo.pid && /shop\/shop\.js/.test(file(name, 'cmdline')),
  )
  if (!pid) throw new Error('cannot let the shop hang: the demo has no process with shop/shop.js in its command line')
  return Number(pid)
}

function parent(pid: string): number {
  return Number(/^PPid:\s+(\d+)/m.exec(file(pid, 'status'))?.[1])
}

function file(pid: string, name: string): string {
  try {
    return readFileSync(`/proc/${pid}/${name}`, 'utf8')
  } catch {
    // It has ended meanwhile.
    return ''
  }
}

/** The page as a person sees it first. */
async function take(sidecar: string, slow: string): Promise<void> {
  const { chromium } = await import('playwright-core')
  const browser = await chromium.launch({ executablePath: CHROMIUM, args: ['--no-sandbox'] })
  try {
    const page = await browser.newPage({ viewport: { width: 1280, height: 860 }, deviceScaleFactor: 1 })
    // A family is charted from the moment that somebody looks at it.
    const family = 'app_process_context_switches_total'
    for (let i = 0; i < 20; i++) {
      await fetch(new URL(`/api/metrics?family=${family}`, sidecar))
      await sleep(3000)
    }
    const query = new URLSearchParams({ q: '{ status = error && name = "POST /checkout" }', limit: '1' })
    const found = await (await fetch(new URL(`/tempo/api/search?${query}`, sidecar))).json()
    const [{ traceID }] = (found as { traces: { traceID: string }[] }).traces as [{ traceID: string }]
    const operation = new URLSearchParams({ open: 'shop\nPOST /checkout\nserver' })
    const views = {
      page: 'overview',
      'page-operations': `operations?${operation}`,
      'page-traces': 'traces',
      'page-trace': `trace/${traceID}`,
      'page-slow': `trace/${slow}`,
      'page-logs': 'logs',
      'page-map': 'map',
      'page-metrics': `metrics?family=${family}`,
      'page-sidecar': 'sidecar',
    }
    for (const [file, view] of Object.entries(views)) {
      await page.goto(`${sidecar}#/${view}`)
      await page.waitForSelector('main h1')
      await sleep(3000)
      const path = join(OUT, `${file}.png`)
      await page.screenshot({ path })
      console.log(path)
    }
  } finally {
    await browser.close()
  }
}

/** The record that the sidecar writes when a probe fails, as a person opens the file. */
async function takeRecord(sidecar: string): Promise<void> {
  const { chromium } = await import('playwright-core')
  const record = await (await fetch(new URL(`/api/flight/${await failing(sidecar)}`, sidecar))).text()
  const browser = await chromium.launch({ executablePath: CHROMIUM, args: ['--no-sandbox'] })
  try {
    const page = await browser.newPage({ viewport: { width: 1280, height: 860 }, deviceScaleFactor: 1 })
    await page.setContent(record)
    const path = join(OUT, 'flight-record.png')
    await page.screenshot({ path })
    console.log(path)
  } finally {
    await browser.close()
  }
}

/** The name of the record that is written when the liveness probe of the stopped shop has failed often enough. */
async function failing(sidecar: string): Promise<string> {
  for (let n = 0; n < 240; n += 1) {
    const { records } = (await (await fetch(new URL('/api/flight', sidecar))).json()) as {
      records: { name: string; trigger: string }[]
    }
    const found = records.find(({ trigger }) => trigger === 'failing')
    if (found) return found.name
    await sleep(1000)
  }
  throw new Error('the shop hangs, and no flight record is written; do its probes fail?')
}

async function draw(prometheus: string): Promise<void> {
  // Only now, since they may have been installed a moment ago.
  const { build } = await import('esbuild')
  const { chromium } = await import('playwright-core')
  const bundle = await build({
    entryPoints: [join(HERE, 'page.tsx')],
    bundle: true,
    write: false,
    minify: true,
    jsx: 'automatic',
    outdir: HERE,
    define: { 'process.env.NODE_ENV': '"production"', global: 'globalThis' },
    loader: { '.svg': 'dataurl', '.woff2': 'dataurl', '.ttf': 'dataurl', '.png': 'dataurl' },
  })
  const text = (ending: string) => bundle.outputFiles.find(({ path }) => path.endsWith(ending))?.text ?? ''
  const [script, style] = [text('.js'), text('.css')]
  const to = Math.floor(Date.now() / 1000)
  // The time before the incident, and the incident.
  const span = { from: to - (minutes + 2) * 60, to }
  mkdirSync(OUT, { recursive: true })
  const browser = await chromium.launch({ executablePath: CHROMIUM, args: ['--no-sandbox'] })
  try {
    const page = await browser.newPage({ viewport: { width: 1616, height: 1000 } })
    page.on('pageerror', error => console.error(error))
    for (const file of readdirSync(join(HERE, '../grafana')).filter(name => name.endsWith('.json'))) {
      const uid = file.replace(/\.json$/, '')
      const body = html(await answered(uid, prometheus, span, OPENED[uid]), script, style)
      // Grafana's components look into localStorage, which only a page with an origin has.
      await page.route(ORIGIN, route => route.fulfill({ contentType: 'text/html', body }))
      await page.goto(ORIGIN)
      await sleep(1500)
      const path = join(OUT, `${uid}.png`)
      await page.screenshot({ path, fullPage: true })
      console.log(path)
    }
  } finally {
    await browser.close()
  }
}

function html(picture: Picture, script: string, style: string): string {
  const inline = (code: string) => code.replaceAll('</script', '<\\/script')
  return `<!doctype html><meta charset="utf-8"><style>${style}</style><div id="page"></div>
<script>var PICTURE=${inline(JSON.stringify(picture))}</script><script type="module">${inline(script)}</script>`
}
