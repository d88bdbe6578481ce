// Reads large requests on a thread of its own: checks them, transcodes JSON, and divides them into parts, so that the event
// loop is not held meanwhile. This module is both sides: the caller, and the thread.

import { Check } from '../../otlp/check.ts'
import { transcode } from '../../otlp/json.ts'
import { type Message, REQUESTS } from '../../otlp/schema.ts'
import { type RequestPart, split } from '../../otlp/split.ts'
import { answers, Thread } from '../../own/thread.ts'
import type { Clock } from '../../telemetry/host.ts'
import type { Signal } from '../../telemetry/request.ts'
import { discard } from './memory.ts'
import type { Encoding } from './status.ts'

/** The result of reading a whole request. */
export type LargeOutcome =
  | { readonly kind: 'refused'; readonly reason: 'undecodable' | 'too_large'; readonly text: string }
  /** More items than are allowed; something in it with more fields than are allowed. */
  | { readonly kind: 'too_many' | 'crowded'; readonly items: number }
  | { readonly kind: 'parts'; readonly parts: readonly RequestPart[] }

interface Job {
  readonly signal: Signal
  readonly encoding: Encoding
  readonly body: Uint8Array
  readonly limits: { readonly max_request: number; readonly max_items: number }
}

/** A sender of one every few seconds keeps the thread. Starting it takes 40 ms of CPU, but its memory is worth more. */
const IDLE_MS = 15_000

/** The thread, which is started for the first request. Its owner ends it. */
export class Large implements AsyncDisposable {
  readonly #clock: Clock
  readonly #thread = new Thread<Job, LargeOutcome>(
    { url: import.meta.url, inside: 'collectors/otlp/large.js' },
    'read a large request',
  )
  #idle = new AbortController()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** One at a time. The body's memory is given away. Rejects when the thread fails; the next request starts another. */
  async read(
    signal: Signal,
    encoding: Encoding,
    body: Buffer<ArrayBuffer>,
    limits: Job['limits'],
  ): Promise<LargeOutcome> {
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
  (job: Job): LargeOutcome => {
    const found = read(job)
    discard(job.body)
    return found
  },
  found => (found.kind === 'parts' ? memory(found.parts) : []),
)

function read({ signal, encoding, body, limits }: Job): LargeOutcome {
  const bytes = Buffer.from(body.buffer, body.byteOffset, body.length)
  if (encoding === 'protobuf') return divide(bytes, REQUESTS[signal], limits.max_items)
  const made = transcode(bytes, REQUESTS[signal], limits.max_request)
  if (!made.ok) return { kind: 'refused', reason: made.reason, text: `cannot decode the JSON: ${made.why}` }
  const found = divide(made.bytes, REQUESTS[signal], limits.max_items)
  discard(made.bytes)
  return found
}

function memory(parts: readonly RequestPart[]): ArrayBuffer[] {
  return parts.slice(0, 1).map(each => each.bytes.buffer)
}

function divide(bytes: Buffer, type: Message, most: number): LargeOutcome {
  const check = new Check()
  if (!check.run(bytes, type)) return { kind: 'refused', reason: 'undecodable', text: check.failure }
  const { items } = check
  if (items > most) return { kind: 'too_many', items }
  const parts = split(bytes, type)
  return parts ? { kind: 'parts', parts } : { kind: 'crowded', items }
}
