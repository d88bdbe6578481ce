// Overview, operations, metrics and the sidecar in a real Chromium, in front of a real sidecar.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { join } from 'node:path'
import t from 'tap'
import { violations } from './axe.ts'
import { openLive } from './live.ts'
import { skip } from './room.ts'

// Each page waits for what it shows; a busy machine needs long for all of them.
t.setTimeout(600_000)

const opts = { skip, timeout: 280_000 }
const HASHES = ['#/overview', '#/operations?kind=all', '#/metrics?family=pillion_build_info', '#/sidecar', '#/nowhere']
const EVIL = '"><img src=x onerror=alert(1)><script>alert(2)</script>\u202e{{x}}'

t.test('the overview says what needs attention first, and leads to the newest failing trace', opts, async t => {
  const { open, send } = await openLive(t)
  const { page, go, faults, until } = await open()
  await go('#/overview')
  await page.getByRole('heading', { name: 'No spans yet' }).waitFor()
  t.match(await page.locator('pre').innerText(), /OTEL_EXPORTER_OTLP_ENDPOINT=http:\/\/127\.0\.0\.1:\d+\n/)
  await page.getByRole('combobox', { name: 'Language' }).selectOption('python')
  t.match(await page.locator('pre').innerText(), /opentelemetry-instrument python/)
  await page.getByText('tap.listen').waitFor()

  await send({ service: 'payment', name: 'POST /charge', error: 'declined' })
  await send({ service: 'payment', name: 'POST /charge' })
  await page.getByText('payment: POST /charge fails, 1 of 2 requests', { exact: true }).waitFor()
  await until('document.querySelector("dl.figures .failed dd")?.innerText.startsWith("50")')
  await page.getByRole('link', { name: /^newest failing trace of payment/ }).click()
  await page.waitForURL(/#\/trace\/[0-9a-f]{32}\?span=[0-9a-f]{16}/)
  await page.goBack()
  await page.getByText('payment: POST /charge fails').first().waitFor()
  t.same(await faults(), [])
})

t.test('while it is paused the numbers stay, and it says how many requests are new', opts, async t => {
  const { open, send } = await openLive(t)
  const { page, go, until } = await open()
  await go('#/overview')
  await page.getByRole('heading', { name: 'No spans yet' }).waitFor()
  await send({ service: 'shop', name: 'GET /' })
  await page.getByRole('rowheader', { name: 'shop' }).waitFor()
  await page.getByRole('button', { name: 'Pause' }).click()
  await send(...Array.from({ length: 12 }, () => ({ service: 'later', name: 'GET /' })))
  await page.getByRole('button', { name: /Paused, 12 new/ }).waitFor()
  t.equal(await page.getByRole('rowheader', { name: 'later' }).count(), 0)
  await page.getByRole('button', { name: /Paused/ }).click()
  await page.getByRole('rowheader', { name: 'later' }).waitFor()
  await until('!/new/.test(document.querySelector(".pause").innerText)')
})

t.test('a hidden tab asks for nothing, and asks at once when it is shown again', opts, async t => {
  const { open, send } = await openLive(t)
  await send({ service: 'shop', name: 'GET /' })
  const { page, go } = await open()
  const asked: string[] = []
  page.on('request', request => asked.push(request.url()))
  const hide = (hidden: boolean): Promise<unknown> =>
    page.evaluate(`
      Object.defineProperty(document, 'hidden', { value: ${hidden}, configurable: true })
      document.dispatchEvent(new Event('visibilitychange'))`)
  for (const hash of ['traces', 'logs', 'map', 'operations', 'metrics?family=app_process_up', 'sidecar', 'overview']) {
    await go(`#/${hash}`)
    await page.waitForSelector('.card, .empty')
    await hide(true)
    // Earlier requests may be told late on a machine that is busy.
    for (let before = -1, n = 0; asked.length !== before && n < 10; n++) {
      before = asked.length
      await page.waitForTimeout(1000)
    }
    asked.length = 0
    await page.waitForTimeout(/overview|metrics|sidecar/.test(hash) ? 6000 : 2500)
    t.same(asked, [], hash)
    if (hash !== 'overview') await hide(false)
  }
  const next = page.waitForRequest(/\/api\/overview\?step/)
  await hide(false)
  await next
})

t.test(
  'operations are sorted and filtered by the address, and a bar of the histogram finds its traces',
  opts,
  async t => {
    const { open, send } = await openLive(t)
    const { page, go, faults, until } = await open()
    await go('#/operations')
    await page.getByRole('heading', { name: 'No operations yet' }).waitFor()
    await send({ service: 'shop', name: 'GET /quick', ms: 1 }, { service: 'shop', name: 'GET /quick', ms: 1 })
    await send({ service: 'shop', name: 'GET /slow', ms: 900, error: 'too slow' })
    await send({ service: 'shop', name: 'query', ms: 3, kind: 3 })
    await page.getByRole('heading', { name: '2 operations' }).waitFor()
    const names = (): Promise<string[]> => page.locator('tbody th button bdi').allInnerTexts()
    await page.getByRole('button', { name: 'p95' }).click()
    await page.waitForURL(/sort=-p95/)
    await page.locator('th[aria-sort=descending]', { hasText: 'p95 ▾' }).waitFor()
    t.same(await names(), ['GET /slow', 'GET /quick'])
    await page.getByRole('button', { name: 'p95' }).click()
    await page.locator('th[aria-sort=ascending]', { hasText: 'p95' }).waitFor()
    t.same(await names(), ['GET /quick', 'GET /slow'])
    await page.getByRole('button', { name: 'Failing only' }).click()
    await until('document.querySelectorAll("tbody th button bdi").length === 1')
    t.same(await names(), ['GET /slow'])
    await page.locator('tbody th button').click()
    await page.getByRole('link', { name: /^at \d\d:\d\d:\d\d, 900/ }).waitFor()
    await page.getByRole('link', { name: /1 requests, over 512.*show traces/ }).click()
    await page.waitForURL(/#\/traces\?q=.*duration/)
    await page.getByText('GET /slow').first().waitFor()
    await page.goBack()
    await page.getByRole('link', { name: /1 requests, over 512/ }).waitFor()
    t.same(await faults(), [])
  },
)

t.test('each family of /metrics is found by name or help, and drawn', opts, async t => {
  const { open, ride } = await openLive(t)
  const { page, go, until, faults } = await open()
  await go('#/metrics')
  await page.getByText('Choose a family').waitFor()
  const text = await ride.scrape()
  const families = [...text.matchAll(/^# TYPE (\S+)/gm)].map(([, name]) => name)
  await until(`document.querySelectorAll('.list li').length >= ${families.length}`)
  await page.getByRole('searchbox', { name: 'Search families' }).fill('resident memory pillion')
  await until('document.querySelectorAll(".list li").length === 1')
  await page.getByRole('link', { name: /pillion_process_resident_memory_bytes/ }).click()
  await page.getByRole('img', { name: /pillion_process_resident_memory_bytes, now: value \d+(\.\d+)?\sMiB/ }).waitFor()
  t.match(page.url(), /family=pillion_process_resident_memory_bytes/)
  await go('#/metrics?family=app_no_such')
  await page.getByText('there is no family app_no_such on /metrics now').waitFor()
  t.same(
    (await faults()).filter(fault => !/404/.test(fault)),
    [],
  )
})

t.test('the sidecar shows its ledger, its budget and the options in effect with their origin', opts, async t => {
  const { open, send } = await openLive(t, { flags: ['--traces.keep', '4MiB'] })
  const { page, go, faults } = await open()
  await send({ service: 'shop', name: 'GET /' })
  await go('#/sidecar')
  await page.getByRole('row', { name: /^traces 1 1 0/ }).waitFor()
  t.match(await page.locator('.configuration').innerText(), /keep: 4MiB +# flag --traces\.keep/)
  t.notMatch(await page.locator('.configuration').innerText(), /# default/)
  await page.getByRole('button', { name: 'With defaults' }).click()
  t.match(await page.locator('.configuration').innerText(), /# default/)
  t.same(await faults(), [])
})

t.test(
  'without violations of accessibility or of the policy in both themes, from a telephone to a wall',
  opts,
  async t => {
    const { open, send } = await openLive(t)
    await send(
      { service: 'shop', name: 'GET /' },
      { service: 'payment', name: `POST /${'x'.repeat(300)}`, error: 'no' },
    )
    await send({ service: EVIL, name: EVIL, error: EVIL })
    for (const colorScheme of ['light', 'dark'] as const) {
      const { page, go, faults, until } = await open({ colorScheme })
      for (const hash of HASHES) {
        await go(hash)
        await page.waitForSelector(hash === '#/nowhere' ? '.empty' : '.card')
        await page.waitForTimeout(300)
        t.same(await violations(page), [], `${hash} ${colorScheme}`)
        for (const width of [390, 1440, 3840]) {
          await page.setViewportSize({ width, height: 900 })
          await until(`document.documentElement.scrollWidth === ${width}`)
          t.pass(`${hash} at ${width} px`)
        }
      }
      t.same(await faults(), [], colorScheme)
    }
  },
)

t.test('the keyboard reaches the content, the views and the settings; the choice of colours is kept', opts, async t => {
  const { open } = await openLive(t)
  const { page, go, until } = await open({ colorScheme: 'light' })
  await go('#/sidecar')
  await page.keyboard.press('Tab')
  t.equal(await page.evaluate('document.activeElement.innerText'), 'Skip to the content')
  await page.keyboard.press('Enter')
  t.equal(await page.evaluate('document.activeElement.id'), 'main')
  await page.getByRole('link', { name: 'Metrics', exact: true }).focus()
  await page.keyboard.press('Enter')
  await page.waitForURL(/#\/metrics$/)
  await until('document.title.startsWith("Metrics")')
  t.equal(await page.evaluate('document.activeElement.id'), 'main', 'another view begins at its content')
  const ground = 'getComputedStyle(document.body).backgroundColor'
  const light = await page.evaluate(ground)
  await page.getByRole('combobox', { name: 'Colours' }).selectOption('dark')
  t.not(await page.evaluate(ground), light)
  await page.reload()
  await page.waitForSelector('main h1')
  t.not(await page.evaluate(ground), light, 'the choice is kept')
  await page.getByRole('button', { name: /^Times are local/ }).click()
  await page.getByRole('button', { name: /^Times are in UTC/ }).waitFor()
})

t.test(
  'restarts are shown with the reason of each end, and what the application died of comes first',
  opts,
  async t => {
    // A parent that never waits for its children, so that their status stays to be seen.
    const lines = `const { spawn } = process.getBuiltinModule('node:child_process')
    const start = () => spawn('sleep', ['600'], { stdio: 'ignore' }).pid
    console.log(start(), start())
    setTimeout(() => { for (;;) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 60000) }, 10)`
    const parent = spawn(process.execPath, ['-e', lines], { stdio: ['ignore', 'pipe', 'inherit'] })
    const [said] = await once(parent.stdout, 'data')
    const [first, second] = String(said).trim().split(' ').map(Number) as [number, number]
    t.teardown(() => {
      process.kill(second, 'SIGKILL')
      parent.kill('SIGKILL')
    })
    const file = join(t.testdir({}), 'pid')
    writeFileSync(file, `${first}`)
    const { open, ride } = await openLive(t, { flags: ['--app.pid_file', file] })
    const { page, go, faults } = await open()
    await go('#/overview')
    await page.getByText(`Process ${first}`).waitFor()
    t.equal(await page.getByRole('list', { name: 'Why it ended' }).count(), 0)

    process.kill(first, 'SIGSEGV')
    await page
      .getByText(new RegExp(`^the application does not run: the application's process ${first} ended`))
      .waitFor()
    writeFileSync(file, `${second}`)
    await page.getByText(`Process ${second}`).waitFor()
    await page
      .getByText(/^the application was restarted: the application's process \d+ ended (by SIGSEGV|; the kernel)/)
      .waitFor()
    const ends = page.getByRole('list', { name: 'Why it ended' })
    t.match(await ends.innerText(), /^\d\d:\d\d:\d\d crashed /)
    t.match(await ends.getByRole('listitem').first().getAttribute('title'), /\(crash, by (status|kernel log)\)$/)
    const { process: known } = (await (await fetch(`${ride.web}/api/overview`)).json()) as Record<string, never>
    t.match(known, { running: true, restarts: 1, ends: [{ pid: first, reason: 'crash' }] })
    t.same(await violations(page), [])
    t.same(await faults(), [])
  },
)

t.test(
  'health bodies, reasons, and metrics of the application are text to the page, whatever they say',
  opts,
  async t => {
    const script = '<img src=x onerror=ran=1><script>ran=1</script>'
    const document = {
      status: 'DOWN',
      output: script,
      components: {
        [script]: { status: 'DOWN', details: { error: script } },
        '"><svg onload=ran=1>': { status: 'UP' },
      },
    }
    const metrics = `# HELP evil_total ${script}\n# TYPE evil_total counter\nevil_total{path="${script.replaceAll('"', '\\"')}"} 7\n`
    const app = createServer(socket => {
      socket.on('error', () => {})
      socket.once('data', data => {
        const scraped = String(data).startsWith('GET /metrics')
        const body = scraped ? metrics : JSON.stringify(document)
        const type = scraped ? 'text/plain; version=0.0.4' : 'application/health+json'
        const head = `HTTP/1.1 ${scraped ? '200 OK' : `503 ${script}`}\r\nContent-Type: ${type}\r\nX-Reason: ${script}`
        socket.end(`${head}\r\nContent-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`)
      })
    }).listen(0, '127.0.0.1')
    await once(app, 'listening')
    t.teardown(() => app.close())
    const { port } = app.address() as AddressInfo
    const { open, ride } = await openLive(t, {
      flags: [
        ...['--app.url', `http://127.0.0.1:${port}/health?${encodeURIComponent(script)}`, '--app.name', script],
        ...['--health.probes.0.name', 'ready', '--health.probes.0.url', `http://127.0.0.1:${port}/health`],
        ...['--health.probes.0.failure_threshold', '1', '--health.probes.0.interval', '200ms'],
        ...['--scrape.url', `http://127.0.0.1:${port}/metrics`],
      ],
    })
    const { page, go, faults } = await open()
    const seen = async (hash: string): Promise<void> => {
      t.equal(await page.evaluate('typeof ran'), 'undefined', hash)
      t.equal(await page.locator('main img, main script, main svg[onload], header script').count(), 0, hash)
    }
    await go('#/overview')
    await page
      .getByText(/ready.*503/)
      .first()
      .waitFor()
    await page.locator('.brand bdi', { hasText: script }).waitFor()
    const why = page.getByRole('region', { name: 'Health' }).getByRole('list', { name: 'Why' })
    t.match(await why.innerText(), /ready.*503/, 'the card of health says why')
    await seen('#/overview')
    await go('#/sidecar')
    await page
      .getByText(/ready.*503/)
      .first()
      .waitFor()
    await seen('#/sidecar')
    await ride.scrape()
    await go('#/metrics?family=evil_total')
    await page.getByText(script).first().waitFor()
    await seen('#/metrics?family=evil_total')
    await go('#/metrics?family=app_health_component_up')
    await page.getByText(script).first().waitFor()
    await seen('#/metrics?family=app_health_component_up')
    t.same(await violations(page), [])
    t.same(await faults(), [])
  },
)

t.test('by the keyboard alone one gets from the overview to the failing span, to its logs, and back', opts, async t => {
  const { open, send } = await openLive(t)
  const { page, go, until, faults } = await open()
  await go('#/overview')
  await send({ service: 'payment', name: 'POST /charge', error: 'declined' })
  await page.getByRole('link', { name: /^newest failing trace of payment/ }).waitFor()
  const tabTo = async (text: string): Promise<void> => {
    for (let i = 0; i < 60; i++) {
      await page.keyboard.press('Tab')
      const focus = await page.evaluate<string>('document.activeElement.innerText ?? ""')
      if (!focus.startsWith(text)) continue
      const outline = await page.evaluate('getComputedStyle(document.activeElement).outlineStyle')
      t.not(outline, 'none', `where one is can be seen: ${text}`)
      return
    }
    t.fail(`60 times Tab do not lead to ${text}`)
  }
  await tabTo('newest failing trace')
  await page.keyboard.press('Enter')
  await page.locator('.panel h2', { hasText: 'POST /charge' }).waitFor()
  await page.keyboard.press('Escape')
  await page.locator('.panel').getByText('Where the time goes').waitFor()
  await page.keyboard.press('e')
  await page.locator('.panel .said', { hasText: 'declined' }).waitFor()
  await page.keyboard.press('l')
  await until('document.querySelector("main h1")?.textContent === "Logs"')
  await page.goBack()
  await until('document.querySelector(".trace-head h1")?.textContent.includes("POST /charge")')
  await go('#/operations')
  await tabTo('▸ POST /charge')
  await page.keyboard.press('Enter')
  await page.getByText('Newest failing trace').waitFor()
  t.same(await faults(), [])
})
