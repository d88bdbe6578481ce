// TCP, TLS, gRPC and exec probes against real servers and programs; and the addresses that no probe may reach.

import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer as createHttp2, createSecureServer, type Http2Server, type ServerHttp2Stream } from 'node:http2'
import { createServer as createHttps } from 'node:https'
import { createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { Server as GrpcServer, ServerCredentials, type ServiceDefinition } from '@grpc/grpc-js'
import t, { type Test } from 'tap'
import { blocked } from '../../collectors/health/address.ts'
import { healthFaults } from '../../collectors/health/faults.ts'
import type { ProbeOptions } from '../../collectors/health/options.ts'
import type { Verdict } from '../../collectors/health/verdict.ts'
import { expression } from '../../options/expression.ts'
import { ask, askTarget, freePort, healthOptions, listen, probeOptions, until } from './machine.ts'

type Given = Partial<ProbeOptions>

const FIXTURES = join(import.meta.dirname, '../fixtures/health')
// Made for these tests only: `localhost` and 127.0.0.1, valid until 2126, signed by itself.
const key = readFileSync(join(FIXTURES, 'key.pem'))
const cert = readFileSync(join(FIXTURES, 'cert.pem'))
const CA = join(FIXTURES, 'cert.pem')

const reason = (verdict: Verdict): string => (verdict.ok ? 'ok' : verdict.reason)

async function serve(t: Test, answer: (socket: Socket) => void): Promise<string> {
  const sockets = new Set<Socket>()
  const server = createServer(socket => {
    sockets.add(socket.on('error', () => {}))
    answer(socket)
  })
  const port = await listen(server)
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return `127.0.0.1:${port}`
}

t.test('tcp: an open port is a success, a closed one is refused', async t => {
  const address = await serve(t, () => {})
  const verdict = await ask({ kind: 'tcp', address }, 5000)
  t.equal(reason(verdict), 'ok')
  t.ok(verdict.phases.connect > 0)
  t.equal(reason(await ask({ kind: 'tcp', address: `127.0.0.1:${await freePort()}` }, 5000)), 'refused')
})

t.test('tcp: what is sent is answered with what is expected', async t => {
  const address = await serve(t, socket => {
    socket.on('data', data => {
      // In pieces, as TCP may.
      for (const byte of data.toString() === 'PING\r\n' ? '+PONG\r\n' : '-ERR\r\n') socket.write(byte)
    })
  })
  const f = async (given: Given, expected: string, timeout = 5000) =>
    t.equal(reason(await ask({ kind: 'tcp', address, ...given }, timeout)), expected)
  await f({ send: 'PING\r\n', expect: '^\\+PONG' }, 'ok')
  await f({ send: 'NOPE\r\n', expect: '^\\+PONG' }, 'timeout', 200)
  await f({ expect: '^\\+PONG' }, 'timeout', 200)
})

t.test('tcp: a close without the expected answer is body, a flood without it too_large, a reset a reset', async t => {
  const f = async (answer: (socket: Socket) => void, expected: string) =>
    t.equal(reason(await ask({ kind: 'tcp', address: await serve(t, answer), expect: 'needle' }, 5000)), expected)
  await f(socket => socket.end('something else'), 'body')
  await f(socket => socket.end('x'.repeat(200_000)), 'too_large')
  await f(socket => setTimeout(() => socket.resetAndDestroy(), 20), 'reset')
})

/** An https server with this certificate; its port. */
async function secure(t: Test, options: { key: Buffer; cert: Buffer }): Promise<number> {
  const server = createHttps(options, (_, response) => response.end('fine'))
  server.on('tlsClientError', () => {})
  const port = await listen(server)
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  return port
}

t.test('tcp: a peer that sends byte by byte costs a small share of the CPU, and its match is found', async t => {
  const address = await serve(t, socket => {
    socket.setNoDelay(true).write(Array.from({ length: 40_000 }, (_, n) => ((n * n * 7919) & 64 ? 'a' : 'b')).join(''))
    let left = 20_000
    const dribble = (): void => {
      if (socket.destroyed) return
      socket.write(left-- > 0 ? 'a' : 'abbbbbbbbbbc')
      if (left >= 0) setImmediate(dribble)
    }
    dribble()
  })
  let testing = 0
  let tests = 0
  const compiled = await expression('(?:a|b)*a(?:a|b){10}[cd]')
  const counted = {
    source: compiled.source,
    async matches(text: string) {
      const begun = performance.now()
      const matches = await compiled.matches(text)
      testing += performance.now() - begun
      tests++
      return matches
    },
    test: (text: string) => compiled.test(text),
  }
  const asked = {
    kind: 'tcp',
    endpoint: { host: '127.0.0.1', port: Number(address.split(':')[1]), tls: undefined },
    send: undefined,
    expect: counted,
  } as const
  const { result } = await askTarget(asked, 10_000)
  t.equal(result.ok, true)
  t.ok(tests > 1, `${tests} tests`)
  t.ok(testing < result.seconds * 1000 * 0.2, `${testing.toFixed(0)} ms of ${(result.seconds * 1000).toFixed(0)} ms`)
})

t.test('tls: a trusted certificate is a success, with its expiry and a phase of its own', async t => {
  const url = `https://localhost:${await secure(t, { key, cert })}/`
  const verdict = await ask({ url, tls_ca_file: CA }, 5000)
  t.equal(reason(verdict), 'ok', verdict.ok ? '' : verdict.detail)
  t.equal(verdict.notAfter, Date.parse('2126-10-28T03:14:11Z') / 1000)
  t.ok(verdict.phases.tls > 0)
  t.equal(reason(await ask({ url: url.replace('localhost', '127.0.0.1'), tls_ca_file: CA }, 5000)), 'ok')
})

t.test(
  'tls: an untrusted certificate is tls unless verification is off, and its expiry is known all the same',
  async t => {
    const url = `https://localhost:${await secure(t, { key, cert })}/`
    const verdict = await ask({ url }, 5000)
    t.equal(reason(verdict), 'tls')
    t.ok((verdict.notAfter ?? 0) > 4e9)
    t.equal(reason(await ask({ url, tls_verify: false }, 5000)), 'ok')
  },
)

t.test('tls: a certificate for another name is tls', async t => {
  const url = `https://localhost:${await secure(t, { key, cert })}/`
  const verdict = await ask({ url, tls_ca_file: CA, tls_server_name: 'shop.example' }, 5000)
  t.match(verdict, { ok: false, reason: 'tls', detail: /shop\.example/ })
})

t.test('tls: nothing is sent to a server whose certificate is refused', async t => {
  let requests = 0
  const server = createHttps({ key, cert }, (_, response) => {
    requests++
    response.end()
  })
  const port = await listen(server)
  t.teardown(() => server.close())
  await ask({ url: `https://localhost:${port}/` }, 5000)
  t.equal(requests, 0)
})

t.test('tls: a server that does not speak it is tls, one that stalls the handshake a timeout', async t => {
  const plain = await serve(t, socket => socket.once('data', () => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n')))
  t.equal(reason(await ask({ url: `https://${plain}/` }, 5000)), 'tls')
  const stalled = await ask({ url: `https://${await serve(t, () => {})}/` }, 200)
  t.equal(reason(stalled), 'timeout')
  t.ok(stalled.phases.tls > 0.15)
})

t.test(
  'tls: an expired certificate is tls, and says since when',
  {
    skip: existsSync('/usr/bin/openssl') ? false : 'needs openssl: apt-get install openssl',
  },
  async t => {
    const dir = mkdtempSync(join(tmpdir(), 'pillion-'))
    t.teardown(() => rmSync(dir, { recursive: true }))
    const at = (name: string) => join(dir, name)
    writeFileSync(at('key.pem'), key)
    const run = (...args: string[]) => execFileSync('openssl', args, { cwd: dir, stdio: 'pipe' })
    run('req', '-new', '-key', 'key.pem', '-subj', '/CN=localhost', '-out', 'request.pem')
    writeFileSync(at('names'), 'subjectAltName=DNS:localhost')
    // Negative days: it has expired yesterday.
    const sign = ['x509', '-req', '-in', 'request.pem', '-signkey', 'key.pem', '-extfile', 'names', '-out', 'cert.pem']
    run(...sign, '-days', '-1')
    const url = `https://localhost:${await secure(t, { key, cert: readFileSync(at('cert.pem')) })}/`
    const verdict = await ask({ url, tls_ca_file: at('cert.pem') }, 5000)
    t.match(verdict, { ok: false, reason: 'tls', detail: /EXPIRED|expired/ })
    t.ok(Math.abs((verdict.notAfter ?? 0) - (Date.now() / 1000 - 86_400)) < 3600)
  },
)

t.test('tls: a tcp probe may speak it too', async t => {
  const port = await secure(t, { key, cert })
  const verdict = await ask({ kind: 'tcp', address: `localhost:${port}`, tls: true, tls_ca_file: CA }, 5000)
  t.equal(reason(verdict), 'ok')
  t.ok(verdict.phases.tls > 0)
})

/** grpc.health.v1 by grpc-js, which is not ours; its address. */
async function health(t: Test, statuses: Record<string, number>, credentials: ServerCredentials): Promise<string> {
  const service: ServiceDefinition = {
    Check: {
      path: '/grpc.health.v1.Health/Check',
      requestStream: false,
      responseStream: false,
      requestSerialize: (name: string) => Buffer.from(name),
      // HealthCheckRequest { string service = 1 }
      requestDeserialize: bytes => ({ service: bytes.subarray(2).toString() }),
      // HealthCheckResponse { ServingStatus status = 1 }
      responseSerialize: (status: number) => Buffer.from(status === 0 ? [] : [8, status]),
      responseDeserialize: bytes => bytes[1],
    },
  }
  const server = new GrpcServer()
  server.addService(service, {
    Check: (
      call: { request: { service: string } },
      reply: (error: { code: number } | null, status?: number) => void,
    ) => {
      const status = statuses[call.request.service]
      if (status === undefined) reply({ code: 5 })
      else reply(null, status)
    },
  })
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', credentials, (error, bound) => (error ? reject(error) : resolve(bound)))
  })
  t.teardown(() => server.forceShutdown())
  return `localhost:${port}`
}

t.test('grpc: only SERVING is a success', async t => {
  const address = await health(t, { '': 1, cart: 1, search: 2, odd: 0 }, ServerCredentials.createInsecure())
  const f = async (service: string, expected: string, status: number) => {
    const verdict = await ask({ kind: 'grpc', address, service }, 5000)
    t.equal(reason(verdict), expected, `${service}: ${verdict.ok ? '' : verdict.detail}`)
    t.equal(verdict.status, status)
    t.ok(verdict.phases.processing > 0)
  }
  await f('', 'ok', 0)
  await f('cart', 'ok', 0)
  await f('search', 'status', 0)
  await f('odd', 'status', 0)
  await f('unheard-of', 'status', 5)
})

t.test('grpc: a server without the health service answers 12, unimplemented', async t => {
  const server = new GrpcServer()
  const port = await new Promise<number>(resolve =>
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (_, bound) => resolve(bound)),
  )
  t.teardown(() => server.forceShutdown())
  t.match(await ask({ kind: 'grpc', address: `127.0.0.1:${port}` }, 5000), { ok: false, reason: 'status', status: 12 })
})

t.test('grpc: over TLS', async t => {
  const credentials = ServerCredentials.createSsl(null, [{ private_key: key, cert_chain: cert }])
  const address = await health(t, { '': 1 }, credentials)
  const trusted = await ask({ kind: 'grpc', address, tls: true, tls_ca_file: CA }, 5000)
  t.equal(reason(trusted), 'ok', trusted.ok ? '' : trusted.detail)
  t.ok(trusted.phases.tls > 0)
  t.ok((trusted.notAfter ?? 0) > 4e9)
  t.equal(reason(await ask({ kind: 'grpc', address, tls: true }, 5000)), 'tls')
  t.not(reason(await ask({ kind: 'grpc', address }, 500)), 'ok', 'plain text to a TLS port')
})

async function http2(t: Test, answer: (stream: ServerHttp2Stream) => void): Promise<string> {
  const server: Http2Server = createHttp2()
  server.on('stream', stream => answer(stream.on('error', () => {})))
  const port = await listen(server)
  t.teardown(() => server.close())
  return `127.0.0.1:${port}`
}

t.test('grpc: hostile servers', async t => {
  const f = async (address: string, expected: string, timeout = 5000) => {
    const verdict = await ask({ kind: 'grpc', address }, timeout)
    t.equal(reason(verdict), expected, verdict.ok ? '' : verdict.detail)
  }
  const grpcHeaders = { ':status': 200, 'content-type': 'application/grpc' }
  const answer = (body: Buffer, trailers: Record<string, string>) => (stream: ServerHttp2Stream) => {
    stream.respond(grpcHeaders, { waitForTrailers: true })
    stream.on('wantTrailers', () => stream.sendTrailers(trailers))
    stream.end(body)
  }
  const serving = Buffer.from([0, 0, 0, 0, 2, 8, 1])
  await f(await http2(t, answer(serving, { 'grpc-status': '0' })), 'ok')
  await f(await http2(t, answer(Buffer.from([0, 0, 0, 0, 6, 18, 2, 1, 1, 8, 1]), { 'grpc-status': '0' })), 'ok')
  await f(await http2(t, answer(Buffer.from([1, 0, 0, 0, 2, 8, 1]), { 'grpc-status': '0' })), 'protocol')
  await f(await http2(t, answer(Buffer.from([0, 0, 0, 0, 9, 8, 1]), { 'grpc-status': '0' })), 'protocol')
  await f(await http2(t, answer(Buffer.from([0, 0, 0, 0, 2, 15, 1]), { 'grpc-status': '0' })), 'protocol')
  await f(await http2(t, answer(Buffer.from([0, 0, 0, 0, 2, 18, 99]), { 'grpc-status': '0' })), 'protocol')
  await f(await http2(t, answer(serving, {})), 'protocol')
  await f(await http2(t, answer(Buffer.alloc(100_000), { 'grpc-status': '0' })), 'too_large')
  await f(await http2(t, stream => stream.respond({ ':status': 404 }, { endStream: true })), 'protocol')
  await f(
    await http2(t, stream => stream.respond({ ...grpcHeaders, 'grpc-status': '14' }, { endStream: true })),
    'status',
  )
  await f(await http2(t, stream => stream.session?.destroy()), 'reset')
  await f(await http2(t, () => {}), 'timeout', 200)
  await f(await serve(t, () => {}), 'timeout', 200)
  await f(await serve(t, socket => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n')), 'protocol')
  await f(await serve(t, socket => socket.resetAndDestroy()), 'reset')
  await f(`127.0.0.1:${await freePort()}`, 'refused')
})

t.test('grpc: the trace context is sent as metadata', async t => {
  let seen: unknown
  const server = createSecureServer({ key, cert })
  server.on('stream', (stream, headers) => {
    seen = headers
    stream.respond({ ':status': 200, 'content-type': 'application/grpc', 'grpc-status': '12' }, { endStream: true })
  })
  const port = await listen(server)
  t.teardown(() => server.close())
  await ask({ kind: 'grpc', address: `localhost:${port}`, tls: true, tls_ca_file: CA }, 5000)
  t.match(seen, { tracestate: 'pillion=probe', 'user-agent': 'pillion-health/test', traceparent: /^00-.*-00$/ })
})

t.test('exec: the exit code decides', async t => {
  const f = async (command: string[], expected: string, status?: number) => {
    const verdict = await ask({ kind: 'exec', command }, 5000)
    t.equal(reason(verdict), expected, command.join(' '))
    t.equal(verdict.status, status)
    return verdict
  }
  await f(['true'], 'ok', 0)
  await f(['false'], 'exec', 1)
  t.match(await f(['sh', '-c', 'echo no database >&2; exit 3'], 'exec', 3), { detail: /exit code 3: no database/ })
  t.match(await f(['sh', '-c', 'kill -9 $$'], 'exec'), { detail: /SIGKILL/ })
  t.match(await f(['no-such-program-anywhere'], 'exec'), { detail: /ENOENT/ })
  t.match(await f(['/etc/passwd'], 'exec'), { detail: /EACCES/ })
})

t.test('exec: there is no shell between', async t => {
  t.equal(reason(await ask({ kind: 'exec', command: ['test', '$HOME', '=', '$HOME'] }, 5000)), 'ok')
  t.equal(reason(await ask({ kind: 'exec', command: ['true; false'] }, 5000)), 'exec')
})

t.test('exec: at the deadline the program dies, and all that it started', async t => {
  const dir = mkdtempSync(join(tmpdir(), 'pillion-'))
  t.teardown(() => rmSync(dir, { recursive: true }))
  const pids = join(dir, 'pids')
  const script = `sleep 60 & echo $! >> ${pids}; sleep 61 & echo $! >> ${pids}; wait`
  const verdict = await ask({ kind: 'exec', command: ['sh', '-c', script] }, 700)
  t.equal(reason(verdict), 'timeout')
  const children = readFileSync(pids, 'utf8').trim().split('\n')
  t.equal(children.length, 2)
  for (const pid of children) await until(() => !alive(pid), `${pid} is dead`)
})

function alive(pid: string): boolean {
  // A zombie that nobody has reaped yet is dead enough.
  return existsSync(`/proc/${pid}/stat`) && !/\) Z /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'))
}

t.test('exec: endless output is neither kept nor waited for', async t => {
  setFlagsFromString('--expose-gc')
  const collect: () => void = runInNewContext('gc')
  const held = (): number => {
    // Buffers that the first finds dead are swept by another thread; the second waits for it.
    collect()
    collect()
    return process.memoryUsage().arrayBuffers
  }
  const before = held()
  t.equal(reason(await ask({ kind: 'exec', command: ['sh', '-c', 'yes >&2'] }, 300)), 'timeout')
  const kept = held() - before
  t.ok(kept < 1024 * 1024, `${kept} bytes of it are held`)
  const detached = ['sh', '-c', 'sleep 2 >&2 & exit 0']
  const verdict = await ask({ kind: 'exec', command: detached }, 20_000)
  t.equal(reason(verdict), 'ok')
  t.ok(verdict.seconds < 1.9, 'a grandchild that holds stderr open is not waited for')
})

t.test('exec: the sidecar’s own settings, among them secrets, are not handed on', async t => {
  process.env['PILLION_WEB_TOKEN_FILE'] = 'secret'
  t.teardown(() => delete process.env['PILLION_WEB_TOKEN_FILE'])
  const command = ['sh', '-c', 'test -z "$PILLION_WEB_TOKEN_FILE" && test -n "$PATH"']
  t.equal(reason(await ask({ kind: 'exec', command }, 5000)), 'ok')
})

t.test('link-local and metadata addresses are blocked, in every spelling', async t => {
  const f = (address: string, expected: boolean) => t.equal(blocked(address), expected, address)
  f('169.254.169.254', true)
  f('169.254.0.1', true)
  f('::ffff:169.254.169.254', true)
  f('::ffff:a9fe:a9fe', true)
  f('64:ff9b::a9fe:a9fe', true)
  f('fe80::1', true)
  f('fe80::1%eth0', true)
  f('fd00:ec2::254', true)
  f('100.100.100.200', true)
  f('168.63.129.16', true)
  f('127.0.0.1', false)
  f('::1', false)
  f('::ffff:127.0.0.1', false)
  f('10.0.0.1', false)
  f('fd00::1', false)
  f('0.0.0.0', false)
})

t.test('a URL that names a blocked address is an error of the configuration', async t => {
  const f = (given: Partial<ProbeOptions>, message = /^must not be a link-local/) =>
    t.match(healthFaults(healthOptions({ probes: [probeOptions(given)] })), [{ message }], JSON.stringify(given))
  const g = (url: string) => f({ url: new URL(url).href })
  g('http://169.254.169.254/latest/meta-data/')
  g('http://[fd00:ec2::254]/')
  g('http://[::ffff:169.254.169.254]/')
  g('http://2852039166/')
  g('http://0xa9.254.43518/')
  g('http://\u2460\u2465\u2468.254.169.254/')
  f({ kind: 'tcp', address: '169.254.169.254:80' })
  f({ kind: 'grpc', address: '[fe80::1]:80' })
  f({ url: 'http://user:password@127.0.0.1/' }, /^must not contain a user name or password/)
})

// A mount namespace of its own lets an unprivileged user answer for names.
const namespaces = spawnSync('unshare', ['-rm', 'true']).status === 0

t.test(
  'a name that resolves to a blocked address is blocked when it does',
  {
    skip: namespaces ? false : 'needs unprivileged user namespaces: sysctl kernel.unprivileged_userns_clone=1',
  },
  async t => {
    const dir = mkdtempSync(join(tmpdir(), 'pillion-'))
    t.teardown(() => rmSync(dir, { recursive: true }))
    // The second name has two addresses: nobody listens on the first.
    const hosts = '169.254.169.254 metadata.test\n127.0.0.1 both.test\n169.254.169.254 both.test\n127.0.0.1 good.test\n'
    writeFileSync(join(dir, 'hosts'), hosts)
    const port = await freePort()
    const script = `
    import { ask } from ${JSON.stringify(join(import.meta.dirname, 'machine.ts'))}
    const reasons = []
    for (const name of ['metadata.test', 'both.test', 'good.test'])
      reasons.push((await ask({ url: 'http://' + name + ':${port}/' }, 5000)).reason)
    console.log(reasons.join(' '))`
    const command = `mount --bind ${dir}/hosts /etc/hosts && exec "$0" --input-type=module -e "$1"`
    const { stdout, stderr } = spawnSync('unshare', ['-rm', 'sh', '-c', command, process.execPath, script])
    t.equal(String(stdout).trim(), 'blocked blocked refused', String(stderr))
  },
)

t.test('odd spellings of the loopback are the loopback', async t => {
  const server = createServer(socket => socket.end('HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n'))
  const port = await listen(server)
  t.teardown(() => server.close())
  const f = async (host: string) =>
    t.equal(reason(await ask({ url: new URL(`http://${host}:${port}/`).href }, 5000)), 'ok', host)
  await f('2130706433')
  await f('0x7f.1')
  await f('0')
  await f('localhost')
  await f('127.1')
})
