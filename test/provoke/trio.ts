// The shop, cart and payment of the demo as processes, each with a sidecar of its own, and customers of the shop.

import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { ROOT } from '../dashboards/files.ts'
import { Child, freePort, until } from '../e2e/child.ts'
import { MAIN } from '../e2e/ride.ts'
import { SCALE } from './scale.ts'

/** Node's flags of the program (main.ts), without which it takes more memory than alerts expect. */
const FLAGS = ['--max-semi-space-size=1', '--v8-pool-size=1', '--heap-growing-percent=60', '--no-maglev', '--no-opt']

const SHOP = join(ROOT, 'examples/shop')

export interface Wish {
  /** Modules that are loaded before the shop, as source text: faults that it is to have. */
  readonly flaw?: string
  /** Whether the shop is started with the rest. */
  readonly started?: boolean
  /** Options of the sidecar of the shop, as in its file. */
  readonly options?: Readonly<Record<string, unknown>>
  /** Further instances of the shop, without a flaw, which serve as many requests. */
  readonly replicas?: number
}

/** Seconds of life, as an option. */
const pace = (seconds: number) => `${Math.round((seconds * 1000) / SCALE)}ms`

/** A service with its sidecar, which can be ended and started again on the same ports. */
export class Pair implements AsyncDisposable {
  app: Child | undefined
  sidecar: Child | undefined
  /** The target of Prometheus. */
  readonly instance: string
  readonly url: string
  readonly otlp: string
  readonly config: string
  readonly #way: Way

  private constructor(way: Way) {
    this.#way = way
    this.instance = `127.0.0.1:${way.web}`
    this.url = `http://127.0.0.1:${way.port}`
    this.otlp = `http://127.0.0.1:${way.otlp}`
    this.config = way.config
  }

  static async start(name: string, folder: string, wish: Wish, env: NodeJS.ProcessEnv): Promise<Pair> {
    const [port, web, otlp, grpc] = [await freePort(), await freePort(), await freePort(), await freePort()]
    const config = join(folder, `${name}-${port}.yaml`)
    const url = `http://127.0.0.1:${port}`
    // A bit slower than in life, where the intervals are 10 s and 2 s: 400 and 200 ms at the usual pace.
    const probe = {
      name: 'liveness',
      url: `${url}/healthz`,
      ...{ interval: pace(12), failing_interval: pace(6), timeout: pace(24), failure_threshold: 3 },
    }
    const options = {
      app: { url },
      health: { probes: [probe] },
      process: { interval: '1s' },
      web: { listen: `127.0.0.1:${web}` },
      otlp: { http: { listen: `127.0.0.1:${otlp}` }, grpc: { listen: `127.0.0.1:${grpc}` } },
      ...wish.options,
    }
    writeFileSync(config, JSON.stringify(options))
    const service = name.replace(/\d+$/, '')
    const pair = new Pair({ service, port, web, otlp, config, flaw: wish.flaw ?? '', env })
    await pair.startSidecar()
    if (wish.started !== false) await pair.startApp()
    return pair
  }

  async startSidecar(): Promise<void> {
    this.sidecar = await Child.start(process.execPath, [...FLAGS, MAIN, '--config', this.config])
    await until(
      `an answer of ${this.instance}`,
      async () => (await fetch(`http://${this.instance}/-/healthy`)).ok || undefined,
    )
  }

  async startApp(): Promise<void> {
    const { service, port, flaw, env } = this.#way
    const modules = [...(flaw ? [`data:text/javascript,${encodeURIComponent(flaw)}`] : []), join(SHOP, 'telemetry.js')]
    const args = [...modules.map(each => `--import=${each}`), join(SHOP, `${service}.js`)]
    this.app = await Child.start(process.execPath, args, {
      OTEL_EXPORTER_OTLP_ENDPOINT: this.otlp,
      OTEL_BSP_SCHEDULE_DELAY: '100',
      OTEL_SERVICE_NAME: service,
      PORT: String(port),
      ...env,
    })
    await this.app.says(/listening on/)
  }

  async killApp(): Promise<void> {
    this.app?.kill('SIGKILL')
    await this.app?.ended
  }

  async killSidecar(): Promise<void> {
    this.sidecar?.kill('SIGKILL')
    await this.sidecar?.ended
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([this.killApp(), this.killSidecar()])
  }
}

interface Way {
  readonly service: string
  readonly port: number
  readonly web: number
  readonly otlp: number
  readonly config: string
  readonly flaw: string
  readonly env: NodeJS.ProcessEnv
}

export interface Trio extends AsyncDisposable {
  readonly shop: Pair
  readonly cart: Pair
  /** The shop first. */
  readonly pairs: readonly Pair[]
}

export async function startTrio(folder: string, wish: Wish): Promise<Trio> {
  mkdirSync(folder, { recursive: true })
  await using open = new AsyncDisposableStack()
  const start = async (name: string, wish: Wish, env: NodeJS.ProcessEnv) =>
    open.use(await Pair.start(name, folder, wish, env))
  const [cart, payment] = await Promise.all([start('cart', {}, {}), start('payment', {}, {})])
  const neighbours = { CART_URL: cart.url, PAYMENT_URL: payment.url }
  const shop = await start('shop', wish, neighbours)
  const replicas: Pair[] = []
  for (let n = 0; n < (wish.replicas ?? 0); n += 1) replicas.push(await start(`shop${n}`, {}, neighbours))
  open.use(
    customers(
      [shop, ...replicas].map(each => each.url),
      cart.url,
    ),
  )
  const all = open.move()
  return { shop, cart, pairs: [shop, cart, payment, ...replicas], [Symbol.asyncDispose]: () => all.disposeAsync() }
}

/** Ten wishes a second for each shop, none of which is meant to fail or to be slow. */
function customers(urls: readonly string[], cart: string): AsyncDisposable {
  const stop = new AbortController()
  const ask = async (url: string, init: RequestInit) => {
    const answer = await fetch(url, { ...init, signal: AbortSignal.any([stop.signal, AbortSignal.timeout(2000)]) })
    await answer.text()
  }
  /** The cart is taken empty again, since it refuses what does not fit in. */
  const buy = async (url: string) => {
    await ask(`${url}/cart`, { method: 'POST', body: '{"product":"flask"}' })
    await ask(`${cart}/items`, { method: 'DELETE' })
  }
  let n = 0
  const timer = setInterval(() => {
    n += 1
    // A shop that does not answer is what all of this is about.
    for (const url of urls) (n % 3 > 0 ? ask(`${url}/`, {}) : buy(url)).catch(() => {})
  }, 100)
  return {
    async [Symbol.asyncDispose]() {
      clearInterval(timer)
      stop.abort()
    },
  }
}
