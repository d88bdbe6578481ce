// GET /metrics: the deadline that Prometheus gives, the compression it asks for, and bounds on how many scrapes are
// under way and how many bytes wait for readers that do not read.

import type { IncomingMessage, ServerResponse } from 'node:http'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Exposition } from '../metrics.ts'
import type { Deps } from '../web.ts'
import { say } from './answer.ts'
import { Delivery, type Yard } from './delivery.ts'

/** Scrapes that may wait for their text, or bodies that may be written, at a time; they share one collection, so more would
    only hold sockets. */
const PARALLEL = 4
/** Bodies that readers have not taken yet, all together: two scrapes of 100 000 series, uncompressed. */
const WAITING_BYTES = 32 * 1024 * 1024
/** After the deadline, what has been gathered may still be written. */
const RENDERING_MS = 500

/** Without a reason of ours each abort makes an exception with a stack. */
const ENDED = new Error('the scrape has ended')

export interface ScrapeRules {
  readonly timeoutMs: number
  /** Called when a scrape is turned away. */
  busy(): void
  /** Called when a reader is cut off because too much waits for it. */
  slow(): void
}

export class Scrapes {
  readonly #deps: Pick<Deps, 'scrape' | 'clock' | 'log'>
  readonly #rules: ScrapeRules
  #running = 0
  readonly #yard: Yard
  /** Bodies that have not begun, by their chunks. */
  readonly #gathering = new Map<Exposition['chunks'], Delivery>()

  constructor(deps: Pick<Deps, 'scrape' | 'clock' | 'log'>, rules: ScrapeRules) {
    this.#deps = deps
    this.#rules = rules
    this.#yard = {
      waiting: 0,
      most: WAITING_BYTES,
      clock: deps.clock,
      slow: () => rules.slow(),
      failed: why => deps.log.warn('a scrape failed', { error: why }),
    }
  }

  async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (this.#running >= PARALLEL || this.#yard.waiting > WAITING_BYTES) {
      this.#rules.busy()
      return say(response, 503, 'too many scrapes at a time; ask again later', { 'Retry-After': '1' })
    }
    const ms = deadline(request.headers['x-prometheus-scrape-timeout-seconds'], this.#rules.timeoutMs)
    const scrape = await this.#scrape(request, response, ms)
    if (scrape === undefined) return

    const delivery = this.#gathering.get(scrape.chunks) ?? this.#deliver(scrape)
    delivery.join(response, acceptsGzip(request.headers['accept-encoding']))
  }

  /** A body that is sent as soon as all who share it have joined. */
  #deliver(scrape: Exposition): Delivery {
    const delivery = new Delivery(scrape, this.#yard)
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
  async #scrape(request: IncomingMessage, response: ServerResponse, ms: number): Promise<Exposition | undefined> {
    const deadline = new AbortController()
    const ended = new AbortController()
    const sleep = (ms: number): Promise<void> => this.#deps.clock.sleep(ms, ended.signal)
    // Counted until it really ends, even if we stop waiting for it: what runs is what is bounded.
    this.#running++
    const scrape = this.#begin(request.headers.accept, deadline.signal).finally(() => this.#running--)
    sleep(ms).then(
      () => deadline.abort(new Error(`the scrape's ${ms / 1000} s are over`)),
      () => {},
    )
    const overdue = sleep(ms + RENDERING_MS).then(() => {
      throw deadline.signal.reason
    })
    try {
      return await Promise.race([scrape, overdue])
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error)
      this.#deps.log.warn('a scrape failed', { error: why })
      say(response, deadline.signal.aborted ? 503 : 500, `cannot answer the scrape: ${why}`)
      return undefined
    } finally {
      ended.abort(ENDED)
    }
  }

  async #begin(accept: string | undefined, signal: AbortSignal): Promise<Exposition> {
    return this.#deps.scrape(accept, signal)
  }
}

/**
 * Milliseconds that a scrape may take: what Prometheus allows, less a tenth but at most half a second for the way back,
 * and never more than the ceiling. What is not a positive number counts as absent.
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
