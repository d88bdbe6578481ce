// GET /metrics: the deadline that Prometheus gives, the compression it asks for, and bounds on how many scrapes are
// under way and how many bytes wait for readers that do not read.

import type { ServerResponse } from 'node:http'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Exposition } from '../../telemetry/exposition.ts'
import type { RouteRequest } from '../../telemetry/route.ts'
import { ownScrape } from '../../telemetry/scraping.ts'
import { say } from './answer.ts'
import { type Backlog, Delivery } from './delivery.ts'
import type { WebHost } from './host.ts'

/** Scrapes that may wait for their text, or bodies that may be written, at a time; since they share one collection, more
    would only hold sockets. */
const PARALLEL = 4
/** Bodies that readers have not taken yet, all together: two scrapes of 100 000 series, uncompressed. */
const WAITING_BYTES = 32 * 1024 * 1024
/** After the deadline, what has been gathered may still be written. */
const RENDERING_MS = 500

/** Without a reason of ours each abort makes an exception with a stack. */
const ENDED = new Error('the scrape has ended')

/** From then on a reader that has not taken its answer gives way to another one. */
const READER_MS = 2_000

export interface ScrapeRules {
  readonly timeoutMs: number
  /** The most answers at a time, so that scrapes whose readers do not read cannot hold all connections. */
  readonly readers: number
  /** Called when a scrape is refused. */
  busy(): void
  /** Called when a reader is cut off because too much waits for it. */
  slow(): void
}

export class Scrapes {
  readonly #host: Pick<WebHost, 'scrape' | 'clock' | 'log' | 'memory'>
  readonly #rules: ScrapeRules
  #running = 0
  readonly #backlog: Backlog
  /** When each answer under way was asked for, the oldest first. */
  readonly #readers = new Map<ServerResponse, number>()
  /** Bodies that have not begun, by their chunks. */
  readonly #gathering = new Map<Exposition['chunks'], Delivery>()

  constructor(host: Pick<WebHost, 'scrape' | 'clock' | 'log' | 'memory'>, rules: ScrapeRules) {
    this.#host = host
    this.#rules = rules
    this.#backlog = {
      memory: host.memory.allot('web', WAITING_BYTES),
      clock: host.clock,
      slow: () => rules.slow(),
      failed: why => host.log.warn('a scrape failed', { error: why }),
    }
  }

  async answer(request: RouteRequest, response: ServerResponse): Promise<void> {
    if (ownScrape(request.headers['user-agent']))
      return say(response, 508, 'this is the sidecar itself; give it the address of the application (scrape.url)')
    const full = this.#readers.size >= this.#rules.readers && !this.#cutOff()
    if (full || this.#running >= PARALLEL || this.#backlog.memory.full) {
      this.#rules.busy()
      return say(response, 503, 'too many scrapes at a time; ask again later', { 'Retry-After': '1' })
    }
    this.#readers.set(response, this.#host.clock.monotonic())
    response.once('close', () => this.#readers.delete(response))
    const ms = deadline(request.headers['x-prometheus-scrape-timeout-seconds'], this.#rules.timeoutMs)
    const scrape = await this.#scrape(request, response, ms)
    if (scrape === undefined) return

    const delivery = this.#gathering.get(scrape.chunks) ?? this.#deliver(scrape)
    delivery.join(response, acceptsGzip(request.headers['accept-encoding']))
  }

  /** Closes the connection of the oldest reader that does not take what it was sent; false if all of them read. */
  #cutOff(): boolean {
    const now = this.#host.clock.monotonic()
    for (const [response, since] of this.#readers) {
      if (response.writableLength === 0 || now - since < READER_MS) continue
      this.#rules.slow()
      this.#readers.delete(response)
      response.destroy()
      return true
    }
    return false
  }

  /** A body that is sent as soon as all who share it have joined. */
  #deliver(scrape: Exposition): Delivery {
    const delivery = new Delivery(scrape, this.#backlog)
    this.#gathering.set(scrape.chunks, delivery)
    this.#running++
    void nextTurn()
      .then(() => {
        this.#gathering.delete(scrape.chunks)
        return delivery.run()
      })
      .finally(() => this.#running--)
    return delivery
  }

  /**
   * The text of a scrape; undefined when the failure has been answered. The signal is the deadline alone: a scraper that
   * leaves does not abort it, since others may share the collection.
   */
  async #scrape(request: RouteRequest, response: ServerResponse, ms: number): Promise<Exposition | undefined> {
    const deadline = new AbortController()
    const ended = new AbortController()
    const sleep = (ms: number): Promise<void> => this.#host.clock.sleep(ms, ended.signal)
    // Counted until it really ends, even if we stop waiting for it: what runs is what is bounded.
    this.#running++
    const scrape = this.#begin(request.headers.accept, deadline.signal, ms).finally(() => this.#running--)
    const overdue = sleep(ms)
      .then(() => {
        deadline.abort(new Error(`the scrape's ${ms / 1000} s are over`))
        return sleep(RENDERING_MS)
      })
      .then(() => {
        throw deadline.signal.reason
      })
    try {
      return await Promise.race([scrape, overdue])
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error)
      this.#host.log.warn('a scrape failed', { error: why })
      say(response, deadline.signal.aborted ? 503 : 500, `cannot answer the scrape: ${why}`)
      return undefined
    } finally {
      ended.abort(ENDED)
    }
  }

  async #begin(accept: string | undefined, signal: AbortSignal, ms: number): Promise<Exposition> {
    return this.#host.scrape(accept, signal, ms)
  }
}

/**
 * Milliseconds that a scrape may take: what Prometheus allows, less a tenth but at most half a second for the way back,
 * and never more than the ceiling. A value that is not a positive number counts as absent.
 */
export function deadline(header: string | string[] | undefined, ceilingMs: number): number {
  if (typeof header !== 'string' || !/^\d{1,9}(?:\.\d{1,9})?$/.test(header.trim())) return ceilingMs
  const allowedMs = Number(header) * 1000
  if (!(allowedMs > 0)) return ceilingMs
  return Math.min(allowedMs - Math.min(500, allowedMs / 10), ceilingMs)
}

/** Whether Accept-Encoding names gzip (or *) with a weight above 0 (RFC 9110, 12.5.3). */
export function acceptsGzip(header: string | string[] | undefined): boolean {
  let any = false
  for (const item of String(header ?? '').split(',')) {
    const [name = '', ...parameters] = item.split(';').map(part => part.trim().toLowerCase())
    const weight = parameters.find(parameter => /^q\s*=/.test(parameter))
    const wanted = weight === undefined || Number(weight.slice(weight.indexOf('=') + 1)) > 0
    if (name === 'gzip' || name === 'x-gzip') return wanted
    if (name === '*') any = wanted
  }
  return any
}
