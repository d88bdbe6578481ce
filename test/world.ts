// A Host whose machine and clock the test controls.

import { Scrape, type Source } from '../exporter/prometheus.ts'
import { Metrics } from '../metrics/registry.ts'
import type { Application, Clock, Host } from '../telemetry/host.ts'
import { Memory } from '../telemetry/memory.ts'

/** A clock that stands still until it is moved. */
export class FakeClock implements Clock {
  #ms = 0
  readonly #epoch: number
  #sleepers: { readonly due: number; readonly wake: () => void }[] = []

  constructor(epoch = 1_750_000_000_000) {
    this.#epoch = epoch
  }

  now(): number {
    return this.#epoch + this.#ms
  }

  monotonic(): number {
    return this.#ms
  }

  sleep(ms: number, signal: AbortSignal): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    if (signal.aborted) reject(signal.reason)
    signal.addEventListener('abort', () => reject(signal.reason), { once: true })
    this.#sleepers.push({ due: this.#ms + ms, wake: resolve })
    return promise
  }

  /** Moves the time forward without waking sleepers. */
  skip(ms: number): void {
    this.#ms += ms
  }

  /** Moves the time forward and wakes sleepers in order; code that they start may sleep and be woken within the same move. */
  async pass(ms: number): Promise<void> {
    const end = this.#ms + ms
    for (;;) {
      await settled()
      const next = this.#sleepers.filter(({ due }) => due <= end).sort((a, b) => a.due - b.due)[0]
      if (!next) break
      this.#sleepers = this.#sleepers.filter(each => each !== next)
      this.#ms = Math.max(this.#ms, next.due)
      next.wake()
    }
    this.#ms = end
    await settled()
  }
}

/** Runs everything that is ready to run. */
async function settled(): Promise<void> {
  for (let i = 0; i < 5; i++) await new Promise(setImmediate)
}

export interface World extends Host {
  readonly clock: FakeClock
  readonly metrics: Metrics
  /** The log, each line as "level message". */
  readonly logged: string[]
  readonly app: Application
}

/** A host whose /proc is a folder and whose clock is moved by hand. */
export function world(proc: string, app: Partial<Application> = {}): World {
  const logged: string[] = []
  const line = (level: string) => (message: string) => void logged.push(`${level} ${message}`)
  return {
    proc,
    memory: new Memory(2 ** 30),
    clock: new FakeClock(),
    metrics: new Metrics(),
    logged,
    log: { info: line('info'), warn: line('warn'), error: line('error') },
    app: { select: {}, url: undefined, child: undefined, pid: undefined, port: undefined, ...app },
  }
}

/** One scrape of the whole registry of the host, as text. */
export async function scraped({ metrics }: Host, sources: readonly Source[] = [], accept?: string): Promise<string> {
  const { chunks } = await new Scrape(metrics, sources).scrape(accept, AbortSignal.timeout(5000))
  return Buffer.concat(chunks).toString()
}
