// The answers to ordinary requests, with the fields that `node:http` sends.

import type { Clock } from '../../../telemetry/host.ts'
import { CLOSE, type Headers } from '../refusals.ts'
import { CONTENT_TYPE, type Encoding } from '../status.ts'

/** The time for which a connection without requests is kept. SDKs export every 5 s by default. */
export const KEEP_ALIVE_MS = 65_000

const KEEP = { Connection: 'keep-alive', 'Keep-Alive': `timeout=${KEEP_ALIVE_MS / 1000}` }

export class Answers {
  readonly #clock: Clock
  readonly #reasons = process.getBuiltinModule('node:http').STATUS_CODES
  #second = Number.NaN
  #date = ''
  /** The empty success of this second in each encoding. */
  #taken: Partial<Record<Encoding, Buffer>> = {}

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** A success with nothing to say, made once a second. */
  taken(encoding: Encoding, body: Buffer): Buffer {
    this.#look()
    this.#taken[encoding] ??= this.of(200, encoding, body, false)
    return this.#taken[encoding]
  }

  of(code: number, encoding: Encoding, body: Buffer, close: boolean, headers: Headers = {}): Buffer {
    this.#look()
    const fields = {
      'Content-Type': CONTENT_TYPE[encoding],
      'Content-Length': body.length,
      ...headers,
      Date: this.#date,
      ...(close ? CLOSE : KEEP),
    }
    const lines = Object.entries(fields).map(([name, value]) => `${name}: ${value}\r\n`)
    return Buffer.concat([
      Buffer.from(`HTTP/1.1 ${code} ${this.#reasons[code]}\r\n${lines.join('')}\r\n`, 'latin1'),
      body,
    ])
  }

  #look(): void {
    const second = Math.floor(this.#clock.now() / 1000)
    if (second === this.#second) return
    this.#second = second
    this.#date = new Date(second * 1000).toUTCString()
    this.#taken = {}
  }
}
