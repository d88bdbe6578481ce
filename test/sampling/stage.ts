// The sampler by itself: spans go in by the real visitor, and what it sends on is read again, with a clock moved by hand.

import { SpanVisitor } from '../../otlp/visit.ts'
import { type Counts, TraceSampler } from '../../processors/sampling/sampler.ts'
import { Keys } from '../../telemetry/keys.ts'
import { Memory } from '../../telemetry/memory.ts'
import type { Request } from '../../telemetry/request.ts'
import type { SamplingOptions } from '../../telemetry/sampler.ts'
import { type Recorded, Recorder } from '../otlp/recorder.ts'
import { attribute, fixed64, ld, number, varint } from '../otlp/requests.ts'
import { FakeClock } from '../world.ts'

export const DEFAULTS: SamplingOptions = {
  ratio: 1,
  errors: true,
  slow: 'p99',
  rare: 10,
  troubled: false,
  max_spans_per_second: undefined,
  max_bytes_per_second: undefined,
  decision_wait: 1000,
  memory: 16 * 2 ** 20,
  mark: false,
}

/** Only the ratio decides. */
export const PLAIN = { errors: false, slow: 'off', rare: 0 } as const

export interface Sent {
  /** 16 bytes. */
  readonly trace: Buffer
  readonly span?: Buffer
  readonly parent?: Buffer
  readonly name?: string
  readonly kind?: number
  readonly status?: number
  readonly seconds?: number
  readonly state?: string
  readonly flags?: number
  /** Further fields of the span. */
  readonly more?: Buffer
}

const END = 1_750_000_000_000_000_000n
const SPAN = Buffer.alloc(8, 1)

export function encoded(span: Sent): Buffer {
  const { state, parent, flags } = span
  return Buffer.concat([
    ld(1, span.trace),
    ld(2, span.span ?? SPAN),
    ...(state === undefined ? [] : [ld(3, state)]),
    ...(parent === undefined ? [] : [ld(4, parent)]),
    ld(5, span.name ?? 'GET /'),
    number(6, span.kind ?? 2),
    fixed64(7, END - BigInt(Math.round((span.seconds ?? 0.001) * 1e9))),
    fixed64(8, END),
    ...(span.status === undefined ? [] : [ld(15, number(3, span.status))]),
    ...(flags === undefined ? [] : [Buffer.concat([varint(16 * 8 + 5), littleEndian(flags)])]),
    ...(span.more ? [span.more] : []),
  ])
}

const SHOP = ld(1, attribute(1, 'service.name', 'shop'))

/** A request of one resource and one scope. */
export function request(spans: readonly Sent[]): Buffer {
  return ld(1, SHOP, ld(2, ...spans.map(each => ld(2, encoded(each)))))
}

export class Stage {
  readonly clock = new FakeClock()
  readonly keys = new Keys()
  readonly memory: Memory
  readonly sampler: TraceSampler
  /** The requests that were sent on, copied. */
  readonly passed: Request[] = []
  taken = 0
  counts!: Counts
  /** The state that the application is said to have been in. */
  trouble: (from: number, to: number) => boolean = () => false
  readonly #visitor: SpanVisitor

  troubled(from: number, to: number): boolean {
    return this.trouble(from, to)
  }

  constructor(options: Partial<SamplingOptions> = {}, total = 2 ** 30) {
    this.memory = new Memory(total)
    const around = {
      pass: (request: Request) => void this.passed.push({ ...request, bytes: Buffer.from(request.bytes) }),
      admit: () => 0,
    }
    this.sampler = new TraceSampler({ ...DEFAULTS, ...options }, this, around, counts => {
      this.counts = counts
    })
    this.#visitor = new SpanVisitor(this.keys, [this.sampler])
  }

  send(...spans: readonly Sent[]): void {
    this.sendBytes(request(spans), spans.length)
  }

  sendBytes(bytes: Buffer, items: number): void {
    this.taken += items
    this.#visitor.visit({ signal: 'traces', bytes, items, received: this.clock.now() })
    const [failed] = this.#visitor.failed
    if (failed) throw failed.error
  }

  /** Sends each trace alone, some thousand a request, and decides all. */
  async sendAll(traces: readonly (readonly Sent[])[], ms = 1100, each = 1000): Promise<void> {
    for (let i = 0; i < traces.length; i += each) {
      this.send(...traces.slice(i, i + each).flat())
      await this.pass(ms)
    }
  }

  /** Moves the clock, and lets what is due be done, which takes turns of the loop. */
  async pass(ms: number): Promise<void> {
    await this.clock.pass(ms)
    for (let i = 0; i < 50; i++) await new Promise(setImmediate)
    await this.clock.pass(0)
  }

  get leftOut(): number {
    return [...this.sampler.leftOut.values()].reduce((sum, each) => sum + each, 0)
  }

  /** The spans that were sent on so far. */
  get spans(): Recorded[] {
    return this.passed.flatMap(({ bytes, items }) => spansOf(bytes, items))
  }

  count(): Counts {
    this.sampler.collect()
    return this.counts
  }

  /** taken = passed on + left out + held */
  balance(): string {
    const passed = this.passed.reduce((sum, each) => sum + each.items, 0)
    const held = this.sampler.heldSpans
    return this.taken === passed + this.leftOut + held ? 'ok' : `${this.taken} ${passed} ${this.leftOut} ${held}`
  }
}

export function spansOf(bytes: Buffer, items: number): Recorded[] {
  const recorder = new Recorder(['pillion.kept_because', 'pillion.sampling'])
  new SpanVisitor(recorder.keys, [recorder]).visit({ signal: 'traces', bytes, items, received: 0 })
  return recorder.spans
}

/** The threshold in a tracestate as a big number, read by another rule than the program's; undefined if there is none. */
export function thresholdIn(state: string): bigint | undefined {
  const th = /(?:^|,)[ \t]*ot=(?:[^,]*;)?th:([0-9a-f]{1,14})(?=[;, \t]|$)/.exec(state)?.[1]
  return th === undefined ? undefined : BigInt(`0x${th.padEnd(14, '0')}`)
}

export function randomIn({ traceState, traceId }: Pick<Recorded, 'traceState' | 'traceId'>): bigint {
  const rv = /(?:^|,)[ \t]*ot=(?:[^,]*;)?rv:([0-9a-f]{14})(?=[;, \t]|$)/.exec(traceState)?.[1]
  return BigInt(`0x${rv ?? traceId.slice(-14)}`)
}

export function adjusted(span: Pick<Recorded, 'traceState'>): number {
  const threshold = thresholdIn(span.traceState)
  return threshold === undefined ? 1 : 2 ** 56 / Number(2n ** 56n - threshold)
}

export function id(random: () => number, bytes = 16): Buffer {
  const made = Buffer.alloc(bytes)
  for (let at = 0; at < bytes; at += 4) made.writeUInt32BE(Math.floor(random() * 2 ** 32), at)
  return made
}

/** A trace id with this randomness, in hex digits; missing ones are zeros. */
export function withRandom(hex: string): Buffer {
  return Buffer.from(`${'ab'.repeat(9)}${hex.padEnd(14, '0')}`, 'hex')
}

function littleEndian(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(value)
  return bytes
}
