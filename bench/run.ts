// Shared by the rows of one run: the bodies, a folder for files, whether the run is quick, and the budgets with the measured
// figures.

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { bodies } from './bodies.ts'
import { packBodies } from './load.ts'

export interface Row {
  readonly name: string
  readonly title: string
  /** Takes so long that a quick run skips it. */
  readonly long?: true
  /** Measures, and returns the Markdown below the title. */
  measure(run: Run): Promise<string>
}

export interface Budget {
  readonly what: string
  readonly budget: string
  readonly measured: string
  readonly holds: boolean
}

/** Bodies with a given number of spans each, as files for the load generator. */
export interface Bodies {
  readonly spans: number
  readonly count: number
  /** Mean bytes of a body, plain and compressed. */
  readonly bytes: number
  readonly gzipBytes: number
  readonly plain: string
  readonly gzip: string
}

const COUNT: Readonly<Record<number, number>> = { 512: 24, 50: 128, 20: 128, 5: 256, 1: 256 }

export class Run {
  #budgets: Budget[] = []
  readonly folder: string
  readonly quick: boolean
  /** Whether the Collector could be built. */
  readonly collector: boolean
  readonly #made = new Map<number, Buffer[]>()
  readonly #bodies = new Map<number, Bodies>()

  constructor(folder: string, quick: boolean, collector: boolean) {
    this.folder = folder
    this.quick = quick
    this.collector = collector
  }

  get rounds(): number {
    return this.quick ? 2 : 3
  }

  /** Seconds of one round. */
  get seconds(): number {
    return this.quick ? 0.4 : 0.6
  }

  async bodies(spans: number): Promise<Bodies> {
    const known = this.#bodies.get(spans)
    if (known) return known
    const made = this.pack(`bodies-${spans}`, spans, await this.sdkBodies(spans))
    this.#bodies.set(spans, made)
    return made
  }

  async sdkBodies(spans: number): Promise<readonly Buffer[]> {
    const made = this.#made.get(spans) ?? (await bodies(spans, COUNT[spans] ?? 64))
    this.#made.set(spans, made)
    return made
  }

  pack(name: string, spans: number, made: readonly Buffer[]): Bodies {
    const plain = join(this.folder, `${name}.bin`)
    const gzip = join(this.folder, `${name}.gz.bin`)
    const compressed = made.map(body => gzipSync(body))
    writeFileSync(plain, packBodies(made))
    writeFileSync(gzip, packBodies(compressed))
    const mean = (list: readonly Buffer[]) => list.reduce((sum, each) => sum + each.length, 0) / list.length
    return { spans, count: made.length, bytes: mean(made), gzipBytes: mean(compressed), plain, gzip }
  }

  budget(what: string, budget: string, measured: string, holds: boolean): void {
    this.#budgets.push({ what, budget, measured, holds })
  }

  /** The budgets that were measured since the previous call. */
  takeBudgets(): readonly Budget[] {
    const taken = this.#budgets
    this.#budgets = []
    return taken
  }
}
