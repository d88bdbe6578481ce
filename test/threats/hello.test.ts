// ClientHellos by hand (RFC 8446, RFC 6066), with names that no TLS library would send: a callback of the server that throws
// on one would end the process (CVE-2026-21637). And HTTP/2 inside TLS, which the web server does not speak.

import { readFileSync } from 'node:fs'
import { connect as connectPlain } from 'node:net'
import { join } from 'node:path'
import { type ConnectionOptions, connect } from 'node:tls'
import t from 'tap'
import { hex } from '../otlp/requests.ts'
import { Authority } from '../web/certificates.ts'
import { openServer } from '../web/open.ts'
import { headers, hpack, OPENING } from './frames.ts'

const dir = t.testdir({})
const authority = new Authority(dir)
const pair = authority.sign('server', 'DNS:localhost')
const ca = readFileSync(authority.cert)
const config = `tls_server_config:\n  cert_file: ${pair.cert}\n  key_file: ${pair.key}\n`

const secure = (t: Tap) => {
  const file = join(t.testdir({ 'web.yml': config }), 'web.yml')
  return openServer(t, { options: { config: { file } }, limits: { handshakeMs: 500 } })
}
type Tap = Parameters<typeof openServer>[0]

function u16(value: number): Buffer {
  const bytes = Buffer.alloc(2)
  bytes.writeUInt16BE(value)
  return bytes
}
const vector = (body: Buffer): Buffer => Buffer.concat([u16(body.length), body])
const extension = (type: number, body: Buffer): Buffer => Buffer.concat([u16(type), vector(body)])
const name = (text: string, type = 0): Buffer =>
  Buffer.concat([Buffer.from([type]), vector(Buffer.from(text, 'latin1'))])
const names = (...list: Buffer[]): Buffer => extension(0, vector(Buffer.concat(list)))

/** A TLS 1.2 ClientHello that any server takes, but for its server_name. */
function hello(sni: Buffer): Buffer {
  const groups = extension(10, vector(hex('001d 0017')))
  const points = extension(11, hex('01 00'))
  const signatures = extension(13, vector(hex('0403 0804 0401 0503')))
  const ciphers = vector(hex('c02b c02f c02c c030'))
  const extensions = vector(Buffer.concat([sni, groups, points, signatures]))
  const body = Buffer.concat([hex('0303'), Buffer.alloc(32, 7), hex('00'), ciphers, hex('01 00'), extensions])
  const message = Buffer.concat([hex('01 00'), u16(body.length), body])
  return Buffer.concat([hex('16 0301'), u16(message.length), message])
}

/** The first answer of the server: 'handshake' for its ServerHello, 'alert', or 'closed'. */
function greet(port: number, bytes: Buffer): Promise<string> {
  return new Promise(resolve => {
    const socket = connectPlain(port, '127.0.0.1', () => socket.write(bytes))
    socket.on('error', () => {})
    socket.on('close', () => resolve('closed'))
    socket.once('data', data => {
      resolve({ 21: 'alert', 22: 'handshake' }[data[0]!] ?? 'something else')
      socket.destroy()
    })
  })
}

function get(port: number, more: ConnectionOptions = {}, request = GET): Promise<string> {
  return new Promise(resolve => {
    const socket = connect({ port, host: '127.0.0.1', servername: 'localhost', ca, ...more })
    let answer = ''
    socket.setEncoding('latin1').on('data', chunk => {
      answer += chunk
    })
    socket.on('error', (error: NodeJS.ErrnoException) => {
      answer ||= String(error.code)
    })
    socket.on('close', () => resolve(answer.slice(0, 12)))
    socket.write(request)
  })
}
const GET = Buffer.from('GET /-/healthy HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n')

t.test('no server name in a ClientHello harms the server', async t => {
  const { port, logged } = await secure(t)
  const f = async (what: string, sni: Buffer, expected: string): Promise<void> =>
    void t.equal(await greet(port, hello(sni)), expected, what)
  await f('an ordinary name', names(name('localhost')), 'handshake')
  await f('no name', Buffer.alloc(0), 'handshake')
  for (const text of [
    'evil.example',
    '__proto__',
    'constructor',
    'localhost.',
    '..',
    '*',
    '127.0.0.1',
    '[::1]',
    'xn--a-\xff',
    '\xff\xfe\xfd',
    '\xc0\x80',
    'a\nb\r\nc: d',
    '%00%2e%2e',
    'a'.repeat(255),
    '',
  ])
    await f(`${JSON.stringify(text.slice(0, 20))} of ${text.length}`, names(name(text)), 'handshake')
  // OpenSSL refuses names that are not valid before our code sees them.
  await f('a NUL in the name', names(name('localhost\0.evil.example')), 'alert')
  await f('a name of 256', names(name('a'.repeat(256))), 'alert')
  await f('a name of 10,000', names(name('a'.repeat(10_000))), 'alert')
  await f('two names', names(name('localhost'), name('evil.example')), 'alert')
  await f('a name of another type', names(name('localhost', 1)), 'alert')
  await f('an empty list', names(), 'alert')
  await f('an extension of no bytes', extension(0, Buffer.alloc(0)), 'alert')
  await f('a list that is longer than its extension', extension(0, hex('ffff 00 0009 61')), 'alert')
  await f('a name that is longer than its list', extension(0, hex('0004 00 ffff 61')), 'alert')
  await f('the extension twice', Buffer.concat([names(name('a')), names(name('b'))]), 'alert')
  t.equal(await get(port), 'HTTP/1.1 200', 'and the server still answers')
  t.same(logged(), [])
})

t.test('HTTP/2 inside TLS is not spoken: its frames, malformed or not, are no request', async t => {
  const { port, logged } = await secure(t)
  t.match(await get(port, { ALPNProtocols: ['h2'] }), /^E/, 'there is no protocol to agree on')
  t.equal(await get(port, { ALPNProtocols: ['h2', 'http/1.1'] }), 'HTTP/1.1 200')
  const malformed = Buffer.concat([OPENING, headers(1, hex('ff ff ff ff ff ff'))])
  for (const frames of [malformed, Buffer.concat([OPENING, headers(1, hpack({ a: 'b' }))]), malformed.subarray(24)])
    t.match(await get(port, {}, frames), /^(HTTP\/1.1 400)?$/)
  t.equal(await get(port), 'HTTP/1.1 200', 'and the server still answers')
  t.same(logged(), [])
})
