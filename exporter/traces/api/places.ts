// Two queries at a time; some others wait for their turn, and beyond these a client is told to come again.

import { QueryStopped } from '../../../traceql/reading.ts'

const AT_ONCE = 2
/** A Grafana dashboard asks a dozen at once. */
const WAITING = 32

export class Places {
  #running = 0
  readonly #waiting: (() => void)[] = []

  /**
   * Waits for a place; undefined if too many wait already. Rejects with QueryStopped when the client has gone or `signal`
   * aborts otherwise. Give the place back by calling what is returned.
   */
  async take(signal: AbortSignal, timeoutMs: number): Promise<(() => void) | undefined> {
    if (this.#running >= AT_ONCE) {
      if (this.#waiting.length >= WAITING) return undefined
      await this.#wait(AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]), signal)
    } else this.#running++
    let given = false
    return () => {
      if (given) return
      given = true
      const next = this.#waiting.shift()
      if (next) next()
      else this.#running--
    }
  }

  /** Resolves when a place was passed on to it. */
  #wait(either: AbortSignal, client: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const stop = (): void => {
        this.#waiting.splice(this.#waiting.indexOf(turn), 1)
        reject(
          client.aborted
            ? new QueryStopped('gone', 'the client has gone')
            : new QueryStopped('timeout', 'other queries took all the time; ask again later'),
        )
      }
      const turn = (): void => {
        either.removeEventListener('abort', stop)
        resolve()
      }
      if (either.aborted) {
        reject(new QueryStopped('gone', 'the client has gone'))
        return
      }
      this.#waiting.push(turn)
      either.addEventListener('abort', stop, { once: true })
    })
  }
}
