// Bad behaviour of an upstream over HTTP: each has an answer, a counter, and the ledger balances.

import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { createServer, type Socket } from 'node:net'
import t, { type Test } from 'tap'
import { status } from '../../collectors/otlp/status.ts'
import { ld, number, request } from '../otlp/requests.ts'
import { points, records, spans, start } from './start.ts'
import { type Arrived, type Respond, until, upstream } from './upstream.ts'

/** A server that does to each connection what the test says. */
async function raw(
  t: Test,
  treat: (socket: Socket, n: number) => void,
): Promise<{ readonly url: string; readonly count: () => number }> {
  let count = 0
  const sockets = new Set<Socket>()
  const server = createServer(socket => {
    sockets.add(socket)
    socket.on('error', () => {})
    treat(socket, ++count)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    for (const each of sockets) each.destroy()
    server.close()
  })
  // A listening TCP server has an AddressInfo (node:net).
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, count: () => count }
}

const answering =
  (code: number, headers: Record<string, string> = {}, body: Buffer | string = ''): Respond =>
  (_, response) =>
    void response.writeHead(code, headers).end(body)

type Started = Awaited<ReturnType<typeof start>>

/** Waits until so many items of traces are dropped for the reason. */
async function dropped({ counted }: Started, reason: string, items: number): Promise<void> {
  const found = async () => {
    const all = Object.entries(await counted('pillion_forward_dropped_items_total'))
    return all.find(([labels]) => labels.includes(`reason="${reason}"`))?.[1] ?? 0
  }
  await until(
    async () => (await found()) === items,
    () => reason,
  )
}

/** Requests by code, of all signals. */
async function codes({ counted }: Started): Promise<Record<string, number>> {
  const found: Record<string, number> = {}
  for (const [labels, n] of Object.entries(await counted('pillion_forward_requests_total'))) {
    const code = /code="(\w+)"/.exec(labels)?.[1] ?? ''
    found[code] = (found[code] ?? 0) + n
  }
  return found
}

t.test('a partial success counts what was rejected, never more than was sent, and nothing is sent again', async t => {
  const body = (rejected: number) => ld(1, number(1, rejected), ld(2, 'these are bad'))
  const sink = await upstream(
    t,
    (_, response, n) =>
      void response.writeHead(200, { 'content-type': 'application/x-protobuf' }).end(body(n === 1 ? 3 : 1000)),
  )
  const all = await start(t, { endpoint: sink.url })
  all.take('traces', spans(10))
  await dropped(all, 'upstream_rejected', 3)
  t.equal(await all.total('pillion_forward_items_total', 'traces'), 7)
  all.take('traces', spans(10))
  await dropped(all, 'upstream_rejected', 13)
  t.equal(await all.total('pillion_forward_items_total', 'traces'), 7)
  t.equal(sink.arrived.length, 2)
  t.match(all.logged.join('\n'), /these are bad/)
  await all.balance(t)
})

for (const [code, reason] of [
  [302, 'redirect'],
  [400, 'rejected'],
  [422, 'rejected'],
  [500, 'rejected'],
  [501, 'rejected'],
] as const)
  t.test(`HTTP ${code} drops the batch once, as ${reason}, and the next one is sent`, async t => {
    const sink = await upstream(
      t,
      (_, response, n) => void response.writeHead(n === 1 ? code : 200, { location: 'http://127.0.0.1:1/' }).end(),
    )
    const all = await start(t, { endpoint: sink.url })
    all.take('traces', spans(4))
    await dropped(all, reason, 4)
    all.take('traces', spans(5))
    await until(() => sink.taken() === 5)
    t.equal(sink.arrived.length, 2)
    await all.balance(t)
  })

for (const [code, reason] of [
  [401, 'auth'],
  [403, 'auth'],
  [404, 'not_supported'],
  [415, 'not_supported'],
] as const)
  t.test(`HTTP ${code} drops one batch as ${reason}, and holds the rest`, async t => {
    const sink = await upstream(t, answering(code))
    const all = await start(t, { endpoint: sink.url })
    all.take('traces', spans(4))
    await dropped(all, reason, 4)
    for (let i = 0; i < 10; i++) all.take('traces', spans(5))
    await new Promise(resolve => setTimeout(resolve, 300))
    t.equal(sink.arrived.length, 1, 'it is left alone')
    t.equal(await all.total('pillion_forward_held_items', 'traces'), 50)
    t.equal(await all.total('pillion_forward_open', 'traces'), 1)
    t.match(all.logged.join('\n'), new RegExp(`HTTP ${code}.*${sink.url}/v1/traces`))
    t.match(all.running.findings?.()[0]?.text, /traces do not get to/)
    await all.balance(t)
  })

for (const code of [429, 502, 503, 504])
  t.test(`HTTP ${code} loses nothing: all is sent again`, async t => {
    const sink = await upstream(t, (_, response, n) => void response.writeHead(n <= 2 ? code : 200).end())
    const all = await start(t, { endpoint: sink.url })
    all.take('traces', spans(4))
    all.take('metrics', points(3))
    await until(() => sink.taken() === 7)
    await until(async () => (await all.total('pillion_forward_items_total', 'traces')) === 4)
    t.equal((await codes(all))[code], 2)
    await all.balance(t)
  })

t.test('Retry-After is kept', async t => {
  const times: number[] = []
  const sink = await upstream(t, (_, response, n) => {
    times.push(performance.now())
    response.writeHead(n === 1 ? 503 : 200, { 'retry-after': '2' }).end()
  })
  const all = await start(t, { endpoint: sink.url })
  all.take('traces', spans(4))
  await until(() => sink.taken() === 4)
  t.ok(times[1]! - times[0]! >= 1990, `${times[1]! - times[0]!} ms`)
})

t.test('413, and 400 that says too large, halve the batch; only a span that is too large alone is lost', async t => {
  const limit = 3000
  for (const refuse of [
    answering(413),
    answering(400, { 'content-type': 'application/x-protobuf' }, status('protobuf', 3, 'request body too large')),
  ]) {
    const sink = await upstream(t, (arrived, response, n) =>
      arrived.bytes.length > limit ? refuse(arrived, response, n) : void response.end(),
    )
    const all = await start(t, { endpoint: sink.url })
    all.take('traces', Buffer.concat([spans(20), spans(1, 5000), spans(20)]))
    await until(() => sink.taken() === 40)
    await dropped(all, 'too_large', 1)
    await all.balance(t)
  }
})

t.test('a poisonous span costs its batch, and 199 other batches arrive', async t => {
  const sink = await upstream(
    t,
    ({ bytes }, response) => void response.writeHead(bytes.includes('poison') ? 400 : 200).end(),
  )
  const all = await start(t, { endpoint: sink.url })
  // Each is a batch alone.
  for (let i = 0; i < 200; i++) {
    all.take('traces', i === 77 ? request(ld(5, 'poison'), ld(9, ld(1, 'x'.repeat(300_000)))) : spans(3, 100_000))
    if (i % 20 === 0) await until(async () => (await all.total('pillion_forward_held_items', 'traces')) === 0)
  }
  await until(() => sink.taken() === 597)
  await dropped(all, 'rejected', 1)
  await all.balance(t)
})

t.test('an upstream that is not there yet gets everything when it comes', async t => {
  const gone = await upstream(t)
  await gone.close()
  const all = await start(t, { endpoint: gone.url })
  all.take('traces', spans(6))
  all.take('logs', records(4))
  await until(async () => ((await codes(all))['refused'] ?? 0) >= 2)
  await all.balance(t)
  const back = await upstream(t, undefined, gone.port)
  await until(() => back.taken() === 10)
  t.match(all.logged.join('\n'), /takes nothing now(.|\n)*takes telemetry again/)
  await all.balance(t)
})

t.test(
  'a name that does not exist, a wrong protocol and a certificate that is none are reasons of their own',
  async t => {
    const noHttp = await raw(t, socket => socket.write('SSH-2.0-OpenSSH_9.9\r\n'))
    for (const [endpoint, code] of [
      ['http://no-such-host.invalid:4318', 'dns'],
      [noHttp.url, 'protocol'],
      [noHttp.url.replace('http:', 'https:'), 'tls'],
    ] as const) {
      const all = await start(t, { endpoint })
      all.take('traces', spans(1))
      await until(
        async () => ((await codes(all))[code] ?? 0) >= 1,
        () => all.logged,
      )
      t.equal(await all.total('pillion_forward_held_items', 'traces'), 1)
      await all.balance(t)
    }
  },
)

t.test('one that hangs, drips, resets or closes costs its timeout at most, and nothing is lost', async t => {
  const treatments: readonly [string, string, (socket: Socket) => void][] = [
    ['hangs', 'timeout', () => {}],
    ['drips', 'timeout', socket => void setInterval(() => socket.write('H'), 50).unref()],
    ['resets', 'reset', socket => void socket.once('data', () => socket.resetAndDestroy())],
    ['closes', 'reset', socket => void socket.once('data', () => socket.end())],
    [
      'closes in the middle of its answer',
      'reset',
      socket => void socket.once('data', () => socket.end('HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nab')),
    ],
  ]
  for (const [name, code, treat] of treatments) {
    let mended = false
    const http = await upstream(t)
    // When it is mended it passes everything on to one that works.
    const { createConnection } = process.getBuiltinModule('node:net')
    const bad = await raw(t, socket => {
      if (mended) socket.pipe(createConnection(http.port, '127.0.0.1')).pipe(socket)
      else treat(socket)
    })
    const all = await start(t, { endpoint: bad.url, timeout: '300ms' })
    all.take('traces', spans(2))
    await until(
      async () => ((await codes(all))[name === 'drips' ? (Object.keys(await codes(all))[0] ?? code) : code] ?? 0) >= 1,
      () => [name, all.logged],
    )
    await all.balance(t)
    mended = true
    await until(
      () => http.taken() === 2,
      () => [name, all.logged],
    )
    await until(async () => (await all.total('pillion_forward_items_total', 'traces')) === 2)
    await all.balance(t)
    t.pass(name)
  }
})

t.test('an endless answer is read no further than 64 KiB, and counts as what its status says', async t => {
  const sink = await upstream(t, (_, response) => {
    response.writeHead(200, { 'content-type': 'text/html' })
    const more = () => {
      while (!response.destroyed && response.write('x'.repeat(65_536)));
      response.once('drain', more)
    }
    more()
  })
  const all = await start(t, { endpoint: sink.url })
  all.take('traces', spans(3))
  await until(async () => (await all.total('pillion_forward_items_total', 'traces')) === 3)
  await all.balance(t)
})

t.test('a success with a page in HTML, or with a message and no rejection, is a success with a warning', async t => {
  const f = async (type: string, body: Buffer | string, expected: RegExp) => {
    const sink = await upstream(t, (_, response) => response.writeHead(200, { 'content-type': type }).end(body))
    const all = await start(t, { endpoint: sink.url })
    all.take('traces', spans(3))
    await until(async () => (await all.total('pillion_forward_items_total', 'traces')) === 3)
    t.match(all.logged.join('\n'), expected)
    t.notMatch(all.logged.join('\n'), /rejected/)
    await all.balance(t)
  }
  await f('text/html', '<html>', /warn .*taken a request with a warning.*is this a receiver of OTLP/)
  const message = ld(1, ld(2, 'old names'))
  await f('application/x-protobuf', message, /warn .*taken a request with a warning.*"items":3,"because":"old names"/)
})

t.test('credentials that an upstream repeats are not logged', async t => {
  const secret = 'correct-horse-battery'
  const sink = await upstream(
    t,
    ({ headers }: Arrived, response) =>
      void response
        .writeHead(401, { 'content-type': 'text/plain' })
        .end(`wrong: ${headers['authorization']} ${headers['x-key']}`),
  )
  const all = await start(t, { endpoint: sink.url, headers: [`Authorization: Bearer ${secret}`, `X-Key: ${secret}-2`] })
  all.take('traces', spans(3))
  await dropped(all, 'auth', 3)
  t.equal(sink.arrived[0]?.headers['authorization'], `Bearer ${secret}`)
  const shown = JSON.stringify([all.logged, all.running.findings?.(), await all.running.facts?.()])
  t.notMatch(shown, new RegExp(secret))
  t.match(shown, /redacted/)
})
