// The pictures of the documents, by one command: node dashboards/pictures/make.ts
// Runs the demo for some minutes, takes the sidecar's own page, lets the shop hang for a while, and draws every dashboard
// with what Prometheus has then.
//   --minutes N         how long the demo runs (4)
//   --prometheus URL    no demo: draw what this Prometheus has
// Needs chromium and prometheus (apt-get install chromium prometheus); installs its own packages at the first time.

import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { answered, type Picture } from './answers.ts'

const HERE = import.meta.dirname
const ROOT = join(HERE, '../..')
const OUT = join(ROOT, 'docs/pictures')
const CHROMIUM = '/usr/bin/chromium'
const ORIGIN = 'http://dashboards.example/'

const { values: flags } = parseArgs({
  options: { minutes: { type: 'string', default: '4' }, prometheus: { type: 'string' } },
})

if (!existsSync(CHROMIUM)) throw new Error(`cannot draw without ${CHROMIUM}; apt-get install chromium`)
if (!existsSync(join(HERE, 'node_modules'))) {
  // Grafana's packages name versions of React as peers that are older than those they work with.
  const { status } = spawnSync('npm', ['ci', '--legacy-peer-deps', '--ignore-scripts'], { cwd: HERE, stdio: 'inherit' })
  if (status !== 0) throw new Error(`cannot install the packages of ${HERE}; mend what npm says`)
}

const minutes = Number(flags.minutes)
if (flags.prometheus) await draw(flags.prometheus)
else {
  const demo = spawn(process.execPath, [join(ROOT, 'examples/demo.ts'), '--any-port'], {
    stdio: ['ignore', 'pipe', 'inherit'],
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
  await sleep(minutes * 60_000 * 0.6)
  await take(sidecar)
  await hang(demo)
  await sleep(minutes * 60_000 * 0.4)
  await draw(prometheus)
}

interface Addresses {
  readonly sidecar: string
  readonly prometheus: string
}

/** Where they listen. What the demo says later is read too, since it must not wait for a reader. */
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

/** Stops the front of the demo's shop for a while: probes run into their timeout, customers wait. */
async function hang(demo: ChildProcess): Promise<void> {
  const pid = readdirSync('/proc').find(
    name => /^\d+$/.test(name) && parent(name) === demo.pid && /shop\/shop\.js/.test(file(name, 'cmdline')),
  )
  if (!pid) throw new Error('cannot let the shop hang: the demo has no process with shop/shop.js in its command line')
  process.kill(Number(pid), 'SIGSTOP')
  await sleep(20_000)
  process.kill(Number(pid), 'SIGCONT')
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
async function take(sidecar: string): Promise<void> {
  const { chromium } = await import('playwright-core')
  const browser = await chromium.launch({ executablePath: CHROMIUM, args: ['--no-sandbox'] })
  try {
    const page = await browser.newPage({ viewport: { width: 1100, height: 800 } })
    await page.goto(sidecar)
    const path = join(OUT, 'page.png')
    await page.screenshot({ path })
    console.log(path)
  } finally {
    await browser.close()
  }
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
  const span = { from: to - minutes * 60, to }
  mkdirSync(OUT, { recursive: true })
  const browser = await chromium.launch({ executablePath: CHROMIUM, args: ['--no-sandbox'] })
  try {
    const page = await browser.newPage({ viewport: { width: 1616, height: 1000 } })
    page.on('pageerror', error => console.error(error))
    for (const file of readdirSync(join(HERE, '../grafana')).filter(name => name.endsWith('.json'))) {
      const uid = file.replace(/\.json$/, '')
      const body = html(await answered(uid, prometheus, span), script, style)
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
