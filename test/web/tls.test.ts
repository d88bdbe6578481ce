// The web server with a web configuration as Prometheus' exporters have it: TLS, client certificates, rotation.

import {
  copyFileSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { connect as connectPlain } from 'node:net'
import { join } from 'node:path'
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls'
import t, { type Test } from 'tap'
import { alternativeNames } from '../../exporter/web/tls.ts'
import { Authority, type Pair } from './certificates.ts'
import { type OpenServer, openServer, until } from './open.ts'

const dir = t.testdir({})
const authority = new Authority(dir)
const server = authority.sign('server', 'DNS:localhost,IP:127.0.0.1')
const client = authority.sign(
  'client',
  'DNS:prometheus,URI:spiffe://shop/prometheus,IP:10.0.0.7,email:ops@shop.example',
)
const ca = readFileSync(authority.cert)

interface SecureServer extends OpenServer {
  /** The status of a request over a new connection, or why there was no answer. */
  get(more?: ConnectionOptions, path?: string): Promise<string>
}

/** A server with this web configuration; rotation is looked for every 20 ms. */
async function secure(t: Test, config: string, limits = {}): Promise<SecureServer> {
  const file = join(t.testdir({ 'web.yml': config }), 'web.yml')
  const opened = await openServer(t, { options: { config: { file } }, limits: { rereadMs: 20, ...limits } })
  return { ...opened, get: (more, path) => get(opened.port, more, path) }
}

function get(port: number, more: ConnectionOptions = {}, path = '/metrics'): Promise<string> {
  return new Promise(resolve => {
    const socket = connect({ port, host: '127.0.0.1', servername: 'localhost', ca, ...more })
    let answer = ''
    socket.setEncoding('latin1')
    socket.on('data', chunk => {
      answer += chunk
    })
    socket.on('error', (error: NodeJS.ErrnoException) => {
      answer ||= `${error.code} ${error.message}`
    })
    socket.on('close', () => resolve(/^HTTP\/1.1 (\d+)/.exec(answer)?.[1] ?? (answer || 'closed')))
    socket.write(`GET ${path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`)
  })
}

/** The subject of the certificate that the server shows. */
async function shows(port: number): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>()
  const socket = connect({ port, host: '127.0.0.1', rejectUnauthorized: false }, () => {
    resolve(String(socket.getPeerCertificate().subject.CN))
    socket.destroy()
  })
  socket.on('error', reject)
  return await promise
}

const pem = ({ cert, key }: Pair): ConnectionOptions => ({ cert: readFileSync(cert), key: readFileSync(key) })
const tlsServer = (more = ''): string =>
  `tls_server_config:\n  cert_file: ${server.cert}\n  key_file: ${server.key}\n${more.replace(/^(?=.)/gm, '  ')}`

t.test('TLS 1.2 and 1.3 are spoken, and nothing else', async t => {
  const { get, port, refused } = await secure(t, tlsServer())
  const f = async (more: ConnectionOptions, expected: string | RegExp): Promise<void> =>
    void t.match(await get(more), expected, JSON.stringify(more))
  await f({ minVersion: 'TLSv1.3' }, '200')
  await f({ maxVersion: 'TLSv1.2' }, '200')
  await f({ minVersion: 'TLSv1.1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' }, /alert protocol version/)
  await f({ maxVersion: 'TLSv1.2', ciphers: 'ECDHE-RSA-AES128-SHA' }, /alert handshake failure/)
  await f({ servername: 'a'.repeat(250) }, /ALTNAME/)
  await f({ servername: 'x\0y' }, /ALTNAME|200/)
  await f({ ca: [] }, /UNABLE_TO_VERIFY/)
  t.equal(await new Promise(resolve => plain(port, resolve)), '', 'HTTP without TLS is no request')
  await until(async () => ((await refused('tls')) ?? 0) >= 3)
  t.equal(await get(), '200', 'and the server still answers')
})

function plain(port: number, done: (answer: string) => void): void {
  const socket = connectPlain(port, '127.0.0.1')
  let answer = ''
  socket.on('data', data => {
    answer += data
  })
  socket.on('error', () => {})
  socket.on('close', () => done(answer))
  socket.write('GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n')
}

t.test('a handshake that does not end is cut off', async t => {
  const { port, get, refused } = await secure(t, tlsServer(), { handshakeMs: 150 })
  const socket = connectPlain(port, '127.0.0.1')
  const closed = new Promise(resolve => socket.on('error', () => {}).on('close', resolve))
  // The head of a TLS record that says 512 bytes follow.
  socket.write(Buffer.from([0x16, 3, 1, 2, 0]))
  await closed
  t.equal(await refused('tls'), 1)
  t.equal(await get(), '200')
})

t.test('client certificates', async t => {
  const strangers = t.testdir({})
  const stranger = pem(new Authority(strangers, 'stranger').sign('foreign', 'DNS:prometheus'))
  const expired = pem(authority.sign('expired', 'DNS:prometheus', 0))
  const other = pem(authority.sign('other', 'DNS:grafana'))
  const good = pem(client)
  const given = { none: {}, good, stranger, expired, other }
  const f = async (config: string, expected: Record<keyof typeof given, boolean>): Promise<void> => {
    const { get, refused } = await secure(t, tlsServer(config))
    const answers: Record<string, boolean> = {}
    for (const [name, certificate] of Object.entries(given)) answers[name] = (await get(certificate)) === '200'
    t.same(answers, expected, config)
    t.equal(await refused('tls'), Object.values(expected).filter(admitted => !admitted).length)
  }
  const by = `client_ca_file: ${authority.cert}\n`
  const all = { none: true, good: true, stranger: true, expired: true, other: true }
  await f('client_auth_type: NoClientCert\n', all)
  await f('client_auth_type: RequestClientCert\n', all)
  await f('client_auth_type: RequireAnyClientCert\n', { ...all, none: false })
  await f(`client_auth_type: VerifyClientCertIfGiven\n${by}`, { ...all, stranger: false, expired: false })
  const strict = { ...all, none: false, stranger: false, expired: false }
  await f(`client_auth_type: RequireAndVerifyClientCert\n${by}`, strict)
  const sans = (name: string) => `client_auth_type: RequireAndVerifyClientCert\n${by}client_allowed_sans: [${name}]\n`
  await f(sans('prometheus'), { ...strict, other: false })
  await f(sans('"spiffe://shop/prometheus"'), { ...strict, other: false })
  await f(sans('10.0.0.7'), { ...strict, other: false })
  await f(sans('ops@shop.example'), { ...strict, other: false })
  await f(sans('Prometheus, shop'), { ...strict, good: false, other: false })
})

t.test('where other hosts can connect, a client certificate that was verified opens everything', async t => {
  const stranger = pem(new Authority(t.testdir({}), 'stranger').sign('foreign', 'DNS:prometheus'))
  const by = `client_ca_file: ${authority.cert}\n`
  const [path, token] = [join(dir, 'by-certificate.yml'), join(dir, 'token')]
  writeFileSync(token, 'token')
  const f = async (config: string, expected: readonly string[], token?: string): Promise<void> => {
    writeFileSync(path, tlsServer(config))
    const { port } = await openServer(t, {
      options: { listen: { host: '0.0.0.0', port: 0 }, config: { file: path }, token_file: token },
    })
    const answers = [await get(port, {}, '/'), await get(port, pem(client), '/'), await get(port, stranger, '/')]
    t.same(
      answers.map(answer => (/^\d+$/.test(answer) ? answer : 'closed')),
      expected,
      config,
    )
  }
  await f('', ['403', '403', '403'])
  await f('client_auth_type: RequireAnyClientCert\n', ['closed', '403', '403'])
  await f(`client_auth_type: VerifyClientCertIfGiven\n${by}`, ['403', '200', 'closed'])
  await f(`client_auth_type: RequireAndVerifyClientCert\n${by}`, ['closed', '200', 'closed'])
  await f(`client_auth_type: VerifyClientCertIfGiven\n${by}`, ['401', '401', 'closed'], token)
})

t.test('inside TLS too a connection gets one answer at a time', async t => {
  const { port, refused } = await secure(t, tlsServer())
  const socket = connect({ port, host: '127.0.0.1', servername: 'localhost', ca })
  const closed = new Promise(resolve => socket.on('error', () => {}).on('close', resolve))
  socket.resume()
  socket.write('GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n'.repeat(100))
  await closed
  t.equal(await refused('pipelined'), 1)
  const kept = await keepAlive(port)
  for (let i = 0; i < 20; i++) t.match(await kept.ask(), 'HTTP/1.1 200')
  kept.end()
  t.equal(await refused('pipelined'), 1)
})

t.test('an alternative name cannot pretend to be several', async t => {
  t.same(alternativeNames('DNS:shop, IP Address:10.0.0.1, URI:spiffe://a'), ['shop', '10.0.0.1', 'spiffe://a'])
  t.same(alternativeNames('DNS:"evil, DNS:prometheus", DNS:b'), ['evil, DNS:prometheus', 'b'])
  t.same(alternativeNames('DNS:"a\\"b", othername:<unsupported>, DNS:prometheus'), ['a"b'])
  t.same(alternativeNames(undefined), [])
})

t.test('changed certificates are in effect for new connections, without a restart', async t => {
  const first = authority.sign('first', 'DNS:localhost')
  const second = authority.sign('second', 'DNS:localhost')
  const stranger = authority.sign('third', 'DNS:localhost')
  const dir = t.testdir({ 'web.yml': 'tls_server_config: { cert_file: tls/tls.crt, key_file: tls/tls.key }\n' })
  // As Kubernetes mounts a Secret: `tls` leads to a folder that is swapped as a whole.
  const mount = (version: string, { cert, key }: Pair): void => {
    mkdirSync(join(dir, version))
    copyFileSync(cert, join(dir, version, 'tls.crt'))
    copyFileSync(key, join(dir, version, 'tls.key'))
    symlinkSync(version, join(dir, 'next'))
    renameSync(join(dir, 'next'), join(dir, 'tls'))
  }
  mount('1', first)
  const file = join(dir, 'web.yml')
  const { port, logged, metric } = await openServer(t, { options: { config: { file } }, limits: { rereadMs: 20 } })
  t.equal(await shows(port), 'first')
  t.equal(await metric('pillion_web_config_last_reload_successful'), 1)
  const tomorrow = Date.now() / 1000 + 86_400
  t.ok(((await metric('pillion_web_tls_cert_not_after_timestamp_seconds')) ?? 0) > tomorrow)

  const kept = await keepAlive(port)
  mount('2', second)
  await until(async () => (await shows(port)) === 'second')
  t.match(await kept.ask(), 'HTTP/1.1 200', 'a connection from before goes on')
  kept.end()

  const f = async (name: string, spoil: () => void, mend: () => void): Promise<void> => {
    spoil()
    await until(async () => (await metric('pillion_web_config_last_reload_successful')) === 0)
    t.equal(await shows(port), 'second', `${name}: the old one stays`)
    mend()
    await until(async () => (await metric('pillion_web_config_last_reload_successful')) === 1)
  }
  const at = (name: string): string => join(dir, '2', name)
  const mend = (): void => {
    copyFileSync(second.cert, at('tls.crt'))
    copyFileSync(second.key, at('tls.key'))
  }
  await f('a key of another certificate', () => copyFileSync(stranger.key, at('tls.key')), mend)
  await f('half a file', () => truncateSync(at('tls.crt'), 300), mend)
  await f('no file', () => rmSync(at('tls.crt')), mend)
  await f('no PEM at all', () => writeFileSync(at('tls.key'), 'nonsense'), mend)
  t.equal(logged().filter(line => line.startsWith('the web configuration stays as it was')).length, 4, 'one line each')
  t.notMatch(logged().join('\n'), /BEGIN|nonsense/)

  mount('3', stranger)
  await until(async () => (await shows(port)) === 'third')
})

/** A connection that asks again and again. */
async function keepAlive(port: number): Promise<{ ask(): Promise<string>; end(): void }> {
  const socket: TLSSocket = connect({ port, host: '127.0.0.1', rejectUnauthorized: false })
  socket.setEncoding('latin1')
  const ask = async (): Promise<string> => {
    socket.write('GET /-/healthy HTTP/1.1\r\nHost: localhost\r\n\r\n')
    return await new Promise((resolve, reject) => {
      socket.once('data', resolve)
      socket.once('close', () => reject(new Error('the connection was closed')))
    })
  }
  await ask()
  return { ask, end: () => socket.destroy() }
}

t.test('the web configuration itself is read again, all of it or nothing', async t => {
  const dir = t.testdir({ 'web.yml': tlsServer('client_auth_type: RequestClientCert\n') })
  const file = join(dir, 'web.yml')
  const { port, metric } = await openServer(t, { options: { config: { file } }, limits: { rereadMs: 20 } })
  t.equal(await get(port), '200')

  const strict = tlsServer(`client_auth_type: RequireAndVerifyClientCert\nclient_ca_file: ${authority.cert}\n`)
  writeFileSync(file, strict)
  await until(async () => (await get(port)) !== '200')
  t.equal(await get(port, pem(client)), '200')

  const f = async (config: string): Promise<void> => {
    writeFileSync(file, config)
    await until(async () => (await metric('pillion_web_config_last_reload_successful')) === 0)
    t.equal(await get(port, pem(client)), '200', config)
    t.not(await get(port), '200', config)
    writeFileSync(file, strict)
    await until(async () => (await metric('pillion_web_config_last_reload_successful')) === 1)
  }
  await f('')
  await f(tlsServer())
  await f(tlsServer('client_auth: x\n'))
})

t.test('headers of the web configuration stand on every answer, in the place of ours', async t => {
  const { raw } = await secure(
    t,
    'http_server_config:\n  http2: true\n  headers:\n    Strict-Transport-Security: max-age=300\n    X-Frame-Options: sameorigin\n    X-XSS-Protection: ""\n',
  )
  for (const path of ['/metrics', '/', '/nothing', '/-/healthy']) {
    const answer = await raw(`GET ${path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`)
    t.match(answer, /^strict-transport-security: max-age=300\r$/m, path)
    t.match(answer, /^x-frame-options: sameorigin\r$/m, path)
    t.equal(answer.match(/^x-frame-options:/gim)?.length, 1, path)
    t.match(answer, /^X-Content-Type-Options: nosniff\r$/m, path)
    t.notMatch(answer, /x-xss-protection/i, path)
  }
})

t.test('the rate limit is a bucket of tokens', async t => {
  const { ask, refused } = await secure(t, 'rate_limit: { interval: 1h, burst: 3 }\n')
  const answers = []
  for (let i = 0; i < 5; i++) answers.push((await ask('GET /-/healthy')).slice(9, 12))
  t.same(answers, ['200', '200', '200', '429', '429'])
  t.equal(await refused('rate'), 2)
})

t.test('a web configuration with mistakes is refused, and says where', async t => {
  const f = async (config: string, expected: RegExp): Promise<void> => {
    const file = join(t.testdir({ 'web.yml': config }), 'web.yml')
    const failed: Error = await openServer(t, { options: { config: { file } } }).then(
      () => new Error('it was taken'),
      error => error,
    )
    t.match(failed.message, expected, config)
    t.match(failed.message, 'web.yml')
  }
  const cert = `cert_file: ${server.cert}, key_file: ${server.key}`
  await f('tls_server_config: { cert_file: x.crt }', /tls_server_config.key_file is missing/)
  await f('tls_server_config: { key_file: x.key }', /tls_server_config.cert_file is missing/)
  await f('tls_server_config: { cert_file: x.crt, key_file: x.key }', /cannot read cert_file "x.crt": ENOENT/)
  await f(`tls_server_config: { cert: a, ${cert} }`, /cert and cert_file are both given/)
  await f(`tls_server_config: { cert_file: ${server.cert}, key_file: ${client.key} }`, /key values mismatch/)
  await f(`tls_server_config: { cert_file: ${server.key}, key_file: ${server.key} }`, /cannot use the certificates/)
  await f(
    `tls_server_config: { ${cert}, min_version: TLS11 }`,
    /min_version "TLS11" is not supported; use TLS12, TLS13/,
  )
  await f(`tls_server_config: { ${cert}, min_version: TLS13, max_version: TLS12 }`, /min_version is above max_version/)
  await f(
    `tls_server_config: { ${cert}, cipher_suites: [TLS_RSA_WITH_RC4_128_SHA] }`,
    /cipher_suites .* is not supported/,
  )
  await f(`tls_server_config: { ${cert}, curve_preferences: [P-1] }`, /curve_preferences "P-1" is not supported/)
  await f(`tls_server_config: { ${cert}, client_auth_type: Some }`, /client_auth_type must be one of NoClientCert, /)
  await f(`tls_server_config: { ${cert}, client_auth_type: RequireAndVerifyClientCert }`, /client_ca_file is missing/)
  await f(
    `tls_server_config: { ${cert}, client_ca_file: ${authority.cert} }`,
    /client_auth_type is NoClientCert, which/,
  )
  await f(`tls_server_config: { ${cert}, client_allowed_sans: [a] }`, /client_allowed_sans needs/)
  await f(`tls_server_config: { ${cert}, client_auth_typ: x }`, /client_auth_typ is not supported; did you mean/)
  await f('tls_server_config: [a]', /tls_server_config must be a table, not a list/)
  await f('tls_config: {}', /tls_config is not supported/)
  await f('http_server_config: { headers: { Server: x } }', /http_server_config.headers.Server is not supported/)
  await f('http_server_config: { headers: { X-Frame-Options: "a\\nb" } }', /X-Frame-Options is not a value/)
  await f('http_server_config: { http2: 1 }', /http_server_config.http2 must be true or false, not a number/)
  await f('rate_limit: { interval: soon }', /rate_limit.interval must be a duration/)
  await f('basic_auth_users: { alice: s3cr3t }', /basic_auth_users.alice is not a bcrypt hash; make one with/)
  await f('basic_auth_users: { "a:b": x }', /"a:b" is no user name/)
  await f('a: &a [x]\nb: [*a, *a]', /anchors and aliases/)
  await f('a: 1\na: 2', /web.yml:2: is given twice/)
  await f('a: [', /web.yml:1: .* close every \[ and {/)
  await f('just text', /the file must be a table/)
})

t.test('cipher suites and curves have Go’s names', async t => {
  const names = 'cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, TLS_AES_128_GCM_SHA256]\n'
  const { get } = await secure(t, tlsServer(`${names}curve_preferences: [CurveP384]\n`))
  const f = async (more: ConnectionOptions, expected: string | RegExp): Promise<void> =>
    void t.match(await get(more), expected, JSON.stringify(more))
  await f({}, '200')
  await f({ maxVersion: 'TLSv1.2' }, '200')
  await f({ maxVersion: 'TLSv1.2', ciphers: 'ECDHE-ECDSA-AES256-GCM-SHA384' }, /alert handshake failure/)
  await f({ ecdhCurve: 'P-256' }, /alert handshake failure/)
})
