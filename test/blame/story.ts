// Requests and moments as they would come from an application whose trouble is known: a ring that is filled by hand, and spans
// that go through the real visitor.

import { Scrape } from '../../exporter/prometheus.ts'
import { Metrics } from '../../metrics/registry.ts'
import { SpanVisitor } from '../../otlp/visit.ts'
import { type BlameOptions, blame } from '../../processors/blame.ts'
import { Trees } from '../../processors/trees.ts'
import { Keys } from '../../telemetry/keys.ts'
import { Memory } from '../../telemetry/memory.ts'
import { emptyRow, MomentRing, STATE } from '../../telemetry/moment.ts'
import type { RouteRequest } from '../../telemetry/route.ts'
import { EPOCH, request, type Sent } from '../path/room.ts'
import { FakeClock } from '../world.ts'

/** The work of the main thread for some milliseconds. `steps`: waits are counted when they end, as the kernel does. */
export interface Phase {
  readonly ms: number
  readonly does: 'run' | 'wait' | 'throttled' | 'poll' | 'lock' | 'disk' | 'paging' | 'stopped' | 'gc'
}

const ROW_MS = 20

export class Story {
  readonly clock = new FakeClock(Number(EPOCH) * 1000)
  readonly metrics = new Metrics()
  readonly keys = new Keys()
  readonly memory = new Memory(2 ** 30)
  readonly lines: string[] = []
  readonly ring = new MomentRing(8192)
  woken = 0
  readonly part: ReturnType<typeof blame.start>
  /** Threads that serve requests, all of which do the same; one is the main thread. */
  readonly #workers: number
  readonly #made: Trees
  readonly #visitor: SpanVisitor
  readonly #scrape: Scrape
  readonly #row = { ...emptyRow(), process: 1, threads: 11, active: 1, locked: 0, blocked: 0 }
  #at = 0
  #nextRow = 0
  #trace = 0
  #waited = 0
  #longest = 0
  #held = 0
  #wall = 0

  constructor(
    options: Partial<BlameOptions> = {},
    more: { readonly moments?: boolean; readonly workers?: number } = {},
  ) {
    this.#workers = more.workers ?? 1
    for (const name of ['mainRun', 'mainWait', 'allRun', 'allWait', 'gcRun', 'jitRun', 'majorFaults'] as const)
      this.#row[name] = 0
    for (const name of ['throttled', 'throttledPeriods', 'periods'] as const) this.#row[name] = 0
    this.#made = new Trees(this)
    const moments = more.moments === false ? undefined : { ring: this.ring, wake: () => void this.woken++ }
    const log = {
      error() {},
      info: (text: string, fields = {}) => void this.lines.push(`${text} ${JSON.stringify(fields)}`),
      warn: () => {},
    }
    const host = {
      metrics: this.metrics,
      clock: this.clock,
      log,
      trees: () => this.#made,
      moments: () => moments as never,
    }
    this.part = blame.start({ slow: 'p95', limit: 1000, expiry: 3_600_000, log: true, ...options }, host)
    this.#visitor = new SpanVisitor(this.keys, this.part.consumes?.spans ?? [])
    this.#scrape = new Scrape(this.metrics, [{ name: 'blame', collect: signal => this.part.collect?.(signal) }])
  }

  /** Milliseconds since EPOCH. */
  get now(): number {
    return this.#at
  }

  /** The time of spans that come from a clock that is ahead by so much. */
  skew(ms: number): void {
    this.#wall = ms
  }

  /** Lets the process do something. */
  does(...phases: readonly Phase[]): void {
    for (const { ms, does } of phases)
      for (let i = 0; i < ms; i++) {
        this.#millisecond(does, i === ms - 1)
        if (this.#at >= this.#nextRow) this.#sample(does)
      }
  }

  /** One request that does these things; a piece in which it waits for `db` may be among them. Sends its spans at once. */
  request(phases: readonly (Phase | { readonly call: readonly Phase[] })[], name = 'GET /x'): void {
    const trace = ++this.#trace
    const from = this.#at
    const spans: Sent[] = []
    for (const phase of phases) {
      if (!('call' in phase)) {
        this.does(phase)
        continue
      }
      const began = this.#at
      this.does(...phase.call)
      spans.push({ ...this.#span(trace, spans.length + 2, began), parent: 1, name: 'SELECT', kind: 3, peer: 'db' })
    }
    spans.push({ ...this.#span(trace, 1, from), name })
    this.#visitor.visit({ signal: 'traces', bytes: request(spans), items: spans.length, received: this.clock.now() })
  }

  /** An ordinary request: 10 ms of CPU and 5 ms of the database, then a pause. */
  ordinary(count: number, name?: string): void {
    for (let i = 0; i < count; i++) {
      this.request([{ ms: 10, does: 'run' }, { call: [{ ms: 5, does: 'poll' }] }], name)
      this.does({ ms: 25, does: 'poll' })
    }
  }

  /** Lets the clock come after all that was done, so that everything is judged. */
  async settle(): Promise<void> {
    this.does({ ms: 300, does: 'poll' })
    // The clock of the story runs behind what it tells.
    await this.clock.pass(Math.max(0, this.#at - (this.clock.now() - Number(EPOCH) * 1000)))
    await this.clock.pass(1500)
    for (let i = 0; i < 50; i++) await new Promise(setImmediate)
    this.does({ ms: Math.ceil(this.clock.now() - Number(EPOCH) * 1000) - this.#at, does: 'poll' })
  }

  /** Slow requests by cause. */
  async slow(): Promise<Record<string, number>> {
    return await this.#by('app_slow_requests_total')
  }

  async seconds(): Promise<Record<string, number>> {
    return await this.#by('app_request_blame_seconds_total')
  }

  async value(name: string): Promise<number> {
    const line = (await this.page()).split('\n').find(each => each.startsWith(`${name} `))
    return Number(line?.split(' ').at(-1))
  }

  async page(): Promise<string> {
    const { chunks } = await this.#scrape.scrape(undefined, AbortSignal.timeout(5000))
    return Buffer.concat(chunks).toString()
  }

  /** The answer of a route. */
  ask(path: string): { readonly status: number; readonly body: never } {
    const route = this.part.routes?.find(
      each => path === each.path || (each.path.endsWith('/') && path.startsWith(each.path)),
    )
    let text = ''
    const response = {
      statusCode: 200,
      setHeader() {},
      end: (body: string) => {
        text = body
      },
    }
    const asked = { method: 'GET', path, target: path, headers: {}, body: Buffer.alloc(0) } satisfies RouteRequest
    void route?.handle(asked, response as never, AbortSignal.timeout(1000))
    return { status: response.statusCode, body: JSON.parse(text) as never }
  }

  #span(trace: number, id: number, from: number) {
    const at = (ms: number) => BigInt(ms + this.#wall) * 1_000_000n
    return { trace, id, from: at(from), to: at(this.#at) }
  }

  #millisecond(does: Phase['does'], last: boolean): void {
    const row = this.#row
    this.#at++
    if (does === 'run' || does === 'gc') {
      if (this.#workers === 1) row.mainRun += 0.001
      row.allRun += 0.001
    }
    if (does === 'gc') {
      row.gcRun += 0.0006
      row.allRun += 0.0006
    }
    if (does === 'paging' && last) row.majorFaults++
    if (does === 'wait' || does === 'throttled') this.#waited++
    if (does === 'throttled') this.#held++
    if (this.#at % 100 === 0) row.periods++
    // Both are counted when they end.
    if (last && this.#held > 0) {
      row.throttled += this.#held / 1000
      row.throttledPeriods += Math.ceil(this.#held / 100)
      this.#held = 0
    }
    if (last && this.#waited > 0) {
      if (this.#workers === 1) row.mainWait += this.#waited / 1000
      row.allWait += (this.#workers * this.#waited) / 1000
      this.#longest = this.#waited / 1000
      this.#waited = 0
    }
  }

  #sample(does: Phase['does']): void {
    this.#nextRow = this.#at + ROW_MS
    const states = { run: STATE.running, wait: STATE.running, throttled: STATE.running, gc: STATE.running }
    const others = {
      poll: STATE.polling,
      lock: STATE.lock,
      disk: STATE.disk,
      paging: STATE.disk,
      stopped: STATE.stopped,
    }
    this.#row.oneWait = this.#longest
    this.#longest = 0
    this.#row.state = { ...states, ...others }[does]
    this.ring.add(Number(EPOCH) * 1000 + this.#at, this.#at, this.#row)
  }

  async #by(family: string): Promise<Record<string, number>> {
    const found: Record<string, number> = {}
    for (const [, cause, value] of (await this.page()).matchAll(
      new RegExp(`^${family}\\{.*cause="([^"]*)".*\\} (\\S+)$`, 'gm'),
    ))
      if (Number(value) > 0) found[cause!] = (found[cause!] ?? 0) + Number(value)
    return found
  }
}
