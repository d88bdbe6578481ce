// The parts that run: started from the last of the list to the first, stopped from the first to the last.

import { type Field, isSection } from '../options/kinds.ts'
import type { Consumers, RequestConsumer, SpanConsumer } from '../telemetry/consumer.ts'
import type { Asked } from '../telemetry/exposition.ts'
import type { Memories, Recall } from '../telemetry/flight.ts'
import type { Host } from '../telemetry/host.ts'
import { Keys } from '../telemetry/keys.ts'
import type { Finding, Part, Running, Step } from '../telemetry/part.ts'
import type { Route } from '../telemetry/route.ts'

/** The values of each part's options, by its name. */
export type PartOptions = Readonly<Record<string, object>>

/** A finding, and the part that it comes from. */
export interface PartFinding extends Finding {
  readonly part: string
}

export class StartedPart {
  readonly name: string
  readonly running: Running<unknown>
  /** Undefined for the many that have nothing to merge. */
  readonly merge: ((asked: Asked, signal: AbortSignal) => Promise<void>) | undefined

  constructor(name: string, running: Running<unknown>) {
    this.name = name
    this.running = running
    this.merge = running.merge?.bind(running)
  }

  collect(signal: AbortSignal): void | Promise<void> {
    return this.running.collect?.(signal)
  }

  findings(): readonly Finding[] {
    return this.running.findings?.() ?? []
  }
}

export class StartedParts implements AsyncDisposable {
  /** In the order of the list. Grows while parts start, and shrinks while they stop. */
  readonly all: StartedPart[] = []
  /** The consumers of incoming telemetry, of all parts that have started. */
  readonly consumers: Consumers
  readonly #spans: SpanConsumer[] = []
  readonly #traces: RequestConsumer[] = []
  readonly #metrics: RequestConsumer[] = []
  readonly #logs: RequestConsumer[] = []
  readonly #stack = new AsyncDisposableStack()
  #unready: string | undefined = 'starting'
  #stopped: Promise<void> | undefined

  constructor() {
    this.consumers = {
      keys: new Keys(),
      spans: this.#spans,
      traces: this.#traces,
      metrics: this.#metrics,
      logs: this.#logs,
    }
  }

  /** Starts what the options do not switch off. When one part cannot start, dispose: the others are stopped again. */
  async start<H extends Host>(
    list: Readonly<Record<string, Part<unknown, NoInfer<H>>>>,
    options: PartOptions,
    host: H,
  ): Promise<void> {
    const all = Object.values(list).reverse()
    const fed = all.some(part => part.feeds?.(options[part.name] ?? {}) && !isOff(part, options, false))
    for (const part of all) {
      if (isOff(part, options, fed)) continue
      const own = options[part.name] ?? {}
      this.#unready = `${part.name} is starting`
      const running = await part.start(own, host)
      this.#add(new StartedPart(part.name, running))
      if (part.options && hasLive(part.options) && !running.prepare)
        throw new Error(`cannot reload ${part.name}: it declares live options; give what it starts a prepare()`)
    }
    this.#unready = undefined
  }

  /** Why the sidecar does not do its whole work now; undefined while it does. */
  get unready(): string | undefined {
    return this.#unready
  }

  get routes(): readonly Route[] {
    return this.all.flatMap(({ running }) => running.routes ?? [])
  }

  /** Asks each part to judge its new options; rejects with the first objection, and nothing has changed then. */
  async prepare(next: PartOptions): Promise<readonly Step[]> {
    const steps: Step[] = []
    for (const { name, running } of this.all) if (running.prepare) steps.push(await running.prepare(next[name]))
    return steps
  }

  /** The memories of all parts; one that fails is left out. */
  async recall(recall: Recall, signal: AbortSignal): Promise<Memories> {
    const asked = this.all.flatMap(({ running }) => (running.recall ? [running] : []))
    const all = await Promise.allSettled(asked.map(running => Promise.try(() => running.recall?.(recall, signal))))
    const told = all.flatMap(each => (each.status === 'fulfilled' && each.value ? [each.value] : []))
    return {
      logs: told.flatMap(({ logs = [] }) => logs),
      traces: told.flatMap(({ traces = [] }) => traces),
      episodes: told.flatMap(({ episodes = [] }) => episodes),
    }
  }

  /** Has every part send what would be lost otherwise; never rejects. */
  async finish(signal: AbortSignal, failed: (part: string, error: unknown) => void): Promise<void> {
    await Promise.all(
      this.all.map(({ name, running }) =>
        Promise.try(() => running.finish?.(signal)).catch(error => failed(name, error)),
      ),
    )
  }

  #add(part: StartedPart): void {
    this.all.unshift(part)
    const { spans = [], traces = [], metrics = [], logs = [] } = part.running.consumes ?? {}
    this.#spans.unshift(...spans)
    this.#traces.unshift(...traces)
    this.#metrics.unshift(...metrics)
    this.#logs.unshift(...logs)
    this.#stack.defer(async () => {
      try {
        await part.running[Symbol.asyncDispose]()
      } finally {
        this.all.splice(this.all.indexOf(part), 1)
      }
    })
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#unready = 'stopping'
    this.#stopped ??= this.#stack.disposeAsync()
    return this.#stopped
  }
}

function isOff<H extends Host>(part: Part<unknown, H>, options: PartOptions, fed: boolean): boolean {
  const own: { readonly enabled?: unknown } = options[part.name] ?? {}
  return own.enabled === false || (part.off?.(own, fed) ?? false)
}

function hasLive(field: Field): boolean {
  return field.live === true || (isSection(field) && Object.values(field.fields).some(hasLive))
}
