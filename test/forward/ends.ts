// `npm run ends`: the real program under real load is ended again and again, by SIGKILL at any moment and by SIGTERM,
// always with the same queue on disk, while its upstream fails in turns. In the end everything that a sender was told
// had been taken must have arrived upstream. Items that arrived twice are counted and printed.
//
//   npm run ends                                200 kills and 100 SIGTERMs, with each forward.queue.sync
//   npm run ends -- --kills 20 --terms 10 --sync request

import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { Agent, createServer, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { parseArgs } from 'node:util'
import { until } from '../e2e/child.ts'
import { MAIN, type Ride, startSidecar, sum } from '../e2e/ride.ts'
import { attribute, ld, span, traces } from '../otlp/requests.ts'

export interface Ends {
  readonly kills: number
  readonly terms: number
  readonly sync: 'interval' | 'request'
  readonly main?: string
  readonly report?: (line: string) => void
}

export interface Outcome {
  /** Items whose sender was told that they had been taken; those of them that never arrived. */
  readonly acknowledged: number
  readonly lost: readonly number[]
  /** Arrived more than once; arrived although the sender got no answer. */
  readonly duplicates: number
  readonly unanswered: number
  /** SIGTERMs after which it did not end with 0, with what it said. */
  readonly failures: readonly string[]
  /** Starts with something left in the queue, and the slowest start in milliseconds. */
  readonly recoveries: number
  readonly slowestStart: number
  /** The account of the last process: accepted + recovered, and forwarded + dropped + held. */
  readonly account: readonly [put: number, got: number]
}

const SENDERS = 6
const SPANS = 20

/** Runs the ends, in random order. Afterwards waits until the queue is empty. */
export async function ends({ kills, terms, sync, main = MAIN, report = () => {} }: Ends): Promise<Outcome> {
  await using open = new AsyncDisposableStack()
  const folder = mkdtempSync(join(tmpdir(), 'pillion-ends-'))
  open.defer(() => rmSync(folder, { recursive: true, force: true }))
  const upstream = open.use(await Upstream.listen())
  const load = new Load()
  const flags = [
    ...['--forward.endpoint', upstream.url, '--forward.name', 'up', '--forward.compression', 'none'],
    ...['--forward.queue.dir', folder, '--forward.queue.sync', sync, '--forward.drain', '200ms'],
  ]
  const failures: string[] = []
  let [recoveries, slowestStart] = [0, 0]
  const start = async (): Promise<Ride> => {
    const began = performance.now()
    const ride = await startSidecar({ flags, main })
    // The web server answers before the receiver listens.
    await until('the receiver', async () => (await fetch(`${ride.otlp}/v1/traces`)).status)
    slowestStart = Math.max(slowestStart, performance.now() - began)
    if (((await ride.value('pillion_forward_recovered_items_total')) ?? 0) > 0) recoveries++
    return ride
  }
  const signals = shuffled([...Array(kills).fill('SIGKILL'), ...Array(terms).fill('SIGTERM')] as const)
  for (const [round, signal] of signals.entries()) {
    upstream.mood = MOODS[round % MOODS.length]!
    await using ride = await start()
    await using _sending = load.begin(ride.otlp)
    // Mostly when some have been answered: on a busy machine the first answer can take longer than all the rest.
    const before = load.acknowledged.size
    for (let i = 0; round % 3 !== 0 && load.acknowledged.size === before && i < 1000; i++) await pause(5)
    await pause(5 + Math.random() * 195)
    ride.child.kill(signal)
    const ending = await ride.child.ended
    if (signal === 'SIGTERM' && ending.code !== 0)
      failures.push(`round ${round}: ${JSON.stringify(ending)}\n${ride.child.stderr}`)
    if ((round + 1) % 25 === 0)
      report(`${round + 1} ends, ${load.acknowledged.size} acknowledged, ${upstream.arrived.size} arrived`)
  }
  upstream.mood = 'well'
  await using last = await start()
  const text = await emptied(last)
  const acknowledged = [...load.acknowledged]
  const of = (name: string): number => sum(text, `pillion_forward_${name}`) ?? 0
  return {
    acknowledged: acknowledged.length,
    lost: acknowledged.filter(id => !upstream.arrived.has(id)),
    duplicates: [...upstream.arrived.values()].reduce((extra, times) => extra + times - 1, 0),
    unanswered: [...upstream.arrived.keys()].filter(id => !load.acknowledged.has(id)).length,
    failures,
    recoveries,
    slowestStart,
    account: [
      (sum(text, 'pillion_otlp_accepted_items_total', { signal: 'traces' }) ?? 0) + of('recovered_items_total'),
      of('items_total') + of('dropped_items_total') + of('held_items'),
    ],
  }
}

function pause(ms: number): Promise<void> {
  return new Promise(resolve => setTimeout(resolve, ms))
}

/** The page of a sidecar whose queue is empty. */
async function emptied(ride: Ride): Promise<string> {
  for (let i = 0; i < 600; i++) {
    const text = await ride.scrape()
    if (sum(text, 'pillion_forward_held_items') === 0) return text
    await pause(100)
  }
  return await ride.scrape()
}

/** The ways in which the upstream takes requests. */
const MOODS = ['well', 'refusing', 'slow', 'well', 'resetting', 'half'] as const

class Upstream implements AsyncDisposable {
  mood: (typeof MOODS)[number] = 'well'
  /** Id → how often it arrived in a request that was answered with success, or may have been. */
  readonly arrived = new Map<number, number>()
  readonly url: string
  readonly #server: ReturnType<typeof createServer>

  private constructor(server: ReturnType<typeof createServer>) {
    this.#server = server
    // A listening TCP server has an AddressInfo (node:net).
    this.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  }

  static async listen(): Promise<Upstream> {
    let count = 0
    const server = createServer((request, response) => {
      const chunks: Buffer[] = []
      request.on('data', chunk => chunks.push(chunk))
      request.on('end', async () => {
        count++
        const { mood } = upstream
        if (mood === 'resetting' && count % 2 === 0) return void request.socket.destroy()
        if (mood === 'refusing' || (mood === 'half' && count % 2 === 0)) return void response.writeHead(503).end()
        for (const id of idsIn(Buffer.concat(chunks))) upstream.arrived.set(id, (upstream.arrived.get(id) ?? 0) + 1)
        if (mood === 'slow') await pause(100)
        response.end()
      })
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const upstream = new Upstream(server)
    return upstream
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections()
    this.#server.close()
  }
}

function idsIn(body: Buffer): number[] {
  return [...body.toString('latin1').matchAll(/<id (\d+)>/g)].map(([, id]) => Number(id))
}

/** Senders that note what they were told had been taken. */
class Load {
  readonly acknowledged = new Set<number>()
  #next = 1

  /** Sends until it is disposed of. */
  begin(otlp: string): AsyncDisposable {
    const agent = new Agent({ keepAlive: true })
    let over = false
    const sender = async (): Promise<void> => {
      while (!over) {
        const ids = Array.from({ length: SPANS }, () => this.#next++)
        try {
          if ((await send(otlp, agent, body(ids))) === 200) for (const id of ids) this.acknowledged.add(id)
        } catch {
          // The sidecar has ended; nobody was told anything.
          return
        }
      }
    }
    const senders = Array.from({ length: SENDERS }, sender)
    return {
      async [Symbol.asyncDispose]() {
        over = true
        await Promise.all(senders)
        agent.destroy()
      },
    }
  }
}

function body(ids: readonly number[]): Buffer {
  const filler = attribute(9, 'filler', 'x'.repeat(200))
  return traces([attribute(1, 'service.name', 'shop')], ...ids.map(id => span(`<id ${id}>`, filler, ld(15))))
}

/** The status; rejects if there is no answer. */
function send(otlp: string, agent: Agent, bytes: Buffer): Promise<number> {
  return new Promise((resolve, reject) => {
    const headers = { 'Content-Type': 'application/x-protobuf', 'Content-Length': bytes.length }
    const sent = request(`${otlp}/v1/traces`, { method: 'POST', agent, headers }, response => {
      response.resume()
      response.on('end', () => (response.complete ? resolve(response.statusCode ?? 0) : reject(new Error('cut off'))))
      response.on('error', reject)
    })
    sent.on('error', reject)
    sent.end(bytes)
  })
}

function shuffled<T>(all: readonly T[]): T[] {
  return all
    .map(value => ({ value, order: Math.random() }))
    .sort((a, b) => a.order - b.order)
    .map(({ value }) => value)
}

/** Broken promises, in words; none if all hold. */
export function complaints({ lost, failures, account: [put, got] }: Outcome): string[] {
  return [
    ...(lost.length > 0
      ? [`${lost.length} items were acknowledged and never arrived: ${lost.slice(0, 20).join(', ')}`]
      : []),
    ...failures.slice(0, 3),
    ...(put === got ? [] : [`the account is not exact: ${put} went in, ${got} is accounted for`]),
  ]
}

export function summary({ acknowledged, lost, duplicates, unanswered, recoveries, slowestStart }: Outcome): string {
  return `${acknowledged} items acknowledged, ${lost.length} lost; ${duplicates} arrived again, ${unanswered} without an answer to their sender; ${recoveries} starts with a queue, the slowest ${Math.round(slowestStart)} ms`
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const { values } = parseArgs({
    options: {
      kills: { type: 'string', default: '200' },
      terms: { type: 'string', default: '100' },
      sync: { type: 'string' },
    },
  })
  for (const sync of ['interval', 'request'] as const) {
    if (values.sync !== undefined && values.sync !== sync) continue
    const [kills, terms] = [Number(values.kills), Number(values.terms)]
    console.log(`${kills} × SIGKILL and ${terms} × SIGTERM, forward.queue.sync: ${sync}`)
    const outcome = await ends({ kills, terms, sync, report: line => console.log(`  ${line}`) })
    const wrong = complaints(outcome)
    console.log([summary(outcome), ...wrong].join('\n'))
    if (wrong.length > 0) process.exitCode = 1
  }
}
