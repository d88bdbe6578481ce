// One answer of the API. Each way to answer returns the outcome that is counted.

import type { ServerResponse } from 'node:http'

export const OUTCOMES = ['ok', 'not_found', 'bad', 'busy', 'timeout', 'gone'] as const
export type Outcome = (typeof OUTCOMES)[number]

export class Answer {
  readonly #response: ServerResponse

  constructor(response: ServerResponse) {
    this.#response = response
  }

  /** An error for people: one line of plain text. */
  text(status: 200 | 400 | 404 | 429 | 503 | 504, text: string, more: Readonly<Record<string, string>> = {}): Outcome {
    this.#send(status, 'text/plain; charset=utf-8', `${text}\n`, more)
    return OUTCOME[status]
  }

  json(text: string, more: Readonly<Record<string, string>> = {}): Outcome {
    this.#send(200, 'application/json', text, more)
    return 'ok'
  }

  protobuf(bytes: Buffer): Outcome {
    this.#send(200, 'application/protobuf', bytes)
    return 'ok'
  }

  /**
   * Begins an answer in pieces, of so many bytes if that is known. Give each piece to the function that is returned, which
   * resolves when there is room for the next one or the client has gone; then `end`.
   */
  pieces(type: string, length: number | undefined, signal: AbortSignal): (piece: string | Buffer) => Promise<void> {
    const response = this.#response
    response.writeHead(200, { 'Content-Type': type, ...(length !== undefined && { 'Content-Length': length }) })
    return async piece => {
      if (response.write(piece) || signal.aborted) return
      await new Promise<void>(resolve => {
        const go = (): void => {
          response.off('drain', go)
          signal.removeEventListener('abort', go)
          resolve()
        }
        response.once('drain', go)
        signal.addEventListener('abort', go, { once: true })
      })
    }
  }

  /** Ends an answer in pieces. */
  end(signal: AbortSignal): Outcome {
    this.#response.end()
    return signal.aborted ? 'gone' : 'ok'
  }

  #send(status: number, type: string, body: string | Buffer, more: Readonly<Record<string, string>> = {}): void {
    const response = this.#response
    if (response.headersSent || response.destroyed) return
    response.writeHead(status, { 'Content-Type': type, 'Content-Length': Buffer.byteLength(body), ...more })
    response.end(body)
  }
}

const OUTCOME = { 200: 'ok', 400: 'bad', 404: 'not_found', 429: 'busy', 503: 'busy', 504: 'timeout' } as const
