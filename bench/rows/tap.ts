// The tap before an application: CPU of the relay for each request, and what it adds to the time of a request.

import type { ChildProcess } from 'node:child_process'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer as createHttpServer } from 'node:http'
import { type AddressInfo, connect, createServer, type Server } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Row as Line, median, table } from '../figures.ts'
import { cpuSeconds, memory } from '../machine.ts'
import { RELAYS, type Relay } from '../rivals/relays.ts'
import type { Row } from '../run.ts'
import { BUILT, nodeFlags } from '../server.ts'

const CONNECTIONS = 8
const SIZES = [500, 65_536] as const
const REQUEST = Buffer.from(
  'GET /users/4711/orders?page=2 HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: bench\r\nAccept: application/json\r\nAccept-Encoding: gzip\r\n\r\n',
)
const MOST_CPU_US = 50
const MOST_ADDED_MS = 0.2

const running = new Set<ChildProcess>()
process.on('exit', () => {
  for (const each of running) each.kill('SIGKILL')
})

/** Takes what the tap sends. */
async function sink(): Promise<{ readonly server: { close(): void }; readonly url: string; spans(): number }> {
  let requests = 0
  const server = createHttpServer((asked, answer) => {
    requests++
    asked.resume().on('end', () => answer.end())
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return { server, url: `http://127.0.0.1:${port}`, spans: () => requests }
}

function tap(url: string, status: number): Relay {
  return {
    name: 'Pillion’s tap',
    start: (_, listen, upstream) =>
      spawn(
        process.execPath,
        [
          ...nodeFlags(BUILT),
          ...[BUILT, 'tap', '--tap.listen', `127.0.0.1:${listen}`, '--tap.upstream', `127.0.0.1:${upstream}`],
          ...['--tap.status', `127.0.0.1:${status}`, '--tap.otlp', url, '--log.level', 'error'],
        ],
        { stdio: ['ignore', 'ignore', 'inherit'], cwd: '/' },
      ),
  }
}

interface Figures {
  readonly us: number
  readonly p50: number
  readonly rate: number
  readonly rss: number
}

export const tapRow: Row = {
  name: 'tap',
  title: 'The tap, a relay before the application',
  async measure(run) {
    const spans = await sink()
    const rows: Line[] = []
    const texts: string[] = []
    for (const size of SIZES) {
      const application = await origin(size)
      const { port } = application.address() as AddressInfo
      const relays = [tap(spans.url, await freePort()), ...RELAYS]
      const rounds = new Map<string, Figures[]>()
      const started: { readonly relay: Relay; readonly child: ChildProcess; readonly port: number }[] = []
      for (const relay of relays) {
        const listen = await freePort()
        const child = relay.start(join(run.folder, `relay-${size}-${started.length}`), listen, port)
        if (!child) continue
        running.add(child)
        await answers(listen)
        started.push({ relay, child, port: listen })
      }
      // In turn, so that the machine's other work falls on all of them.
      for (let round = 0; round <= run.rounds; round++) {
        const direct = await load(port, size, run.seconds)
        const all: [string, Figures][] = [['directly', { ...direct, us: Number.NaN, rss: Number.NaN }]]
        for (const { relay, child, port: listen } of started) {
          const before = cpuSeconds(child.pid!)
          const { requests, p50, rate } = await load(listen, size, run.seconds * 2)
          const us = ((cpuSeconds(child.pid!) - before) * 1e6) / requests
          all.push([relay.name, { us, p50, rate, rss: memory(child.pid!).rss }])
        }
        // The first one warms up.
        if (round > 0) for (const [name, figures] of all) rounds.set(name, [...(rounds.get(name) ?? []), figures])
      }
      for (const { child } of started) {
        child.kill('SIGKILL')
        await once(child, 'exit')
        running.delete(child)
      }
      application.close()
      const of = (name: string, key: keyof Figures): number => median((rounds.get(name) ?? []).map(each => each[key]))
      const base = of('directly', 'p50')
      for (const name of rounds.keys()) {
        const [us, p50] = [of(name, 'us'), of(name, 'p50')]
        const added = name === 'directly' ? '' : `${p50 - base >= 0 ? '+' : ''}${(p50 - base).toFixed(2)}`
        rows.push([
          ...[size === 500 ? '500 B' : '64 KiB', name, Number.isNaN(us) ? '' : us.toFixed(0), p50.toFixed(2), added],
          Number.isNaN(us) ? '' : of(name, 'rss').toFixed(0),
        ])
      }
      if (size !== 500) continue
      const us = of('Pillion’s tap', 'us')
      const added = of('Pillion’s tap', 'p50') - base
      run.budget(
        'tap, CPU of a request with an answer of 500 B',
        `≤ ${MOST_CPU_US} µs`,
        `${us.toFixed(0)} µs`,
        us <= MOST_CPU_US,
      )
      run.budget(
        'tap, added to the median of a request',
        `≤ ${MOST_ADDED_MS} ms`,
        `${added.toFixed(2)} ms`,
        added <= MOST_ADDED_MS,
      )
      texts.push(spans.spans() > 0 ? '' : 'The tap has sent no spans.')
    }
    spans.server.close()
    const head = ['answers', 'way', 'CPU µs a request', 'p50 ms', 'added ms', 'RSS MiB']
    return `${CONNECTIONS} connections that are kept, each with one request after another. The tap makes a span of each and sends it; haproxy in mode tcp sees no requests; in mode http it writes a log line for each, and so does nginx.${texts.join('')}\n\n${table(head, rows)}`
  },
}

/** Answers each request with so many bytes, with as little as possible besides. */
async function origin(size: number): Promise<Server> {
  const answer = Buffer.concat([
    Buffer.from(`HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: ${size}\r\n\r\n`),
    Buffer.alloc(size, 'x'),
  ])
  const server = createServer({ noDelay: true }, socket => {
    let tail = ''
    socket.on('data', bytes => {
      // Proxies send heads of their own.
      const text = tail + bytes.toString('latin1')
      const parts = text.split('\r\n\r\n')
      tail = parts.pop() ?? ''
      for (const _ of parts) socket.write(answer)
    })
    socket.on('error', () => {})
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return server
}

/** Requests on all connections for so many seconds. */
async function load(
  port: number,
  size: number,
  seconds: number,
): Promise<{ readonly requests: number; readonly p50: number; readonly rate: number }> {
  const times: number[] = []
  const end = performance.now() + seconds * 1000
  const began = performance.now()
  await Promise.all(
    Array.from({ length: CONNECTIONS }, async () => {
      const socket = connect({ port, host: '127.0.0.1', noDelay: true })
      const { promise, resolve, reject } = Promise.withResolvers<void>()
      let sent = 0
      let left = 0
      let head = ''
      const ask = (): void => {
        if (performance.now() > end) {
          socket.destroy()
          resolve()
          return
        }
        left = -1
        head = ''
        sent = performance.now()
        socket.write(REQUEST)
      }
      socket.on('connect', ask)
      socket.on('data', (bytes: Buffer) => {
        let count = bytes.length
        if (left < 0) {
          head += bytes.toString('latin1')
          const at = head.indexOf('\r\n\r\n')
          if (at < 0) return
          count = head.length - at - 4
          left = size
        }
        left -= count
        if (left > 0) return
        times.push(performance.now() - sent)
        ask()
      })
      socket.on('error', reject)
      socket.on('close', () => resolve())
      await promise
    }),
  )
  return { requests: times.length, p50: median(times), rate: (times.length * 1000) / (performance.now() - began) }
}

async function answers(port: number): Promise<void> {
  for (let i = 0; i < 100; i++) {
    const socket = connect({ port, host: '127.0.0.1' })
    const connected = await new Promise<boolean>(resolve => {
      socket.on('connect', () => resolve(true)).on('error', () => resolve(false))
    })
    socket.destroy()
    if (connected) return
    await sleep(50)
  }
  throw new Error(`cannot reach the relay on port ${port}`)
}

async function freePort(): Promise<number> {
  const server = createServer()
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}
