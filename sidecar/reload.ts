// Takes the configuration anew while the sidecar runs: all of it or nothing. Changes are prepared first, by every
// part that has something to change; only when nobody objects is it put in effect, by steps that cannot fail.

import { isDeepStrictEqual } from 'node:util'
import type { Metrics } from '../metrics/registry.ts'
import { type Field, type Fields, isSection, type Section } from '../options/kinds.ts'
import type { Reading } from '../options/read.ts'
import { type Options, settings } from '../parts.ts'
import type { Clock, Log } from '../telemetry/host.ts'
import type { Finding, Step } from '../telemetry/part.ts'
import { successful, successTime } from '../telemetry/reload.ts'
import { type Tracer, UNRECORDED } from '../telemetry/tracer.ts'

/** Judges new options; returns the steps that put them in effect. Throws for what an operator must mend. */
export type Prepare = (next: Options) => Promise<readonly Step[]>

export interface Around {
  readonly clock: Pick<Clock, 'now'>
  readonly log: Log
  readonly metrics: Metrics
  readonly tracer?: Tracer
  /** Where the first options come from; undefined is "default" for all of them. */
  readonly origins?: ReadonlyMap<string, string> | undefined
}

export class Reload {
  readonly #read: () => Promise<Reading<Options>>
  readonly #prepare: Prepare
  readonly #log: Log
  readonly #clock: Around['clock']
  readonly #tracer: Tracer
  readonly #successful
  readonly #successTime
  #options: Options
  #origins: ReadonlyMap<string, string>
  #wrong: readonly string[] = []
  #turn: Promise<void> = Promise.resolve()

  constructor(options: Options, read: () => Promise<Reading<Options>>, prepare: Prepare, around: Around) {
    this.#options = options
    this.#origins = around.origins ?? new Map()
    this.#read = read
    this.#prepare = prepare
    this.#log = around.log
    this.#clock = around.clock
    this.#tracer = around.tracer ?? UNRECORDED
    this.#successful = around.metrics.gauge(successful)
    this.#successTime = around.metrics.gauge(successTime)
    this.#succeeded()
  }

  /**
   * Reads all sources and takes what they say; rejects with what is wrong, and nothing has changed then. One at a time. If
   * `still` is false after the reading, a source is being written, and nothing is taken or said.
   */
  now(why: string, still: () => Promise<boolean> = async () => true): Promise<void> {
    const turn = this.#turn.then(() => this.#traced(why, still))
    this.#turn = turn.catch(() => {})
    return turn
  }

  /** The options in effect, and where each comes from. */
  get taken(): { readonly values: Options; readonly origins: ReadonlyMap<string, string> } {
    return { values: this.#options, origins: this.#origins }
  }

  findings(): readonly Finding[] {
    return this.#wrong.map(text => ({ level: 'warning', text: `the configuration stays as it was: ${text}` }))
  }

  async #traced(why: string, still: () => Promise<boolean>): Promise<void> {
    const span = this.#tracer.begin('reload', 'internal', { 'pillion.reload.why': why })
    try {
      await this.#reload(why, still)
      span.end()
    } catch (error) {
      span.end({ problem: error instanceof Error ? error.message : String(error) })
      throw error
    }
  }

  async #reload(why: string, still: () => Promise<boolean>): Promise<void> {
    try {
      const reading = await this.#read()
      if (!(await still())) return
      const changes = await this.#take(reading)
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

  async #take(reading: Reading<Options>): Promise<readonly string[]> {
    if (!reading.ok) throw new Refused(reading.problems.map(problem => problem.text))
    for (const warning of reading.warnings) this.#log.warn('warning while reloading', { warning })
    const next = reading.values
    const changes = changed(settings, this.#options, next)
    const fixed = changes.filter(change => !change.live)
    if (fixed.length > 0)
      throw new Refused([
        `cannot change ${paths(fixed).join(', ')} while running; restart the sidecar, or put back what was there`,
      ])
    const steps = await this.#prepare(next)
    for (const step of steps) await step()
    this.#options = next
    this.#origins = reading.origins
    return paths(changes)
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

export interface Change {
  readonly path: string
  /** Whether the schema says that it can change while the sidecar runs. */
  readonly live: boolean
}

/** The options of a section that differ; a list counts as one option. */
export function changed(schema: Section<Fields>, before: object, after: object): readonly Change[] {
  return differences(schema, before, after, '', false)
}

function differences(field: Field, before: unknown, after: unknown, path: string, above: boolean): readonly Change[] {
  const live = above || field.live === true
  if (!isSection(field)) return isDeepStrictEqual(before, after) ? [] : [{ path, live }]
  return Object.entries(field.fields).flatMap(([name, each]) =>
    differences(each, at(before, name), at(after, name), path ? `${path}.${name}` : name, live),
  )
}

function at(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? Reflect.get(value, name) : undefined
}

function paths(changes: readonly Change[]): readonly string[] {
  return changes.map(change => change.path)
}
