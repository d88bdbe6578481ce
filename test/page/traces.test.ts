// The views of traces in a real Chromium: the list, its search, the waterfall with its keys, files, and two traces side
// by side.

import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import t from 'tap'
import { json, openRoom, skip, watch } from './room.ts'
import { CHECKOUT, fill, TRACE } from './shop.ts'

// Each page waits for what it shows; a busy machine needs long for all of them.
t.setTimeout(600_000)

const opts = { skip, timeout: 120_000 }

t.test(
  'the list shows the newest traces with operation, duration and errors, and its filters narrow it',
  opts,
  async t => {
    const room = await openRoom(t)
    const { page, faults, go } = room
    fill(room)
    await go('#/traces', 'table')
    const first = page.locator('tbody tr').first()
    t.match(await first.innerText(), /shop\s+POST \/checkout\s+✕\s*4 errors\s+820.ms\s+16/)
    t.equal(await page.locator('tbody tr').count(), 91)
    t.equal(await page.locator('.dots circle, .dots path.failed').count(), 91, 'a dot for each')
    await page.getByRole('button', { name: 'Errors' }).click()
    await room.until('document.querySelectorAll("tbody tr").length < 20')
    t.match(decodeURIComponent(page.url()), /q=\{\+status\+=\+error\+\}/, 'the filter is in the address')
    t.equal(await page.locator('tbody tr').count(), await page.locator('tbody tr .badge.failed').count())
    await page.getByRole('button', { name: /^Slow/ }).click()
    await room.until('/traceDuration/.test(location.hash)')
    await room.until(`/ms$/.test([...document.querySelectorAll('.form input')].at(-2).value)`)
    await page.goBack()
    await page.goBack()
    await room.until('document.querySelectorAll("tbody tr").length === 91')
    t.same(await faults(), [])
  },
)

t.test('the form writes TraceQL, TraceQL fills the form, and a mistake is shown under its place', opts, async t => {
  const room = await openRoom(t)
  const { page, go } = room
  fill(room)
  await go('#/traces', 'table')
  await page.getByLabel('Service').fill('payment')
  await page.getByLabel('Service').press('Enter')
  const query = page.getByLabel('TraceQL')
  await room.until('/payment/.test(location.hash)')
  t.equal(await query.inputValue(), '{ resource.service.name = "payment" }')
  await query.fill('{ name = "HGETALL" && status = ok }')
  await query.press('Enter')
  await page.getByText('says more than the form can show').waitFor()
  await query.fill('{ name = "HGETALL" }')
  await query.press('Enter')
  await room.until('document.querySelector("fieldset:not(:disabled)") !== null')
  await room.until(`document.querySelectorAll('.form input')[1].value === 'HGETALL'`)
  await query.fill('{ nam = 3 }')
  await query.press('Enter')
  const wrong = page.locator('#query-wrong')
  await wrong.waitFor()
  t.match(await wrong.innerText(), /\{ nam = 3 \}\n {2}\^\n/)
  t.equal(await query.getAttribute('aria-invalid'), 'true')
})

t.test('names and values of attributes are completed while a query is written', opts, async t => {
  const room = await openRoom(t)
  const { page, go, faults } = room
  fill(room)
  await go('#/traces', 'table')
  const query = page.getByLabel('TraceQL')
  await query.fill('{ span.http.ro')
  await page.getByRole('option', { name: 'span.http.route' }).waitFor()
  await query.press('ArrowDown')
  await query.press('Enter')
  t.equal(await query.inputValue(), '{ span.http.route = ')
  await page.getByRole('option', { name: '/checkout' }).waitFor()
  await query.press('ArrowDown')
  await query.press('Tab')
  t.equal(await query.inputValue(), '{ span.http.route = "/checkout"')
  await query.pressSequentially(' }')
  await query.press('Enter')
  await room.until('document.querySelectorAll("tbody tr").length === 1')
  t.same(await faults(), [])
})

t.test('a trace is shown as a waterfall that says what is missing and where the clocks differ', opts, async t => {
  const room = await openRoom(t)
  const { page, go, faults } = room
  fill(room)
  await go(`#/trace/${TRACE}`, '.row')
  t.equal(await page.locator('.row').count(), 17)
  const text = await page.locator('main').innerText()
  t.match(text, /This trace is not complete One parent is missing/)
  t.match(text, /Clocks differ[\s\S]*largest difference is 2.ms/)
  t.match(text, /longest gap is 146.ms in the middle of\s*POST \/charges\s*, after check fraud, before authorize/)
  t.match(text, /missing parent 00000000000000cc/)
  t.match(text, /Nothing about the process was kept for this time/)
  t.equal(await page.locator('.row.error').count(), 4)
  t.ok((await page.locator('.critical').count()) > 10, 'the critical path is drawn')
  t.equal(await page.locator('.row').nth(13).locator('.mark').count(), 2, 'events and log lines stand on the bar')
  t.match(
    await page.locator('.row').nth(13).locator('.mark').first().getAttribute('title'),
    /^2 events and logs: retry/,
  )
  t.match(await page.locator('.panel').innerText(), /Where the time goes[\s\S]*payment/)
  t.same(await faults(), [])
})

t.test('the span with the error is found by one key, with its exception, attributes and log lines', opts, async t => {
  const room = await openRoom(t)
  const { page, go, faults } = room
  fill(room)
  await go(`#/trace/${TRACE}`, '.row')
  await page.keyboard.press('e')
  await page.locator('.exception').waitFor()
  const panel = await page.locator('.panel').innerText()
  t.match(panel, /authorize/)
  t.match(panel, /card declined: insufficient funds/)
  t.match(panel, /CardDeclinedError[\s\S]*at authorize \(\/srv\/payment\/bank\.js:88:11\)/)
  t.match(panel, /ERROR card declined/)
  t.match(panel, /peer\.service\s+bank/)
  await room.until('/span=00000000000000b5/.test(location.hash)')
  await page.locator('.relatives button').first().click()
  await room.until('document.querySelector(".panel h2")?.textContent === "POST /charges"')
  await room.until('/span=00000000000000b2/.test(location.hash)')
  await page.reload()
  await room.until('document.querySelector(".panel h2")?.textContent === "POST /charges"')
  t.equal(await page.locator('.row.selected').count(), 1, 'a link to a span leads to it')
  t.same(await faults(), [])
})

t.test('keys go through the waterfall: rows, folding, finding, fitting, logs, help', opts, async t => {
  const room = await openRoom(t)
  const { page, go, faults } = room
  fill(room)
  await go(`#/trace/${TRACE}`, '.row')
  const selected = async (): Promise<string> => (await page.locator('.row.selected .what').allInnerTexts()).join()
  const rows = (): Promise<number> => page.locator('.row').count()
  const press = async (...keys: readonly string[]): Promise<string> => {
    for (const key of keys) await page.keyboard.press(key)
    await page.waitForTimeout(50)
    return await selected()
  }
  t.equal(await press('ArrowDown'), 'POST /checkout')
  t.equal(await press('j', 'j'), 'GET /cart/:id')
  t.equal(await press('k'), 'load cart')
  t.equal(await press('ArrowLeft'), 'load cart')
  t.equal(await rows(), 13, 'it was closed')
  t.equal(await page.locator('.row.selected').getAttribute('aria-expanded'), 'false')
  t.match(await page.locator('.row.selected').innerText(), /4 below/)
  t.equal(await press('ArrowRight', 'ArrowRight'), 'GET /cart/:id')
  t.equal(await press('ArrowRight', 'ArrowLeft'), 'GET /cart/:id')
  t.equal(await press('End'), 'render')
  t.equal(await press('Home'), 'POST /checkout')
  t.equal(await press('e', 'f'), 'authorize')
  await room.until('/from=/.test(location.hash)')
  t.equal(await page.getByRole('button', { name: 'Whole trace' }).count(), 1)
  await press('-', '+', 'd', 'a')
  await press('f')
  await room.until('!/from=/.test(location.hash)')
  await press('/')
  await page.keyboard.type('hgetall')
  await room.until('document.querySelectorAll(".row").length === 5')
  t.match(await page.locator('.tools').innerText(), /2 of 16 spans/)
  t.equal(await press('Escape', 'n'), 'HGETALL')
  t.equal(await press('ArrowUp'), 'GET /cart/:id', 'the rows above a match are there')
  await page.getByRole('button', { name: 'Matches only' }).click()
  await room.until('document.querySelectorAll(".row").length === 17')
  await press('?')
  t.match(await page.locator('.keys').innerText(), /next and previous error/)
  await press('Escape')
  t.equal(await page.locator('.keys').count(), 0)
  await press('c')
  t.equal(await page.locator('.critical').count(), 0)
  await press('Home', 'l')
  await room.until('location.hash.startsWith("#/logs?trace=")')
  await page.locator('.records li').first().waitFor()
  t.equal(await page.locator('.records li').count(), 2, 'the two lines of that span')
  await page.goBack()
  await page.locator('.row').first().waitFor()
  t.same(await faults(), [])
})

t.test('a text is found in attributes, and only what is on the critical path can be shown', opts, async t => {
  const room = await openRoom(t)
  const { page, go } = room
  fill(room)
  await go(`#/trace/${TRACE}?find=db.system%3Dpostgresql`, '.row')
  await room.until('document.querySelectorAll(".row").length === 4')
  t.match(await page.locator('.row').last().innerText(), /UPDATE stock/)
  await go(`#/trace/${TRACE}?filter=critical`, '.row')
  await room.until('!document.querySelector(".rows").textContent.includes("queue receipt")')
  t.ok((await page.locator('.row').count()) < 16)
})

t.test('the strip shows the process on the axis of the spans, and bands what a span waited for', opts, async t => {
  let start = 0
  const asked: string[] = []
  const routes = [
    json('/api/moments', target => {
      asked.push(target)
      return {
        from: start,
        to: start + 900,
        step: 100,
        series: [
          { name: 'cpu_wait', unit: 'share', values: [0, 0, 0, 0.6, 0.7, 0, 0, 0, null, null] },
          { name: 'memory', unit: 'bytes', values: Array.from({ length: 10 }, () => 64 * 2 ** 20) },
        ],
        marks: [
          { at: start + 410, kind: 'health', text: 'readiness: timeout' },
          { at: start + 99_999, kind: 'restart', text: 'later' },
        ],
      }
    }),
    json('/api/insight/', () => ({
      spans: [
        {
          span_id: '00000000000000b2',
          causes: [{ cause: 'waiting_for_cpu', from: start + 340, to: start + 470, seconds: 0.11 }],
        },
      ],
    })),
  ]
  const room = await openRoom(t, { routes })
  start = room.start
  const { page, go, faults } = room
  fill(room)
  await go(`#/trace/${TRACE}?span=b2`, '.moments')
  t.match(asked[0], new RegExp(`from=${start}&to=${start + 820}$`))
  const strip = await page.locator('.moments').innerText()
  t.match(strip, /waiting for CPU 70.%/)
  t.match(strip, /memory 64.MiB/)
  t.equal(await page.locator('.moments abbr').count(), 1)
  t.match(await page.locator('.moments abbr').getAttribute('title'), 'health: readiness: timeout')
  t.match(await page.locator('.panel').innerText(), /waited for a core\s+110.ms/)
  const [sign, bar] = await Promise.all([
    page.locator('.moments abbr').boundingBox(),
    page.locator('.row .place').first().boundingBox(),
  ])
  const at = (sign!.x + sign!.width / 2 - bar!.x) / bar!.width
  t.ok(Math.abs(at - 410 / 820) < 0.004, `the sign stands at ${at} of the axis`)
  t.equal(await page.locator('.rows .band').count(), 1)
  const above = (await page.locator('.causes .band').boundingBox())!
  const below = (await page.locator('.rows .band').boundingBox())!
  t.ok(Math.abs(above.x - below.x) < 2, `one axis for both: from ${above.x} and ${below.x}`)
  t.ok(Math.abs(above.width - below.width) < 3, `as wide: ${above.width} and ${below.width}`)
  t.same(await faults(), [])
})

t.test(
  'a trace is saved as OTLP JSON and as a page that works from a file, without a network and under its own policy',
  opts,
  async t => {
    const room = await openRoom(t)
    const { page, go, faults } = room
    fill(room)
    await go(`#/trace/${TRACE}`, '.row')
    const save = async (name: RegExp): Promise<string> => {
      await page.locator('.menu summary').click()
      const [download] = await Promise.all([page.waitForEvent('download'), page.getByRole('button', { name }).click()])
      const path = join(t.testdir({}), download.suggestedFilename())
      await download.saveAs(path)
      return path
    }
    const written = await save(/OTLP JSON/)
    const document = JSON.parse(await readFile(written, 'utf8')) as {
      resourceSpans: readonly { scopeSpans: readonly { spans: readonly object[] }[] }[]
    }
    t.equal(document.resourceSpans.flatMap(each => each.scopeSpans.flatMap(({ spans }) => spans)).length, 16)
    const html = await save(/HTML page/)
    t.same(await faults(), [])
    const other = await page.context().newPage()
    const url = pathToFileURL(html).href
    const wrong = watch(other, url.slice(0, url.lastIndexOf('/')))
    await other.goto(url)
    await other.locator('.row').first().waitFor()
    t.equal(await other.locator('.row').count(), 17)
    await other.keyboard.press('e')
    await other.locator('.exception').waitFor()
    t.match(await other.locator('.panel').innerText(), /CardDeclinedError/)
    t.equal(await other.getByRole('link', { name: /logs/i }).count(), 0, 'nothing leads to a sidecar')
    t.same(await wrong(), [])
  },
)

t.test('a file that is dropped is shown, and stays in the browser', opts, async t => {
  const { page, go, faults, url } = await openRoom(t)
  await go('#/traces')
  await page.getByText('No spans yet').waitFor()
  const requests: string[] = []
  page.on('request', request => requests.push(`${request.method()} ${new URL(request.url()).pathname}`))
  const jaeger = {
    data: [
      {
        traceID: 'ab12',
        processes: { p1: { serviceName: 'legacy' } },
        spans: [
          {
            traceID: 'ab12',
            spanID: '1',
            operationName: 'handle',
            references: [],
            startTime: 1750000000000000,
            duration: 5000,
            tags: [],
            logs: [],
            processID: 'p1',
          },
          {
            traceID: 'ab12',
            spanID: '2',
            operationName: 'query',
            references: [{ refType: 'CHILD_OF', traceID: 'ab12', spanID: '1' }],
            startTime: 1750000000001000,
            duration: 2000,
            tags: [{ key: 'error', type: 'bool', value: true }],
            logs: [],
            processID: 'p1',
          },
        ],
      },
    ],
  }
  await page.evaluate(`{
    const data = new DataTransfer()
    data.items.add(new File([${JSON.stringify(JSON.stringify(jaeger))}], 'trace.json', { type: 'application/json' }))
    const zone = document.querySelector('.drop')
    zone.dispatchEvent(new DragEvent('dragover', { dataTransfer: data, bubbles: true, cancelable: true }))
    zone.dispatchEvent(new DragEvent('drop', { dataTransfer: data, bubbles: true, cancelable: true }))
  }`)
  await page.locator('.row').nth(1).waitFor()
  t.match(await page.locator('.rows').innerText(), /legacy\s+handle/)
  t.notOk(
    requests.some(each => each.startsWith('POST') || each.includes('ab12')),
    'nothing of it is sent',
  )
  await page.goto(`${url}/#/traces`)
  t.match(await page.locator('.files').innerText(), /handle\s+2 spans/)
  await page.setInputFiles('input[type=file]', {
    name: 'bad.json',
    mimeType: 'application/json',
    buffer: Buffer.from('{"x"'),
  })
  await page.getByText(/Cannot open bad\.json: cannot read this file as JSON/).waitFor()
  t.same(await faults(), [])
})

t.test('two traces are chosen in the list and compared', opts, async t => {
  const room = await openRoom(t)
  const { page, go, faults } = room
  fill(room)
  room.send(
    { trace: 'f1', service: 'shop', name: 'POST /checkout', span: '1', at: 900, ms: 100 },
    { trace: 'f1', service: 'shop', name: 'load cart', span: '2', parent: '1', at: 910, ms: 20 },
  )
  await go('#/traces', 'table')
  const boxes = page.getByRole('checkbox', { name: 'Compare POST /checkout' })
  await boxes.nth(0).check()
  await boxes.nth(1).check()
  await page.getByRole('link', { name: 'Compare the two' }).click()
  await page.locator('table.compared').waitFor()
  const first = await page.locator('table.compared tbody tr').first().innerText()
  t.match(first, /POST \/checkout\s+100.ms\s+820.ms\s+✕ 1\s+▲ \+720.ms/)
  t.match(await page.locator('table.compared').innerText(), /reserve stock\s+–\s+120.ms\s+only second/)
  await page.getByRole('button', { name: 'Back to the first trace' }).click()
  await page.locator('.row').first().waitFor()
  t.same(await faults(), [])
})

t.test('a trace that is not here says how far back memory goes', opts, async t => {
  const room = await openRoom(t)
  const { page, go } = room
  room.send(...CHECKOUT)
  await go(`#/trace/${'9'.repeat(32)}`, '.empty')
  await page.getByText(/is not in the memory of this sidecar, which holds the 16 newest spans/).waitFor()
})

t.test('while the page is paused the list stays as it is, and says how many are new', opts, async t => {
  const room = await openRoom(t)
  const { page, go } = room
  room.send(...CHECKOUT)
  await go('#/traces', 'tbody tr')
  await page.getByRole('button', { name: /Pause/ }).click()
  room.send({ trace: 'e1', service: 'shop', name: 'GET /new', span: '1', at: 5000 })
  await page.getByRole('button', { name: /Paused, 1 new/ }).waitFor()
  t.equal(await page.locator('tbody tr').count(), 1)
  await page.getByRole('button', { name: /Paused/ }).click()
  await room.until('document.querySelectorAll("tbody tr").length === 2')
})

t.test(
  'a link to a span is followed, also if the page is busy when the waterfall would keep its own state',
  opts,
  async t => {
    const room = await openRoom(t)
    const { page, go, faults } = room
    fill(room)
    await go(`#/trace/${TRACE}`, '.row')
    await page.evaluate(`(() => {
    addEventListener('hashchange', () => { for (const end = performance.now() + 600; performance.now() < end; ); }, { once: true })
    location.hash = '#/trace/${TRACE}?span=b5'
  })()`)
    await page.locator('main .exception').waitFor()
    // The address follows the selection again.
    await page.keyboard.press('ArrowUp')
    await room.until('location.hash.endsWith("b4")')
    t.same(await faults(), [])
  },
)

t.test('whoever goes elsewhere while a state is being written into the address stays there', opts, async t => {
  const room = await openRoom(t)
  const { page, go, until, faults } = room
  fill(room)
  await go(`#/trace/${TRACE}`, '.row')
  // The address is set, and the page is told of it only after this task: what the page writes meanwhile must not undo it.
  for (let i = 0; i < 20; i++) {
    await page.keyboard.press('j')
    await page.evaluate(`new Promise(done => setTimeout(() => {
      location.hash = '#/logs'
      const end = performance.now() + 40
      while (performance.now() < end);
      done()
    }, ${225 + i}))`)
    await until('location.hash.startsWith("#/logs") && document.querySelector("main h1")?.textContent === "Logs"')
    await go(`#/trace/${TRACE}`, '.row')
  }
  t.same(await faults(), [])
})
