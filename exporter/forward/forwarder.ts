// Forwarding while it runs: takes what was accepted, gives it to the queue of each upstream, and keeps the ledger.

import { Check } from '../../otlp/check.ts'
import { REQUESTS } from '../../otlp/schema.ts'
import { MemoryStore } from '../../queue/memory.ts'
import { type Lose, PLACES, type Queue } from '../../queue/queue.ts'
import type { RequestConsumer } from '../../telemetry/consumer.ts'
import type { Clock } from '../../telemetry/host.ts'
import type { Finding } from '../../telemetry/part.ts'
import type { Request, Signal } from '../../telemetry/request.ts'
import { type Sampler, samples } from '../../telemetry/sampler.ts'
import type { Fact } from '../../telemetry/status.ts'
import { trimCompressors } from './compress.ts'
import * as family from './families.ts'
import type { ForwardHost, ForwardRunning } from './host.ts'
import { Lane } from './lane.ts'
import type { ForwardOptions } from './options.ts'
import { literal, ownAt } from './own.ts'
import { plan, type Target, type UpstreamPlan } from './target.ts'
import { Transport } from './transport.ts'

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS
const TICK_MS = 1000
/** SDKs give up 10 s after the first attempt, so they are told to come again soon. */
const LATER_MS = 1000

class Upstream {
  readonly name: string
  readonly queue: Queue
  readonly lanes = new Map<Signal, Lane>()
  readonly maxAgeMs: number

  constructor(name: string, queue: Queue, maxAgeMs: number) {
    this.name = name
    this.queue = queue
    this.maxAgeMs = maxAgeMs
  }
}

/** Opens what the options ask for; throws what an operator must mend. */
export async function openForwarder(options: ForwardOptions, host: ForwardHost): Promise<ForwardRunning> {
  const plans = plan(options)
  const store = new MemoryStore(host.memory.allot('forward', options.queue.memory))
  const forwarder = new Forwarder(options, host, store)
  try {
    for (const each of plans) await forwarder.add(each)
  } catch (error) {
    // A queue that is open holds the lock of its folder.
    await forwarder[Symbol.asyncDispose]()
    throw error
  }
  if (samples(options.sampling) && plans.some(({ targets }) => targets.some(({ signal }) => signal === 'traces')))
    await forwarder.sample()
  forwarder.begin()
  return forwarder
}

class Forwarder implements ForwardRunning {
  readonly #options: ForwardOptions
  readonly #host: ForwardHost
  readonly #clock: Clock
  readonly #store: MemoryStore
  readonly #upstreams: Upstream[] = []
  #sampler: Sampler | undefined
  readonly #findings: Finding[] = []
  readonly #closing = new AbortController()
  readonly #publish: () => void

  constructor(options: ForwardOptions, host: ForwardHost, store: MemoryStore) {
    this.#options = options
    this.#host = host
    this.#store = store
    this.#clock = steady(host.clock)
    this.#publish = publisher(this.#host, this.#upstreams, () => this.#sampler, this.#clock)
  }

  /** Lets a sampler decide which traces are sent on. */
  async sample(): Promise<void> {
    this.#sampler = await this.#host.sampler(this.#options.sampling, {
      pass: request => this.#append(request),
      admit: request => this.#admit(request),
    })
  }

  /** The queue of an upstream, which has what an earlier process left if it is on disk. */
  async #queue(name: string, lose: Lose): Promise<Queue> {
    const { dir, disk, memory, sync } = this.#options.queue
    if (dir === undefined) return this.#store.queue(lose)
    const { openDisk } = await import('../../queue/disk/queue.ts')
    const check = new Check()
    return openDisk(`${dir}/${folderName(name)}`, disk, {
      ...{ clock: this.#clock, log: this.#host.log, lose, sync },
      memory: this.#host.memory.allot('forward', memory),
      readable: (signal, bytes) => check.run(bytes, REQUESTS[signal]),
    })
  }

  /** A signal that goes nowhere is not taken: its senders are to be told so. */
  get consumes(): NonNullable<ForwardRunning['consumes']> {
    const goes = (signal: Signal) => this.#upstreams.some(({ lanes }) => lanes.has(signal))
    return {
      ...(goes('traces') &&
        (this.#sampler ? { spans: [this.#sampler.consumer] } : { traces: [this.#consumer('traces')] })),
      ...(goes('metrics') && { metrics: [this.#consumer('metrics')] }),
      ...(goes('logs') && { logs: [this.#consumer('logs')] }),
    }
  }

  async add({ name, targets, maxRequest, maxAgeMs, retry500 }: UpstreamPlan): Promise<void> {
    const { log, version } = this.#host
    const clock = this.#clock
    const lanes = new Map<Signal, Lane>()
    const queue = await this.#queue(name, (signal, reason, items) => lanes.get(signal)?.drop(reason, items))
    const upstream = new Upstream(name, queue, maxAgeMs || (queue.disk ? DAY_MS : HOUR_MS))
    for (const target of targets) {
      const { signal } = target
      let transport: Transport
      try {
        transport = new Transport(target, {
          clock,
          userAgent: `Pillion/${version}`,
          rules: { signal, retry500, now: () => this.#host.clock.now() },
          blocked: address => this.#own(address, target),
          warn: text => log.warn(text, { upstream: name, signal }),
        })
      } catch (error) {
        // Options found in the environment must not keep the application from starting.
        if (!this.#host.adopted) throw error
        const text = `cannot forward ${signal} to ${target.url}: ${error instanceof Error ? error.message : error}`
        this.#findings.push({ level: 'warning', text })
        // At once, since a short job ends before findings are told.
        log.warn(text)
        continue
      }
      const hops = () => this.#host.hops.header(signal)
      const lane = new Lane({
        upstream: name,
        target,
        queue,
        transport,
        maxRequest,
        maxAgeMs: upstream.maxAgeMs,
        clock,
        log,
        hops,
      })
      lanes.set(signal, lane)
      upstream.lanes.set(signal, lane)
    }
    if (lanes.size > 0) this.#upstreams.push(upstream)
    else await queue[Symbol.asyncDispose]()
  }

  begin(): void {
    void this.#ticking()
  }

  /** Judges the upstreams when the listeners are open: one that is this sidecar itself is refused. */
  async refuseOwn(): Promise<void> {
    for (const upstream of this.#upstreams)
      for (const [signal, { target }] of upstream.lanes) {
        const why = literal(target)
          .map(address => this.#own(address, target))
          .find(each => each !== undefined)
        if (why === undefined) continue
        const text = `cannot forward ${signal} to ${target.url}: ${why}`
        if (!this.#host.adopted) throw new Error(`${text}; give the address of another receiver`)
        await upstream.lanes.get(signal)?.[Symbol.asyncDispose]()
        upstream.lanes.delete(signal)
      }
  }

  collect(): void {
    this.#sampler?.collect()
    this.#publish()
  }

  findings(): readonly Finding[] {
    const troubles = this.#lanes().flatMap(([upstream, lane]): Finding[] =>
      lane.trouble === undefined
        ? []
        : [{ level: 'warning', text: `${lane.signal} do not get to ${upstream.name}: ${lane.trouble}` }],
    )
    return [...this.#findings, ...troubles, ...this.#upstreams.flatMap(diskFindings)]
  }

  facts(): readonly Fact[] {
    const lanes = this.#lanes()
    const held = lanes.map(([{ queue }, { signal }]) => queue.held(signal))
    return [
      ...this.#upstreams.map(({ name }) => ({ name: 'upstream', value: name })),
      { name: 'items forwarded', value: sum(lanes.map(([, lane]) => lane.forwarded)) },
      { name: 'items held', value: sum(held.map(({ items }) => items)) },
      { name: 'items dropped', value: sum(lanes.flatMap(([, lane]) => [...lane.dropped.values()])) },
      {
        name: 'queue',
        value: sum(held.flatMap(({ bytes }) => Object.values(bytes))),
        unit: 'bytes',
      },
    ]
  }

  get targets(): readonly { readonly upstream: string; readonly signal: Signal; readonly url: string }[] {
    return this.#lanes().map(([{ name }, { signal, target }]) => ({ upstream: name, signal, url: target.url }))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#closing.signal.aborted) return
    this.#closing.abort()
    this.#sampler?.flush()
    const lanes = this.#lanes().map(([, lane]) => lane)
    const drained = new AbortController()
    const timer = setTimeout(() => drained.abort(), this.#options.drain)
    await Promise.all(lanes.map(lane => lane.drain(drained.signal)))
    clearTimeout(timer)
    await Promise.all(lanes.map(lane => lane[Symbol.asyncDispose]()))
    await Promise.all(this.#upstreams.map(({ queue }) => queue[Symbol.asyncDispose]()))
    for (const lane of lanes) lane.correct()
    await this.#sampler?.[Symbol.asyncDispose]()
    this.#publish()
    const lost = sum(lanes.map(lane => lane.dropped.get('shutdown') ?? 0))
    const forwarded = sum(lanes.map(lane => lane.forwarded))
    if (lost > 0) this.#host.log.warn('forwarding ended before everything was sent', { forwarded, lost })
    this.#store.trim()
    trimCompressors()
  }

  #consumer(signal: Signal): RequestConsumer {
    const admit = (request: Request): number => this.#admit(request)
    return {
      name: 'forward',
      reasons: [],
      ...(this.#options.queue.full === 'refuse' && { admit }),
      settled: () => this.#settled(signal),
      take: request => {
        if (request.signal === signal) this.#append(request)
        return undefined
      },
    }
  }

  #admit(request: Request): number {
    if (this.#options.queue.full !== 'refuse') return 0
    for (const { queue, lanes } of this.#upstreams)
      if (lanes.has(request.signal) && (!queue.room(request) || queue.disk?.().usable === false)) return LATER_MS
    return 0
  }

  /**
   * Senders wait while more comes in than upstreams take that do answer: otherwise the queue would fill and drop, though
   * nothing is wrong. With a queue on disk they also wait until what was appended is as safe as `forward.queue.sync` says.
   */
  #settled(signal: Signal): Promise<boolean> | undefined {
    let waits: Promise<void>[] | undefined
    for (let i = 0; i < this.#upstreams.length; i++) {
      const relief = this.#upstreams[i]!.lanes.get(signal)?.relief()
      if (!relief) continue
      waits ??= []
      waits.push(relief)
    }
    if (this.#options.queue.dir === undefined) return waits && Promise.all(waits).then(() => true)
    return Promise.all([this.#synced(), ...(waits ?? [])]).then(([safe]) => safe)
  }

  async #synced(): Promise<boolean> {
    let safe = true
    for (const { queue } of this.#upstreams) if (!(await queue.sync())) safe = false
    // A queue that drops what is too much does so while its disk cannot be written, too: it continues in memory.
    return safe || this.#options.queue.full !== 'refuse'
  }

  #append({ signal, bytes, items }: Request): void {
    if (items === 0) return
    // By the steady clock, so that a jump of the machine's makes nothing old. One object for all queues, which share the bytes.
    const request: Request = { signal, bytes, items, received: this.#clock.now() }
    for (let i = 0; i < this.#upstreams.length; i++) {
      const { queue, lanes } = this.#upstreams[i]!
      const lane = lanes.get(signal)
      if (!lane) continue
      lane.appended += items
      queue.append(request)
      lane.wake()
    }
  }

  #lanes(): [Upstream, Lane][] {
    return this.#upstreams.flatMap(upstream =>
      [...upstream.lanes.values()].map((lane): [Upstream, Lane] => [upstream, lane]),
    )
  }

  async #ticking(): Promise<void> {
    const { signal } = this.#closing
    for (let n = 1; ; n++) {
      try {
        await this.#clock.sleep(TICK_MS, signal)
      } catch {
        return
      }
      const now = this.#clock.now()
      for (const { queue, maxAgeMs } of this.#upstreams) queue.expire(now - maxAgeMs)
      for (const [, lane] of this.#lanes()) {
        lane.tick()
        lane.look()
      }
      if (n % TRIM_TICKS === 0 && this.#lanes().every(([{ queue }, lane]) => queue.held(lane.signal).items === 0)) {
        this.#store.trim()
        trimCompressors()
      }
    }
  }

  /** Why an address must not be connected to. */
  #own(address: string, { port }: Target): string | undefined {
    return ownAt(address, port, this.#host.listening())
  }
}

/** Memory that nobody needs is given back after this time without anything to send. */
const TRIM_TICKS = 30

function publisher(
  { metrics }: ForwardHost,
  upstreams: readonly Upstream[],
  samplerNow: () => Sampler | undefined,
  clock: Clock,
): () => void {
  const readings = {
    forwarded: metrics.reading(family.forwarded),
    recovered: metrics.reading(family.recovered),
    dropped: metrics.reading(family.dropped),
    sampledOut: metrics.reading(family.sampledOut),
    held: metrics.reading(family.heldItems),
    bytes: metrics.reading(family.queueBytes),
    oldest: metrics.reading(family.oldestSeconds),
    requests: metrics.reading(family.requests),
    sent: metrics.reading(family.sentBytes),
    open: metrics.reading(family.open),
    diskUsable: metrics.reading(family.diskUsable),
    fileBytes: metrics.reading(family.fileBytes),
    corruptBytes: metrics.reading(family.corruptBytes),
    poisoned: metrics.reading(family.poisoned),
  }
  return () => {
    const now = clock.now()
    const sampler = samplerNow()
    for (const { name: upstream, queue, lanes } of upstreams) {
      const disk = queue.disk?.()
      if (disk) {
        readings.diskUsable.set({ upstream }, disk.usable ? 1 : 0)
        readings.fileBytes.set({ upstream }, disk.files)
        readings.corruptBytes.set({ upstream }, disk.corrupt)
        readings.poisoned.set({ upstream }, disk.poisoned)
      }
      for (const [signal, lane] of lanes) {
        const labels = { upstream, signal }
        const held = queue.held(signal)
        const sampled = signal === 'traces' ? sampler : undefined
        readings.forwarded.set(labels, lane.forwarded)
        readings.recovered.set(labels, queue.recovered(signal))
        for (const [reason, items] of lane.dropped) readings.dropped.set({ ...labels, reason }, items)
        for (const reason of sampled?.reasons ?? [])
          readings.sampledOut.set({ ...labels, reason }, sampled?.leftOut.get(reason) ?? 0)
        readings.held.set(labels, held.items + (sampled?.heldSpans ?? 0))
        for (const place of PLACES) readings.bytes.set({ ...labels, place }, held.bytes[place])
        readings.oldest.set(labels, held.oldest === undefined ? 0 : Math.max(0, (now - held.oldest) / 1000))
        for (const [code, count] of lane.codes) readings.requests.set({ ...labels, code }, count)
        readings.sent.set(labels, lane.sentBytes)
        readings.open.set(labels, lane.open ? 1 : 0)
      }
    }
  }
}

function diskFindings({ name, queue }: Upstream): Finding[] {
  const { fault, usable, poisoned } = queue.disk?.() ?? { usable: true, fault: undefined, poisoned: 0 }
  const findings: Finding[] = []
  if (!usable) {
    const text = `the queue for ${name} cannot be written to disk (${fault}); until it can, it is in memory, and lost if the sidecar ends`
    findings.push({ level: 'warning', text })
  }
  if (poisoned > 0) {
    const text = `${poisoned} requests in the queue for ${name} could not be handled, and were set aside as *.poison in its folder`
    findings.push({ level: 'warning', text })
  }
  return findings
}

/** The folder of an upstream: a name can be anything. */
function folderName(upstream: string): string {
  const name = encodeURIComponent(upstream).slice(0, 200)
  return name.startsWith('.') ? `%2E${name.slice(1)}` : name
}

/** The wall time of the start plus what has passed since. */
function steady(clock: Clock): Clock {
  const offset = clock.now() - clock.monotonic()
  return {
    now: () => offset + clock.monotonic(),
    monotonic: () => clock.monotonic(),
    sleep: (ms, signal) => clock.sleep(ms, signal),
  }
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, each) => total + each, 0)
}
