// The recent numbers behind the page: rings of 15 minutes that are filled while somebody asks for them, and some
// minutes longer. Until the page is first asked for, they cost nothing.

import { performance } from 'node:perf_hooks'
import type { Allotment } from '../../../telemetry/memory.ts'
import type { WebHost } from '../host.ts'
import { Families } from './families.ts'
import { Limits } from './limits.ts'
import { MACHINE_BYTES, Machine } from './machine.ts'
import { Requests } from './requests.ts'
import { STEPS, Timeline } from './timeline.ts'

const STEP_MS = 1000
/** The time that it goes on after the last question. */
const LINGER_MS = 5 * 60 * 1000
/** Everything that is kept, at most: 200 operations with 14 buckets take 4 MB. */
const MOST_BYTES = 8 * 1024 * 1024
/** Limits and families are looked at less often than the rest. */
const SELDOM_STEPS = 5
const SCRAPE_MS = 4000

type Needs = Pick<WebHost, 'metrics' | 'clock' | 'memory' | 'log' | 'gather' | 'page'>

export class Recent implements AsyncDisposable {
  readonly #host: Needs
  readonly #memory: Allotment
  readonly #stop = new AbortController()
  #kept: Promise<Kept> | undefined
  #asked = 0
  #running: Promise<void> | undefined

  constructor(host: Needs) {
    this.#host = host
    this.#memory = host.memory.allot('page', MOST_BYTES)
  }

  /** The numbers that are kept; begins to keep them. The first answer after a while waits for the first look. */
  kept(): Promise<Kept> {
    this.#asked = this.#host.clock.monotonic()
    this.#kept ??= this.#begin()
    return this.#kept
  }

  async #begin(): Promise<Kept> {
    this.#memory.add(MACHINE_BYTES)
    const kept = new Kept(this.#host, this.#memory)
    await kept.look(0)
    this.#running = this.#run(kept)
    return kept
  }

  async #run(kept: Kept): Promise<void> {
    const { clock, log } = this.#host
    const { signal } = this.#stop
    let before = clock.monotonic()
    while (!signal.aborted && clock.monotonic() - this.#asked < LINGER_MS) {
      await clock.sleep(STEP_MS, signal).catch(() => {})
      if (signal.aborted) break
      const now = clock.monotonic()
      await kept.look((now - before) / 1000).catch(error => log.warn('cannot read the recent numbers', { error }))
      before = now
    }
    kept.requests.forget()
    kept.families.forget()
    this.#memory.add(-MACHINE_BYTES)
    this.#kept = undefined
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort()
    await this.#running
  }
}

export class Kept {
  readonly timeline = new Timeline()
  readonly requests: Requests
  readonly machine: Machine
  readonly limits: Limits
  readonly families = new Families()
  readonly #host: Needs
  /** CPU time that the looks took, in milliseconds, and how many there were. */
  readonly cost = { ms: 0, looks: 0 }

  constructor(host: Needs, memory: Allotment) {
    this.#host = host
    this.requests = new Requests(host.metrics, memory)
    this.machine = new Machine(host.metrics)
    this.limits = new Limits(host.metrics)
  }

  get full(): boolean {
    return this.timeline.steps >= STEPS
  }

  /** Takes one step, which took so many seconds. */
  async look(seconds: number): Promise<void> {
    // A collector that fails is named by its own metric.
    await this.#host.gather?.(AbortSignal.timeout(STEP_MS))
    const begun = performance.now()
    const now = this.#host.clock.now()
    this.timeline.step(now, seconds || 1)
    this.requests.look(this.timeline)
    await this.machine.look(this.timeline)
    if ((this.timeline.steps - 1) % SELDOM_STEPS === 0) {
      await this.limits.look(now)
      if (this.families.looking) await this.readFamilies()
    }
    this.cost.ms += performance.now() - begun
    this.cost.looks++
  }

  /** Reads the page of /metrics; its numbers are kept unless it is read only for the list of families. */
  async readFamilies({ keep = true } = {}): Promise<void> {
    const page = await this.#host.page?.('text/plain', AbortSignal.timeout(SCRAPE_MS), SCRAPE_MS)
    if (page) await this.families.read(page, this.#host.clock.now(), keep)
  }
}
