// Applications that fail, lie or attack: each gets an answer, a counter, and costs the rest of the page nothing.

import { gzipSync } from 'node:zlib'
import t, { type Test } from 'tap'
import { clock } from '../../host/clock.ts'
import { gauge } from '../../metrics/family.ts'
import { readOptions } from '../../parts.ts'
import { startSidecar } from '../../sidecar.ts'

import { faults, needs } from '../points/programs.ts'
import {
  answer,
  OPENMETRICS,
  OPENMETRICS_TYPE,
  PROTOBUF_TYPE,
  type Sidecar,
  serve,
  serveRaw,
  sidecar,
  TEXT_TYPE,
} from './application.ts'

const FINE = gauge('sidecar_fine', 'The sidecar’s own number.')

/** A scrape that fails for this reason, and leaves the rest of the page alone. */
async function fails(t: Test, own: Sidecar, reason: string, ms?: number): Promise<void> {
  own.metrics.gauge(FINE).set(1)
  const page = await own.text(undefined, ms)
  t.match(page, /^sidecar_fine 1$/m, 'our own numbers are there')
  t.match(page, /^app_metrics_up 0$/m, 'it says that the page is missing')
  t.match(page, new RegExp(`^app_metrics_scrape_failures_total\\{reason="${reason}"\\} 1$`, 'm'), reason)
  t.notMatch(page, /^theirs/m, 'nothing of the page is shown')
  t.match(own.running.findings?.()[0], { level: 'warning', text: new RegExp(`\\(${reason}\\)`) })
  t.equal(own.memory.used, 0, 'nothing is held')
}

async function at(t: Test, listener: Parameters<typeof serve>[1], options = {}): Promise<Sidecar> {
  return sidecar(t, { url: await serve(t, listener), ...options })
}

t.test('an application that hangs costs the timeout, once', async t => {
  const own = await at(t, () => {}, { timeout: '100ms' })
  const begun = performance.now()
  await fails(t, own, 'timeout')
  t.ok(performance.now() - begun < 5000)
})

t.test('one that drips is cut off at the timeout', async t => {
  const own = await at(
    t,
    (_, response) => {
      response.writeHead(200, { 'content-type': TEXT_TYPE })
      const timer = setInterval(() => response.write('theirs 1\n'), 10)
      response.on('close', () => clearInterval(timer))
    },
    { timeout: '200ms' },
  )
  await fails(t, own, 'timeout')
})

t.test('the deadline of the scraper counts too, and the application is told', async t => {
  let told = Number.NaN
  const own = await at(t, request => {
    told = Number(request.headers['x-prometheus-scrape-timeout-seconds'])
  })
  const begun = performance.now()
  await fails(t, own, 'timeout', 1000)
  t.ok(performance.now() - begun < 1000, 'the page is there in time')
  t.equal(told, 0.7)
})

t.test('a scraper that waits less than the one whose scrape it shares gets a page without the application', async t => {
  const own = await at(t, (_, response) => setTimeout(() => response.end('theirs 1\n'), 400))
  const first = own.text(OPENMETRICS)
  const hurried = await own.text(undefined, 100)
  t.match(hurried, /^app_metrics_up 0$/m)
  t.notMatch(hurried, /^theirs/m)
  t.match(await first, /^theirs 1$/m)
})

t.test('HTML with status 200 is no page of metrics', async t => {
  const html = '<!doctype html>\n<html><body>It works!</body></html>\n'
  await fails(t, await at(t, answer(html, 'text/html')), 'not_metrics')
  await fails(t, await at(t, answer(html, TEXT_TYPE)), 'not_metrics')
  await fails(t, await at(t, answer(html, OPENMETRICS_TYPE)), 'not_metrics')
})

t.test('JSON and images are no page of metrics, whatever their type says', async t => {
  await fails(t, await at(t, answer('{"status":"up"}', 'application/json')), 'not_metrics')
  await fails(t, await at(t, answer('{"status":"up"}\n', TEXT_TYPE)), 'not_metrics')
  await fails(t, await at(t, answer(Buffer.from([0x89, 0x50, 0x4e, 0x47, 10, 0, 1]), 'image/png')), 'not_metrics')
  await fails(t, await at(t, answer('a 1\n', 'application/vnd.google.protobuf')), 'not_metrics')
})

t.test('a page without a type, or with one that is not true, is read if it looks like metrics', async t => {
  for (const type of ['', 'text/html', 'application/json', 'application/octet-stream']) {
    const own = await at(t, (_, response) =>
      response.writeHead(200, type === '' ? {} : { 'content-type': type }).end('# a comment\ntheirs 1\n'),
    )
    t.match(await own.text(), /^theirs 1$/m, type)
  }
  const own = await at(t, answer('# TYPE theirs gauge\ntheirs 1\n# EOF\n', ''))
  t.match(await own.text(), /^theirs 1$/m)
  const text = await at(t, answer('theirs 1\n', OPENMETRICS_TYPE))
  await fails(t, text, 'truncated')
  const protobuf = await at(t, answer('theirs 1\n', PROTOBUF_TYPE))
  await fails(t, protobuf, 'truncated')
})

t.test('other statuses fail, and redirects are not followed', async t => {
  const f = async (status: number, headers = {}) =>
    fails(t, await at(t, (_, response) => response.writeHead(status, headers).end('theirs 1\n')), 'status')
  await f(503)
  await f(404)
  await f(204)
  let followed = false
  const other = await serve(t, (_, response) => {
    followed = true
    response.end('theirs 1\n')
  })
  await f(302, { location: other })
  t.notOk(followed)
})

t.test('nothing listens, the connection breaks, and what comes is not HTTP', async t => {
  await fails(t, await sidecar(t, { url: 'http://127.0.0.1:1' }), 'refused')
  const broken = await serveRaw(t, socket => {
    socket.once('data', () => {
      socket.write('HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 100\r\n\r\ntheirs 1\n')
      setTimeout(() => socket.destroy(), 20)
    })
  })
  await fails(t, await sidecar(t, { url: broken }), 'reset')
  const mute = await serveRaw(t, socket => void socket.write('220 smtp ready\r\n'))
  await fails(t, await sidecar(t, { url: mute }), 'protocol')
})

t.test('a page that is cut off in the middle of a line is left out, not read with half a number', async t => {
  const url = await serveRaw(t, socket => {
    socket.once('data', () => socket.end('HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n\r\ntheirs 12'))
  })
  await fails(t, await sidecar(t, { url }), 'truncated')
  await fails(t, await at(t, answer('theirs 1\ntheirs{x="1"} 2\n', OPENMETRICS_TYPE)), 'truncated')
})

t.test('a link-local address is not asked', async t => {
  await t.rejects(sidecar(t, { url: 'http://169.254.169.254/metrics' }), /link-local or metadata address/)
})

t.test('ten million lines end at the limit of bytes, and of samples', async t => {
  const flood = async (options: object, reason: string) => {
    const own = await at(
      t,
      (_, response) => {
        response.writeHead(200, { 'content-type': TEXT_TYPE })
        const block = Buffer.from(Array.from({ length: 10_000 }, (_, i) => `theirs{i="${i}"} 1\n`).join(''))
        let blocks = 0
        const more = (): void => {
          while (!response.destroyed && blocks++ < 1000)
            if (!response.write(block)) return void response.once('drain', more)
          response.end()
        }
        more()
      },
      { timeout: '20s', ...options },
    )
    await fails(t, own, reason, 30_000)
  }
  await flood({}, 'too_large')
  const page = Array.from({ length: 50_001 }, (_, i) => `theirs{i="${i}"} 1\n`).join('')
  await fails(t, await at(t, answer(page), { timeout: '20s' }), 'too_many_samples')
  await fails(t, await at(t, answer('theirs{a="1"} 1\ntheirs 2\n'), { max_samples: 1 }), 'too_many_samples')
})

t.test('an endless line ends at the limit of bytes', async t => {
  const own = await at(
    t,
    (_, response) => {
      response.writeHead(200, { 'content-type': TEXT_TYPE })
      const block = Buffer.alloc(64 * 1024, 'a')
      const more = (): void => {
        while (!response.destroyed) if (!response.write(block)) return void response.once('drain', more)
      }
      more()
    },
    { max_body: '1MiB', timeout: '20s' },
  )
  await fails(t, own, 'too_large', 30_000)
  const line = await at(t, answer(`theirs{x="${'a'.repeat(900_000)}"} 1\nfine 1\n`))
  t.match(await line.text(), /^fine 1$/m)
  t.equal(await line.number('app_metrics_dropped_total{reason="limits"}'), 1)
})

t.test('a bomb of gzip is not blown up', async t => {
  const bomb = gzipSync(Buffer.alloc(64 * 1024 * 1024, 'theirs 1\n'))
  await fails(t, await at(t, answer(bomb, TEXT_TYPE, { 'content-encoding': 'gzip' })), 'too_large')
})

t.test('gzip is read though it was not asked for; other encodings, and bad gzip, are not', async t => {
  const own = await at(t, answer(gzipSync('theirs 1\n'), TEXT_TYPE, { 'content-encoding': 'gzip' }))
  t.match(await own.text(), /^theirs 1$/m)
  await fails(t, await at(t, answer('theirs 1\n', TEXT_TYPE, { 'content-encoding': 'br' })), 'encoding')
  await fails(t, await at(t, answer('theirs 1\n', TEXT_TYPE, { 'content-encoding': 'gzip' })), 'encoding')
  const cut = gzipSync('theirs 1\n'.repeat(100)).subarray(0, 20)
  await fails(t, await at(t, answer(cut, TEXT_TYPE, { 'content-encoding': 'gzip' })), 'encoding')
})

t.test('a full memory budget leaves the page out', async t => {
  const own = await at(t, answer(`theirs 1\n${'# x\n'.repeat(1000)}`))
  own.memory.allot('other').add(own.memory.total)
  const page = await own.text()
  t.match(page, /^app_metrics_scrape_failures_total\{reason="memory"\} 1$/m)
  t.match(page, /^app_metrics_up 0$/m)
  t.equal(own.memory.allot('scrape').used, 0)
})

t.test('a page that takes more than half of the memory is read each time, however often', async t => {
  const lines = Array.from({ length: 30_000 }, (_, i) => `family_${i} ${i}\n`).join('')
  const own = await at(t, answer(lines), { timeout: '30s' })
  const page = await own.text(undefined, 60_000)
  const { used } = own.memory.allot('scrape')
  own.memory.allot('other').add(own.memory.total - Math.floor(1.5 * used))
  t.match(page, /^family_29999 29999$/m)
  // The answer to the first scrape is shared for a second.
  await new Promise(resolve => setTimeout(resolve, 1100))
  t.match(await own.text(undefined, 60_000), /^family_29999 29999$/m)
  t.equal(own.memory.allot('scrape').used, used)
})

t.test('the memory of a page is held as long as it is kept, and given back with the part', async t => {
  const own = await at(t, answer('theirs 1\n'.padStart(10_000, '#\n')))
  await own.text()
  t.ok(own.memory.used > 9000, `${own.memory.used} bytes`)
  await own.running[Symbol.asyncDispose]()
  t.equal(own.memory.used, 0)
})

t.test('bad lines are left out and counted, and the good ones stay', async t => {
  const own = await at(
    t,
    answer(
      Buffer.concat([
        Buffer.from('theirs 1\nbad{x="\xff'),
        Buffer.from([0xff, 0xfe]),
        Buffer.from(
          '"} 1\nno value\n9digit 1\nx{y=z} 1\nx{y="z} 1\nx{y="z"}\nx{y="1",y="2"} 1\nx{y="\\q"} 1\nx 1 2 3\nx 0x10\nx 1_000\nx 1e999\nx{__name__="y"} 1\nx{="1"} 1\nx{{} 1\nx{y="1"}} 1\nx{y="1" z="2"} 1\nx 1 # {a="b"} 1\nother 2\nfine{a="1"} 3\nfine{a="2"} 3\nfine{a="3"} 3\nfine{a="4"} 3\nfine{a="5"} 3\nfine{a="6"} 3\nfine{a="7"} 3\nfine{a="8"} 3\nfine{a="9"} 3\nfine{a="10"} 3\nfine{a="11"} 3\nfine{a="12"} 3\nfine{a="13"} 3\nfine{a="14"} 3\nfine{a="15"} 3\n',
        ),
      ]),
    ),
  )
  const page = await own.theirs()
  t.same(
    page.split('\n').filter(line => line !== '' && !line.startsWith('#') && !line.startsWith('fine')),
    ['theirs 1', 'other 2'],
  )
  t.equal(await own.number('app_metrics_dropped_total{reason="utf8"}'), 1)
  t.equal(await own.number('app_metrics_dropped_total{reason="syntax"}'), 17)
})

t.test('too many and too long labels are left out and counted', async t => {
  const many = Array.from({ length: 65 }, (_, i) => `l${i}="1"`).join(',')
  const own = await at(
    t,
    answer(
      `theirs 1\na{${many}} 1\na{${many.replace(',l64="1"', '')}} 2\nb{x="${'ü'.repeat(513)}"} 1\nb{x="${'ü'.repeat(512)}"} 2\n{"c.d",x="${'y'.repeat(1025)}"} 1\n`,
    ),
  )
  const page = await own.theirs()
  t.match(page, /^a\{.*\} 2$/m)
  t.match(page, /^b\{.*\} 2$/m)
  t.notMatch(page, / 1\n.* 1$/s)
  t.equal(await own.number('app_metrics_dropped_total{reason="limits"}'), 3)
})

t.test('an exemplar that is too long is left out, and its sample stays', async t => {
  const own = await at(
    t,
    answer(
      `# TYPE a counter\na_total{x="1"} 1 # {trace_id="${'1'.repeat(121)}"} 1\na_total{x="2"} 2 # {trace_id="${'ü'.repeat(120)}"} 1 1.5\n# EOF\n`,
      OPENMETRICS_TYPE,
    ),
  )
  const page = await own.theirs(OPENMETRICS)
  t.match(page, /^a_total\{x="1"\} 1$/m)
  t.match(page, /^a_total\{x="2"\} 2 # \{trace_id="ü{120}"\} 1 1.5$/m)
  t.equal(await own.number('app_metrics_dropped_total{reason="exemplar"}'), 1)
})

t.test('the sidecar itself is recognised, also behind a proxy', async t => {
  const environment = {
    PILLION_WEB_LISTEN: '127.0.0.1:0',
    PILLION_OTLP_HTTP_LISTEN: 'off',
    PILLION_OTLP_GRPC_LISTEN: 'off',
    PILLION_HEALTH_ENABLED: 'false',
  }
  let target = ''
  // The mark is that of the process, so this sidecar asks itself by way of the proxy.
  const { request } = process.getBuiltinModule('node:http')
  const proxy = await serve(t, (incoming, response) => {
    request(`${target}/metrics`, { headers: { 'user-agent': incoming.headers['user-agent'] ?? '' } }, answered => {
      response.writeHead(answered.statusCode ?? 500, answered.headers)
      answered.pipe(response)
    }).end()
  })
  const reading = await readOptions({ environment: { ...environment, PILLION_SCRAPE_URL: `${proxy}/metrics` } })
  if (!reading.ok) throw new Error(JSON.stringify(reading.problems))
  const log = { info() {}, warn() {}, error() {} }
  await using own = await startSidecar(reading.values, { proc: t.testdir({}), clock, log })
  target = own.listeners.web ?? ''
  const page = await (await fetch(`${target}/metrics`)).text()
  t.match(page, /^app_metrics_up 0$/m)
  t.match(page, /^app_metrics_scrape_failures_total\{reason="itself"\} 1$/m)
  t.match(page, /^pillion_build_info/m)
})

t.test('metrics are found at app.url and at the discovered port, and only where they are', async t => {
  const paths: string[] = []
  const url = await serve(t, (request, response) => {
    paths.push(request.url ?? '')
    if (request.url === '/metrics') response.writeHead(200, { 'content-type': TEXT_TYPE }).end('theirs 1\n')
    else response.writeHead(404).end()
  })
  const by = await sidecar(t, {}, { url: `${url}/api/` })
  t.match(await by.text(), /^theirs 1$/m)
  t.equal(await by.number('app_metrics_up'), 1)
  t.match(by.running.findings?.(), [{ level: 'info', text: /was found, and is merged into the page/ }])
  const port = await sidecar(t, {}, { port: Number(new URL(url).port) })
  t.match(await port.text(), /^theirs 1$/m)
  const off = await sidecar(t, { guess: false }, { url })
  t.notMatch(await off.text(), /theirs|app_metrics/)
  t.same(new Set(paths), new Set(['/metrics']))
})

t.test('an application that has no metrics is asked once, and nothing is said about them', async t => {
  let asked = 0
  const url = await serve(t, (_, response) => {
    asked++
    response.writeHead(200, { 'content-type': 'text/html' }).end('<!doctype html>')
  })
  const own = await sidecar(t, {}, { url })
  for (let i = 0; i < 3; i++) t.notMatch(await own.text(), /app_metrics_/)
  t.equal(asked, 1)
  t.same(own.running.findings?.(), [])
  own.app.pid = 5
  await own.text()
  t.equal(asked, 2, 'a restarted application is asked again')
})

t.test('an application that says nothing while metrics are looked for delays one scrape, not all', async t => {
  let asked = 0
  const url = await serve(t, () => void asked++)
  const own = await sidecar(t, { timeout: '200ms' }, { url })
  for (let i = 0; i < 3; i++) t.notMatch(await own.text(), /app_metrics_/)
  t.equal(asked, 1)
})

t.test('metrics that were found are looked for again when the application comes back elsewhere', async t => {
  let gone = false
  const first = await serve(t, (request, response) => {
    if (gone) response.destroy()
    else answer('theirs 1\n')(request, response)
  })
  const second = await serve(t, answer('theirs 2\n'))
  const own = await sidecar(t, {}, { pid: 1, port: Number(new URL(first).port) })
  t.match(await own.text(), /^theirs 1$/m)
  gone = true
  Object.assign(own.app, { pid: 2, port: Number(new URL(second).port) })
  await new Promise(resolve => setTimeout(resolve, 1100))
  t.notMatch(await own.text(), /^theirs|^app_metrics_up/m, 'nothing is known')
  await new Promise(resolve => setTimeout(resolve, 1100))
  t.match(await own.text(), /^theirs 2$/m)
  t.equal(await own.number('app_metrics_up'), 1)
})

t.test('credentials are sent, read again for each scrape, and never shown', async t => {
  let sent: string | undefined
  const url = await serve(t, (request, response) => {
    sent = request.headers.authorization
    response.writeHead(request.headers['x-more'] === 'yes' ? 200 : 401, { 'content-type': TEXT_TYPE }).end('theirs 1\n')
  })
  const { writeFileSync } = await import('node:fs')
  const folder = t.testdir({ token: 'first\n', password: 'pass:word\n' })
  const token = await sidecar(t, { url, bearer_token_file: `${folder}/token`, headers: ['X-More: yes'] })
  t.match(await token.text(), /^theirs 1$/m)
  t.equal(sent, 'Bearer first')
  writeFileSync(`${folder}/token`, 'zweites')
  await new Promise(resolve => setTimeout(resolve, 1100))
  await token.text()
  t.equal(sent, 'Bearer zweites')
  const basic = await sidecar(t, { url, username: 'me', password_file: `${folder}/password`, headers: ['X-More: yes'] })
  t.match(await basic.text(), /^theirs 1$/m)
  t.equal(sent, `Basic ${Buffer.from('me:pass:word').toString('base64')}`)
  const refused = await sidecar(t, { url, username: 'me', password_file: `${folder}/password` })
  const page = await refused.text()
  const said = `${page}${refused.logged.join()}${JSON.stringify(refused.running.findings?.())}`
  t.match(said, 'status 401')
  t.notMatch(said, /pass:word|zweites/)
})

t.test('options that cannot work together are refused', async t => {
  await t.rejects(sidecar(t, { url: 'http://a:b@127.0.0.1/' }), /must not contain a user name/)
  await t.rejects(sidecar(t, { username: 'x' }), /only sent to a URL that is set/)
  await t.rejects(sidecar(t, { url: 'http://127.0.0.1/', headers: ['bad'] }), /must be "Name: value"/)
  const folder = t.testdir({ token: 'x' })
  const both = { url: 'http://127.0.0.1/', username: 'x', bearer_token_file: `${folder}/token` }
  await t.rejects(sidecar(t, both), /cannot be sent beside/)
})

t.test('whatever the application says, promtool accepts the page', { skip: needs.promtool }, async t => {
  const pages = [
    '# TYPE a histogram\na 1\na_bucket 2\na_bucket{le="x"} 3\na_count -1\n# HELP a x\n# HELP a y\n',
    '# TYPE a summary\na{quantile="x"} 1\na{quantile="2"} 1\na 5\na_sum NaN\n',
    '# TYPE a counter\na -1\n# TYPE a_total counter\na_total NaN\n',
    '# HELP only help\n# TYPE nothing gauge\n# TYPE x foo\nx 1\n',
    '# TYPE a histogram\na_sum 1\n# TYPE a_sum counter\na_sum{x="1"} 1\na_bucket{le="1"} 1\n',
    'a_bucket 1\n# TYPE a histogram\na_bucket{le="+Inf"} 1\na_sum 1\na_count 1\n',
  ]
  for (const page of pages) {
    const own = await at(t, answer(page))
    t.equal(faults(await own.bytes()), '', page)
  }
})
