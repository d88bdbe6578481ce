// One siege of the sidecar: it runs in a memory cgroup, a crowd sends whatever it allows, and it is scraped and sent honest
// requests meanwhile.

import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { Child } from '../e2e/child.ts'
import { type Ride, startSidecar } from '../e2e/ride.ts'
import { attribute, fixed64, ld, span, traces } from '../otlp/requests.ts'
import type { Cell } from './cell.ts'
import { SIGNALS, type Signal, type Tally } from './crowd.ts'

const CROWD = fileURLToPath(new URL('crowd.ts', import.meta.url))

export interface Crowd {
  readonly http: number
  readonly grpc: number
  /** The share of batches that are of 8,000 spans. */
  readonly large: number
  /** Spans only, unless it is "all". */
  readonly signals?: 'all'
}

export interface Outcome {
  readonly tally: Tally
  /** The first exit code or signal of the sidecar, if it has ended. */
  readonly ended: string | undefined
  /** Items, and spans, by the sidecar's own account; undefined if it has ended. */
  readonly accepted: Readonly<Record<Signal, number>> | undefined
  readonly counted: number | undefined
  /** Bytes of the budget in use when all is over. */
  readonly left: number | undefined
  readonly honest: Honest
  readonly scrapes: { readonly answered: number; readonly failed: number }
}

/** A client that sends one span at a time and comes again, as OTLP says, after an answer of 503. */
export interface Honest {
  sent: number
  taken: number
  /** Answers of 503 that asked for a longer wait than 2 s, or for none. */
  unfit: number
  /** The longest that one span took, with all attempts, in seconds. */
  longest: number
}

/** Spans of the crowd are taken at most so long by one client. */
const PATIENCE_S = 20

export async function besiege(main: string, cell: Cell, crowd: Crowd, seconds: number): Promise<Outcome> {
  await using ride = await startSidecar({ main, wrapper: cell.wrapper })
  const { port: http } = new URL(ride.otlp)
  const { port: grpc } = new URL(ride.grpc)
  await using senders = await gather(crowd, { http, grpc }, seconds)
  const honest: Honest = { sent: 0, taken: 0, unfit: 0, longest: 0 }
  const scrapes = { answered: 0, failed: 0 }
  const going = () => senders.running && ride.child.running
  await Promise.all([
    (async () => {
      while (going()) await sendOne(`${ride.otlp}/v1/traces`, honest, () => ride.child.running)
    })(),
    (async () => {
      for (; going(); await sleep(250))
        await ride.scrape().then(
          () => scrapes.answered++,
          () => scrapes.failed++,
        )
    })(),
  ])
  const { code } = await senders.ended
  if (code !== 0) throw new Error(`the crowd failed:\n${senders.stderr}`)
  // crowd.ts writes a Tally.
  const tally = JSON.parse(senders.stdout) as Tally
  const { running } = ride.child
  const ending = running ? undefined : await ride.child.ended
  return {
    tally,
    ended: ending && String(ending.signal ?? ending.code),
    accepted: running ? await acceptedBy(ride) : undefined,
    counted: running ? await ride.value('traces_spanmetrics_calls_total') : undefined,
    left: running ? await ride.value('pillion_memory_used_bytes', { part: 'otlp' }) : undefined,
    honest,
    scrapes,
  }
}

/** Starts a crowd that sends to these ports. */
export function gather(crowd: Crowd, ports: { http: string; grpc: string }, seconds: number): Promise<Child> {
  const numbers = [ports.http, ports.grpc, seconds, crowd.http, crowd.grpc, crowd.large].map(String)
  return Child.start(process.execPath, [CROWD, ...numbers, crowd.signals ?? 'traces'])
}

async function acceptedBy(ride: Ride): Promise<Record<Signal, number>> {
  const accepted = { traces: 0, metrics: 0, logs: 0 }
  for (const signal of SIGNALS)
    accepted[signal] = (await ride.value('pillion_otlp_accepted_items_total', { signal })) ?? 0
  // The answer to these was a success too: the crowd sends each point again and again.
  const old = await ride.value('pillion_otlp_refused_items_total', { signal: 'metrics', reason: 'out_of_order' })
  accepted.metrics += old ?? 0
  return accepted
}

async function sendOne(url: string, honest: Honest, running: () => boolean): Promise<void> {
  const start = performance.now()
  const seconds = () => (performance.now() - start) / 1000
  honest.sent++
  const headers = { 'content-type': 'application/x-protobuf' }
  while (running() && seconds() < PATIENCE_S) {
    const answer = await fetch(url, { method: 'POST', headers, body: ONE }).catch(() => undefined)
    await answer?.arrayBuffer().catch(() => {})
    if (answer?.status === 200) {
      honest.taken++
      break
    }
    const wait = Number(answer?.headers.get('retry-after'))
    if (answer?.status === 503 && !(wait > 0 && wait <= 2)) honest.unfit++
    await sleep(answer ? wait * 1000 : 100)
  }
  honest.longest = Math.max(honest.longest, seconds())
  await sleep(50)
}

const ONE = new Uint8Array(
  traces(
    [attribute(1, 'service.name', 'honest')],
    Buffer.concat([
      ld(1, Buffer.alloc(16, 0xab)),
      ld(2, Buffer.alloc(8, 0xcd)),
      ld(5, 'GET /'),
      fixed64(7, 1n),
      fixed64(8, 2n),
    ]),
  ),
)

export interface Read {
  readonly ended: string | undefined
  /** Bytes of a page of /metrics. */
  readonly page: number
  /** Answers to /-/healthy, and the longest that one took, in seconds. */
  readonly healthy: { answered: number; failed: number; longest: number }
  readonly scrapes: { answered: number; failed: number }
}

/** Reads /metrics, once it is large, in ways that hold memory: slowly, and not at all after many requests at once. */
export async function besiegeWithReaders(main: string, cell: Cell, seconds: number): Promise<Read> {
  await using ride = await startSidecar({ main, wrapper: cell.wrapper })
  const headers = { 'content-type': 'application/x-protobuf' }
  for (let n = 0; n < 20; n++) {
    const spans = Array.from({ length: 100 }, (_, i) => span(`operation ${n * 100 + i}`))
    const body = new Uint8Array(traces([attribute(1, 'service.name', 'shop')], ...spans))
    await fetch(`${ride.otlp}/v1/traces`, { method: 'POST', headers, body })
  }
  const page = (await ride.scrape()).length
  const port = Number(new URL(ride.web).port)
  const get = 'GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n'
  const end = performance.now() + seconds * 1000
  const going = () => performance.now() < end && ride.child.running
  const slow = async () => {
    while (going()) {
      const socket = connect(port, '127.0.0.1').on('error', () => {})
      socket.pause()
      socket.write(get)
      // 64 KiB twenty times a second: a page takes seconds.
      while (going() && !socket.destroyed) {
        socket.read(64 * 1024)
        await sleep(50)
      }
      socket.destroy()
    }
  }
  const pipelining = async () => {
    while (going()) {
      const socket = connect(port, '127.0.0.1').on('error', () => {})
      socket.pause()
      socket.write(get.repeat(1500))
      for (let n = 0; n < 40 && going() && !socket.destroyed; n++) await sleep(50)
      socket.destroy()
    }
  }
  const healthy = { answered: 0, failed: 0, longest: 0 }
  const scrapes = { answered: 0, failed: 0 }
  const asking = async () => {
    for (; going(); await sleep(100)) {
      const start = performance.now()
      const answer = await fetch(`${ride.web}/-/healthy`).catch(() => undefined)
      const said = await answer?.text().catch(() => undefined)
      const ok = answer?.ok && said !== undefined
      healthy.longest = Math.max(healthy.longest, (performance.now() - start) / 1000)
      if (ok) healthy.answered++
      else healthy.failed++
    }
  }
  const scraping = async () => {
    for (; going(); await sleep(500))
      await ride.scrape().then(
        () => scrapes.answered++,
        () => scrapes.failed++,
      )
  }
  await Promise.all([
    ...Array.from({ length: 10 }, slow),
    ...Array.from({ length: 60 }, pipelining),
    asking(),
    scraping(),
  ])
  const ending = ride.child.running ? undefined : await ride.child.ended
  return { ended: ending && String(ending.signal ?? ending.code), page, healthy, scrapes }
}
