// The sidecar of a soak: its listeners, its configuration file, and the actions of an operator and of Prometheus.

import { renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { freePort, launch, nodeFlags, type Server } from '../server.ts'
import { total } from './accounts.ts'

const TEXT = 'text/plain;version=0.0.4'
const OPENMETRICS = 'application/openmetrics-text;version=1.0.0'
const TIMEOUT_MS = 10_000
const RELOAD_MS = 10_000

type Listener = 'web' | 'http' | 'grpc'

export class Sidecar {
  readonly ports: Readonly<Record<Listener, number>>
  readonly #main: string
  readonly #config: string
  readonly #application: string
  #pages = 0
  #reloads = 0

  private constructor(main: string, folder: string, application: string, ports: Readonly<Record<Listener, number>>) {
    this.#main = main
    this.#config = join(folder, 'pillion.yaml')
    this.#application = application
    this.ports = ports
  }

  /** `application` is its URL. */
  static async choose(main: string, folder: string, application: string): Promise<Sidecar> {
    const ports = { web: await freePort(), http: await freePort(), grpc: await freePort() }
    return new Sidecar(main, folder, application, ports)
  }

  async start(): Promise<Server> {
    this.#configure(true)
    const { web, http, grpc } = this.ports
    return await launch({
      name: 'the sidecar',
      command: process.execPath,
      // It ends by itself if this process, and with it the application, is killed.
      args: [...nodeFlags(this.#main), this.#main, '--config', this.#config, '--app.exit_after_gone', '60s'],
      ports: { http, grpc, metrics: web },
      ready: `${this.#url}/-/healthy`,
    })
  }

  /** Every other time as gzip. */
  async page(openMetrics: boolean): Promise<string> {
    const encoding = this.#pages++ % 4 < 2 ? 'gzip' : 'identity'
    const headers = { accept: openMetrics ? OPENMETRICS : TEXT, 'accept-encoding': encoding }
    const answer = await fetch(`${this.#url}/metrics`, { headers, signal: AbortSignal.timeout(TIMEOUT_MS) })
    const page = await answer.text()
    if (!answer.ok) throw new Error(`the scrape was answered with ${answer.status}`)
    return page
  }

  /** Changes the file and reloads it, by a signal and by a request in turn; returns whether it was accepted or refused as it should. */
  async reload({ process }: Server, good: boolean): Promise<boolean> {
    const before = total(await this.page(false), TAKEN_AT)
    this.#reloads++
    this.#configure(good)
    if (this.#reloads % 2 === 0) process.kill('SIGHUP')
    else
      await fetch(`${this.#url}/-/reload`, { method: 'POST', signal: AbortSignal.timeout(TIMEOUT_MS) }).then(answer =>
        answer.text(),
      )
    for (const end = performance.now() + RELOAD_MS; performance.now() < end; await sleep(50)) {
      const page = await this.page(false)
      const successful = total(page, 'pillion_config_last_reload_successful') === 1
      if (successful === good && total(page, TAKEN_AT) > before === good) return true
    }
    return false
  }

  get #url(): string {
    return `http://127.0.0.1:${this.ports.web}`
  }

  /** Each time with another interval of the first probe; a bad configuration has two probes with one name. */
  #configure(good: boolean): void {
    const { web, http, grpc } = this.ports
    const text = `app: { url: "${this.#application}" }
web: { listen: "127.0.0.1:${web}" }
otlp: { http: { listen: "127.0.0.1:${http}" }, grpc: { listen: "127.0.0.1:${grpc}" } }
log: { level: warn }
health:
  probes:
    - { name: page, url: "${this.#application}/healthz", interval: ${1000 + (this.#reloads % 10)}ms }
    - { name: ${good ? 'port' : 'page'}, kind: tcp, address: "${new URL(this.#application).host}", interval: 1s }
`
    // In one step, since the file is watched.
    writeFileSync(`${this.#config}.new`, text)
    renameSync(`${this.#config}.new`, this.#config)
  }
}

const TAKEN_AT = 'pillion_config_last_reload_success_timestamp_seconds'
