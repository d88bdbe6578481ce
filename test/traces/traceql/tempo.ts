// A live Tempo on loopback with local storage, to compare answers with: started, sent spans, asked, and stopped with its files.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { Child } from '../../e2e/child.ts'
import { TEMPO } from './judges.ts'

export interface Answer {
  readonly status: number
  readonly text: string
}

export class Tempo implements AsyncDisposable {
  readonly #child: Child
  readonly #folder: string
  readonly #port: number
  readonly #otlp: number

  private constructor(child: Child, folder: string, port: number, otlp: number) {
    this.#child = child
    this.#folder = folder
    this.#port = port
    this.#otlp = otlp
  }

  static async start(): Promise<Tempo> {
    const folder = mkdtempSync(join(tmpdir(), 'tempo-'))
    const [port, grpc, otlp] = await Promise.all([free(), free(), free()])
    const file = join(folder, 'tempo.yaml')
    writeFileSync(file, config(folder, port, grpc, otlp))
    const child = await Child.start(TEMPO, [`-config.file=${file}`])
    const tempo = new Tempo(child, folder, port, otlp)
    await tempo.#until('ready', async () => (await tempo.get('/ready')).status === 200)
    return tempo
  }

  async send(bytes: Buffer): Promise<void> {
    const { status, text } = await ask(this.#otlp, 'POST', '/v1/traces', bytes)
    if (status !== 200) throw new Error(`Tempo refuses spans: ${status} ${text}`)
  }

  async get(path: string): Promise<Answer> {
    return await ask(this.#port, 'GET', path)
  }

  async until(what: string, holds: () => Promise<boolean>): Promise<void> {
    await this.#until(what, holds)
  }

  async #until(what: string, holds: () => Promise<boolean>): Promise<void> {
    const deadline = Date.now() + 90_000
    while (!(await holds().catch(() => false))) {
      if (!this.#child.running) throw new Error(`Tempo ended:\n${this.#child.stderr.slice(-2000)}`)
      if (Date.now() > deadline) throw new Error(`Tempo is not ${what}:\n${this.#child.stderr.slice(-2000)}`)
      await wait(300)
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#child[Symbol.asyncDispose]()
    rmSync(this.#folder, { recursive: true, force: true })
  }
}

function config(folder: string, port: number, grpc: number, otlp: number): string {
  return JSON.stringify({
    usage_report: { reporting_enabled: false },
    server: {
      http_listen_address: '127.0.0.1',
      http_listen_port: port,
      grpc_listen_address: '127.0.0.1',
      grpc_listen_port: grpc,
      log_level: 'warn',
    },
    distributor: { receivers: { otlp: { protocols: { http: { endpoint: `127.0.0.1:${otlp}` } } } } },
    memberlist: { bind_addr: ['127.0.0.1'] },
    ingester: {
      lifecycler: { address: '127.0.0.1', ring: { kvstore: { store: 'inmemory' }, replication_factor: 1 } },
      trace_idle_period: '1s',
      flush_check_period: '1s',
    },
    querier: { frontend_worker: { frontend_address: `127.0.0.1:${grpc}` } },
    metrics_generator: {
      metrics_ingestion_time_range_slack: '10m',
      ring: { kvstore: { store: 'inmemory' }, instance_addr: '127.0.0.1' },
      processor: {
        local_blocks: {
          filter_server_spans: false,
          flush_to_storage: false,
          trace_idle_period: '1s',
          flush_check_period: '1s',
          max_block_duration: '5s',
        },
      },
      storage: { path: join(folder, 'generator') },
      traces_storage: { path: join(folder, 'generator-traces') },
    },
    storage: {
      trace: { backend: 'local', wal: { path: join(folder, 'wal') }, local: { path: join(folder, 'blocks') } },
    },
    overrides: { defaults: { metrics_generator: { processors: ['local-blocks'] } } },
  })
}

async function free(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await new Promise(resolve => server.once('listening', resolve))
  const { port } = server.address() as { port: number }
  await new Promise(resolve => server.close(resolve))
  return port
}

function ask(port: number, method: string, path: string, body?: Buffer): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const headers = body ? { 'content-type': 'application/x-protobuf' } : { accept: 'application/json' }
    const sent = request({ host: '127.0.0.1', port, method, path, headers }, answer => {
      let text = ''
      answer.setEncoding('utf8')
      answer.on('data', (part: string) => {
        text += part
      })
      answer.on('end', () => resolve({ status: answer.statusCode ?? 0, text }))
      answer.on('error', reject)
    })
    sent.on('error', reject)
    sent.end(body)
  })
}
