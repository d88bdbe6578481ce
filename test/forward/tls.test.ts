// TLS to upstreams: who is trusted, who we are, and files that change.

import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { createSecureServer } from 'node:http2'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { missing } from '../e2e/programs.ts'
import { Authority, type Pair } from '../web/certificates.ts'
import { spans, start } from './start.ts'
import { until, upstream } from './upstream.ts'

const skip = missing('openssl', 'openssl')

interface Secure {
  readonly url: string
  readonly seen: string[]
}

/** An HTTPS server that notes the names in the certificates of its clients. */
async function https(t: Test, pair: Pair, clients?: string): Promise<Secure> {
  const seen: string[] = []
  const server = createServer(
    {
      cert: readFileSync(pair.cert),
      key: readFileSync(pair.key),
      ...(clients !== undefined && { ca: readFileSync(clients), requestCert: true, rejectUnauthorized: true }),
    },
    (request, response) => {
      request.resume()
      request.on('end', () => {
        // The socket of an HTTPS server is one of TLS.
        const socket = request.socket as import('node:tls').TLSSocket
        seen.push(String(socket.getPeerX509Certificate()?.subject ?? 'nobody'))
        // Each request shows its own certificate.
        response.writeHead(200, { connection: 'close' }).end()
      })
    },
  )
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  // A listening TCP server has an AddressInfo (node:net).
  return { url: `https://localhost:${(server.address() as AddressInfo).port}`, seen }
}

const reached = async ({ total }: Awaited<ReturnType<typeof start>>, items: number) =>
  until(async () => (await total('pillion_forward_items_total', 'traces')) === items)

t.test(
  'an upstream with a certificate of an own authority is trusted with ca_file, and only then',
  { skip },
  async t => {
    const authority = new Authority(t.testdir({}))
    const server = await https(t, authority.sign('server', 'DNS:localhost'))
    const trusting = await start(t, { endpoint: server.url, ca_file: authority.cert })
    trusting.take('traces', spans(3))
    await reached(trusting, 3)
    const careful = await start(t, { endpoint: server.url })
    careful.take('traces', spans(3))
    await until(
      async () =>
        (await careful.counted('pillion_forward_requests_total'))[
          `{upstream="${server.url.slice(8)}",signal="traces",code="tls"}`
        ] === 1,
    )
    t.equal(server.seen.length, 1)
    await careful.balance(t)
  },
)

t.test('a certificate for another name, or one that has expired, is not trusted', { skip }, async t => {
  const authority = new Authority(t.testdir({}))
  for (const pair of [authority.sign('other', 'DNS:other.example'), authority.sign('expired', 'DNS:localhost', 0)]) {
    const server = await https(t, pair)
    const all = await start(t, { endpoint: server.url, ca_file: authority.cert })
    all.take('traces', spans(3))
    await until(async () => (await all.total('pillion_forward_open', 'traces')) === 1)
    t.match(all.logged.join(), /tls: /)
    t.equal(server.seen.length, 0)
    await all.balance(t)
  }
})

t.test('mTLS: the sidecar shows its certificate, and a renewed one is used without a restart', { skip }, async t => {
  const dir = t.testdir({})
  const authority = new Authority(dir)
  const server = await https(t, authority.sign('server', 'DNS:localhost'), authority.cert)
  const [first, second] = [authority.sign('first', 'DNS:sidecar'), authority.sign('second', 'DNS:sidecar')]
  const own = { cert: join(dir, 'own.crt'), key: join(dir, 'own.key') }
  const renew = (pair: Pair) => {
    writeFileSync(own.cert, readFileSync(pair.cert))
    writeFileSync(own.key, readFileSync(pair.key))
  }
  renew(first)
  const options = { endpoint: server.url, ca_file: authority.cert, cert_file: own.cert, key_file: own.key }
  const all = await start(t, options)
  all.take('traces', spans(1))
  await reached(all, 1)
  t.match(server.seen.at(-1), /CN=first/)
  renew(second)
  let sent = 1
  // The files are looked at each second.
  await until(async () => {
    all.take('traces', spans(1))
    await reached(all, ++sent)
    return /CN=second/.test(server.seen.at(-1) ?? '')
  })
})

t.test('gRPC over TLS', { skip }, async t => {
  const authority = new Authority(t.testdir({}))
  const pair = authority.sign('server', 'DNS:localhost')
  const server = createSecureServer({ cert: readFileSync(pair.cert), key: readFileSync(pair.key) })
  server.on('stream', stream => {
    stream.resume()
    stream.on('end', () => {
      stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true })
      stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }))
      stream.end()
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  // A listening TCP server has an AddressInfo (node:net). Without a scheme, gRPC is over TLS.
  const endpoint = `localhost:${(server.address() as AddressInfo).port}`
  const all = await start(t, { endpoint, protocol: 'grpc', ca_file: authority.cert })
  all.take('traces', spans(4))
  await reached(all, 4)
})

t.test('headers of a file are read again when it changes; a broken file leaves them as they were', async t => {
  const sink = await upstream(t)
  const file = join(t.testdir({}), 'headers')
  writeFileSync(file, '# of the vendor\nAuthorization: Bearer one\n\nX-Tenant: shop\n')
  const all = await start(t, { endpoint: sink.url, headers: ['authorization: none'], headers_file: file })
  let requests = 0
  const sent = async () => {
    all.take('traces', spans(1))
    requests++
    await until(() => sink.arrived.length === requests)
    return sink.arrived.at(-1)?.headers
  }
  t.match(await sent(), { authorization: 'Bearer one', 'x-tenant': 'shop' })
  // The file is looked at each second.
  writeFileSync(file, 'Authorization: Bearer two\n')
  await until(async () => (await sent())?.['authorization'] === 'Bearer two')
  t.equal((await sent())?.['x-tenant'], undefined)
  writeFileSync(file, '')
  for (const end = performance.now() + 2500; performance.now() < end; )
    t.equal((await sent())?.['authorization'], 'Bearer two', 'an empty file is still being written')
  writeFileSync(file, 'Authorization Bearer s3cr3t\n')
  await until(() => /cannot use the headers of .*header 1 must be/.test(all.logged.join()))
  t.equal((await sent())?.['authorization'], 'Bearer two')
  t.notMatch(all.logged.join(), /s3cr3t|Bearer/)
})

t.test('a file that cannot be read stops the start, unless its name was meant for the application', async t => {
  const options = { endpoint: 'https://127.0.0.1:1', ca_file: '/no/such/file' }
  await t.rejects(start(t, options), { message: 'cannot read /no/such/file: there is no such file' })
  const all = await start(t, options, { adopted: true })
  t.match(all.running.findings?.()[0], {
    level: 'warning',
    text: /cannot forward traces to https:\/\/127.0.0.1:1.*: cannot read \/no\/such\/file: there is no such file$/,
  })
  t.match(all.logged.join(), /warn cannot forward traces/, 'at once: a short job ends before findings are told')
})
