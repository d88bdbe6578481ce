// Logs and the map in a real Chromium; every view without violations of accessibility, in both themes; and hostile telemetry.

import t from 'tap'
import { violations } from './axe.ts'
import { type Call, openRoom, skip } from './room.ts'
import { CHECKOUT, fill, TRACE } from './shop.ts'

// Each page waits for what it shows; a busy machine needs long for all of them.
t.setTimeout(600_000)

const opts = { skip, timeout: 120_000 }

t.test('logs are shown newest first, and followed as they come in', opts, async t => {
  const room = await openRoom(t)
  const { page, go, faults, log } = room
  fill(room)
  await go('#/logs', '.records li')
  // Not the inner text, which leaves out records that Chromium has not drawn yet (content-visibility).
  const bodies = async (): Promise<string[]> => await page.locator('.records .body bdi').allTextContents()
  t.equal((await bodies())[0], 'checkout failed, answering 500')
  t.equal((await bodies()).length, 5)
  log({ body: 'one more', severity: 9, at: 2000 })
  await room.until('document.querySelectorAll(".records li").length === 6')
  t.equal((await bodies())[0], 'one more')
  await page.getByRole('button', { name: /Pause/ }).click()
  log({ body: 'while paused', severity: 9, at: 3000 })
  await page.getByRole('button', { name: /Paused, 1 new/ }).waitFor()
  t.equal((await bodies())[0], 'one more')
  await page.getByRole('button', { name: /Paused/ }).click()
  await room.until('document.querySelectorAll(".records li").length === 7')
  await page.locator('.records li').first().getByText('while paused').waitFor()
  t.equal((await bodies())[0], 'while paused')
  t.same(await faults(), [])
})

t.test('logs are filtered by severity, service and text, and lead to the trace and the very span', opts, async t => {
  const room = await openRoom(t)
  const { page, go, faults } = room
  fill(room)
  await go('#/logs', '.records li')
  await page.getByRole('button', { name: 'Error and above' }).click()
  await room.until('document.querySelectorAll(".records li").length === 2')
  await page.getByRole('combobox', { name: 'Service' }).selectOption('payment')
  await room.until('document.querySelectorAll(".records li").length === 1')
  await page.locator('.records a').click()
  await page.locator('.panel h2', { hasText: 'authorize' }).waitFor()
  await page.goBack()
  await room.until('document.querySelectorAll(".records li").length === 1')
  await page.keyboard.press('/')
  await page.keyboard.type('no such text')
  await page.getByText('No record matches').waitFor()
  await page.getByRole('button', { name: 'Show all of them' }).click()
  await room.until('document.querySelectorAll(".records li").length === 5')
  t.same(await faults(), [])
})

t.test('older log records follow on demand', opts, async t => {
  const room = await openRoom(t)
  for (let i = 0; i < 450; i++) room.log({ body: `line ${i}`, at: i })
  const { page, go } = room
  await go('#/logs', '.records li')
  for (const expected of [400, 450]) {
    await page.getByRole('button', { name: 'Older ones' }).click()
    await room.until(`document.querySelectorAll(".records li").length === ${expected}`)
  }
  t.equal(await page.locator('.records .body bdi').last().textContent(), 'line 0')
  t.equal(await page.getByRole('button', { name: 'Older ones' }).count(), 0)
})

t.test('the map shows services and their calls, first since the start and then as they happen', opts, async t => {
  const room = await openRoom(t)
  const { page, go, faults, send } = room
  fill(room)
  await go('#/map', 'svg')
  const nodes = async (): Promise<string[]> => (await page.locator('.node .title').allTextContents()).sort()
  t.same(await nodes(), ['bank', 'cart', 'payment', 'postgres', 'postgresql', 'redis', 'shop', 'user'])
  const place = async (name: string): Promise<number> =>
    (await page.locator('.node', { hasText: name }).first().locator('rect').boundingBox())!.x
  const [user, shop, payment, bank] = await Promise.all(['user', 'shop', 'payment', 'bank'].map(place))
  t.ok(user! < shop! && shop! < payment! && payment! < bank!, 'from left to right')
  const row = page.locator('tbody tr', { hasText: 'payment' }).first()
  t.match(await row.innerText(), /shop\s+payment\s+both send spans\s+–\s+20\s+✕\s*15.%/)
  const request: readonly Call[] = CHECKOUT.map(call => ({ ...call, trace: 'dd' }))
  // A look in which none came says that nothing did.
  const rated = page.locator('.card.map', { hasText: /\d\s*\/(?:s|min)/ })
  for (let i = 0; (await rated.count()) === 0; i++) {
    send(...request.map(call => ({ ...call, trace: `dd${i}` })))
    await page.waitForTimeout(300)
  }
  t.pass('requests have a rate')
  await page.getByRole('button', { name: 'Since the start' }).click()
  await page.getByText('since the sidecar was started').waitFor()
  await page.locator('tbody tr', { hasText: 'payment' }).first().getByRole('link').click()
  await room.until('/q=/.test(location.hash) && document.querySelectorAll("table.traces tbody tr").length > 0')
  t.same(await faults(), [])
})

t.test('where there is nothing yet, each view says what to do', opts, async t => {
  const { page, go, faults } = await openRoom(t)
  for (const view of ['traces', 'logs', 'map']) {
    await go(`#/${view}`, '.empty')
    await page.locator('.empty pre', { hasText: 'OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4318' }).waitFor()
  }
  t.same(await faults(), [])
})

/** The browser itself tells of each answer of 400 and 404 in the console, also where the page shows it. */
const told = (fault: string): boolean => !/status of 40[04]/.test(fault)

const VIEWS = [
  ['#/traces', 'table'],
  ['#/traces?q=%7B+nam+%3D+3+%7D', '#query-wrong'],
  [`#/trace/${TRACE}`, '.row'],
  [`#/trace/${TRACE}?span=b5`, '.exception'],
  [`#/trace/${TRACE}?find=hgetall`, '.row'],
  [`#/trace/${TRACE}?with=1001`, 'table.compared'],
  ['#/trace/9999', '.empty'],
  ['#/logs', '.records li'],
  ['#/map', 'svg'],
] as const

for (const colorScheme of ['light', 'dark'] as const)
  t.test(`axe-core finds nothing to mend in the ${colorScheme} theme`, opts, async t => {
    const room = await openRoom(t, { colorScheme })
    fill(room)
    for (const [hash, wait] of VIEWS) {
      await room.go(hash, wait)
      t.same(await violations(room.page), [], hash)
    }
    await room.go(`#/trace/${TRACE}`, '.row')
    await room.page.keyboard.press('?')
    t.same(await violations(room.page), [], 'with the help')
    t.same((await room.faults()).filter(told), [])
  })

t.test('nothing is wider than the screen of a phone, and axe-core finds nothing there either', opts, async t => {
  const room = await openRoom(t, { viewport: { width: 390, height: 844 } })
  fill(room)
  for (const [hash, wait] of VIEWS) {
    await room.go(hash, wait)
    await room.until('document.documentElement.scrollWidth === 390')
    t.same(await violations(room.page), [], hash)
  }
})

t.test('hostile names, ids, attributes and log bodies cannot run or break anything', opts, async t => {
  const room = await openRoom(t)
  const { page, go, faults, send, log } = room
  const script = '<img src=x onerror="ran=1"><script>ran=1</script>'
  const evil = [
    script,
    `"><svg onload=ran=1>${script}`,
    'javascript:ran=1//',
    '\u202egnp.exe \u0000\u0007 \ud83d\ude00\u200b',
    '__proto__',
    `${'x'.repeat(5000)}`,
    '{{constructor.constructor("ran=1")()}}',
    "');ran=1;//",
  ]
  const calls = evil.map((text, i) => ({
    trace: 'ee',
    service: text,
    name: text,
    span: (i + 1).toString(16),
    ...(i > 0 && { parent: '1' }),
    at: i,
    ms: 10,
    error: text,
    kind: 2 + (i % 2),
    attributes: { [text]: text, 'peer.service': text, url: 'javascript:ran=1' },
    events: [
      { at: 1, name: text, attributes: [{ key: text, value: { stringValue: text } }] },
      { at: 2, name: 'exception', attributes: [{ key: 'exception.stacktrace', value: { stringValue: text } }] },
    ],
    links: [{ traceId: Buffer.alloc(16, 1), spanId: Buffer.alloc(8, 1) }],
  }))
  send(...calls)
  for (const [i, text] of evil.entries())
    log({ service: text, body: text, severity: 17, at: i, trace: 'ee', span: (i + 1).toString(16) })
  const looks = [
    ['#/traces', 'table'],
    ['#/trace/ee', '.row'],
    ...evil.map((_, i) => [`#/trace/ee?span=${(i + 1).toString(16)}`, '.exception'] as const),
    [`#/trace/ee?find=${encodeURIComponent(script)}`, '.row'],
    ['#/trace/ee?with=ee', 'table.compared'],
    ['#/logs', '.records li'],
    ['#/map', 'svg'],
    [`#/traces?q=${encodeURIComponent(script)}`, '#query-wrong'],
    [`#/trace/${encodeURIComponent(script)}`, '.empty'],
    [`#/logs?trace=${encodeURIComponent(script)}`, '.trouble'],
    ['#/trace/ee?span=zz&from=NaN&to=-1&find=%00', '.row'],
    [`#/${encodeURIComponent(script)}/%E0%A4%A`, '.empty'],
  ] as const
  for (const [hash, wait] of looks) {
    await go(hash, wait)
    t.equal(await page.evaluate('typeof ran'), 'undefined', hash.slice(0, 60))
    t.equal(await page.locator('main img, main script, main svg[onload]').count(), 0)
    t.equal(await page.locator('a[href^="javascript"]').count(), 0)
  }
  t.same((await faults()).filter(told), [])
})
