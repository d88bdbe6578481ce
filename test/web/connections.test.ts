// Connections of the web server: one answer at a time on each, and when there are too many, the longest idle one goes.

import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { connect, type Socket } from 'node:net'
import t from 'tap'
import { exchange, openServer, parsed, silent, text, until } from './open.ts'

const HOST = 'Host: localhost\r\n\r\n'

/** A connection that is kept, and is asked again and again. */
class Kept {
  readonly #socket: Socket
  #answer = ''
  closed = false

  constructor(port: number) {
    this.#socket = connect(port, '127.0.0.1')
    this.#socket.setEncoding('latin1').on('data', chunk => {
      this.#answer += chunk
    })
    this.#socket.on('error', () => {})
    this.#socket.on('close', () => {
      this.closed = true
    })
  }

  /** The status of the next answer; NaN if the connection was closed. */
  async ask(path = '/-/healthy'): Promise<number> {
    this.#answer = ''
    this.#socket.write(`GET ${path} HTTP/1.1\r\n${HOST}`)
    await until(() => this.closed || /\r\n\r\n.*\n$/s.test(this.#answer))
    return parsed(this.#answer).status || Number.NaN
  }

  end(): void {
    this.#socket.destroy()
  }
}

t.test('clients that send 1,500 requests each and read nothing get no second answer', async t => {
  let scrapes = 0
  const body = Buffer.alloc(300_000, 'x')
  const { port, ask, refused } = await openServer(t, {
    host: {
      scrape: async () => {
        scrapes++
        return { contentType: text, chunks: [body] }
      },
    },
  })
  let parsedRequests = 0
  const count = (): void => void parsedRequests++
  subscribe('http.server.request.start', count)
  t.teardown(() => unsubscribe('http.server.request.start', count))
  const flood = `GET /metrics HTTP/1.1\r\n${HOST}`.repeat(1500)
  const sockets = Array.from({ length: 60 }, () => silent(port, flood))
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
  })
  await until(async () => (await refused('pipelined')) === 60)
  t.ok(scrapes <= 60, `${scrapes} scrapes`)
  t.equal(parsedRequests, 60, 'the rest is not even parsed')
  t.equal(parsed(await ask('GET /-/healthy')).status, 200)
})

t.test('a pipelined request never has an effect', async t => {
  let reloads = 0
  const release = Promise.withResolvers<void>()
  const { port, refused } = await openServer(t, {
    host: {
      reload: () => {
        reloads++
        return release.promise
      },
    },
  })
  await exchange(port, `GET /-/healthy HTTP/1.1\r\n${HOST}POST /-/reload HTTP/1.1\r\n${HOST}`)
  t.equal(reloads, 0)
  t.equal(await refused('pipelined'), 1)
  await exchange(port, `POST /-/reload HTTP/1.1\r\n${HOST}`.repeat(3))
  release.resolve()
  t.equal(reloads, 1)
})

t.test('a quick client that asks again as soon as it has its answer is answered', async t => {
  const body = Buffer.alloc(200_000, 'x\n')
  const { port, refused } = await openServer(t, {
    host: { scrape: async () => ({ contentType: text, chunks: [body] }) },
  })
  const kept = new Kept(port)
  t.teardown(() => kept.end())
  for (let i = 0; i < 100; i++) {
    t.equal(await kept.ask(), 200)
    if (i % 10 === 0) t.equal(await kept.ask('/metrics'), 200)
  }
  t.equal(await refused('pipelined'), 0)
})

t.test('when all connections are taken, the one that was idle for longest is closed, not the newcomer', async t => {
  const { port, ask, refused } = await openServer(t, { limits: { connections: 4 } })
  const kept = Array.from({ length: 4 }, () => new Kept(port))
  t.teardown(() => {
    for (const each of kept) each.end()
  })
  for (const each of kept) t.equal(await each.ask(), 200)
  t.equal(await kept[0]!.ask(), 200, 'now the second is the one that was idle for longest')
  t.equal(parsed(await ask('GET /-/healthy')).status, 200)
  await until(() => kept[1]!.closed)
  t.same(
    kept.map(each => each.closed),
    [false, true, false, false],
  )
  t.equal(await refused('connections'), 1)
})

t.test('64 connections that are kept idle, or never finish a request, lock out no probe and no scrape', async t => {
  const { port, ask, refused } = await openServer(t)
  for (const beginning of ['', 'GET / HT', `GET /-/healthy HTTP/1.1\r\n${HOST}`]) {
    const held = Array.from({ length: 64 }, () => silent(port, beginning))
    t.teardown(() => {
      for (const socket of held) socket.destroy()
    })
    await until(() => held.every(socket => !socket.connecting))
    for (let i = 0; i < 8; i++) {
      t.equal(parsed(await ask('GET /-/ready')).status, 200)
      t.equal(parsed(await ask('GET /metrics')).status, 200)
    }
  }
  t.ok(((await refused('connections')) ?? 0) >= 16)
})

t.test('a probe is answered when every connection is being answered and none is read', async t => {
  const body = Buffer.alloc(12 * 1024 * 1024, 'x')
  const { port, ask, refused } = await openServer(t, {
    host: {
      scrape: async () => ({ contentType: text, chunks: [body] }),
      routes: () => [
        {
          path: '/long',
          methods: ['GET'],
          access: 'operator',
          handle: (_, response) => {
            response.end(body)
          },
        },
      ],
    },
    limits: { connections: 8 },
  })
  const kept = new Kept(port)
  t.equal(await kept.ask(), 200)
  const greedy = Array.from({ length: 40 }, () => silent(port, `GET /long HTTP/1.1\r\n${HOST}`))
  t.teardown(() => {
    kept.end()
    for (const socket of greedy) socket.destroy()
  })
  for (let i = 0; i < 40; i++) t.equal(parsed(await ask('GET /-/healthy')).status, 200)
  await until(async () => ((await refused('connections')) ?? 0) >= 20)
  t.equal(await kept.ask(), 200, 'a connection that has been used for probes is kept while it is idle')
})

t.test('connections that come all at once push out none that is about to ask', async t => {
  const { port, ask } = await openServer(t, { limits: { connections: 8 } })
  for (let round = 0; round < 20; round++) {
    const held = Array.from({ length: 7 }, () => silent(port, ''))
    const probes = Array.from({ length: 4 }, () => ask('GET /-/healthy'))
    held.push(...Array.from({ length: 3 }, () => silent(port, '')))
    for (const probe of probes) t.equal(parsed(await probe).status, 200)
    for (const socket of held) socket.destroy()
  }
})

t.test('scrapes that nobody reads leave connections for probes, and give way to a scrape that is read', async t => {
  const body = Buffer.alloc(12 * 1024 * 1024, 'x')
  const { port, ask, refused } = await openServer(t, {
    host: { scrape: async () => ({ contentType: text, chunks: [body] }) },
    limits: { connections: 8 },
  })
  const readers = Array.from({ length: 8 }, () => silent(port, `GET /metrics HTTP/1.1\r\n${HOST}`))
  t.teardown(() => {
    for (const socket of readers) socket.destroy()
  })
  await until(async () => (await refused('busy')) === 6)
  for (let i = 0; i < 8; i++) t.equal(parsed(await ask('GET /-/ready')).status, 200)
  await until(async () => parsed(await ask('GET /metrics')).status === 200)
  t.equal(await refused('slow'), 1)
})

t.test('streams leave connections for everything else', async t => {
  const { port, ask, refused } = await openServer(t, {
    host: {
      routes: () => [
        {
          path: '/stream',
          methods: ['GET'],
          access: 'operator',
          streams: true,
          handle: (_, response) => void response.write('begun\n'),
        },
      ],
    },
    limits: { connections: 8 },
  })
  const streams = Array.from({ length: 8 }, () => silent(port, `GET /stream HTTP/1.1\r\n${HOST}`))
  await until(async () => (await refused('busy')) === 6)
  t.equal(parsed(await ask('GET /-/ready')).status, 200)
  for (const socket of streams) socket.destroy()
  const again = silent(port, `GET /stream HTTP/1.1\r\n${HOST}`)
  t.teardown(() => again.destroy())
  let answer = ''
  again.on('data', chunk => {
    answer += chunk
  })
  again.resume()
  await until(() => answer !== '')
})
