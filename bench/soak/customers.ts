// The customers of several instances of one application: an open loop of requests to each, so a slow answer does not delay
// the next request. Requests that overlap a restart of an application are counted separately.

import { quantile } from '../figures.ts'
import { answering } from './ask.ts'

export type Question =
  | { readonly visit: Readonly<Record<string, number>>; readonly rate: number }
  | { readonly restarting: string; readonly now: boolean }
  | { readonly figures: true }

export interface Figures {
  readonly answered: number
  readonly failed: number
  /** The first failures. */
  readonly failures: readonly string[]
  /** The same while it was being restarted. */
  readonly meanwhile: { readonly answered: number; readonly failed: number }
  /** Milliseconds. */
  readonly p50: number
  readonly p99: number
  readonly most: number
}

export type Answer = Readonly<Record<string, Figures>>

const TIMEOUT_MS = 10_000
const KEPT_FAILURES = 5

class Shop {
  readonly times: number[] = []
  readonly failures: string[] = []
  readonly meanwhile = { answered: 0, failed: 0 }
  failed = 0
  /** Odd while it is being restarted. */
  turn = 0
  readonly #port: number
  readonly #agent

  constructor(port: number) {
    this.#port = port
    const { Agent } = process.getBuiltinModule('node:http')
    this.#agent = new Agent({ keepAlive: true })
  }

  async visit(): Promise<void> {
    const { turn } = this
    const begin = performance.now()
    const failure = await this.#get()
    const took = performance.now() - begin
    if (turn % 2 === 1 || turn !== this.turn) this.meanwhile[failure === undefined ? 'answered' : 'failed']++
    else if (failure === undefined) this.times.push(took)
    else {
      this.failed++
      if (this.failures.length < KEPT_FAILURES) this.failures.push(`${new Date().toISOString()} ${failure}`)
    }
  }

  #get(): Promise<string | undefined> {
    const { request } = process.getBuiltinModule('node:http')
    return new Promise(resolve => {
      const asked = request(
        { host: '127.0.0.1', port: this.#port, agent: this.#agent, timeout: TIMEOUT_MS },
        answer => {
          answer.resume()
          answer.on('end', () => resolve(answer.statusCode === 200 ? undefined : `status ${answer.statusCode}`))
          answer.on('error', error => resolve(error.message))
        },
      )
      asked.on('timeout', () => asked.destroy(new Error(`no answer within ${TIMEOUT_MS / 1000} s`)))
      asked.on('error', error => resolve(error.message)).end()
    })
  }

  figures(): Figures {
    const { times, failed, failures, meanwhile } = this
    const at = (share: number) => (times.length > 0 ? quantile(times, share) : Number.NaN)
    return { answered: times.length, failed, failures, meanwhile, p50: at(0.5), p99: at(0.99), most: at(1) }
  }
}

if (import.meta.main) {
  const shops = new Map<string, Shop>()
  answering<Question, Answer>(question => {
    if ('visit' in question) {
      const every = 1000 / question.rate
      const names = Object.keys(question.visit)
      for (const [i, name] of names.entries()) {
        const shop = new Shop(question.visit[name]!)
        shops.set(name, shop)
        // In sequence, or the second would always wait for the first.
        setTimeout(() => setInterval(() => shop.visit(), every), (every * i) / names.length)
      }
    } else if ('restarting' in question) shops.get(question.restarting)!.turn += 1
    // Only at the end: sorting all times would delay the next requests.
    return 'figures' in question ? Object.fromEntries([...shops].map(([name, shop]) => [name, shop.figures()])) : {}
  })
}
