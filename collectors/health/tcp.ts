// The TCP probe: connect and, if configured, send something and wait for what must be received.

import { open } from '../../client/connection.ts'
import { failed, failure } from '../../client/failure.ts'
import { Stopwatch } from '../../client/stopwatch.ts'
import type { Expression } from '../../options/expression.ts'
import type { TcpEndpoint } from '../../telemetry/client.ts'
import { refusal } from './address.ts'
import type { Failure, Probe } from './verdict.ts'

export interface TcpTarget {
  readonly kind: 'tcp'
  readonly endpoint: TcpEndpoint
  readonly send: string | undefined
  /** Matched against everything received so far, byte by byte (latin1). */
  readonly expect: Expression | undefined
}

const RECEIVE_LIMIT = 64 * 1024
const PAUSE_FACTOR = 20

export const tcp: Probe<TcpTarget> = async (target, signal, context) => {
  const watch = new Stopwatch(context.clock)
  const opened = await open(target.endpoint, signal, watch, { blocked: refusal })
  const tls = opened.notAfter === undefined ? {} : { notAfter: opened.notAfter }
  if (!opened.ok) return watch.stop(opened)
  const { socket } = opened
  const { expect } = target
  const { promise, resolve } = Promise.withResolvers<{ ok: true } | Failure>()
  const expire = (): void => resolve(failure(undefined, signal))
  try {
    watch.enter('processing')
    if (signal.aborted) expire()
    else signal.addEventListener('abort', expire, { once: true })
    socket.on('error', error => resolve(failure(error, signal)))
    if (target.send !== undefined) socket.write(target.send)
    if (expect === undefined) return watch.stop({ ok: true, ...tls })
    using received = new Received(expect, resolve)
    socket.on('data', bytes => received.take(bytes))
    socket.on('end', () => received.close())
    socket.on('close', () => received.gone())
    return watch.stop({ ...(await promise), ...tls })
  } finally {
    signal.removeEventListener('abort', expire)
    socket.destroy()
  }
}

/**
 * The text received so far, matched while it grows. A test takes time in proportion to the whole text, so a peer that sends
 * byte by byte would cost the square of its length: after a test the next one waits for twenty times what that one took.
 */
class Received implements Disposable {
  readonly #expect: Expression
  readonly #settle: (outcome: { ok: true } | Failure) => void
  #text = ''
  #pause: NodeJS.Timeout | undefined
  #testing = false
  /** Nothing more counts: what has come is matched for the last time. */
  #ending = false
  #settled = false

  constructor(expect: Expression, settle: (outcome: { ok: true } | Failure) => void) {
    this.#expect = expect
    this.#settle = settle
  }

  take(bytes: Buffer): void {
    if (this.#settled || this.#ending) return
    this.#text += bytes.toString('latin1')
    if (this.#text.length > RECEIVE_LIMIT)
      void this.#end(failed('too_large', `no match in the first ${RECEIVE_LIMIT} bytes`))
    else if (!this.#testing && this.#pause === undefined) void this.#test()
  }

  close(): void {
    if (!this.#settled) void this.#end(failed('body', `closed after ${this.#text.length} bytes without a match`))
  }

  /** The connection is over, and the peer may not have closed it. */
  gone(): void {
    if (!this.#ending) this.#done(failed('reset', 'closed'))
  }

  [Symbol.dispose](): void {
    this.#settled = true
    clearTimeout(this.#pause)
  }

  async #test(): Promise<void> {
    const begun = performance.now()
    const tested = this.#text.length
    this.#testing = true
    const matches = await this.#expect.matches(this.#text).catch(() => false)
    this.#testing = false
    if (matches) this.#done({ ok: true })
    if (this.#settled || this.#ending) return
    const pauseMs = Math.ceil((performance.now() - begun) * PAUSE_FACTOR)
    this.#pause = setTimeout(() => {
      this.#pause = undefined
      if (this.#text.length > tested) void this.#test()
    }, pauseMs)
  }

  async #end(otherwise: Failure): Promise<void> {
    if (this.#ending) return
    this.#ending = true
    const matches = await this.#expect.matches(this.#text.slice(0, RECEIVE_LIMIT)).catch(() => false)
    this.#done(matches ? { ok: true } : otherwise)
  }

  #done(outcome: { ok: true } | Failure): void {
    this[Symbol.dispose]()
    this.#settle(outcome)
  }
}
