// One life of the sidecar, from its start to its end: the spans that it was sent, its own counters, and its use of the machine.

import { readdirSync, readFileSync } from 'node:fs'
import { slope } from '../figures.ts'
import { cpuSeconds, memory } from '../machine.ts'
import type { Server } from '../server.ts'
import { difference, type Ledger, type Sent } from './accounts.ts'

export interface Sample {
  /** Since the start of the life. */
  readonly seconds: number
  /** MiB. */
  readonly rss: number
  readonly fds: number
  readonly threads: number
}

/** The time at the beginning that is ignored when descriptors are counted: not all of them are open yet. */
const WARM_UP_SECONDS = 120
const WARM_UP_SHARE = 1 / 3

export class Life {
  readonly number: number
  readonly server: Server
  readonly before: Sent
  readonly begun = performance.now()
  readonly samples: Sample[] = []
  /** Lines of each page that are samples. */
  readonly series: { readonly seconds: number; readonly count: number }[] = []
  readonly scrapeMs: number[] = []
  /** Comparisons of the ledger with the senders' account: exact ones, and those within bounds. */
  readonly exact = { made: 0, held: 0 }
  readonly bounded = { made: 0, held: 0 }
  readonly reloads = { taken: 0, refused: 0, wrong: 0 }
  /** Restarts of the application. */
  readonly restarts = { made: 0, seen: 0 }
  /** At the last quiet moment. */
  sent: Sent | undefined
  ledger: Ledger | undefined
  /** The promises that were not kept, in words. */
  readonly wrong: string[] = []
  end = 'still running'
  #cpu = 0
  #seconds = 0

  constructor(number: number, server: Server, before: Sent) {
    this.number = number
    this.server = server
    this.before = before
  }

  get seconds(): number {
    return this.#seconds
  }

  /** CPU seconds a second. */
  get cpu(): number {
    return this.#cpu / this.#seconds
  }

  /** Reads the kernel's figures; undefined if the process has ended. */
  sample(): void {
    const { pid } = this.server
    const seconds = (performance.now() - this.begun) / 1000
    try {
      const status = readFileSync(`/proc/${pid}/status`, 'latin1')
      const threads = Number(/^Threads:\s+(\d+)/m.exec(status)?.[1])
      const { rss } = memory(pid)
      if (Number.isNaN(rss)) return
      this.samples.push({ seconds, rss, fds: readdirSync(`/proc/${pid}/fd`).length, threads })
      this.#cpu = cpuSeconds(pid)
      this.#seconds = seconds
    } catch {}
  }

  /** The part of `now`, all that was ever sent, that was sent in this life. */
  since(now: Sent): Sent {
    return difference(now, this.before)
  }

  get warm(): number {
    return Math.min(WARM_UP_SECONDS, this.#seconds * WARM_UP_SHARE)
  }

  get settled(): readonly Sample[] {
    return this.samples.filter(({ seconds }) => seconds >= this.warm)
  }

  /** V8 fills its heap and compiles code for minutes, so growth in the first half is not a leak. */
  get secondHalf(): readonly Sample[] {
    return this.samples.filter(({ seconds }) => seconds >= this.#seconds / 2)
  }

  /** MiB a minute, in its second half. */
  get rssSlope(): number {
    return slope(this.secondHalf.map(({ seconds, rss }) => [seconds / 60, rss]))
  }

  get rssMost(): number {
    return Math.max(...this.samples.map(({ rss }) => rss))
  }

  /** The most in the first and in the last third of the settled time. */
  thirds(of: (sample: Sample) => number): readonly [first: number, last: number] {
    return thirds(this.settled.map(of))
  }

  get seriesThirds(): readonly [first: number, last: number] {
    return thirds(this.series.filter(({ seconds }) => seconds >= this.warm).map(({ count }) => count))
  }
}

function thirds(values: readonly number[]): readonly [number, number] {
  const third = Math.max(1, Math.floor(values.length / 3))
  return [Math.max(...values.slice(0, third)), Math.max(...values.slice(-third))]
}
