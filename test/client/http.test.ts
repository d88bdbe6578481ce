// The HTTP client, as those other than the probes use it: bodies, Unix sockets, client certificates, blocked addresses.

import { readFileSync } from 'node:fs'
import { createServer, type RequestListener, type Server } from 'node:http'
import { createServer as createHttps } from 'node:https'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import type { TLSSocket } from 'node:tls'
import t, { type Test } from 'tap'
import { request } from '../../client/http.ts'
import { clock } from '../../host/clock.ts'
import { type ClientRequest, PHASES } from '../../telemetry/client.ts'

const FIXTURES = join(import.meta.dirname, '../fixtures/health')
const key = readFileSync(join(FIXTURES, 'key.pem'), 'utf8')
const cert = readFileSync(join(FIXTURES, 'cert.pem'), 'utf8')

const PLAIN = { method: 'GET', path: '/a?b', headers: { host: 'shop' }, maxHead: 4096, maxBody: 1024 * 1024 } as const

function ask(given: Pick<ClientRequest, 'endpoint'> & Partial<ClientRequest>) {
  return request({ ...PLAIN, ...given }, AbortSignal.timeout(10_000), clock)
}

/** Listens, and closes at the end of the test. */
async function listen(t: Test, server: Server, path?: string): Promise<number> {
  await new Promise<void>(resolve => {
    if (path === undefined) server.listen(0, '127.0.0.1', resolve)
    else server.listen(path, resolve)
  })
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  const address = server.address()
  // A server on a path has that path as its address.
  return typeof address === 'string' ? 0 : (address as AddressInfo).port
}

/** Answers with the request. */
const echo: RequestListener = async (incoming, response) => {
  const chunks: Buffer[] = []
  for await (const chunk of incoming) chunks.push(chunk)
  const { method, url, headers } = incoming
  response.setHeader('x-request', `${method} ${url} ${headers.host} ${headers.connection}`)
  response.setHeader('x-length', headers['content-length'] ?? 'none')
  response.end(Buffer.concat(chunks))
}

t.test('a body is sent with its length, and the answer is whole, however large', async t => {
  const port = await listen(t, createServer(echo))
  const endpoint = { host: '127.0.0.1', port, tls: undefined }
  const body = Buffer.alloc(700_000, 'pillion')
  const answer = await ask({ endpoint, method: 'POST', body })
  if (!answer.ok) throw new Error(answer.detail)
  t.equal(answer.status, 200)
  t.equal(answer.headers.get('x-request'), 'POST /a?b shop close')
  t.equal(answer.headers.get('x-length'), '700000')
  t.equal(Buffer.compare(answer.body, body), 0)
  t.equal(answer.whole, true)
  t.equal(
    PHASES.reduce((sum, phase) => sum + answer.phases[phase], 0),
    answer.seconds,
  )
  const cut = await ask({ endpoint, method: 'POST', body, maxBody: 1000 })
  t.match(cut, { ok: true, whole: false })
  t.equal(cut.ok && cut.body.length, 1000)
})

t.test('a Unix domain socket is an endpoint', async t => {
  const socketPath = join(t.testdir(), 's')
  await listen(t, createServer(echo), socketPath)
  t.match(await ask({ endpoint: { socketPath } }), { ok: true, status: 200 })
  t.match(await ask({ endpoint: { socketPath: `${socketPath}x` } }), { ok: false, reason: 'refused' })
})

t.test('a client certificate is shown to a server that wants one', async t => {
  const server = createHttps(
    { key, cert, ca: cert, requestCert: true, rejectUnauthorized: false },
    (incoming, response) =>
      // A server of TLS has such sockets.
      response.end(String((incoming.socket as TLSSocket).authorized)),
  )
  const port = await listen(t, server)
  const tls = { verify: true, serverName: 'localhost', ca: cert }
  const told = async (own: { cert?: string; key?: string }) => {
    const answer = await ask({ endpoint: { host: '127.0.0.1', port, tls: { ...tls, ...own } } })
    return answer.ok ? answer.body.toString() : answer.detail
  }
  t.equal(await told({ cert, key }), 'true')
  t.equal(await told({}), 'false')
})

t.test('an address that is blocked is not connected to, with the reason', async t => {
  let connections = 0
  const server = createServer(echo)
  server.on('connection', () => connections++)
  const port = await listen(t, server)
  const blocked = (address: string) => (address.startsWith('127.') ? `${address} is ours` : undefined)
  const answer = await ask({ endpoint: { host: '127.0.0.1', port, tls: undefined }, blocked })
  t.match(answer, { ok: false, reason: 'blocked', detail: '127.0.0.1 is ours' })
  t.equal(connections, 0)
})

t.test('a head over its limit is too_large, and a failure after the status has it', async t => {
  const server = createServer((_, response) => {
    response.writeHead(200, { 'content-length': 10 }).write('five!')
    setImmediate(() => response.destroy())
  })
  const port = await listen(t, server)
  const endpoint = { host: '127.0.0.1', port, tls: undefined }
  t.match(await ask({ endpoint, maxHead: 20 }), { ok: false, reason: 'too_large' })
  t.match(await ask({ endpoint }), { ok: false, reason: 'reset', status: 200 })
})
