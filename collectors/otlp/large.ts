// Reads large requests on a thread of its own: checks them, transcodes JSON, and divides them into parts, so that the event
// loop is not held meanwhile. This module is both sides: who asks, and the thread.

import { once } from 'node:events'
import { isMainThread, type MessagePort, parentPort, Worker } from 'node:worker_threads'
import { embedded } from '../../own/files.ts'
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

/** Where this module is inside the single executable, bundled as a program. */
const INSIDE = 'collectors/otlp/large.js'

/** Who sends one each few seconds keeps the thread. To start it takes 40 ms of its CPU, and its memory is worth more. */
const IDLE_MS = 15_000

/** The thread, which is started for the first request. Whoever made it ends it. */
export class Large implements AsyncDisposable {
  readonly #clock: Clock
  #worker: Worker | undefined
  #idle = new AbortController()
  #ended = false

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** One at a time. The body's memory is given away. Rejects when the thread fails; the next request starts another. */
  async read(signal: Signal, encoding: Encoding, body: Buffer<ArrayBuffer>, limits: Job['limits']): Promise<Found> {
    if (this.#ended) throw new Error('cannot read a request: the door is closed')
    this.#idle.abort()
    this.#worker ??= start()
    const worker = this.#worker
    const done = new AbortController()
    try {
      const ended = once(worker, 'exit', { signal: done.signal }).then(() => {
        throw new Error('cannot read a request: the thread for it has ended')
      })
      const answer = once(worker, 'message', { signal: done.signal })
      const { max_request, max_items } = limits
      const job: Job = { signal, encoding, body, limits: { max_request, max_items } }
      worker.postMessage(job, [body.buffer])
      const [found] = await Promise.race([answer, ended])
      this.#endLater()
      return found
    } catch (error) {
      this.#worker = undefined
      throw error
    } finally {
      done.abort()
    }
  }

  #endLater(): void {
    const idle = new AbortController()
    this.#idle = idle
    this.#clock.sleep(IDLE_MS, idle.signal).then(
      () => this.#end(),
      () => {},
    )
  }

  async #end(): Promise<void> {
    const worker = this.#worker
    this.#worker = undefined
    await worker?.terminate()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ended = true
    this.#idle.abort()
    await this.#end()
  }
}

function start(): Worker {
  // A thread cannot be started from a module inside the single executable, which has this one as a program for that.
  const program = embedded(INSIDE)
  const worker = new Worker(program ?? new URL(import.meta.url), {
    eval: program !== undefined,
    resourceLimits: { maxOldGenerationSizeMb: 32 },
    // It needs nothing of what this process was started with, and none of its secrets.
    execArgv: [],
    env: {},
  })
  worker.unref()
  // An error in the thread ends it, which is noticed by who waits for it.
  worker.on('error', () => {})
  return worker
}

if (!isMainThread && parentPort) answer(parentPort)

function answer(port: MessagePort): void {
  port.on('message', (job: Job) => {
    const found = read(job)
    discard(job.body)
    port.postMessage(found, found.kind === 'parts' ? memory(found.parts) : [])
  })
}

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
