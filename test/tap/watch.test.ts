// The view of a connection does not depend on how its bytes were divided; bytes that cannot be read for certain are
// opaque.

import t from 'tap'
import { Room } from '../../collectors/tap/framing.ts'
import { Injector } from '../../collectors/tap/inject.ts'
import { type Exchange, type Observer, Watch } from '../../collectors/tap/watch.ts'
import { Random, SEED } from '../random.ts'
import { script } from './scripts.ts'

function watched(room = new Room(1 << 20), strict = false) {
  const closed: Exchange[] = []
  const lost: string[] = []
  const opaque: string[] = []
  const observer: Observer = {
    now: () => 0,
    opened: () => true,
    closed: (exchange, by) => void (by === undefined ? closed.push(exchange) : lost.push(by)),
    opaque: reason => void opaque.push(reason),
  }
  return { watch: new Watch(observer, { maxHead: 16 * 1024, room }, strict), closed, lost, opaque }
}

t.test('however the bytes of 3,000 connections are divided, the same is seen', async t => {
  const random = new Random(SEED)
  for (let n = 0; n < 3000; n++) {
    const each = script(random)
    const [asked, answered] = [each.client, each.server].map(acts =>
      Buffer.concat(acts.map(({ bytes }) => bytes ?? Buffer.alloc(0))),
    )
    const see = (most: number): unknown => {
      const { watch, closed, opaque } = watched()
      for (const piece of random.pieces(asked!, most)) watch.request(piece)
      for (const piece of random.pieces(answered!, most)) watch.response(piece)
      watch.responseEnd('application')
      const seen = closed.map(({ method, target, status, requestBytes, responseBytes }) => [
        method,
        target,
        status,
        requestBytes,
        responseBytes,
      ])
      // Nothing of an answer is seen any more once the requests are opaque, and that depends on nothing else.
      return [seen, opaque.length]
    }
    const whole = JSON.stringify(see(1))
    const divided = JSON.stringify(see(random.whole(2, 60)))
    if (whole === divided) continue
    t.fail(`connection ${n} (${each.kind}): ${whole} as a whole, ${divided} in pieces`)
    return
  }
  t.pass('the same')
})

t.test('one byte after another is a head as well, and holds no memory afterwards', async t => {
  const room = new Room(300)
  const { watch, closed, opaque } = watched(room)
  for (const byte of Buffer.from('GET /a HTTP/1.1\r\nHost: b\r\n\r\n')) watch.request(Buffer.from([byte]))
  for (const byte of Buffer.from('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab')) watch.response(Buffer.from([byte]))
  t.equal(closed.length, 1)
  t.same(opaque, [])
  t.ok(room.take(300), 'all of the room is free again')
})

t.test('heads that are not complete hold no more than the room for all of them', async t => {
  const room = new Room(1024)
  const all = Array.from({ length: 10 }, () => watched(room))
  for (const { watch } of all) watch.request(Buffer.from('GET /never-complete HTTP/1.1\r\nHost: '))
  t.same(
    all.map(({ opaque }) => opaque[0]),
    [...Array(4).fill(undefined), ...Array(6).fill('busy')],
  )
  for (const { watch } of all) watch.end('client')
  t.ok(room.take(1024))
})

t.test('more requests than answers end the reading, not the connection', async t => {
  const { watch, opaque, lost } = watched()
  for (let i = 0; i < 101; i++) watch.request(Buffer.from('GET / HTTP/1.1\r\n\r\n'))
  t.same(opaque, ['busy'])
  t.equal(lost.length, 100)
  t.same([...new Set(lost)], ['tap'])
})

t.test('a message that servers read in different ways is opaque', async t => {
  const f = (request: string, reason: string | undefined, strict = false): void => {
    const { watch, opaque } = watched(undefined, strict)
    watch.request(Buffer.from(request, 'latin1'))
    t.equal(opaque[0], reason, JSON.stringify(request.slice(0, 80)))
  }
  const head = 'POST / HTTP/1.1\r\nHost: a\r\n'
  f(`${head}Content-Length: 1\r\nContent-Length: 2\r\n\r\n`, 'length')
  f(`${head}Content-Length: 1\r\nContent-Length: 1\r\n\r\na`, undefined)
  f(`${head}Content-Length: 1, 1\r\n\r\n`, 'length')
  f(`${head}Content-Length: +1\r\n\r\n`, 'length')
  f(`${head}Content-Length: 9999999999999999999\r\n\r\n`, 'length')
  f(`${head}Content-Length : 1\r\n\r\n`, 'head')
  f(`${head} Content-Length: 1\r\n\r\n`, 'head')
  f(`${head}Content-Length\r\n\r\n`, 'head')
  f(`${head}X: a\rb\r\n\r\n`, 'head')
  f(`${head}X: a\0b\r\n\r\n`, 'head')
  f(`${head}Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n`, undefined)
  f(`${head}Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n`, 'length', true)
  f(`${head}Transfer-Encoding: chunked, identity\r\n\r\n`, 'length')
  f(`${head}Transfer-Encoding: xchunked\r\n\r\n`, 'length')
  f(`${head}Transfer-Encoding: chunked, chunked\r\n\r\n`, 'length')
  f(`${head}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n`, 'length')
  f('POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n', 'length')
  f(`${head}Transfer-Encoding: chunked\r\n\r\n5\nabcde\r\n0\r\n\r\n`, undefined)
  f(`${head}Transfer-Encoding: chunked\r\n\r\n5 x\r\n`, 'length')
  f(`${head}Transfer-Encoding: chunked\r\n\r\n-5\r\n`, 'length')
  f(`${head}Transfer-Encoding: chunked\r\n\r\n5\r\nabcdefg`, undefined)
  f(`${head}Transfer-Encoding: chunked\r\n\r\n5\r\nabcdefg\r\n`, 'length')
  f(`${head}Transfer-Encoding: chunked\r\n\r\n${'f'.repeat(14)}\r\n`, 'length')
  f('GET / HTTP/1.2\r\n\r\n', 'not_http')
  f('GET  / HTTP/1.1\r\n\r\n', 'not_http')
  f('GET /a b HTTP/1.1\r\n\r\n', 'not_http')
  f('GET /\r\n', 'not_http')
  f('\r\n\r\nGET / HTTP/1.1\r\n\r\n', undefined)
})

t.test('a traceparent is written into each head that has none, wherever its bytes are divided', async t => {
  const random = new Random(SEED)
  const own = 'traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n'
  const ids = { traceId: '0af7651916cd43dd8448eb211c80319c', spanId: 'b7ad6b7169203331' }
  const requests = [
    'GET /a HTTP/1.1\r\nHost: b\r\n\r\n',
    'POST /b HTTP/1.1\r\nContent-Length: 5\r\n\r\n\r\n\r\na',
    'GET /c HTTP/1.1\n\n',
    `GET /d HTTP/1.1\r\nTraceParent: ${own.slice(13)}\r\n`,
    'POST /e HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nx: y\r\n\r\n',
    'GET /f HTTP/1.1\r\n\r\n',
  ]
  const expected = requests
    .map((each, i) => (i === 3 ? each : each.replace(/\r?\n(?=\r?\n)/, end => `${end}${own}`)))
    .join('')
  for (let n = 0; n < 2000; n++) {
    const { watch, opaque } = watched(undefined, true)
    const injector = new Injector(watch, () => ids)
    const out = random.pieces(Buffer.from(requests.join('')), random.whole(1, 120)).flatMap(each => injector.pass(each))
    const text = Buffer.concat(out).toString() + (injector.rest()?.toString() ?? '')
    if (text === expected && opaque.length === 0) continue
    t.equal(text, expected)
    return
  }
  t.pass('in 2,000 divisions')
})

t.test('where requests cannot be read, nothing is written into them', async t => {
  const random = new Random(SEED)
  for (let n = 0; n < 500; n++) {
    const { watch, opaque } = watched(undefined, true)
    const injector = new Injector(watch, () => ({ traceId: 'a', spanId: 'b' }))
    const asked = Buffer.concat([
      Buffer.from(
        random.of([
          '\x16\x03\x01',
          'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
          'POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n',
          '@',
        ]),
      ),
      random.bytes(200),
    ])
    const out = random.pieces(asked, 20).flatMap(each => injector.pass(each))
    if (!Buffer.concat([...out, injector.rest() ?? Buffer.alloc(0)]).equals(asked)) {
      t.fail(`changed: ${asked.toString('latin1')} ${opaque}`)
      return
    }
  }
  t.pass('unchanged')
})
