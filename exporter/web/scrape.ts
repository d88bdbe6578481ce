// GET /metrics: the deadline that Prometheus gives, the compression it asks for, and bounds on how many scrapes are
// under way and how many bytes wait for readers that do not read.

import type { IncomingMessage, ServerResponse } from 'node:http'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { createGzip } from 'node:zlib'
import type { Exposition } from '../metrics.ts'
import type { Deps } from '../web.ts'
import { begin, say } from './answer.ts'

/** Scrapes that may wait for their text at a time; they share one collection, so more would only hold sockets. */
const PARALLEL = 4
/** Bodies that readers have not taken yet, all together: two scrapes of 100 000 series, uncompressed. */
const WAITING_BYTES = 32 * 1024 * 1024
/** After the deadline, what has been gathered may still be written. */
const RENDERING_MS = 500
/** Below this, gzip saves less than its own round trip costs. */
const GZIP_FROM_BYTES = 1024

export interface ScrapeRules {
  readonly timeoutMs: number
  /** Called when a scrape is turned away. */
  busy(): void
}

export class Scrapes {
  readonly #deps: Pick<Deps, 'scrape' | 'clock' | 'log'>
  readonly #rules: ScrapeRules
  #running = 0
  #waitingBytes = 0
  /** Compressed bodies by what they were made from, for as long as that lives. */
  readonly #packed = new WeakMap<readonly Buffer[], Promise<readonly Buffer[]>>()

  constructor(deps: Pick<Deps, 'scrape' | 'clock' | 'log'>, rules: ScrapeRules) {
    this.#deps = deps
    this.#rules = rules
  }

  async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (this.#running >= PARALLEL || this.#waitingBytes > WAITING_BYTES) {
      this.#rules.busy()
      return say(response, 503, 'too many scrapes at a time; ask again later', { 'Retry-After': '1' })
    }
    const ms = deadline(request.headers['x-prometheus-scrape-timeout-seconds'], this.#rules.timeoutMs)
    const scrape = await this.#scrape(request, response, ms)
    if (scrape === undefined) return

    const gzip = acceptsGzip(request.headers['accept-encoding']) && size(scrape.chunks) >= GZIP_FROM_BYTES
    const body = gzip ? await this.#pack(scrape.chunks) : scrape.chunks
    const bytes = size(body)
    const writable = begin(response, 200, {
      'Content-Type': scrape.contentType,
      'Content-Length': bytes,
      Vary: 'Accept, Accept-Encoding',
      ...(gzip ? { 'Content-Encoding': 'gzip' } : {}),
    })
    if (!writable) return
    this.#waitingBytes += bytes
    response.once('close', () => {
      this.#waitingBytes -= bytes
    })
    writable.cork()
    for (const chunk of body) writable.write(chunk)
    writable.end()
    writable.uncork()
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
      ended.abort()
    }
  }

  async #begin(accept: string | undefined, signal: AbortSignal): Promise<Exposition> {
    return this.#deps.scrape(accept, signal)
  }

  #pack(chunks: readonly Buffer[]): Promise<readonly Buffer[]> {
    const known = this.#packed.get(chunks)
    if (known) return known
    const packed = gzipped(chunks)
    this.#packed.set(chunks, packed)
    return packed
  }
}

/** Level 1 costs a quarter of level 6 for 30 % more bytes; zlib works on libuv's threads, so the loop goes on. */
async function gzipped(chunks: readonly Buffer[]): Promise<readonly Buffer[]> {
  const packed: Buffer[] = []
  await pipeline(
    Readable.from(chunks),
    createGzip({ level: 1, chunkSize: 65_536 }),
    async (source: AsyncIterable<Buffer>) => {
      for await (const chunk of source) packed.push(chunk)
    },
  )
  return packed
}

function size(chunks: readonly Buffer[]): number {
  let bytes = 0
  for (const chunk of chunks) bytes += chunk.length
  return bytes
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
