import { createServer } from 'node:net'
import { gunzipSync } from 'node:zlib'
import t from 'tap'
import { acceptsGzip, deadline } from '../../exporter/web/scrape.ts'
import { type WebHost, web } from '../../exporter/web.ts'
import { Metrics } from '../../metrics/registry.ts'
import type { Exposition } from '../../telemetry/exposition.ts'
import { Memory } from '../../telemetry/memory.ts'
import { openServer, parsed, silent, status, text, until } from './open.ts'

t.test('/metrics', async t => {
  t.test('answers with the negotiated type and the text of the scrape', async t => {
    const accepts: (string | undefined)[] = []
    const { ask } = await openServer(t, {
      host: {
        scrape: async accept => {
          accepts.push(accept)
          return { contentType: text, chunks: [Buffer.from('a 1\n'), Buffer.from('b 2\n')] }
        },
      },
    })
    const { status, head, body } = parsed(await ask('GET /metrics?x=1', 'Accept: text/plain'))
    t.equal(status, 200)
    t.match(head, `Content-Type: ${text}`)
    t.match(head, 'Content-Length: 8')
    t.match(head, 'Vary: Accept, Accept-Encoding')
    t.equal(body, 'a 1\nb 2\n')
    t.same(accepts, ['text/plain'])
  })

  t.test('a HEAD request gets the head only', async t => {
    const { ask } = await openServer(t)
    const { status, head, body } = parsed(await ask('HEAD /metrics'))
    t.equal(status, 200)
    t.match(head, 'Content-Length: 5')
    t.equal(body, '')
  })

  t.test('other methods are told which ones there are', async t => {
    const { ask } = await openServer(t)
    for (const method of ['POST', 'PUT', 'DELETE', 'OPTIONS', 'TRACE', 'PATCH']) {
      const { status, head } = parsed(await ask(`${method} /metrics`))
      t.equal(status, 405, method)
      t.match(head, 'Allow: GET, HEAD')
    }
  })

  t.test('is compressed for those who ask, and once for all who share a scrape', async t => {
    const chunks = [Buffer.from('up 1\n'.repeat(1000)), Buffer.from('down 0\n'.repeat(1000))]
    const { ask } = await openServer(t, { host: { scrape: async () => ({ contentType: text, chunks }) } })
    const [one, other] = await Promise.all([
      ask('GET /metrics', 'Accept-Encoding: gzip'),
      ask('GET /metrics', 'Accept-Encoding: br, gzip;q=0.5'),
    ])
    t.match(parsed(one).head, 'Content-Encoding: gzip')
    t.match(parsed(one).head, `Content-Length: ${parsed(one).body.length}`)
    t.equal(gunzipSync(Buffer.from(parsed(one).body, 'latin1')).toString(), Buffer.concat(chunks).toString())
    t.equal(parsed(other).body, parsed(one).body)
    const refusing = parsed(await ask('GET /metrics', 'Accept-Encoding: gzip;q=0'))
    t.notMatch(refusing.head, 'Content-Encoding')
    t.equal(refusing.body.length, 12_000)
  })

  t.test('Accept-Encoding is read with its weights', async t => {
    const f = (header: string | undefined, expected: boolean): void => {
      t.equal(acceptsGzip(header), expected, String(header))
    }
    f(undefined, false)
    f('', false)
    f('gzip', true)
    f('GZip', true)
    f('deflate, gzip;q=1.0', true)
    f('gzip;q=0', false)
    f('gzip; q=0.000', false)
    f('*', true)
    f('*;q=0', false)
    f('*, gzip;q=0', false)
    f('gzip;q=0, *', false)
    f('gzip;q=x', false)
    f('identity', false)
    f('gzipped', false)
  })

  t.test("the scrape's deadline is Prometheus' own, less the way back, guarded against nonsense", async t => {
    const f = (header: string | undefined, ms: number): void => {
      t.equal(deadline(header, 10_000), ms, String(header))
    }
    f('10', 9500)
    f('2', 1800)
    f('0.5', 450)
    f('10.000000', 9500)
    f('100', 10_000)
    f(undefined, 10_000)
    f('', 10_000)
    f('0', 10_000)
    f('-1', 10_000)
    f('NaN', 10_000)
    f('Infinity', 10_000)
    f('1e99', 10_000)
    f('0x10', 10_000)
    f('10s', 10_000)
    f('5, 5', 10_000)
    f('9'.repeat(400), 10_000)
  })

  const hurried = 'X-Prometheus-Scrape-Timeout-Seconds: 0.05'

  t.test('at the deadline a scrape is told to end, and what it has by then is the answer', async t => {
    let told: unknown
    const { ask } = await openServer(t, {
      host: {
        scrape: (_, signal) =>
          new Promise(resolve =>
            signal.addEventListener('abort', () => {
              told = signal.reason
              setTimeout(resolve, 20, { contentType: text, chunks: [Buffer.from('some 1\n')] })
            }),
          ),
      },
    })
    t.match(parsed(await ask('GET /metrics', hurried)), { status: 200, body: 'some 1\n' })
    t.match(told, { message: "the scrape's 0.045 s are over" })
  })

  t.test('a scrape that does not end even then is not waited for', async t => {
    const { ask } = await openServer(t, { host: { scrape: () => new Promise(() => {}) } })
    const { status, body } = parsed(await ask('GET /metrics', hurried))
    t.equal(status, 503)
    t.match(body, "cannot answer the scrape: the scrape's 0.045 s are over")
  })

  t.test('a scrape that fails says so and spoils nothing', async t => {
    let failing = true
    const { ask, logged } = await openServer(t, {
      host: {
        scrape: async () => {
          if (failing) throw new Error('no luck')
          return { contentType: text, chunks: [] }
        },
      },
    })
    const failed = parsed(await ask('GET /metrics'))
    t.equal(failed.status, 500)
    t.match(failed.body, 'cannot answer the scrape: no luck')
    t.match(logged().join(), 'no luck')
    failing = false
    t.equal(parsed(await ask('GET /metrics')).status, 200)
  })

  t.test('a scraper that leaves does not end the scrape that others share', async t => {
    const signals: AbortSignal[] = []
    const { promise, resolve } = Promise.withResolvers<Exposition>()
    const { port, ask } = await openServer(t, {
      host: {
        scrape: (_, signal) => {
          signals.push(signal)
          return promise
        },
      },
    })
    const leaving = silent(port, 'GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n')
    const staying = ask('GET /metrics')
    await until(() => signals.length === 2)
    leaving.destroy()
    await ask('GET /-/healthy')
    t.notOk(signals.some(signal => signal.aborted))
    resolve({ contentType: text, chunks: [Buffer.from('up 1\n')] })
    t.match(parsed(await staying), { status: 200, body: 'up 1\n' })
  })

  t.test('the fifth scrape at a time is refused and counted', async t => {
    const waiting: ((scrape: Exposition) => void)[] = []
    const { ask, refused } = await openServer(t, {
      host: { scrape: () => new Promise(resolve => waiting.push(resolve)) },
    })
    const four = [1, 2, 3, 4].map(() => ask('GET /metrics'))
    await until(() => waiting.length === 4)
    const fifth = parsed(await ask('GET /metrics'))
    t.equal(fifth.status, 503)
    t.match(fifth.head, 'Retry-After: 1')
    t.equal(await refused('busy'), 1)
    for (const resolve of waiting) resolve({ contentType: text, chunks: [] })
    for (const answer of await Promise.all(four)) t.equal(parsed(answer).status, 200)
    const later = ask('GET /metrics')
    await until(() => waiting.length === 5)
    waiting[4]!({ contentType: text, chunks: [] })
    t.equal(parsed(await later).status, 200)
  })

  t.test('readers that do not read hold a bounded number of bytes, for a bounded time', async t => {
    const body = Buffer.alloc(20 * 1024 * 1024, 'x')
    const { port, ask, refused } = await openServer(t, {
      host: { scrape: async () => ({ contentType: text, chunks: [body] }) },
      options: { scrape_timeout: 500 },
      limits: { responseMs: 500 },
    })
    const request = 'GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n'
    const readers = [silent(port, request), silent(port, request)]
    t.teardown(() => {
      for (const socket of readers) socket.destroy()
    })
    await until(async () => parsed(await ask('HEAD /metrics')).status === 503)
    t.ok((await refused('busy'))! >= 1)
    await until(async () => (await refused('slow')) === 2)
    t.equal(parsed(await ask('HEAD /metrics')).status, 200, 'their bytes are given back')
  })
})

t.test('/-/', async t => {
  t.test('healthy while the process is alive, ready when it says so', async t => {
    let why: string | undefined
    const { ask } = await openServer(t, { host: { unready: () => why } })
    t.match(parsed(await ask('GET /-/healthy')), { status: 200, body: 'healthy\n' })
    t.match(parsed(await ask('HEAD /-/healthy')), { status: 200, body: '' })
    t.match(parsed(await ask('GET /-/ready')), { status: 200, body: 'ready\n' })
    why = 'otlp is starting'
    t.match(parsed(await ask('GET /-/ready')), { status: 503, body: 'not ready: otlp is starting\n' })
    t.match(parsed(await ask('GET /-/nothing')), { status: 404, body: /POST \/-\/reload/ })
    t.match(parsed(await ask('POST /-/healthy')), { status: 405, head: /Allow: GET, HEAD/ })
  })

  t.test('reload: POST only, once at a time, and what is wrong comes back as text', async t => {
    const without = await openServer(t)
    t.match(parsed(await without.ask('POST /-/reload')), { status: 501, body: /restart it/ })

    const calls: { resolve(): void; reject(error: Error): void }[] = []
    const { ask } = await openServer(t, {
      host: { reload: () => new Promise<void>((resolve, reject) => calls.push({ resolve, reject })) },
    })
    t.match(parsed(await ask('GET /-/reload')), { status: 405, head: /Allow: POST/ })
    const first = ask('POST /-/reload', 'Content-Length: 0')
    await until(() => calls.length === 1)
    t.match(parsed(await ask('POST /-/reload')), { status: 409 })
    calls[0]!.resolve()
    t.match(parsed(await first), { status: 200, body: 'reloaded\n' })
    const second = ask('POST /-/reload')
    await until(() => calls.length === 2)
    calls[1]!.reject(new Error('pillion.yaml:3:1: unknown key'))
    t.match(parsed(await second), { status: 500, body: /stays as it was: pillion.yaml:3:1: unknown key/ })
    t.match(parsed(await ask('POST /-/reload', 'Transfer-Encoding: chunked')), { status: 400 })
    t.equal(calls.length, 2, 'a request whose body may yet break has no effect')
  })
})

t.test('the page and the status', async t => {
  const { ask } = await openServer(t)

  t.test('the page shows what rides here where scripts are off, and brings no script but its own', async t => {
    const { status, head, body } = parsed(await ask('GET /'))
    t.equal(status, 200)
    t.match(head, 'Content-Type: text/html; charset=utf-8')
    for (const shown of [
      'shop',
      'node server.js',
      '4711',
      '8080',
      '135 MiB',
      'cannot read /proc/4711/io',
      '6 too_large',
    ])
      t.match(body, shown)
    t.match(body, 'up 1 d 1 h')
    t.same(body.match(/<script.*?>/g), [ownScript(body)])
    t.notMatch(body, 'style=')
    for (const [, address = ''] of body.matchAll(/(?:href|src)="([^"]+)"/g))
      t.equal(parsed(await ask(`GET ${address}`)).status, 200, address)
  })

  t.test('the status is JSON', async t => {
    const { head, body } = parsed(await ask('GET /api/status'))
    t.match(head, 'Content-Type: application/json; charset=utf-8')
    t.same(JSON.parse(body), status)
  })

  t.test('a URL is shown without what it may hide', async t => {
    const secret = 's3cr3t-4821'
    const url = `http://user:${secret}@127.0.0.1:8080/?key=${secret}#${secret}`
    const { ask } = await openServer(t, { host: { status: () => ({ ...status, application: { url } }) } })
    for (const path of ['/', '/api/status']) {
      const { body } = parsed(await ask(`GET ${path}`))
      t.match(body, 'http://127.0.0.1:8080/')
      t.notMatch(body, secret)
    }
  })

  t.test('whatever the application calls itself stays text', async t => {
    const evil = '<img src=x onerror=alert(1)>"\'</title><script>{{x}}\u202e\u0000\ud800'
    const { ask } = await openServer(t, {
      host: {
        status: () => ({
          version: evil,
          uptimeSeconds: 0,
          application: { name: evil, command: evil, url: evil, pid: 1, port: 1 },
          parts: [
            {
              name: evil,
              state: 'ok',
              facts: [{ name: evil, value: evil }],
              findings: [{ level: 'warning', text: evil }],
            },
          ],
          ledger: [{ signal: evil, received: 1, accepted: 0, refused: { [evil]: 1 } }],
        }),
      },
    })
    const { status: code, body } = parsed(await ask('GET /'))
    t.equal(code, 200)
    t.notMatch(body, '<img src=x')
    t.same(body.match(/<script.*?>/g), [ownScript(body)])
    t.notMatch(body, /[\x00\u202e]/)
    t.match(body, '&lt;img src=x onerror=alert(1)&gt;&quot;&#39;&lt;/title&gt;')
  })

  t.test('a status that cannot be had is a 500 and a line in the log', async t => {
    const { ask, logged } = await openServer(t, {
      host: {
        status: () => {
          throw new Error('broken')
        },
      },
    })
    t.match(parsed(await ask('GET /')), { status: 500, body: /the log says why/ })
    t.match(logged().join(), 'broken')
  })

  t.test('every answer carries the security headers', async t => {
    for (const line of [
      'GET /',
      'GET /metrics',
      'GET /-/healthy',
      'GET /api/status',
      'GET /style.css',
      'GET /none',
      'PUT /',
    ]) {
      const { head } = parsed(await ask(line))
      t.match(head, "Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self'", line)
      t.match(head, 'X-Content-Type-Options: nosniff', line)
      t.match(head, 'Referrer-Policy: no-referrer', line)
      t.match(head, 'Cross-Origin-Resource-Policy: same-origin', line)
      t.notMatch(head, 'Access-Control', line)
      t.notMatch(head, 'X-Powered-By', line)
    }
  })
})

t.test('opening and closing', async t => {
  const host: WebHost = {
    scrape: async () => ({ contentType: text, chunks: [] }),
    status: () => status,
    unready: () => undefined,
    log: { info() {}, warn() {}, error() {} },
    clock: { now: () => 0, monotonic: () => 0, sleep: () => new Promise(() => {}) },
    metrics: new Metrics(),
    memory: new Memory(2 ** 30),
  }
  const options = { allowed_hosts: [], token_file: undefined, config: { file: undefined }, scrape_timeout: 10_000 }

  t.test('a taken port is an error that names the port and the option', async t => {
    const squatter = createServer().listen(0, '127.0.0.1')
    t.teardown(() => squatter.close())
    await new Promise(resolve => squatter.once('listening', resolve))
    const address = squatter.address()
    const port = typeof address === 'object' && address ? address.port : 0
    await t.rejects(
      web.start({ ...options, listen: { host: '127.0.0.1', port } }, { ...host, metrics: new Metrics() }),
      {
        message: `cannot listen on 127.0.0.1:${port}: the port is taken; free it, or choose another with web.listen`,
        cause: { code: 'EADDRINUSE' },
      },
    )
  })

  t.test('an address that this machine does not have is an error that says so', async t => {
    await t.rejects(
      web.start({ ...options, listen: { host: '192.0.2.1', port: 0 } }, { ...host, metrics: new Metrics() }),
      { message: /cannot listen on 192.0.2.1:0: this machine has no such address/, cause: { code: 'EADDRNOTAVAIL' } },
    )
  })

  t.test('it can be off, or on all addresses', async t => {
    await using off = await web.start({ ...options, listen: undefined }, { ...host, metrics: new Metrics() })
    t.equal(off.address(), undefined)
    await using all = await web.start(
      { ...options, listen: { host: '::', port: 0 } },
      { ...host, metrics: new Metrics() },
    )
    t.match(all.address()?.host, /^(::|0\.0\.0\.0)$/)
  })

  t.test('closing lets an answer under way end, and closes what is idle', async t => {
    const answers: ((scrape: Exposition) => void)[] = []
    const open = await openServer(t, {
      host: {
        scrape: () => new Promise(resolve => answers.push(resolve)),
      },
      limits: { closeMs: 60_000 },
    })
    const under = open.raw('GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n')
    const idle = open.raw('GET /-/healthy HTTP/1.1\r\nHost: localhost\r\n\r\n')
    await until(() => answers.length === 1)
    const closed = open.close()
    answers[0]!({ contentType: text, chunks: [Buffer.from('last 1\n')] })
    t.match(parsed(await under), { status: 200, body: 'last 1\n' })
    await idle
    await closed
    await open.close()
  })

  t.test('closing does not wait for an answer that does not end', async t => {
    let asked = false
    const open = await openServer(t, {
      host: {
        scrape: () => {
          asked = true
          return new Promise(() => {})
        },
      },
      limits: { closeMs: 50 },
    })
    const under = open.raw('GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n')
    await until(() => asked)
    await open.close()
    t.equal(await under, '')
  })
})

/** The one script that a document may have: a file of this server, named by its content. */
function ownScript(body: string): string | undefined {
  return /<script type="module" src="\/page-\w+\.js">/.exec(body)?.[0]
}
