import { writeFileSync } from 'node:fs'
import { networkInterfaces } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { Token } from '../../exporter/web/token.ts'
import { clock } from '../../host/clock.ts'
import { door, parsed, silent, until } from './door.ts'

/** An address of this machine that is not loopback, to knock from "another host"; undefined without a network. */
const elsewhere = Object.values(networkInterfaces())
  .flat()
  .find(address => address?.family === 'IPv4' && !address.internal)?.address

t.test('the Host header must be a name that no attacker can point here', async t => {
  const { raw, refused } = await door(t, { options: { allowed_hosts: ['Shop', '*.example.org', ''] } })
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
  const { raw } = await door(t)
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
  const { ask, port, refused } = await door(t, {
    deps: {
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

t.test('what a proxy passes on comes from another host: /metrics and /-/ can be read, nothing else', async t => {
  const { ask, refused } = await door(t, { deps: { reload: async () => {} } })
  const f = async (line: string, status: number): Promise<void> => {
    const answer = parsed(await ask(line, 'X-Forwarded-For: 127.0.0.1'))
    t.equal(answer.status, status, line)
    if (status === 403) t.match(answer.body, 'only /metrics and /-/ can be read; set web.token_file to open the rest')
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
})

t.test(
  'so does what comes by another address',
  { skip: elsewhere ? false : 'this machine has only loopback' },
  async t => {
    const { port } = await door(t, { options: { listen: { host: '0.0.0.0', port: 0 } } })
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
  const { ask, refused, logged } = await door(t, { options: { token_file: file } })
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
  const { ask, refused } = await door(t, { options: { token_file: join(t.testdir({ token: 'x' }), 'token') } })
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

t.test('no bytes crash the door', async t => {
  const { raw, port, logged } = await door(t)
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
  await f(`GET /% HTTP/1.1\r\n${host}${close}`, NONE)
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

t.test('who is slow to ask gets 408, and is counted', async t => {
  const { raw, refused } = await door(t, { limits: { headersMs: 100, requestMs: 200 } })
  const answers = await Promise.all([raw('GET / HTTP/1.1\r\nHost: localhost\r\nX-a: b'), raw(''), raw('GET')])
  for (const answer of answers) t.match(answer, /^HTTP\/1.1 408 /)
  t.equal(await refused('malformed'), 3)
})

t.test('connections beyond the limit are dropped and counted, and those after them served', async t => {
  const { port, ask, refused } = await door(t, { limits: { connections: 3 } })
  const held = [1, 2, 3].map(() => silent(port, 'GET / HT'))
  await until(async () => (await ask('GET /-/healthy')) === '')
  t.ok((await refused('connections'))! >= 1)
  for (const socket of held) socket.destroy()
  await until(async () => parsed(await ask('GET /-/healthy')).status === 200)
})
