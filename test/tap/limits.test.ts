// Bounds of a tap: connections, answers to slow clients, uploads to a slow application, heads.

import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import t, { type Test } from 'tap'
import { Child } from '../e2e/child.ts'
import { missing } from '../e2e/programs.ts'
import { MAIN } from '../e2e/ride.ts'
import { Application, ask, flags, type Ports, ports, tapAnswers, told, until } from './tapped.ts'

t.setTimeout(240_000)

/** The kernel holds some megabytes for each. */
const READERS = 60

async function alone(t: Test, upstream: number, more: readonly string[] = []): Promise<Ports> {
  const at = await ports()
  const child = await Child.start(process.execPath, [MAIN, 'tap', ...flags(at, upstream, ['--tap.drain=0s', ...more])])
  t.teardown(() => child.stop())
  await tapAnswers(at)
  return at
}

async function listening(t: Test, on: (socket: Socket) => void): Promise<number> {
  const server = createServer({ allowHalfOpen: true }, socket => {
    socket.on('error', () => {})
    on(socket)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  const address = server.address()
  return typeof address === 'object' && address ? address.port : 0
}

function opened(t: Test, port: number): Socket {
  const socket = connect({ port, host: '127.0.0.1' })
  socket.on('error', () => {})
  t.teardown(() => socket.destroy())
  return socket
}

t.test('60 slow readers of 12 MiB each hold little in the tap, and get every byte in the end', async t => {
  const body = Buffer.alloc(12 << 20, 'x')
  const head = `HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n`
  const upstream = await listening(t, socket => {
    socket.once('data', bytes => {
      socket.write(head)
      // Each reader gets bytes of its own, so that a mix-up is seen.
      socket.end(Buffer.alloc(body.length, Number(/\/(\d+)/.exec(bytes.toString())?.[1])))
    })
  })
  const at = await alone(t, upstream)
  const before = (await tapAnswers(at)).residentBytes
  const sockets = Array.from({ length: READERS }, (_, n) => {
    const socket = opened(t, at.tap)
    socket.write(`GET /${n} HTTP/1.1\r\nHost: a\r\n\r\n`)
    return socket
  })
  for (const each of sockets) each.pause()
  await until('all of them', async () => ((await told(at))?.open === READERS ? true : undefined))
  // Nothing moves any more.
  let last = -1
  const relayed = await until('quiet', async () => {
    const { numbers } = await tapAnswers(at)
    const now = Number(numbers['responseBytes'])
    await new Promise(resolve => setTimeout(resolve, 300))
    if (now === last) return now
    last = now
    return undefined
  })
  t.ok(relayed < READERS * body.length, `${relayed} bytes were read from the application`)
  const held = (await tapAnswers(at)).residentBytes - before
  t.comment(`${Math.round(held / 1024)} KiB held for them`)
  t.ok(held < 96 << 20)
  let got = 0
  let wrong = 0
  const done = sockets.map((each, n) => {
    let place = 0
    each.on('data', (piece: Buffer) => {
      const inBody = piece.subarray(Math.max(0, head.length - place))
      place += piece.length
      got += piece.length
      if (!inBody.equals(Buffer.alloc(inBody.length, n))) wrong++
    })
    each.resume()
    return once(each, 'end')
  })
  await Promise.all(done)
  t.equal(got, READERS * (body.length + head.length))
  t.equal(wrong, 0, 'each its own bytes')
})

t.test('an application that does not read slows its client down, and the tap holds little of the upload', async t => {
  const stuck: Socket[] = []
  const upstream = await listening(t, socket => {
    socket.pause()
    stuck.push(socket)
  })
  const at = await alone(t, upstream)
  const socket = opened(t, at.tap)
  const whole = 96 << 20
  socket.write(`POST / HTTP/1.1\r\nContent-Length: ${whole}\r\n\r\n`)
  const piece = Buffer.alloc(64 * 1024)
  let sent = 0
  const go = (): void => {
    while (sent < whole) {
      sent += piece.length
      if (!socket.write(piece)) break
    }
  }
  socket.on('drain', go)
  go()
  let last = -1
  await until('quiet', async () => {
    const now = sent
    await new Promise(resolve => setTimeout(resolve, 400))
    if (now === last) return true
    last = now
    return undefined
  })
  t.ok(sent < whole / 2, `${sent} bytes of ${whole} could be sent`)
  const { numbers } = await tapAnswers(at)
  t.ok(Number(numbers['requestBytes']) < 32 << 20)
  let received = 0
  stuck[0]!.on('data', (bytes: Buffer) => {
    received += bytes.length
  })
  stuck[0]!.resume()
  await until('the rest', () => received >= whole || undefined)
  t.ok(received >= whole, 'every byte of it')
})

t.test('connections beyond tap.max_connections are closed and counted; the others go on', async t => {
  const application = await Application.start(t)
  const at = await alone(t, application.port, ['--tap.max_connections=20'])
  const first = Array.from({ length: 20 }, () => opened(t, at.tap))
  await until('20 connections', async () => ((await told(at))?.open === 20 ? true : undefined))
  const more = Array.from({ length: 10 }, () => opened(t, at.tap))
  await Promise.all(more.map(each => new Promise(resolve => each.on('close', resolve))))
  const { numbers } = await tapAnswers(at)
  t.same(numbers['refusedConnections'], { limit: 10, error: 0 })
  first[0]!.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
  const [answer] = await once(first[0]!, 'data')
  t.match(String(answer), /^HTTP\/1.1 200/)
  first[1]!.destroy()
  await until('room', async () => ((await told(at))?.open === 19 ? true : undefined))
  t.equal((await ask(at.tap, '/')).status, 200)
})

t.test('2,000 heads that never end are held within bounds, and requests of others are still seen', async t => {
  const application = await Application.start(t)
  const at = await alone(t, application.port)
  const before = (await tapAnswers(at)).residentBytes
  const line = Buffer.from(`GET / HTTP/1.1\r\nCookie: ${'c'.repeat(15_000)}`)
  for (let i = 0; i < 2000; i++) opened(t, at.tap).write(line)
  await until('all of them', async () => {
    const found = await told(at)
    return found && Number(found.numbers['requestBytes']) >= 2000 * line.length ? true : undefined
  })
  const { residentBytes, numbers } = await tapAnswers(at)
  const { busy } = numbers['opaque'] as { busy: number }
  t.comment(`${Math.round((residentBytes - before) / (1 << 20))} MiB for 2,000 connections, ${busy} of them unseen`)
  t.ok(busy > 500, 'beyond the room for all of them they are not read')
  t.ok(residentBytes - before < 200 << 20)
  t.equal((await ask(at.tap, '/')).status, 200, 'it passes all the same')
})

t.test('a connection that is half closed and silent is closed after tap.half_closed_timeout', async t => {
  let reset = false
  const upstream = await listening(t, socket => {
    socket.on('error', () => {
      reset = true
    })
    socket.end('220 bye\r\n')
  })
  const at = await alone(t, upstream, ['--tap.half_closed_timeout=1s'])
  const socket = connect({ port: at.tap, host: '127.0.0.1', allowHalfOpen: true })
  t.teardown(() => socket.destroy())
  socket.on('error', () => {}).resume()
  await once(socket, 'end')
  await until('the count', async () => ((await told(at))?.numbers['expired'] === 1 ? true : undefined))
  t.equal((await tapAnswers(at)).open, 0)
  await until('the reset', () => reset || undefined)
  t.ok(reset, 'the application is told')
})

t.test(
  'the tap ends at once, though the application has not taken its connections',
  { skip: missing('python3', 'python3') },
  async t => {
    // A queue of one, from which nothing is taken: the others are not made.
    const lines =
      "import socket, time\ns = socket.socket()\ns.bind(('127.0.0.1', 0))\ns.listen(0)\nprint(s.getsockname()[1], flush=True)\ntime.sleep(300)"
    await using application = await Child.start('python3', ['-c', lines])
    const [port] = await application.says(/\d+/)
    const at = await ports()
    const child = await Child.start(process.execPath, [
      MAIN,
      'tap',
      ...flags(at, Number(port), ['--tap.drain=0s', '--tap.connect_timeout=50s']),
    ])
    await tapAnswers(at)
    for (let i = 0; i < 6; i++) opened(t, at.tap).write('GET / HTTP/1.1\r\n')
    await until('all of them', async () => ((await told(at))?.open === 6 ? true : undefined))
    t.equal((await child.stop()).code, 0)
  },
)

t.test('the PROXY protocol tells the application the address of the client, before anything else', async t => {
  let got = ''
  const upstream = await listening(t, socket => {
    socket.setEncoding('latin1').on('data', (text: string) => {
      got += text
    })
  })
  const at = await alone(t, upstream, ['--tap.proxy_protocol'])
  const socket = opened(t, at.tap)
  socket.write('GET / HTTP/1.1\r\n\r\n')
  await until('the request', () => got.includes('\r\n\r\n') || undefined)
  t.equal(got, `PROXY TCP4 127.0.0.1 127.0.0.1 ${socket.localPort} ${at.tap}\r\nGET / HTTP/1.1\r\n\r\n`)
})

t.test(
  'tap.traceparent: the application gets the ids of the span of the tap, and keeps a traceparent that came',
  async t => {
    const application = await Application.start(t)
    const at = await alone(t, application.port, ['--tap.traceparent'])
    await ask(at.tap, '/a')
    const own = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'
    await ask(at.tap, '/b', { headers: { traceparent: own } })
    await ask(at.tap, '/c', { method: 'POST', body: 'hello' })
    const [first, second, third] = application.traceparents
    t.match(first, /^00-[\da-f]{32}-[\da-f]{16}-01$/)
    t.equal(second, own)
    t.match(third, /^00-[\da-f]{32}-[\da-f]{16}-01$/)
    t.not(first, third)
    t.equal(application.bodyBytes, 5)
  },
)
