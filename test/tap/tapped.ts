// An application without an SDK behind a tap beside a sidecar, each a real process or server; and a client that counts.

import { Agent, createServer, type IncomingMessage, request, type ServerResponse } from 'node:http'
import type { Test } from 'tap'
import { freePort, until } from '../e2e/child.ts'
import { type Ride, startSidecar } from '../e2e/ride.ts'

export { until }

/** Counts what it answers itself: the oracle. */
export class Application {
  readonly statuses = new Map<number, number>()
  readonly traceparents: (string | undefined)[] = []
  requests = 0
  bodyBytes = 0
  readonly #server = createServer({ keepAliveTimeout: 60_000 }, (asked, answer) => void this.#answer(asked, answer))
  port = 0

  static async start(t: Test, port = 0): Promise<Application> {
    const application = new Application()
    await new Promise<void>(resolve => application.#server.listen(port, '127.0.0.1', resolve))
    const address = application.#server.address()
    application.port = typeof address === 'object' && address ? address.port : 0
    t.teardown(() => application.stop())
    return application
  }

  async #answer(asked: IncomingMessage, answer: ServerResponse): Promise<void> {
    const { pathname, searchParams } = new URL(asked.url ?? '/', 'http://a')
    for await (const piece of asked) this.bodyBytes += (piece as Buffer).length
    if (pathname === '/hang') return
    const status = pathname.startsWith('/fails') ? 503 : pathname.startsWith('/nowhere') ? 404 : 200
    this.requests++
    this.statuses.set(status, (this.statuses.get(status) ?? 0) + 1)
    const traceparent = asked.headers['traceparent']
    this.traceparents.push(typeof traceparent === 'string' ? traceparent : undefined)
    answer.writeHead(status).end('x'.repeat(Number(searchParams.get('bytes') ?? 20)))
  }

  stop(): void {
    this.#server.close()
    this.#server.closeAllConnections()
  }
}

export interface Ports {
  readonly tap: number
  readonly status: number
}

export async function ports(): Promise<Ports> {
  return { tap: await freePort(), status: await freePort() }
}

export function flags({ tap, status }: Ports, application: number, more: readonly string[] = []): string[] {
  return [
    ...['--app.url', `http://127.0.0.1:${application}`, '--app.name', 'legacy'],
    ...['--tap.listen', `127.0.0.1:${tap}`, '--tap.status', `127.0.0.1:${status}`],
    // Or the application would be asked by others than the test.
    ...(more.some(each => each.startsWith('--health')) ? [] : ['--no-health.enabled']),
    '--no-scrape.enabled',
    ...more,
  ]
}

/** The sidecar with its tap, which is ended with it. */
export async function tapped(t: Test, application: number, at: Ports, more: readonly string[] = []): Promise<Ride> {
  const ride = await startSidecar({ flags: flags(at, application, more) })
  t.teardown(async () => {
    await ride[Symbol.asyncDispose]()
    await end(at)
  })
  await tapAnswers(at)
  return ride
}

export interface Told {
  readonly pid: number
  readonly open: number
  readonly residentBytes: number
  readonly numbers: Readonly<Record<string, unknown>> & { readonly inFlight: number; readonly spans: number }
}

export async function told({ status }: Ports): Promise<Told | undefined> {
  try {
    return (await (await fetch(`http://127.0.0.1:${status}/`)).json()) as Told
  } catch {
    return undefined
  }
}

export function tapAnswers(at: Ports): Promise<Told> {
  return until('the tap', async () => await told(at))
}

/** Ends a tap that no sidecar looks after. */
export async function end(at: Ports): Promise<void> {
  const found = await told(at)
  if (found) process.kill(found.pid, 'SIGKILL')
}

export interface Answered {
  readonly status: number
  readonly bytes: number
}

/** One request; rejects if it is not answered. */
export function ask(
  port: number,
  path: string,
  more: { readonly agent?: Agent; readonly method?: string; readonly body?: string; readonly headers?: object } = {},
): Promise<Answered> {
  const { promise, resolve, reject } = Promise.withResolvers<Answered>()
  const { agent = false, method = 'GET', body, headers = {} } = more
  const asked = request({ host: '127.0.0.1', port, path, method, agent, headers: { ...headers } }, answer => {
    let bytes = 0
    answer.on('data', (piece: Buffer) => {
      bytes += piece.length
    })
    answer.on('end', () => resolve({ status: answer.statusCode ?? 0, bytes }))
    answer.on('error', reject)
  })
  asked.on('error', reject)
  asked.end(body)
  return promise
}

/** Requests on kept connections without a pause, until it is disposed of. */
export class Load implements AsyncDisposable {
  answered = 0
  readonly failures: string[] = []
  readonly #agent: Agent
  #stopped = false
  readonly #workers: Promise<void>[]

  constructor(port: number, workers: number) {
    this.#agent = new Agent({ keepAlive: true, maxSockets: workers })
    this.#workers = Array.from({ length: workers }, (_, worker) => this.#work(port, worker))
  }

  async #work(port: number, worker: number): Promise<void> {
    for (let i = 0; !this.#stopped; i++) {
      const path =
        i % 10 === 9 ? '/fails' : i % 10 === 8 ? `/nowhere/${i}` : `/users/${worker * 1000 + i}?bytes=${i % 700}`
      try {
        const { status } = await ask(port, path, { agent: this.#agent })
        if (status > 0) this.answered++
      } catch (error) {
        this.failures.push(String(error))
      }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopped = true
    await Promise.all(this.#workers)
    this.#agent.destroy()
  }
}
