// Reads large requests on a thread of its own: checks them, transcodes JSON, and divides them into parts, so that the event
// loop is not held meanwhile. This module is both sides: who asks, and the thread.

import { answers, Thread } from '../../own/thread.ts'
import type { Clock } from '../collector.ts'
import { discard } from './body.ts'
import { Check } from './check.ts'
import { transcode } from './json.ts'
import { type Message, REQUESTS } from './schema.ts'
import { type Part, split } from './split.ts'
import type { Encoding, Signal } from './status.ts'

/** What was found, in a whole request that was read. */
export type Found =
  | { readonly kind: 'refused'; readonly reason: 'undecodable' | 'too_large'; readonly text: string }
  /** More items than are allowed; something in it with more fields than are allowed. */
  | { readonly kind: 'too_many' | 'crowded'; readonly items: number }
  | { readonly kind: 'parts'; readonly parts: readonly Part[] }

interface Job {
  readonly signal: Signal
  readonly encoding: Encoding
  readonly body: Uint8Array
  readonly limits: { readonly max_request: number; readonly max_items: number }
}

/** Who sends one each few seconds keeps the thread. To start it takes 40 ms of its CPU, and its memory is worth more. */
const IDLE_MS = 15_000

/** The thread, which is started for the first request. Whoever made it ends it. */
export class Large implements AsyncDisposable {
  readonly #clock: Clock
  readonly #thread = new Thread<Job, Found>(
    { url: import.meta.url, inside: 'collectors/otlp/large.js' },
    'read a large request',
  )
  #idle = new AbortController()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** One at a time. The body's memory is given away. Rejects when the thread fails; the next request starts another. */
  async read(signal: Signal, encoding: Encoding, body: Buffer<ArrayBuffer>, limits: Job['limits']): Promise<Found> {
    this.#idle.abort()
    const { max_request, max_items } = limits
    const found = await this.#thread.ask({ signal, encoding, body, limits: { max_request, max_items } }, [body.buffer])
    this.#restLater()
    return found
  }

  #restLater(): void {
    this.#idle = new AbortController()
    this.#clock.sleep(IDLE_MS, this.#idle.signal).then(
      () => this.#thread.rest(),
      () => {},
    )
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#idle.abort()
    await this.#thread[Symbol.asyncDispose]()
  }
}

answers(
  (job: Job): Found => {
    const found = read(job)
    discard(job.body)
    return found
  },
  found => (found.kind === 'parts' ? memory(found.parts) : []),
)

function read({ signal, encoding, body, limits }: Job): Found {
  const bytes = Buffer.from(body.buffer, body.byteOffset, body.length)
  if (encoding === 'protobuf') return divide(bytes, REQUESTS[signal], limits.max_items)
  const made = transcode(bytes, REQUESTS[signal], limits.max_request)
  if (!made.ok) return { kind: 'refused', reason: made.reason, text: `cannot decode the JSON: ${made.why}` }
  const found = divide(made.bytes, REQUESTS[signal], limits.max_items)
  discard(made.bytes)
  return found
}

function memory(parts: readonly Part[]): ArrayBuffer[] {
  return parts.slice(0, 1).map(each => each.bytes.buffer)
}

function divide(bytes: Buffer, type: Message, most: number): Found {
  const check = new Check()
  if (!check.run(bytes, type)) return { kind: 'refused', reason: 'undecodable', text: check.failure }
  const { items } = check
  if (items > most) return { kind: 'too_many', items }
  const parts = split(bytes, type)
  return parts ? { kind: 'parts', parts } : { kind: 'crowded', items }
}
