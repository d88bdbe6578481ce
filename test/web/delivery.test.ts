import { connect } from 'node:net'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { gunzipSync } from 'node:zlib'
import t from 'tap'
import { clock } from '../../host/clock.ts'
import type { Exposition } from '../../telemetry/exposition.ts'
import { openServer, parsed, silent, text, until } from './open.ts'

const CHUNK = 128 * 1024
const GET = 'GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n'

/** A body that is written while it is read, each line with its number; what is given back is overwritten. */
function written(chunks: number) {
  const state = { written: 0, returned: 0, ended: false }
  const fill = (chunk: Buffer, n: number): Buffer => {
    for (let at = 0; at < CHUNK; at += 16) chunk.write(`line ${String(n).padStart(10)}\n`, at, 'latin1')
    return chunk
  }
  const expected = (): string => {
    const all = Array.from({ length: chunks }, (_, n) => fill(Buffer.alloc(CHUNK), n))
    return Buffer.concat(all).toString('latin1')
  }
  async function* write(): AsyncGenerator<Buffer> {
    try {
      for (; state.written < chunks; state.written++) yield fill(Buffer.alloc(CHUNK), state.written)
    } finally {
      state.ended = true
    }
  }
  const exposition = (): Exposition => ({
    contentType: text,
    chunks: write(),
    release(chunk) {
      chunk.fill('#')
      state.returned++
    },
  })
  return { state, expected, exposition }
}

/** The body of an answer in pieces (RFC 9112, 7.1). */
function joined(body: string): string {
  let all = ''
  for (let at = 0; ; ) {
    const line = body.indexOf('\r\n', at)
    const size = Number.parseInt(body.slice(at, line), 16)
    if (!(size > 0)) return all
    all += body.slice(line + 2, line + 2 + size)
    at = line + 2 + size + 2
  }
}

t.test('a large body is sent while it is written, and a small one in one piece with its length', async t => {
  const large = written(40)
  const { ask } = await openServer(t, { host: { scrape: async () => large.exposition() } })
  const answer = parsed(await ask('GET /metrics'))
  t.match(answer.head, 'Transfer-Encoding: chunked')
  t.equal(joined(answer.body), large.expected())
  t.equal(large.state.returned, 40, 'each chunk is given back')

  const small = written(2)
  const other = await openServer(t, { host: { scrape: async () => small.exposition() } })
  const whole = parsed(await other.ask('GET /metrics'))
  t.match(whole.head, `Content-Length: ${2 * CHUNK}`)
  t.equal(whole.body, small.expected())
})

t.test('those who share a body get all of it, compressed or not, however differently they read', async t => {
  const body = written(60)
  const { promise, resolve } = Promise.withResolvers<Exposition>()
  let asked = 0
  const { port, raw } = await openServer(t, {
    host: {
      scrape: () => {
        asked++
        return promise
      },
    },
  })
  const quick = raw(GET)
  const packed = raw(GET.replace('\r\n\r\n', '\r\nAccept-Encoding: gzip\r\n\r\n'))
  const slow = silent(port, GET)
  await until(() => asked === 3)
  resolve(body.exposition())
  t.equal(joined(parsed(await quick).body), body.expected())
  const compressed = parsed(await packed)
  t.match(compressed.head, 'Content-Encoding: gzip')
  t.equal(gunzipSync(Buffer.from(compressed.body, 'latin1')).toString('latin1'), body.expected())
  t.ok(body.state.ended, 'nobody waits for the one that does not read')
  let late = ''
  slow.setEncoding('latin1').on('data', (data: string) => {
    late += data
  })
  slow.resume()
  await until(() => slow.destroyed)
  t.equal(joined(parsed(late).body), body.expected())
})

t.test('a body waits for its only reader, so that little of it is in memory', async t => {
  const body = written(400)
  // Its patience would end after a second, which a busy machine may need for this.
  const sleep = (_: number, signal: AbortSignal) =>
    new Promise<void>((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
  const { port } = await openServer(t, { host: { scrape: async () => body.exposition(), clock: { ...clock, sleep } } })
  const socket = connect(port, '127.0.0.1')
  let taken = ''
  let most = 0
  socket.setEncoding('latin1').on('data', (data: string) => {
    taken += data
    most = Math.max(most, body.state.written - body.state.returned)
    socket.pause()
    setImmediate(() => socket.resume())
  })
  socket.write(GET)
  await until(() => socket.destroyed)
  t.equal(joined(parsed(taken).body), body.expected())
  // Half a mebibyte is four chunks; the kernel's buffers are not counted.
  t.ok(most < 12, `${most} chunks at most`)
})

t.test('a body ends when its last reader leaves', async t => {
  const body = written(10_000)
  const { port } = await openServer(t, { host: { scrape: async () => body.exposition() } })
  const socket = silent(port, GET)
  await until(() => body.state.written > 8)
  socket.destroy()
  await until(() => body.state.ended)
  t.ok(body.state.written < 10_000)
})

t.test('readers that fall behind when memory is full are cut off, and counted', async t => {
  const bodies = [written(400), written(400)]
  let asked = 0
  const { port, refused, ask } = await openServer(t, { host: { scrape: async () => bodies[asked++]!.exposition() } })
  const readers = [silent(port, GET), silent(port, GET)]
  t.teardown(() => {
    for (const each of readers) each.destroy()
  })
  await until(async () => (await refused('slow')) === 2)
  for (const { state } of bodies) {
    t.ok(state.ended)
    // 32 MiB are 256 chunks, and the kernel holds some.
    t.ok(state.written < 350, `${state.written} of 400 chunks were written`)
  }
  t.match(parsed(await ask('GET /-/healthy')), { status: 200 })
})

t.test('a body that cannot be written to its end is not taken for a whole one', async t => {
  const { ask, logged } = await openServer(t, {
    host: {
      scrape: async () => ({
        contentType: text,
        chunks: (async function* () {
          for (let n = 0; n < 8; n++) yield Buffer.alloc(CHUNK, 'x')
          await nextTurn()
          throw new Error('no luck')
        })(),
      }),
    },
  })
  t.notMatch(await ask('GET /metrics'), /\r\n0\r\n\r\n$/)
  t.match(logged().join(), 'no luck')
})
