// Sends batches of spans to an OTLP receiver. While nobody takes them they wait, up to a limit; beyond it the oldest are
// dropped, since those that look want to see what is now.

import { Deadline } from '../../client/deadline.ts'
import { KeepAlive } from '../../client/keep-alive.ts'
import type { Clock } from '../../telemetry/host.ts'
import type { Numbers } from './numbers.ts'
import type { Batch } from './spans.ts'

const TIMEOUT_MS = 10_000
const FIRST_RETRY_MS = 250
const LAST_RETRY_MS = 2000
const MAX_HEAD = 16 * 1024
const MAX_BODY = 16 * 1024
/** The receiver is busy, or is just starting or ending. */
const RETRIED: readonly number[] = [408, 429, 500, 502, 503, 504]

export class Sender implements Disposable {
  readonly #client: KeepAlive
  readonly #path: string
  readonly #head: string
  readonly #most: number
  readonly #numbers: Numbers
  readonly #clock: Clock
  readonly #waiting: Batch[] = []
  readonly #stop = new AbortController()
  #bytes = 0
  #sending: Promise<void> | undefined

  constructor(endpoint: string, most: number, numbers: Numbers, clock: Clock) {
    const { hostname, port, protocol, pathname, host } = new URL(endpoint)
    const tls = protocol === 'https:' ? { verify: true, serverName: hostname, ca: undefined } : undefined
    const name = hostname.replace(/^\[|\]$/g, '')
    const where = { host: name, port: Number(port) || (tls ? 443 : 80), tls }
    this.#client = new KeepAlive(() => where, clock, { maxHead: MAX_HEAD, maxBody: MAX_BODY })
    this.#path = `${pathname.replace(/\/$/, '').replace(/\/v1\/traces$/, '')}/v1/traces`
    this.#head = `host: ${host}\r\ncontent-type: application/x-protobuf\r\nuser-agent: Pillion-tap\r\n`
    this.#most = most
    this.#numbers = numbers
    this.#clock = clock
  }

  add(batch: Batch): void {
    this.#waiting.push(batch)
    this.#bytes += batch.bytes.length
    // The first one may be on its way.
    while (this.#bytes > this.#most && this.#waiting.length > 1) {
      const [dropped] = this.#waiting.splice(this.#sending ? 1 : 0, 1)
      if (!dropped) break
      this.#bytes -= dropped.bytes.length
      this.#numbers.droppedSpans.full += dropped.spans
    }
    this.#sending ??= this.#send().finally(() => {
      this.#sending = undefined
    })
  }

  /** Resolves when everything is sent or the time is over. */
  async flush(ms: number): Promise<void> {
    const { promise: late, resolve } = Promise.withResolvers<void>()
    const timer = setTimeout(resolve, ms)
    await Promise.race([this.#sending, late])
    clearTimeout(timer)
  }

  [Symbol.dispose](): void {
    this.#stop.abort()
    this.#client[Symbol.dispose]()
  }

  async #send(): Promise<void> {
    const { signal } = this.#stop
    let wait = FIRST_RETRY_MS
    for (let batch = this.#waiting[0]; batch && !signal.aborted; batch = this.#waiting[0]) {
      using deadline = new Deadline(TIMEOUT_MS)
      const request = { method: 'POST', path: this.#path, head: this.#head, body: batch.bytes }
      const answer = await this.#client.request(request, AbortSignal.any([signal, deadline.signal]))
      if (!answer.ok || RETRIED.includes(answer.status)) {
        await this.#clock.sleep(wait, signal).catch(() => {})
        wait = Math.min(LAST_RETRY_MS, wait * 2)
        continue
      }
      wait = FIRST_RETRY_MS
      this.#waiting.shift()
      this.#bytes -= batch.bytes.length
      if (answer.status < 300) this.#numbers.spans += batch.spans
      else this.#numbers.droppedSpans.refused += batch.spans
    }
  }
}
