// The file of a record: right as text, without scripts, without a network; hostile texts in it do nothing. And the same
// record in a terminal.

import { spawnSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { chromium } from 'playwright-core'
import t from 'tap'
import { LARGEST } from '../../exporter/flight/files.ts'
import { extracted } from '../../exporter/flight/record.ts'
import { redacted, redaction } from '../../exporter/flight/redact.ts'
import { report } from '../../exporter/flight/report.ts'
import { asText } from '../../exporter/flight/text.ts'
import { MAIN } from '../e2e/ride.ts'
import { CHROMIUM, skip } from '../page/room.ts'
import { sample } from './room.ts'

t.setTimeout(120_000)

const HOSTILE = [
  '</script><script>globalThis.ran = 1</script>',
  '<img src=x onerror="globalThis.ran = 1">',
  '<!--<script>',
  ']]><svg onload=globalThis.ran=1>',
  '"><a href="javascript:globalThis.ran=1">x</a>',
  "' onmouseover='globalThis.ran=1",
  '</style><style>*{display:none}',
  '<meta http-equiv="refresh" content="0;url=http://127.0.0.1:1/">',
  '\u202egnp.exe\u0000\u001b[2J\u2028',
  '&lt;script&gt;',
  '\ud800',
]

function hostile() {
  const plain = sample()
  const { at } = plain
  const text = HOSTILE.join(' ')
  return sample({
    application: { ...plain.application, name: text, url: text },
    cause: { reason: text, evidence: text, text },
    marks: [{ at, kind: 'health', text }],
    episodes: [{ from: at, to: null, cause: text, sentence: text }],
    traces: [{ traceId: text, at, ms: 1, service: text, name: text, spans: 1, errors: 1 }],
    logs: HOSTILE.map(body => ({ at, severity: body, service: body, body, traceId: body })),
    parts: [{ name: text, state: 'ok', facts: [{ name: text, value: text }], findings: [{ level: 'info', text }] }],
    missing: [text],
    sidecar: { version: text },
  })
}

t.test('a growth rate is that of the time that was seen, however short it was', async t => {
  const text = asText(sample({ trigger: 'asked', cause: { reason: 'asked', evidence: 'none', text: '' } }))
  t.match(text, /^The state of shop \(pid 4711, seen for 3 h 12 min\) at /m)
  t.match(text, /Memory: 238 MiB of 244 MiB \(98 %\), \+75.3 MiB a second over the last 2 s\./)
  t.match(text, /CPU over the last 2 s: 53 % of a core\./)
})

t.test('the first paragraph says what ended, when, why, and how sure that is', async t => {
  const text = report(sample())
  t.match(
    text,
    '<p id="summary">shop (pid 4711, seen for 3 h 12 min) ended at 2026-11-28 12:03:41.200Z: oom (proven by the counter of its cgroup).',
  )
  t.match(text, /Memory: 238 MiB of 244 MiB \(98 %\), \+[\d.]+ MiB a second/)
  t.match(text, /ready failed \(timeout: no answer in 1 s\)/)
})

t.test('the data in a file are the record itself, whatever is in it', async t => {
  for (const record of [sample(), hostile()])
    t.strictSame(extracted(report(record)), JSON.parse(JSON.stringify(record)))
  t.equal(report(hostile()).match(/<script/g)?.length, 1, 'one element of data')
  t.equal(report(hostile()).match(/<\/script/g)?.length, 1)
})

t.test('however many texts there are, and however they must be escaped, the file stays below its limit', async t => {
  const redact = await redaction([])
  for (const body of ['&'.repeat(10_000), '\u0000'.repeat(10_000), '“'.repeat(10_000)]) {
    const logs = Array.from({ length: 200 }, () => ({ ...sample().logs[0]!, body }))
    const marks = Array.from({ length: 256 }, () => ({ ...sample().marks[0]!, text: body }))
    const text = report(redacted(sample({ logs, marks }), redact))
    t.ok(Buffer.byteLength(text) < LARGEST, `${Buffer.byteLength(text)} bytes`)
    t.equal(extracted(text).logs.length, 200)
  }
})

t.test('a file that is none, is damaged, or of another format is refused with the reason', async t => {
  const f = (text: string, expected: RegExp) => t.throws(() => extracted(text), { message: expected })
  f('', /no flight record/)
  f('<html>', /no flight record/)
  f(report(sample()).replace('{"format"', '{"format'), /damaged/)
  f(report(sample()).replace('{"format":1', '{"format":2'), /has format 2; this version of pillion reads 1/)
  f(report(sample()).replace('"trigger":"gone"', '"trigger":"x"'), /damaged/)
  for (const value of [
    'null',
    '[]',
    '7',
    '{"format":1,"trigger":"gone"}',
    '{"format":1,"trigger":"gone","samples":{"times":[1],"columns":{"a":[1,2]}},"logs":[null,7]}',
  ])
    try {
      t.type(asText(extracted(`<script type="application/json" id="pillion-flight">${value}</script>`)), 'string')
    } catch (error) {
      t.match(String(error), /flight record/)
    }
})

t.test('opened in a browser, nothing runs, nothing is asked for, and the text is there', { skip }, async t => {
  const file = join(t.testdir({}), 'flight.html')
  writeFileSync(file, report(hostile()))
  const browser = await chromium.launch({
    executablePath: CHROMIUM!,
    headless: true,
    args: ['--no-sandbox', '--disable-dev-shm-usage'],
  })
  t.teardown(() => browser.close())
  for (const javaScriptEnabled of [true, false]) {
    const context = await browser.newContext({ javaScriptEnabled })
    const page = await context.newPage()
    const asked: string[] = []
    const said: string[] = []
    page.on('request', request => asked.push(request.url()))
    page.on('console', message => said.push(message.text()))
    page.on('pageerror', error => said.push(error.message))
    page.on('dialog', dialog => said.push(dialog.message()))
    await page.goto(pathToFileURL(file).href)
    const text = await page.locator('body').innerText()
    t.match(text, HOSTILE[0]!, 'shown as text')
    t.match(text, 'Memory: 238 MiB')
    t.ok(await page.locator('svg path.a').first().isVisible(), 'a chart')
    t.equal(await page.locator('main script, main img, main a, main meta, [onerror], [onload]').count(), 0)
    if (javaScriptEnabled) {
      await page.mouse.move(200, 200)
      t.equal(await page.evaluate('globalThis.ran'), undefined)
      const data = await page.evaluate<string>('document.getElementById("pillion-flight").textContent')
      t.match(JSON.parse(data), { format: 1, trigger: 'gone' })
    }
    t.same(asked, [pathToFileURL(file).href])
    t.same(said, [])
    await context.close()
  }
})

t.test('a hostile record speaks to no terminal, and each of its texts stays on its line', async t => {
  const text = asText(hostile())
  t.notMatch(text, /[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e\u2028]/)
  const lines = asText(sample({ logs: [{ ...sample().logs[0]!, body: 'one\nThe application ended: fake' }] })).split(
    '\n',
  )
  t.equal(lines.filter(line => line.startsWith('The application ended')).length, 1)
})

t.test('pillion flight show prints a file as text and as data; what is no record is an error', async t => {
  const dir = t.testdir({ 'no.html': '<p>hello' })
  const file = join(dir, 'flight.html')
  writeFileSync(file, report(sample()))
  const run = (...args: string[]) => {
    const { status, stdout, stderr } = spawnSync(process.execPath, [MAIN, 'flight', ...args], {
      encoding: 'utf8',
      env: { ...process.env, NODE_OPTIONS: '' },
    })
    return { status, stdout, stderr }
  }
  const shown = run('show', file)
  t.equal(shown.status, 0, shown.stderr)
  t.equal(shown.stdout, asText(extracted(readFileSync(file, 'utf8'))))
  t.strictSame(JSON.parse(run('show', file, '--json').stdout), sample())
  t.match(run('show', join(dir, 'no.html')), { status: 1, stderr: /cannot show .*: this is no flight record/ })
  t.match(run('show', join(dir, 'none')), { status: 1, stderr: /cannot show .*: there is no such file/ })
  t.match(run('show', dir), { status: 1, stderr: /cannot show .*: this is no file; the records in a folder are named/ })
  t.match(run('show', '/dev/zero'), { status: 1, stderr: /cannot show .*: this is no file/ })
  for (const args of [[], ['show'], ['list', file], ['show', file, file]])
    t.match(run(...args), { status: 64, stderr: /pillion flight show FILE/ })
})

t.test('texts that look like secrets are redacted in time in proportion to their length', async t => {
  const redact = await redaction([])
  for (const unit of [
    'password',
    'password = ',
    'token:',
    'eyJaaaaaaaaaa.',
    '://a',
    'Bearer ',
    '-----BEGIN PRIVATE KEY-----',
    ' ',
    'secret=x',
  ]) {
    const began = process.cpuUsage().user
    const text = redact(unit.repeat(100_000))
    t.ok(text.length < 20_000, 'cut')
    t.ok(process.cpuUsage().user - began < 2e6, unit)
  }
  t.equal(redact('GET /users?token=abc&x=1'), 'GET /users?token=[redacted]&x=1')
  t.equal(redact('nothing to hide: 42 tokens used'), 'nothing to hide: 42 tokens used')
})
