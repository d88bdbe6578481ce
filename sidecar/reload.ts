// Takes the configuration anew while the sidecar runs: all of it or nothing. What can change is prepared first, by every
// part that has something to change; only when nobody objects is it put in effect, by steps that cannot fail.

import { isDeepStrictEqual } from 'node:util'
import type { Clock, Finding, Log } from '../collectors/collector.ts'
import type { Metrics } from '../exporter/metrics.ts'
import type { Reading } from '../options/read.ts'
import type { Options } from '../parts.ts'
import { successful, successTime } from './families.ts'

/** What can change while the sidecar runs: these options and all below them. The rest needs a restart. */
export const LIVE = ['health', 'log.level', 'web.allowed_hosts', 'web.token_file', 'web.config'] as const

/** Judges new options; returns the steps that put them in effect. Throws for what an operator must mend. */
export type Prepare = (next: Options) => Promise<readonly (() => void | Promise<void>)[]>

export interface Around {
  readonly clock: Pick<Clock, 'now'>
  readonly log: Log
  readonly metrics: Metrics
}

export class Reload {
  readonly #read: () => Promise<Reading<Options>>
  readonly #prepare: Prepare
  readonly #log: Log
  readonly #clock: Around['clock']
  readonly #successful
  readonly #successTime
  #options: Options
  #wrong: readonly string[] = []
  #turn: Promise<void> = Promise.resolve()

  constructor(options: Options, read: () => Promise<Reading<Options>>, prepare: Prepare, around: Around) {
    this.#options = options
    this.#read = read
    this.#prepare = prepare
    this.#log = around.log
    this.#clock = around.clock
    this.#successful = around.metrics.gauge(successful)
    this.#successTime = around.metrics.gauge(successTime)
    this.#succeeded()
  }

  /** Reads all sources and takes what they say; rejects with what is wrong, and nothing has changed then. One at a time. */
  now(why: string): Promise<void> {
    const turn = this.#turn.then(() => this.#reload(why))
    this.#turn = turn.catch(() => {})
    return turn
  }

  findings(): readonly Finding[] {
    return this.#wrong.map(text => ({ level: 'warning', text: `the configuration stays as it was: ${text}` }))
  }

  async #reload(why: string): Promise<void> {
    try {
      const changes = await this.#take()
      this.#succeeded()
      this.#log.info('configuration taken', { why, changed: changes.join(', ') || 'nothing' })
    } catch (error) {
      this.#wrong = error instanceof Refused ? error.problems : [error instanceof Error ? error.message : String(error)]
      this.#successful.set(0)
      for (const each of this.#wrong.slice(0, 5))
        this.#log.error('the configuration stays as it was', { why, error: each })
      throw error
    }
  }

  async #take(): Promise<readonly string[]> {
    const reading = await this.#read()
    if (!reading.ok) throw new Refused(reading.problems.map(problem => problem.text))
    for (const warning of reading.warnings) this.#log.warn('passed over while reloading', { warning })
    const next = reading.values
    const changes = changed(this.#options, next)
    const fixed = changes.filter(path => !LIVE.some(live => path === live || path.startsWith(`${live}.`)))
    if (fixed.length > 0)
      throw new Refused([
        `cannot change ${fixed.join(', ')} while running; restart the sidecar, or put back what was there`,
      ])
    const steps = await this.#prepare(next)
    for (const step of steps) await step()
    this.#options = next
    return changes
  }

  #succeeded(): void {
    this.#wrong = []
    this.#successful.set(1)
    this.#successTime.set(this.#clock.now() / 1000)
  }
}

class Refused extends Error {
  readonly problems: readonly string[]

  constructor(problems: readonly string[]) {
    super(problems.join('\n'))
    this.problems = problems
  }
}

/** Paths of the options that differ; a list counts as one option. */
export function changed(before: object, after: object, prefix = ''): string[] {
  const old = new Map<string, unknown>(Object.entries(before))
  return Object.entries(after).flatMap(([name, value]: [string, unknown]) => {
    const was = old.get(name)
    // What a listening address is made of is no option.
    const table = isTable(was) && isTable(value) && !('port' in value && 'host' in value)
    if (table) return changed(was, value, `${prefix}${name}.`)
    return isDeepStrictEqual(was, value) ? [] : [prefix + name]
  })
}

function isTable(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
