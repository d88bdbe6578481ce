import { writeFileSync } from 'node:fs'
import { networkInterfaces } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { Token } from '../../exporter/web/token.ts'
import { clock } from '../../host/clock.ts'
import { openServer, parsed } from './open.ts'

/** An address of this machine that is not loopback, to ask from "another host"; undefined without a network. */
const elsewhere = Object.values(networkInterfaces())
  .flat()
  .find(address => address?.family === 'IPv4' && !address.internal)?.address

t.test('the Host header must be a name that no attacker can point here', async t => {
  const { raw, refused } = await openServer(t, { options: { allowed_hosts: ['Shop', '*.example.org', ''] } })
  const f = async (headers: string, status: number, version = '1.1'): Promise<void> => {
    const answer = parsed(await raw(`GET /-/healthy HTTP/${version}\r\n${headers}Connection: close\r\n\r\n`))
    t.equal(answer.status, status, JSON.stringify(headers))
    if (status === 421) t.match(answer.body, 'add the name to web.allowed_hosts')
  }
  await f('Host: localhost\r\n', 200)
  await f('Host: LOCALHOST:9090\r\n', 200)
  await f('Host: 127.0.0.1:19464\r\n', 200)
  await f('Host: [::1]:9090\r\n', 200)
  await f('Host: 10.0.0.5:9090\r\n', 200)
  await f('Host: shop\r\n', 200)
  await f('Host: SHOP:19464\r\n', 200)
  await f('Host: a.b.example.org\r\n', 200)

  await f('Host: evil.example\r\n', 421)
  await f('Host: localhost.evil.example\r\n', 421)
  await f('Host: 127.0.0.1.nip.io\r\n', 421)
  await f('Host: example.org\r\n', 421)
  await f('Host: evilexample.org\r\n', 421)
  await f('Host: shop.evil.example\r\n', 421)
  await f('Host: [127.0.0.1]\r\n', 421)
  await f('Host: [::1\r\n', 421)
  await f('Host: ::1\r\n', 421)
  await f('Host: localhost:evil.example\r\n', 421)
  await f('Host: localhost@evil.example\r\n', 421)
  await f('Host: \r\n', 421)
  await f('', 421, '1.0')
  await f('Host: localhost\r\nHost: evil.example\r\n', 400)
  await f('Host: localhost\r\nhost: localhost\r\n', 400)
  t.equal(await refused('host'), 15)
})

t.test('the absolute form names a host too, and it counts', async t => {
  const { raw } = await openServer(t)
  const f = async (target: string, status: number): Promise<void> => {
    const answer = await raw(`GET ${target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`)
    t.equal(parsed(answer).status, status, target)
  }
  await f('http://localhost/-/healthy', 200)
  await f('http://127.0.0.1:1/metrics?a=b', 200)
  await f('http://localhost/api/status', 200)
  await f('http://evil.example/-/healthy', 421)
  await f('https://evil.example', 421)
  await f('http://[', 400)
  await f('ftp://localhost/', 400)
  await f('metrics', 400)
})

t.test('a page of another site can change nothing', async t => {
  let reloads = 0
  const { ask, port, refused } = await openServer(t, {
    host: {
      reload: async () => {
        reloads++
      },
    },
  })
  const f = async (status: number, ...headers: string[]): Promise<void> => {
    t.equal(parsed(await ask('POST /-/reload', ...headers)).status, status, headers.join())
  }
  await f(403, 'Origin: https://evil.example')
  await f(403, 'Origin: null')
  await f(403, 'Origin: ')
  await f(403, 'Origin: http://localhost:1')
  await f(403, 'Sec-Fetch-Site: cross-site')
  await f(403, 'Sec-Fetch-Site: same-site')
  t.equal(reloads, 0)
  t.equal(await refused('origin'), 6)
  await f(200, `Origin: http://127.0.0.1:${port}`)
  await f(200, 'Sec-Fetch-Site: same-origin')
  await f(200)
  t.equal(reloads, 3)
})

t.test('a page of another site can link to the page, and can ask the API for nothing in the background', async t => {
  let asked = 0
  const route = {
    path: '/api/traces/',
    methods: ['GET'],
    access: 'operator',
    handle: (_: unknown, response: { end(text: string): void }) => {
      asked++
      response.end('kept')
    },
  } as const
  const { ask, refused } = await openServer(t, { host: { routes: () => [route as never] } })
  const f = async (line: string, status: number, ...headers: string[]): Promise<void> => {
    t.equal(parsed(await ask(line, ...headers)).status, status, `${line} ${headers.join()}`)
  }
  for (const site of ['cross-site', 'same-site'])
    for (const mode of ['no-cors', 'cors', 'websocket'])
      for (const path of ['/api/traces/a1', '/api/overview', '/api/status', '/dashboards/'])
        await f(`GET ${path}`, 403, `Sec-Fetch-Site: ${site}`, `Sec-Fetch-Mode: ${mode}`)
  await f('GET /api/traces/a1', 403, 'Sec-Fetch-Site: cross-site')
  t.equal(asked, 0, 'nothing was kept for it')
  t.equal(await refused('origin'), 25)
  await f('GET /', 200, 'Sec-Fetch-Site: cross-site', 'Sec-Fetch-Mode: navigate')
  await f('GET /api/traces/a1', 200, 'Sec-Fetch-Site: same-origin', 'Sec-Fetch-Mode: cors')
  await f('GET /api/traces/a1', 200)
  await f('GET /metrics', 200, 'Sec-Fetch-Site: cross-site', 'Sec-Fetch-Mode: no-cors')
  t.equal(asked, 2)
})

t.test(
  'requests that a proxy passes on come from another host: /metrics and the two probes can be read, nothing else',
  async t => {
    const { ask, refused } = await openServer(t, { host: { reload: async () => {} } })
    const f = async (line: string, status: number): Promise<void> => {
      const answer = parsed(await ask(line, 'X-Forwarded-For: 127.0.0.1'))
      t.equal(answer.status, status, line)
      if (status === 403)
        t.match(answer.body, 'only /metrics, /-/healthy and /-/ready can be read; set web.token_file to open the rest')
    }
    await f('GET /metrics', 200)
    await f('HEAD /metrics', 200)
    await f('GET /-/healthy', 200)
    await f('GET /-/ready', 200)
    await f('GET /', 403)
    await f('GET /api/status', 403)
    await f('GET /metrics/', 403)
    await f('GET /metrics/../api/status', 403)
    await f('GET //metrics', 403)
    await f('GET /%6detrics', 403)
    await f('POST /-/reload', 403)
    await f('POST /metrics', 403)
    t.equal(await refused('remote'), 8)
  },
)

t.test(
  'so does what comes by another address',
  { skip: elsewhere ? false : 'this machine has only loopback' },
  async t => {
    const { port } = await openServer(t, { options: { listen: { host: '0.0.0.0', port: 0 } } })
    const { request } = process.getBuiltinModule('node:http')
    const f = (path: string, status: number): Promise<void> =>
      new Promise((resolve, reject) => {
        const sent = request({ host: elsewhere!, port, path, agent: false }, answer => {
          answer.resume()
          t.equal(answer.statusCode, status, path)
          resolve()
        })
        sent.on('error', reject)
        sent.end()
      })
    await f('/metrics', 200)
    await f('/-/ready', 200)
    await f('/', 403)
    await f('/api/status', 403)
  },
)

t.test('a token opens everything to other hosts, and they need it for everything but the two probes', async t => {
  const file = join(t.testdir({ token: 's3cr3t-token\n' }), 'token')
  const { ask, refused, logged } = await openServer(t, { options: { token_file: file } })
  const remote = 'X-Forwarded-For: 192.0.2.7'
  const f = async (line: string, status: number, ...headers: string[]): Promise<void> => {
    const answer = parsed(await ask(line, ...headers))
    t.equal(answer.status, status, `${line} ${headers.join()}`.slice(0, 120))
    if (status === 401) t.match(answer.head, 'WWW-Authenticate: Bearer realm="pillion"')
    t.notMatch(answer.head + answer.body, 's3cr3t')
  }
  await f('GET /-/healthy', 200, remote)
  await f('GET /-/ready', 200, remote)
  await f('GET /metrics', 401, remote)
  await f('GET /', 401, remote)
  await f('GET /', 200, remote, 'Authorization: Bearer s3cr3t-token')
  await f('GET /metrics', 200, remote, 'authorization: bearer  s3cr3t-token ')
  await f('GET /', 401, remote, 'Authorization: Bearer s3cr3t-tokenn')
  await f('GET /', 401, remote, 'Authorization: Bearer s3cr3t-toke')
  await f('GET /', 401, remote, 'Authorization: Bearer')
  await f('GET /', 401, remote, 'Authorization: ')
  await f('GET /', 401, remote, 'Authorization: Basic czNjcjN0LXRva2Vu')
  await f('GET /', 401, remote, 'Authorization: Bearer \xff\xfe')
  await f('GET /', 401, remote, `Authorization: Bearer ${'a'.repeat(15_000)}`)
  await f('GET /', 400, remote, 'Authorization: Bearer s3cr3t-token', 'Authorization: Bearer x')
  await f('GET /', 200)
  await f('GET /', 401, 'Authorization: Bearer wrong')
  t.equal(await refused('token'), 11)
  t.notMatch(logged().join(), 's3cr3t')
})

t.test('a token of a megabyte is refused with its header', async t => {
  const { ask, refused } = await openServer(t, { options: { token_file: join(t.testdir({ token: 'x' }), 'token') } })
  t.match(await ask('GET /', `Authorization: Bearer ${'a'.repeat(1_000_000)}`), /^(HTTP\/1.1 431|$)/)
  t.equal(await refused('malformed'), 1)
})

t.test('the token file', async t => {
  const dir = t.testdir({ token: 'first\n', empty: ' \n', two: 'a b', long: 'x'.repeat(5000) })
  const lines: string[] = []
  const log = { info() {}, error() {}, warn: (message: string) => void lines.push(message) }
  const open = (name: string, monotonic = clock.monotonic): Promise<Token> =>
    Token.open(join(dir, name), { monotonic }, log)

  t.test('must hold one token', async t => {
    await t.rejects(open('missing'), /cannot read the token: ENOENT.*; put one into .*missing, or unset web.token_file/)
    await t.rejects(open('empty'), /it is empty/)
    await t.rejects(open('two'), /one line without spaces/)
    await t.rejects(open('long'), /longer than 4096 bytes/)
    await t.rejects(open('.'), /cannot read the token/)
  })

  t.test('is read again when it changes, and stays when it cannot be read', async t => {
    let now = 0
    const token = await open('token', () => now)
    t.ok(await token.matches('Bearer first'))
    writeFileSync(join(dir, 'token'), 'second')
    t.ok(await token.matches('Bearer first'), 'not yet')
    now += 6000
    t.notOk(await token.matches('Bearer first'))
    t.ok(await token.matches('Bearer second'))
    writeFileSync(join(dir, 'token'), '')
    now += 6000
    t.ok(await token.matches('Bearer second'))
    t.match(lines, ['the token file can be read by every user; chmod 0600 it', 'the token stays as it was'])
  })
})

t.test('no bytes crash the web server', async t => {
  const { raw, port, logged } = await openServer(t)
  const host = 'Host: localhost\r\n'
  const f = async (request: string, expected: RegExp): Promise<void> => {
    const answer = await raw(request)
    t.match(answer, expected, JSON.stringify(request.slice(0, 60)))
  }
  const close = 'Connection: close\r\n\r\n'
  const OK = /^HTTP\/1.1 200 /
  const BAD = /^HTTP\/1.1 400 /
  const NONE = /^HTTP\/1.1 404 /

  // Node hands these to us.
  await f(`GET // HTTP/1.1\r\n${host}${close}`, NONE)
  await f(`GET http://[ HTTP/1.1\r\n${host}${close}`, BAD)
  await f(`GET /% HTTP/1.1\r\n${host}${close}`, BAD)
  await f(`GET /ui/%2e%2e%2f.. HTTP/1.1\r\n${host}${close}`, NONE)
  await f(`GET /ui/a%00.js HTTP/1.1\r\n${host}${close}`, NONE)
  await f(`GET /../../etc/passwd HTTP/1.1\r\n${host}${close}`, NONE)
  await f(`GET /..%5c..%5cetc HTTP/1.1\r\n${host}${close}`, NONE)
  await f(`GET /${'a'.repeat(10_000)} HTTP/1.1\r\n${host}${close}`, NONE)
  await f(`GET /?__proto__[x]=1&${'a[b]'.repeat(100)} HTTP/1.1\r\n${host}${close}`, OK)
  await f(`GET /metrics HTTP/1.1\r\n${host}__proto__: x\r\nconstructor: y\r\n${close}`, OK)
  await f(`GET /metrics HTTP/1.1\r\n${host}Accept: \xff\xfe\r\nAccept-Encoding: ;;;q=,\r\n${close}`, OK)
  await f(`GET /metrics HTTP/1.1\r\n${host}Upgrade: websocket\r\nConnection: Upgrade, close\r\n\r\n`, OK)
  await f(`GET /metrics HTTP/1.1\r\n${host}Upgrade: h2c\r\nConnection: Upgrade, close\r\n\r\n`, OK)
  await f(`GET /metrics HTTP/1.1\r\n${host}Content-Length: 3\r\n\r\nabc`, OK)
  await f(`OPTIONS * HTTP/1.1\r\n${host}${close}`, BAD)
  await f(`TRACE / HTTP/1.1\r\n${host}${close}`, /^HTTP\/1.1 405 /)
  await f(`POST /-/reload HTTP/1.1\r\n${host}Transfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFF\r\n`, BAD)
  await f(
    `POST / HTTP/1.1\r\n${host}Transfer-Encoding: chunked\r\n\r\n1;${'x'.repeat(20_000)}\r\n`,
    /^HTTP\/1.1 (405|413) /,
  )

  // Node answers these itself, or closes.
  await f(`GET / HTTP/1.1\r\n${close}`, BAD)
  await f(`POST / HTTP/1.1\r\n${host}Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n`, BAD)
  await f(`POST / HTTP/1.1\r\n${host}Content-Length: 1\r\nContent-Length: 2\r\n\r\n`, BAD)
  await f(`POST / HTTP/1.1\r\n${host}Content-Length: -1\r\n\r\n`, BAD)
  await f(`POST / HTTP/1.1\r\n${host}Content-Length: 100000000000000000000\r\n\r\n`, BAD)
  await f(`GET / HTTP/1.1\r\n${host}X: ${'a'.repeat(20_000)}\r\n\r\n`, /^HTTP\/1.1 431 /)
  await f(`GET / HTTP/1.1\r\n${host}${'X: y\r\n'.repeat(3000)}\r\n`, /^HTTP\/1.1 (431|200) /)
  await f(`GET / HTTP/1.1\r\n${host}X: a\0b\r\n\r\n`, BAD)
  await f('\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03', BAD)
  await f('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', BAD)
  await f(`GET / HTTP/1.1\r\n${host}Expect: foo\r\n${close}`, /^HTTP\/1.1 417 /)
  await f(`CONNECT evil.example:443 HTTP/1.1\r\n${host}\r\n`, /^$/)

  t.match(parsed(await raw(`GET /-/healthy HTTP/1.1\r\nHost: localhost:${port}\r\n${close}`)), { status: 200 })
  t.same(logged(), [], 'nothing got as far as the last resort')
  t.equal(({} as { x?: unknown }).x, undefined)
})

t.test('a client that is slow to ask gets 408, and is counted', async t => {
  const { raw, refused } = await openServer(t, { limits: { headersMs: 100, requestMs: 200 } })
  const answers = await Promise.all([raw('GET / HTTP/1.1\r\nHost: localhost\r\nX-a: b'), raw(''), raw('GET')])
  for (const answer of answers) t.match(answer, /^HTTP\/1.1 408 /)
  t.equal(await refused('malformed'), 3)
})

t.test('HTTP that is not spoken here is refused by its name', async t => {
  const { raw, refused } = await openServer(t)
  const f = async (request: string, status: number): Promise<void> => {
    const answer = parsed(await raw(request))
    t.equal(answer.status, status, JSON.stringify(request))
    t.match(answer.head, 'Connection: close')
  }
  const host = 'Host: localhost\r\n'
  await f(`GET /-/healthy HTTP/2.0\r\n${host}\r\n`, 505)
  await f(`GET /-/healthy HTTP/0.9\r\n${host}\r\n`, 505)
  await f(`GET /-/healthy HTTP/3.0\r\n${host}\r\n`, 505)
  await f(`POST /-/reload HTTP/1.1\r\n${host}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n`, 501)
  await f(
    `POST /-/reload HTTP/1.1\r\n${host}Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
    501,
  )
  await f(`POST /-/reload HTTP/1.1\r\n${host}Transfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n`, 501)
  await f(`GET /-/healthy HTTP/1.1\r\n${host}Transfer-Encoding: Chunked\r\n\r\n0\r\n\r\n`, 200)
  t.equal(await refused('malformed'), 6)
})

t.test('behind a mesh or a proxy nobody is local: 127.0.0.6 and all headers that say so', async t => {
  const { port, ask } = await openServer(t)
  t.equal(parsed(await ask('GET /')).status, 200)
  const headers = [
    'Forwarded: for=127.0.0.1',
    'X-Forwarded-For: 127.0.0.1',
    'X-Forwarded-Proto: http',
    'X-Forwarded-Host: a',
  ]
  const more = [
    'X-Real-IP: 127.0.0.1',
    'Via: 1.1 proxy',
    'X-Envoy-External-Address: 1.2.3.4',
    'x-envoy-attempt-count: 1',
  ]
  const rare = [
    'X-Forwarded-Client-Cert: x',
    'X-Client-IP: 1.2.3.4',
    'True-Client-IP: 1.2.3.4',
    'CF-Connecting-IP: 1.2.3.4',
  ]
  for (const header of [...headers, ...more, ...rare]) t.equal(parsed(await ask('GET /', header)).status, 403, header)
  const from = async (localAddress: string): Promise<number> => {
    const { request } = process.getBuiltinModule('node:http')
    const { promise, resolve, reject } = Promise.withResolvers<number>()
    request({ port, host: '127.0.0.1', localAddress, path: '/', agent: false }, answer => {
      answer.resume()
      resolve(answer.statusCode ?? 0)
    })
      .on('error', reject)
      .end()
    return await promise
  }
  t.equal(await from('127.0.0.6'), 403)
  t.equal(await from('127.0.0.2'), 200)
})

t.test('where other hosts can connect, an address of this host is no credential', async t => {
  const file = join(t.testdir({ token: 'token' }), 'token')
  for (const host of ['0.0.0.0', '::']) {
    let reloads = 0
    const reload = async (): Promise<void> => void reloads++
    const options = { listen: { host, port: 0 } }
    const without = await openServer(t, { options, host: { reload } })
    const f = async (line: string, status: number, ask = without.ask, ...headers: string[]): Promise<void> =>
      void t.equal(parsed(await ask(line, ...headers)).status, status, `${host}: ${line}`)
    await f('GET /metrics', 200)
    await f('GET /-/healthy', 200)
    await f('GET /-/ready', 200)
    await f('GET /', 403)
    await f('GET /api/status', 403)
    await f('GET /dashboards/', 403)
    await f('POST /-/reload', 403)
    t.match(parsed(await without.ask('GET /')).body, 'since web.listen is open to other hosts')
    const { ask } = await openServer(t, { options: { ...options, token_file: file }, host: { reload } })
    await f('GET /metrics', 401, ask)
    await f('GET /-/ready', 200, ask)
    await f('POST /-/reload', 401, ask)
    t.equal(reloads, 0)
    await f('POST /-/reload', 200, ask, 'Authorization: Bearer token')
    await f('GET /', 200, ask, 'Authorization: Bearer token')
    t.equal(reloads, 1)
  }
})
