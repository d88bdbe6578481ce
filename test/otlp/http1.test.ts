// Ordinary requests are read by a parser of our own, all others by node:http: a client must not be able to tell which.

import { randomBytes } from 'node:crypto'
import { gzipSync } from 'node:zlib'
import t from 'tap'
import { HeadReader } from '../../collectors/otlp/http1/head.ts'
import type { RequestConsumer } from '../../telemetry/consumer.ts'
import { eventually, OPTIONS, receiver, Wire } from './receiver.ts'
import { Recorder } from './recorder.ts'
import { attribute, many, span, traces } from './requests.ts'

t.setTimeout(240_000)

const GOOD = traces([attribute(1, 'service.name', 'shop')], span('a'), span('b'))
const HEAD = 'POST /v1/traces HTTP/1.1\r\nHost: a\r\nUser-Agent: x\r\nContent-Type: application/x-protobuf\r\n'

function post(body: Buffer, more = ''): Buffer {
  return Buffer.concat([Buffer.from(`${HEAD}${more}Content-Length: ${body.length}\r\n\r\n`, 'latin1'), body])
}

function answers(wire: Wire, status = '200 OK'): number {
  return wire.text.split(`HTTP/1.1 ${status}`).length - 1
}

/** All that a server answers to these bytes, without the date, when nothing follows them. */
async function answerTo(port: number, bytes: Buffer, byNode: boolean): Promise<string> {
  const wire = new Wire(port)
  if (byNode) {
    // It is no ordinary request, so the connection belongs to node:http from here on.
    wire.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
    await wire.until(() => wire.text.endsWith('}') || wire.text.includes('v1/logs'), 'an answer')
  }
  const before = wire.received.length
  wire.send(bytes)
  wire.socket.end()
  await wire.untilClosed()
  return wire.received.toString('latin1', before).replaceAll(/\r\nDate: [^\r]*/g, '')
}

async function isSame(port: number, bytes: Buffer): Promise<string | undefined> {
  const [own, node] = await Promise.all([answerTo(port, bytes, false), answerTo(port, bytes, true)])
  return own === node ? undefined : `${JSON.stringify(bytes.toString('latin1'))}\n own:  ${own}\n node: ${node}`
}

t.test('an ordinary request with any byte replaced or removed is answered as node:http answers it', async t => {
  const spans = new Recorder()
  const { port } = await receiver(t, { spans: [spans] })
  const good = post(GOOD)
  const head = good.length - GOOD.length
  const tries: Buffer[] = []
  for (let at = 1; at < head; at++) {
    for (const other of ['\0', '\t', '\n', '\r', ' ', ',', '1', ':', 'O', '\x7f', '\x80']) {
      const changed = Buffer.from(good)
      changed.write(other, at, 'latin1')
      tries.push(changed)
    }
    tries.push(Buffer.concat([good.subarray(0, at), good.subarray(at + 1)]))
  }
  const found: string[] = []
  const next = tries[Symbol.iterator]()
  const work = async () => {
    for (const each of next) {
      const different = await isSame(port, each)
      if (different) found.push(different)
    }
  }
  await Promise.all(Array.from({ length: 16 }, work))
  t.same(found, [])
  t.ok(tries.length > 1000)
})

t.test('so is one with a field that parsers dispute, or that asks for more', async t => {
  const { port } = await receiver(t, { spans: [new Recorder()] })
  const length = `Content-Length: ${GOOD.length}\r\n`
  const f = async (head: string, body: Buffer | string = GOOD) => {
    const bytes = Buffer.concat([Buffer.from(head, 'latin1'), typeof body === 'string' ? Buffer.from(body) : body])
    t.equal(await isSame(port, bytes), undefined, JSON.stringify(head.slice(0, 200)))
  }
  for (const value of ['', '0', '00', '-1', '+1', '0x1', '1e1', '1 1', '1,1', '9'.repeat(30), `0${GOOD.length}`, 'a'])
    await f(`${HEAD}Content-Length: ${value}\r\n\r\n`)
  for (const field of [
    'Content-Length: 1',
    'Transfer-Encoding: chunked',
    'Transfer-Encoding: identity',
    'Transfer-Encoding : chunked',
    'Transfer-Encoding:\tchunked',
    ' Transfer-Encoding: chunked',
    'X: a\r\n Transfer-Encoding: chunked',
    'X: a\nTransfer-Encoding: chunked',
    'X: a\rTransfer-Encoding: chunked',
    'Host: b',
    'Content-Type: application/json',
    'Content-Encoding: br',
    'Content-Encoding: gzip',
    'Content-Encoding: identity',
    'Content-Encoding: gzip, gzip',
    'Connection: close',
    'Connection: Keep-Alive',
    'Connection: keep-alive, upgrade',
    'Connection:',
    'Upgrade: h2c',
    'Upgrade: websocket',
    'Origin: https://evil.example',
    'Expect: 100-continue',
    'Expect: more',
    'TE: trailers',
    'Trailer: x',
    'Keep-Alive: timeout=1',
    '__proto__: x',
    ': x',
    'X',
    'X: \xff',
    `X: ${'x'.repeat(20_000)}`,
    'X: y\r\n'.repeat(98).trimEnd(),
    'X: y\r\n'.repeat(3000).trimEnd(),
  ])
    await f(`${HEAD}${field}\r\n${length}\r\n`)
  await f(`POST /v1/traces HTTP/1.1\r\nContent-Type: application/x-protobuf\r\n${length}\r\n`)
  for (const line of [
    'POST /v1/traces HTTP/1.0',
    'POST /v1/traces HTTP/1.2',
    'POST /v1/traces?a=b HTTP/1.1',
    'POST http://a/v1/traces HTTP/1.1',
    'POST /v1/nothing HTTP/1.1',
    'PUT /v1/traces HTTP/1.1',
    'post /v1/traces HTTP/1.1',
    'POST  /v1/traces HTTP/1.1',
  ])
    await f(`${line}\r\nHost: a\r\nContent-Type: application/x-protobuf\r\n${length}\r\n`)
  await f(`${HEAD.replace('x-protobuf', 'json')}Content-Length: 2\r\n\r\n`, '{}')
  await f(`${HEAD.replace('x-protobuf', 'json')}Content-Length: 2\r\n\r\n`, '{x')
  await f(`${HEAD.replace('x-protobuf', 'json; charset=utf-8')}Content-Length: 2\r\n\r\n`, '{}')
  await f(`${HEAD}Content-Length: 3\r\n\r\n`, 'abc')
  await f(`${HEAD}Content-Encoding: gzip\r\nContent-Length: 3\r\n\r\n`, 'abc')
})

t.test('a request that comes in two pieces, cut anywhere, is taken once', async t => {
  const spans = new Recorder()
  const { port } = await receiver(t, { spans: [spans] })
  const bytes = post(GOOD)
  for (let from = 4; from < bytes.length; from += 64)
    await Promise.all(
      Array.from({ length: Math.min(64, bytes.length - from) }, async (_, i) => {
        const wire = new Wire(port)
        wire.send(bytes.subarray(0, from + i))
        await new Promise(resolve => setTimeout(resolve, 20))
        wire.send(bytes.subarray(from + i))
        await wire.until(() => answers(wire) === 1, 'an answer')
        wire.close()
      }),
    )
  t.equal(spans.requests.length, bytes.length - 4)
  t.ok(spans.requests.every(each => each.bytes.equals(GOOD)))
})

t.test('ordinary requests and others follow each other on one connection, each with its answer', async t => {
  const spans = new Recorder()
  const { port, counted } = await receiver(t, { spans: [spans] })
  const wire = new Wire(port)
  const large = many('large', 2000)
  const zipped = gzipSync(large)
  for (const [i, bytes] of [
    post(GOOD),
    post(large),
    post(zipped, 'Content-Encoding: gzip\r\n'),
    post(Buffer.alloc(0)),
    // A third length, so the head is read again by its digits.
    post(traces([], span('longer than the others'))),
    Buffer.from(`${HEAD}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n`),
    post(GOOD),
  ].entries()) {
    wire.send(bytes)
    await wire.until(() => answers(wire) === i + 1, `answer ${i + 1}`)
  }
  t.same(await counted('pillion_otlp_requests_total'), { '{signal="traces",transport="http",code="200"}': 7 })
  t.same(
    spans.requests.map(each => each.items),
    [2, 2000, 2000, 0, 1, 0, 2],
  )
  t.match(wire.text, /^HTTP\/1.1 200 OK\r\nContent-Type: application\/x-protobuf\r\nContent-Length: 0\r\nDate: \w{3}, /)
  t.match(wire.text, /GMT\r\nConnection: keep-alive\r\nKeep-Alive: timeout=65\r\n\r\n/)
  wire.close()
})

t.test('bodies that cannot be taken are answered, and the connection goes on', async t => {
  const later = { name: 'full', reasons: [], admit: () => 300, take: () => undefined }
  const { port, counted } = await receiver(t, { spans: [new Recorder()], logs: [later] }, { max_request: 100_000 })
  const wire = new Wire(port)
  const f = async (bytes: Buffer, expected: string) => {
    const before = wire.received.length
    wire.send(bytes)
    await wire.until(() => /\r\n\r\n[\s\S]+/.test(wire.text.slice(before)), expected)
    t.match(wire.text.slice(before), new RegExp(`^HTTP/1.1 ${expected}\r\n`))
  }
  await f(post(Buffer.from('garbage')), '400 Bad Request')
  await f(post(Buffer.from('garbage'), 'Content-Encoding: gzip\r\n'), '400 Bad Request')
  await f(post(gzipSync(Buffer.alloc(100_001)), 'Content-Encoding: gzip\r\n'), '413 Payload Too Large')
  // One log record.
  const logs = Buffer.from('0a0612041202 1200'.replaceAll(' ', ''), 'hex')
  const asked = Buffer.from(post(logs).toString('latin1').replace('traces', 'logs'), 'latin1')
  await f(asked, '503 Service Unavailable')
  t.match(wire.text, /Retry-After: 1\r\n/)
  wire.send(post(GOOD))
  await wire.until(() => answers(wire) === 1, 'an answer')
  const codes = await counted('pillion_otlp_requests_total')
  t.same(codes, {
    '{signal="traces",transport="http",code="400"}': 2,
    '{signal="traces",transport="http",code="413"}': 1,
    '{signal="logs",transport="http",code="503"}': 1,
    '{signal="traces",transport="http",code="200"}': 1,
  })
  wire.close()
})

t.test('a request behind one that is decided later waits, and is answered after it', async t => {
  const decided = Promise.withResolvers<boolean>()
  const slow = { name: 'slow', reasons: [], take: () => undefined, settled: () => decided.promise }
  const spans = new Recorder()
  const { port } = await receiver(t, { spans: [spans], traces: [slow] })
  const wire = new Wire(port)
  wire.send(post(GOOD))
  await eventually(async () => spans.requests.length === 1, 'the first request')
  for (const bytes of [post(GOOD), Buffer.from('GET / HTTP/1.1\r\nHost: a\r\n\r\n'), post(GOOD)]) {
    wire.send(bytes)
    await new Promise(resolve => setTimeout(resolve, 50))
  }
  t.equal(wire.text, '')
  t.equal(spans.requests.length, 1)
  decided.resolve(true)
  await wire.until(() => answers(wire) === 3, 'three answers')
  t.match(wire.text, /200.*200.*404.*200/s)
  wire.close()
})

t.test('a client that closes its side behind its last request has each answer, whoever reads it', async t => {
  const f = async (requests: readonly Buffer[], expected: RegExp) => {
    const decided = Promise.withResolvers<boolean>()
    const slow = { name: 'slow', reasons: [], take: () => undefined, settled: () => decided.promise }
    const spans = new Recorder()
    const { port } = await receiver(t, { spans: [spans], traces: [slow] })
    const wire = new Wire(port)
    for (const each of requests) wire.send(each)
    wire.socket.end()
    await eventually(async () => spans.requests.length > 0, 'the first request')
    // Until the end of the client's side has been read.
    await wire.until(() => wire.text.endsWith('100 Continue\r\n\r\n') || requests.length > 1, 'an interim answer')
    decided.resolve(true)
    await wire.untilClosed()
    t.match(wire.text.replace('HTTP/1.1 100 Continue\r\n\r\n', ''), expected)
  }
  const byNode = post(GOOD, 'X-Any: \xe4\r\n')
  await f([post(GOOD)], /^HTTP\/1\.1 200 OK\r\n.*\r\n\r\n$/s)
  await f([byNode], /^HTTP\/1\.1 200 OK\r\n.*\r\n\r\n$/s)
  await f([post(GOOD), post(GOOD)], /^HTTP\/1\.1 200 OK\r\n.*HTTP\/1\.1 200 OK\r\n/s)
  await f([post(GOOD), byNode], /^HTTP\/1\.1 200 OK\r\n.*HTTP\/1\.1 200 OK\r\n/s)
})

t.test('a body that ends before its length costs nobody memory, and is counted', async t => {
  const { port, counted, memory } = await receiver(t, { spans: [new Recorder()] })
  for (const size of [10, 100_000, 200_000, 900_000]) {
    for (const end of ['end', 'destroy'] as const) {
      const wire = new Wire(port)
      const bytes = post(Buffer.alloc(size))
      // In the hands of the kernel, which delivers it before the end.
      await new Promise(resolve => wire.socket.write(bytes.subarray(0, bytes.length - 5), resolve))
      wire.socket[end]()
      await wire.untilClosed()
      t.equal(wire.text, '')
    }
  }
  const gone = '{signal="traces",transport="http",code="499"}'
  await eventually(async () => (await counted('pillion_otlp_requests_total'))[gone] === 8, 'all to be counted')
  t.equal(memory.used, 0)
})

t.test('an ordinary body that stops is told after the request timeout, and its memory is given back', async t => {
  const http = { ...OPTIONS.http, header_timeout: 1000, request_timeout: 1000 }
  const { port, memory } = await receiver(t, { spans: [new Recorder()] }, { http })
  const wire = new Wire(port)
  const bytes = post(Buffer.alloc(300_000))
  wire.send(bytes.subarray(0, 200_000))
  await wire.untilClosed()
  t.match(wire.text, /^HTTP\/1.1 408 Request Timeout\r\n[\s\S]*Connection: close\r\n/)
  t.equal(memory.used, 0)
})

t.test('the reader of heads takes what exporters send, again and again, and nothing else', t => {
  const reader = new HeadReader()
  for (const size of [0, 9, 123_456, 7, 99_999_999]) {
    const head = `${HEAD}Content-Length: ${size}\r\nAccept: */*\r\n\r\n`
    t.ok(reader.read(Buffer.concat([Buffer.from(head), randomBytes(50)])))
    t.same([reader.length, reader.end, reader.head?.signal], [size, head.length, 'traces'])
  }
  const other = `${HEAD.replace('traces', 'logs').replace('x-protobuf', 'json')}Content-Encoding: gzip\r\nContent-Length: 5\r\n\r\n`
  t.ok(reader.read(Buffer.from(other)))
  t.same(reader.head, { signal: 'logs', encoding: 'json', coding: 'gzip', hops: undefined })
  t.notOk(reader.read(Buffer.from(other.replace('5\r\n\r\n', '\r\n\r\n'))), 'no digits')
  t.notOk(reader.read(Buffer.from(other.slice(0, -1))), 'not whole')
  t.notOk(reader.read(Buffer.from(other.replace('5\r\n', '5 5\r\n'))))
  t.notOk(reader.read(Buffer.from(other.replace('5\r\n', '1234567890\r\n'))), 'ten digits')
  t.end()
})

t.test('requests in a row are all answered, however many, also when some are no ordinary ones', async t => {
  const spans = new Recorder()
  const { port } = await receiver(t, { spans: [spans] })
  const f = async (first: boolean) => {
    const wire = new Wire(port)
    if (first) {
      wire.send(post(GOOD))
      await wire.until(() => answers(wire) === 1, 'the first answer')
    }
    const many = Buffer.concat(Array.from({ length: 200 }, () => post(GOOD)))
    wire.send(Buffer.concat([many, Buffer.from('GET / HTTP/1.1\r\nHost: a\r\n\r\n'), post(GOOD)]))
    await wire.until(() => answers(wire) === (first ? 202 : 201), 'all answers')
    t.equal(answers(wire, '404 Not Found'), 1)
    wire.close()
  }
  await f(true)
  await f(false)
  t.equal(spans.requests.length, 403)
  t.ok(spans.requests.every(each => each.bytes.equals(GOOD)))
})

t.test('nothing behind the last answer of a connection is read as a request', async t => {
  const spans = new Recorder()
  const { port, running, memory, counted } = await receiver(t, { spans: [spans] })
  const wire = new Wire(port)
  const bytes = post(many('large', 2000))
  // The next request is another piece, and there before the connection is closed.
  const rest = bytes.subarray(bytes.length - 65_536)
  wire.send(bytes.subarray(0, bytes.length - rest.length))
  await eventually(async () => memory.used > 0, 'the body to be expected')
  const over = running[Symbol.asyncDispose]()
  wire.send(Buffer.concat([rest, post(GOOD)]))
  await wire.untilClosed()
  await over
  t.match(wire.text, /^HTTP\/1.1 200 OK\r\n[\s\S]*\r\nConnection: close\r\n\r\n$/)
  t.same(
    spans.requests.map(each => each.items),
    [2000],
  )
  t.same(await counted('pillion_otlp_requests_total'), { '{signal="traces",transport="http",code="200"}': 1 })
})

t.test('a request that was decided just before the receiver stops is answered', async t => {
  let over: Promise<void> | undefined
  const stops: RequestConsumer = {
    name: 'stops',
    reasons: [],
    take() {
      queueMicrotask(stop)
      return undefined
    },
  }
  const { port, running } = await receiver(t, { spans: [new Recorder()], traces: [stops] })
  const stop = () => {
    over ??= Promise.resolve(running[Symbol.asyncDispose]())
  }
  const wire = new Wire(port)
  wire.send(post(GOOD))
  await wire.untilClosed()
  await over
  t.equal(answers(wire), 1)
})

t.test('a connection gives way to a new one only when its answers have been written', async t => {
  const spans = new Recorder()
  const http = { ...OPTIONS.http, max_connections: 1 }
  const { port } = await receiver(t, { spans: [spans] }, { http })
  for (let i = 0; i < 20; i++) {
    const before = spans.requests.length
    const wire = new Wire(port)
    wire.send(post(GOOD))
    await wire.until(() => wire.closed || answers(wire) === 1, 'an answer')
    // Both are there when the server looks, the request first.
    await new Promise(resolve => setImmediate(resolve))
    wire.send(post(GOOD))
    const other = new Wire(port)
    await wire.until(() => wire.closed || answers(wire) === 2, 'the end of the connection, or its second answer')
    t.equal(answers(wire), spans.requests.length - before)
    other.close()
    wire.close()
    await new Promise(resolve => setTimeout(resolve, 20))
  }
})
