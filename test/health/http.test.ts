// The HTTP probe against real servers, well-behaved and hostile: each outcome has its reason, and in time.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer, type RequestListener } from 'node:http'
import { connect, createServer as createRaw, type Socket } from 'node:net'
import { brotliCompressSync, gzipSync } from 'node:zlib'
import t, { type Test } from 'tap'
import { ResponseReader } from '../../client/response.ts'
import type { ProbeOptions } from '../../collectors/health/options.ts'
import type { Verdict } from '../../collectors/health/verdict.ts'
import { PHASES } from '../../telemetry/client.ts'
import fc from '../property.ts'
import { ask, askTarget, freePort, listen, target, until } from './machine.ts'
import { SHAPES, shapeServer } from './shapes.ts'

type Given = Partial<ProbeOptions>

const BOUNDS = { maxHead: 16 * 1024, maxBody: 64 * 1024 }

/** A server of node:http; its URL. */
async function serve(t: Test, answer: RequestListener): Promise<string> {
  const server = createServer(answer)
  const port = await listen(server)
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  return `http://127.0.0.1:${port}/`
}

/** A server that writes what it likes; its URL. */
async function serveRaw(t: Test, answer: (socket: Socket) => void): Promise<string> {
  const sockets = new Set<Socket>()
  const server = createRaw({ noDelay: true }, socket => {
    sockets.add(socket)
    socket.on('error', () => {}).on('close', () => sockets.delete(socket))
    socket.once('data', () => answer(socket))
  })
  const port = await listen(server)
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return `http://127.0.0.1:${port}/`
}

const reason = (verdict: Verdict): string => (verdict.ok ? 'ok' : verdict.reason)

/** The whole promise about a hostile server: its reason, and not later than the timeout (and what a loaded machine adds). */
async function expectReason(t: Test, url: string, given: Given, expected: string, timeoutMs = 300): Promise<Verdict> {
  const { result, loopDelayMs } = await askTarget(await target({ url, ...given }), timeoutMs)
  t.equal(reason(result), expected, result.ok ? '' : result.detail)
  const limit = (timeoutMs + 100) / 1000 + (2 * loopDelayMs) / 1000
  t.ok(result.seconds <= limit, `${result.seconds.toFixed(3)} s within ${limit.toFixed(3)} s`)
  return result
}

t.test('a 200 is a success, and the phases add up to the total', async t => {
  const url = await serve(t, (_, response) => response.end('fine'))
  const verdict = await ask({ url }, 5000)
  t.equal(reason(verdict), 'ok')
  t.equal(verdict.status, 200)
  const sum = PHASES.reduce((total, phase) => total + verdict.phases[phase], 0)
  t.equal(sum, verdict.seconds)
  for (const phase of ['connect', 'processing', 'transfer'] as const) t.ok(verdict.phases[phase] > 0, phase)
  t.equal(verdict.phases.tls, 0)
})

t.test('time is booked to the phase that took it', async t => {
  const url = await serve(t, (_, response) => {
    setTimeout(() => {
      response.write('half')
      setTimeout(() => response.end('done'), 60)
    }, 120)
  })
  const verdict = await ask({ url }, 5000)
  t.equal(reason(verdict), 'ok')
  t.ok(verdict.phases.processing >= 0.115, `processing ${verdict.phases.processing}`)
  t.ok(verdict.phases.transfer >= 0.055, `transfer ${verdict.phases.transfer}`)
  t.ok(verdict.phases.connect < verdict.phases.processing)
})

t.test('the request carries a trace context, its own user agent, and no invitation to compress or to stay', async t => {
  let seen: Record<string, unknown> = {}
  const url = await serve(t, (request, response) => {
    seen = request.headers
    response.end()
  })
  await ask({ url, headers: ['X-Token: abc: d', 'Host: shop.example'] }, 5000)
  t.match(seen, {
    'user-agent': 'pillion-health/test',
    tracestate: 'pillion=probe',
    'accept-encoding': 'identity',
    connection: 'close',
    'x-token': 'abc: d',
    host: 'shop.example',
  })
  t.match(seen['traceparent'], /^00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-00$/)
})

t.test('a status outside the valid ones is the reason status', async t => {
  const url = await serve(t, (request, response) => {
    response.statusCode = Number(request.url?.slice(1))
    response.end()
  })
  const f = async (status: number, given: Given, expected: string) => {
    const verdict = await ask({ url: `${url}${status}`, ...given }, 5000)
    t.equal(reason(verdict), expected, `${status}`)
    t.equal(verdict.status, status)
  }
  await f(204, {}, 'ok')
  await f(399, {}, 'ok')
  await f(400, {}, 'status')
  await f(503, {}, 'status')
  await f(404, { status: ['404'] }, 'ok')
  await f(302, { status: ['200-299', '404'] }, 'status')
})

t.test('a redirect is a status and is never followed', async t => {
  let elsewhere = 0
  const other = await serve(t, (_, response) => {
    elsewhere++
    response.end()
  })
  const url = await serve(t, (_, response) => response.writeHead(302, { location: other }).end())
  t.equal(reason(await ask({ url }, 5000)), 'ok')
  const strict = await ask({ url, status: ['200-299'] }, 5000)
  t.match(strict, { ok: false, reason: 'status', status: 302, detail: /redirect/ })
  t.equal(elsewhere, 0)
})

t.test('wherever a redirect points, nobody is asked there, and no header goes there', async t => {
  const asked: string[] = []
  const other = await serve(t, (request, response) => {
    asked.push(`${request.url} ${request.headers['x-api-key']}`)
    response.end()
  })
  let times = 0
  const url = await serve(t, (request, response) => {
    times++
    const location = new URL(request.url ?? '/', 'http://a/').searchParams.get('to') ?? ''
    response.writeHead(302, { location }).end()
  })
  const places = [
    `${other}elsewhere`,
    `http://127.0.0.1:${new URL(other).port}/`,
    'http://169.254.169.254/latest/meta-data/',
    'http://[fd00:ec2::254]/',
    'file:///etc/passwd',
    'gopher://127.0.0.1:70/',
    '//evil.example/',
    url,
    '?to=again',
    '\xff',
    '',
  ]
  const headers = ['X-Api-Key: k', 'Authorization: Bearer k', 'Cookie: k=k']
  for (const to of places) {
    const strict = { url: `${url}?to=${encodeURIComponent(to)}`, status: ['200-299'], headers }
    const verdict = await ask(strict, 5000)
    t.match(verdict, { ok: false, reason: 'status', status: 302 }, to)
  }
  t.equal(times, places.length, 'each was asked once')
  t.same(asked, [])
})

t.test('headers and body are matched when asked', async t => {
  const url = await serve(t, (_, response) => response.setHeader('x-mode', 'primary').end('all systems nominal'))
  const f = async (given: Given, expected: string) => t.equal(reason(await ask({ url, ...given }, 5000)), expected)
  await f({ header_matches: ['X-Mode: ^primary$'] }, 'ok')
  await f({ header_matches: ['X-Mode: ^replica$'] }, 'header')
  await f({ header_matches: ['X-Absent: .'] }, 'header')
  await f({ body_matches: 'nominal' }, 'ok')
  await f({ body_matches: 'degraded' }, 'body')
  await f({ body_not_matches: 'degraded' }, 'ok')
  await f({ body_not_matches: 'nominal' }, 'body')
  await f({ body_matches: 'all', body_not_matches: 'systems' }, 'body')
})

t.test('a body on which an expression would backtrack for seconds costs milliseconds', async t => {
  const body = 'status db '.repeat(6500)
  const url = await serve(t, (_, response) => response.setHeader('x-long', 'a'.repeat(8000)).end(body))
  const before = process.cpuUsage()
  await expectReason(t, url, { body_matches: 'status.*db.*ok' }, 'body', 5000)
  await expectReason(t, url, { body_matches: '.*ok' }, 'body', 5000)
  await expectReason(t, url, { body_not_matches: '(\\w+\\s?)+$' }, 'body', 5000)
  await expectReason(t, url, { header_matches: ['X-Long: ^(a+)+$b'] }, 'header', 5000)
  const { user, system } = process.cpuUsage(before)
  t.ok(user + system < 2_000_000, `${(user + system) / 1000} ms of CPU, server included`)
})

t.test('HEAD has no body and is a success', async t => {
  const url = await serve(t, (_, response) => response.setHeader('content-length', 100).end())
  t.equal(reason(await ask({ url, method: 'HEAD' }, 5000)), 'ok')
})

t.test('nobody listening is refused', async t => {
  await expectReason(t, `http://127.0.0.1:${await freePort()}/`, {}, 'refused')
})

t.test('a name that does not exist is dns', async t => {
  // ".invalid" never resolves (RFC 6761); how long the resolver takes to say so is not ours.
  const verdict = await ask({ url: 'http://nowhere.invalid/' }, 4000)
  t.ok(['dns', 'timeout'].includes(reason(verdict)), reason(verdict))
  t.equal(verdict.phases.connect, 0)
})

t.test('a server that accepts and says nothing is a timeout, booked to processing', async t => {
  const url = await serveRaw(t, () => {})
  const verdict = await expectReason(t, url, {}, 'timeout')
  t.ok(verdict.phases.processing > 0.2)
})

t.test('a connection that is never accepted is a timeout, booked to connect', async t => {
  // A stopped process with a full accept queue: the kernel drops what comes after.
  const code = `require('net').createServer().listen({ port: 0, host: '127.0.0.1', backlog: 1 }, function () {
    console.log(this.address().port)
  })`
  const child = spawn(process.execPath, ['-e', code], { stdio: ['ignore', 'pipe', 'inherit'] })
  t.teardown(() => child.kill('SIGKILL'))
  const port = Number(String((await once(child.stdout, 'data'))[0]))
  child.kill('SIGSTOP')
  const waiting = Array.from({ length: 8 }, () => connect({ port, host: '127.0.0.1' }).on('error', () => {}))
  t.teardown(() => {
    for (const socket of waiting) socket.destroy()
  })
  await until(() => waiting.filter(socket => !socket.connecting).length >= 2, 'the queue is full')
  const verdict = await expectReason(t, `http://127.0.0.1:${port}/`, {}, 'timeout')
  t.ok(verdict.phases.connect > 0.2)
})

t.test('a body that drips is a timeout, with the status it began with', async t => {
  const url = await serveRaw(t, socket => {
    socket.write('HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n')
    const timer = setInterval(() => socket.write('x'), 20)
    socket.on('close', () => clearInterval(timer))
  })
  const verdict = await expectReason(t, url, {}, 'timeout')
  t.equal(verdict.status, 200)
  t.ok(verdict.phases.transfer > 0.2)
})

t.test('headers that drip are a timeout', async t => {
  const url = await serveRaw(t, socket => {
    socket.write('HTTP/1.1 200 OK\r\n')
    const timer = setInterval(() => socket.write('x'), 20)
    socket.on('close', () => clearInterval(timer))
  })
  await expectReason(t, url, {}, 'timeout')
})

t.test('a reset is a reset, and so is a close without an answer', async t => {
  await expectReason(t, await serveRaw(t, socket => socket.resetAndDestroy()), {}, 'reset', 5000)
  await expectReason(t, await serveRaw(t, socket => socket.end()), {}, 'reset', 5000)
})

t.test('a body shorter than its content-length is a reset', async t => {
  const url = await serveRaw(t, socket => socket.end('HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nshort'))
  await expectReason(t, url, {}, 'reset', 5000)
})

t.test('a response is taken however it is spelled, as curl, the kubelet and blackbox_exporter take it', async t => {
  const server = shapeServer()
  const url = `http://127.0.0.1:${await listen(server)}`
  t.teardown(() => server.close())
  for (const [place, [name, { status, body }]] of Object.entries(SHAPES).entries()) {
    const given = { url: `${url}/${place}`, status: ['200-299'] }
    t.equal((await ask(given, 5000)).ok, status, name)
    t.equal((await ask({ ...given, body_matches: 'UP' }, 5000)).ok, body, `${name}: its body`)
  }
})

t.test('headers are read however they are spelled', async t => {
  const url = await serveRaw(t, socket =>
    socket.end(
      'HTTP/1.1 200 OK\nX-Twice: a\nx-TWICE: b\nX-Folded: a\n  b\n\tc\nX-Spaced  :  d \nX-Utf8: \xc3\xa9\n' +
        'Content-Type: application/json\nContent-Type: application/json\n\n{"status":"DOWN"}',
      'latin1',
    ),
  )
  const f = (header: string) => expectReason(t, url, { header_matches: [header] }, 'ok', 5000)
  await f('X-Twice: ^a, b$')
  await f('x-folded: ^a b c$')
  await f('X-Spaced: ^d$')
  await f('X-Utf8: ^\u00c3\u00a9$')
  await expectReason(t, url, { document: 'require' }, 'body', 5000)
})

t.test('chunks that are mostly not body are protocol', async t => {
  const chunk = `1;${'x'.repeat(4000)}\r\na\r\n`
  const url = await serveRaw(t, socket => {
    socket.write('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n')
    const flood = (): void => {
      while (!socket.destroyed && socket.write(chunk));
    }
    socket.on('drain', flood)
    flood()
  })
  await expectReason(t, url, {}, 'protocol', 20_000)
})

t.test('endless trailers are too_large', async t => {
  const url = await serveRaw(t, socket => {
    socket.write('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n')
    const flood = (): void => {
      while (!socket.destroyed && socket.write('x: y\r\n'.repeat(100)));
    }
    socket.on('drain', flood)
    flood()
  })
  await expectReason(t, url, {}, 'too_large', 20_000)
})

t.test('a response cut anywhere gives the same verdict as in one piece', async t => {
  const answers = [
    'HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\nHTTP/1.1 200 OK\r\nX-A: b\r\n c\r\ncontent-length: 4\r\n\r\nfine',
    'HTTP/1.1 200 OK\ntransfer-encoding: chunked\n\n2;a=b\nfi\r\n2\r\nne\r\n0\r\nt: u\r\n\r\n',
  ]
  for (const text of answers) {
    const bytes = Buffer.from(text)
    for (let cut = 0; cut < bytes.length; cut++) {
      const reader = new ResponseReader({ bodiless: false, ...BOUNDS })
      t.equal(reader.push(bytes.subarray(0, cut)), undefined)
      t.match(reader.push(bytes.subarray(cut)), { status: 200, body: Buffer.from('fine'), whole: true })
    }
  }
})

t.test('no bytes whatever make the reading throw, or leave it without an outcome', async () => {
  const piece = fc.oneof(
    fc.constantFrom(
      'HTTP/1.1 200 OK\r\n',
      'Content-Length: 5\r\n',
      'Transfer-Encoding: chunked\r\n',
      '\r\n',
      '5\r\n',
      '0\r\n',
    ),
    fc.string({ unit: 'binary' }),
  )
  fc.assert(
    fc.property(fc.array(piece), fc.boolean(), (pieces, bodiless) => {
      const reader = new ResponseReader({ bodiless, ...BOUNDS })
      for (const each of pieces) {
        const outcome = reader.push(Buffer.from(each, 'latin1'))
        if (outcome) return 'body' in outcome || outcome.reason !== 'local'
      }
      return reader.close() !== undefined
    }),
  )
})

t.test('an answer that is not HTTP fails with the reason protocol', async t => {
  const f = async (bytes: string) => expectReason(t, await serveRaw(t, s => s.end(bytes)), {}, 'protocol', 5000)
  await f('SSH-2.0-OpenSSH_9.2\r\n')
  await f('hello\n')
  await f('HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab')
  await f('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n')
})

t.test('a body without any header line is read until the close', async t => {
  const url = await serveRaw(t, socket => socket.end('HTTP/1.1 200 OK\r\n\r\nfine'))
  await expectReason(t, url, { body_matches: '^fine$' }, 'ok', 5000)
})

t.test('a header of 10 MB is too_large', async t => {
  const url = await serveRaw(t, socket => {
    socket.write('HTTP/1.1 200 OK\r\nx-long: ')
    socket.write('x'.repeat(10_000_000))
  })
  await expectReason(t, url, {}, 'too_large', 5000)
})

t.test('an endless body is read to 64 KiB, and is too_large only for who asks about its content', async t => {
  let sent = 0
  const url = await serveRaw(t, socket => {
    socket.write('HTTP/1.1 200 OK\r\n\r\n')
    const flood = (): void => {
      while (!socket.destroyed && socket.write('x'.repeat(16_384))) sent += 16_384
    }
    socket.on('drain', flood)
    flood()
  })
  await expectReason(t, url, {}, 'ok', 5000)
  await expectReason(t, url, { body_matches: 'needle' }, 'too_large', 5000)
  await expectReason(t, url, { body_not_matches: 'needle' }, 'too_large', 5000)
  await expectReason(t, url, { document: 'require' }, 'too_large', 5000)
  await expectReason(t, url, { body_matches: '^x' }, 'ok', 5000)
  t.ok(sent < 64 * 1024 * 1024, `${sent} bytes left the server before it was stopped`)
})

t.test('a compressed body is not decompressed', async t => {
  // Decompressed it would match at once.
  const needles = Buffer.alloc(32 * 1024 * 1024, 'needle ')
  const f = async (encoding: string, body: Buffer, expected: string) => {
    t.notOk(body.includes('needle '), 'the text is compressed from its first byte')
    const url = await serve(t, (_, response) => response.setHeader('content-encoding', encoding).end(body))
    await expectReason(t, url, { body_matches: 'needle ' }, expected, 5000)
  }
  await f('br', brotliCompressSync(needles), 'body')
  await f('gzip', gzipSync(needles, { level: 9 }), 'body')
})

t.test('a flood of 1xx responses is protocol, long before the deadline', async t => {
  const url = await serveRaw(t, socket => {
    const flood = (): void => {
      while (!socket.destroyed && socket.write('HTTP/1.1 102 Processing\r\n\r\n'.repeat(100)));
    }
    socket.on('drain', flood)
    flood()
  })
  const verdict = await expectReason(t, url, {}, 'protocol', 20_000)
  t.ok(verdict.seconds < 10)
})

t.test('a few 1xx responses before the answer are fine', async t => {
  const url = await serveRaw(t, socket => {
    socket.end('HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n')
  })
  await expectReason(t, url, {}, 'ok', 5000)
})

t.test('a switch of protocols is judged by its status', async t => {
  const answer = 'HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\ngarbage'
  const verdict = await expectReason(t, await serveRaw(t, socket => socket.write(answer)), {}, 'status', 5000)
  t.equal(verdict.status, 101)
})

t.test('a document that is required must be one, and must not say down', async t => {
  const f = async (body: string, document: 'auto' | 'require', expected: string) => {
    const url = await serve(t, (_, response) => response.setHeader('content-type', 'application/json').end(body))
    return expectReason(t, url, { document }, expected, 5000)
  }
  await f('{"status": "UP"', 'auto', 'ok')
  await f('{"status": "UP"', 'require', 'body')
  await f('{"hello": "world"}', 'require', 'body')
  await f('{"status": "DOWN"}', 'auto', 'ok')
  await f('{"status": "DOWN"}', 'require', 'body')
  await f('{"status": "UP"}', 'require', 'ok')
  await f('['.repeat(60_000), 'require', 'body')
  const down = await f('{"status":"DOWN","components":{"db":{"status":"DOWN"}}}', 'auto', 'ok')
  t.same(down.document?.components, [{ name: 'db', up: false }])
})

t.test('the components of a failing answer are read too', async t => {
  const url = await serve(t, (_, response) => {
    response.writeHead(503, { 'content-type': 'application/vnd.spring-boot.actuator.v3+json' })
    response.end('{"status":"DOWN","components":{"db":{"status":"DOWN"},"disk":{"status":"UP"}}}')
  })
  const verdict = await expectReason(t, url, {}, 'status', 5000)
  t.same(verdict.document?.components, [
    { name: 'db', up: false },
    { name: 'disk', up: true },
  ])
})

t.test('nothing stays behind: each probe closes its connection', async t => {
  let open = 0
  const server = createServer((_, response) => response.end('x'))
  server.on('connection', socket => {
    open++
    socket.on('close', () => open--)
  })
  const port = await listen(server)
  t.teardown(() => server.close())
  for (let n = 0; n < 5; n++) await ask({ url: `http://127.0.0.1:${port}/` }, 5000)
  await until(() => open === 0, 'all connections are closed')
  t.equal(open, 0)
})

t.test('a held-up event loop of ours is not the application’s timeout', async t => {
  const url = await serve(t, (_, response) => setTimeout(() => response.end('fine'), 30))
  const asked = askTarget(await target({ url }), 200)
  setTimeout(() => {
    const end = performance.now() + 400
    while (performance.now() < end);
  }, 10)
  const { result, loopDelayMs } = await asked
  t.equal(reason(result), 'ok')
  t.ok(loopDelayMs > 300, `${loopDelayMs} ms of delay were ours`)
})
