// Requests as an SDK sends them, put together and shown to the parts that look at whole requests, with a clock moved by hand.

import { Scrape } from '../../exporter/prometheus.ts'
import { Metrics } from '../../metrics/registry.ts'
import { SpanVisitor } from '../../otlp/visit.ts'
import { type PathOptions, path } from '../../processors/path.ts'
import { type SpansOptions, spans } from '../../processors/spans.ts'
import { Trees } from '../../processors/trees.ts'
import { Keys } from '../../telemetry/keys.ts'
import { Memory } from '../../telemetry/memory.ts'
import { attribute, fixed64, ld, number, varint } from '../otlp/requests.ts'
import { DEFAULTS } from '../spans/room.ts'
import { FakeClock } from '../world.ts'

/** The second that times in tests count from; the fake clock starts there. */
export const EPOCH = 1_750_000_000n

/** A span; times are in nanoseconds since EPOCH. */
export interface Sent {
  readonly trace?: number
  readonly id: number
  readonly parent?: number
  readonly name: string
  readonly kind?: number
  readonly from: number | bigint
  readonly to: number | bigint
  readonly failed?: boolean
  /** Flags of OTLP: whether it is known where the parent is. */
  readonly flags?: number
  readonly peer?: string
  readonly state?: string
}

export function encoded(span: Sent): Buffer {
  const time = (at: number | bigint) => BigInt.asUintN(64, EPOCH * 1_000_000_000n + BigInt(at))
  return Buffer.concat([
    ld(1, wide(16, span.trace ?? 1)),
    ld(2, wide(8, span.id)),
    ...(span.state === undefined ? [] : [ld(3, span.state)]),
    ...(span.parent === undefined ? [] : [ld(4, wide(8, span.parent))]),
    ld(5, span.name),
    number(6, span.kind ?? (span.parent === undefined ? 2 : 1)),
    fixed64(7, time(span.from)),
    fixed64(8, time(span.to)),
    ...(span.peer === undefined ? [] : [attribute(9, 'peer.service', span.peer)]),
    ...(span.failed ? [ld(15, number(3, 2))] : []),
    ...(span.flags === undefined ? [] : [fixed32(16, span.flags)]),
  ])
}

/** One request of one service. */
export function request(sent: readonly Sent[], service = 'shop'): Buffer {
  return ld(1, ld(1, attribute(1, 'service.name', service)), ld(2, ...sent.map(span => ld(2, encoded(span)))))
}

export class Room {
  readonly clock = new FakeClock(Number(EPOCH) * 1000)
  readonly metrics = new Metrics()
  readonly keys = new Keys()
  readonly memory: Memory
  readonly made: Trees
  readonly part: ReturnType<typeof path.start>
  readonly trees = () => this.made
  readonly #scrape: Scrape
  readonly #visitor: SpanVisitor

  /** With `counted`, the request metrics see the spans first, as in the sidecar. */
  constructor(options: Partial<PathOptions> = {}, total = 2 ** 30, counted?: Partial<SpansOptions>) {
    this.memory = new Memory(total)
    this.made = new Trees(this)
    this.part = path.start({ limit: 1000, expiry: 3_600_000, ...options }, this)
    const first = counted ? [spans.start({ ...DEFAULTS, ...counted }, this)] : []
    this.#visitor = new SpanVisitor(this.keys, [...first, ...(this.part.consumes?.spans ?? [])])
    this.#scrape = new Scrape(this.metrics, [{ name: 'path', collect: signal => this.part.collect?.(signal) }])
  }

  send(...sent: readonly Sent[]): void {
    this.sendBytes(request(sent), sent.length)
  }

  sendBytes(bytes: Buffer, items: number): void {
    this.#visitor.visit({ signal: 'traces', bytes, items, received: this.clock.now() })
    const [failed] = this.#visitor.failed
    if (failed) throw failed.error
  }

  /** Moves the clock, and lets what is due be done. */
  async pass(ms: number): Promise<void> {
    await this.clock.pass(ms)
    for (let i = 0; i < 30; i++) await new Promise(setImmediate)
    await this.clock.pass(0)
  }

  /** Sends one trace, and lets it be put together. */
  async whole(...sent: readonly Sent[]): Promise<void> {
    this.send(...sent)
    await this.pass(1200)
  }

  async samples(family: string): Promise<{ readonly labels: string; readonly value: number }[]> {
    const { chunks } = await this.#scrape.scrape(undefined, AbortSignal.timeout(5000))
    const lines = Buffer.concat(chunks).toString().split('\n')
    return lines.flatMap(line => {
      const found = /^(\w+)(?:\{(.*)\})? (\S+)$/.exec(line)
      return found?.[1] === family ? [{ labels: found[2] ?? '', value: Number(found[3]) }] : []
    })
  }

  /** Nanoseconds on the critical path by operation (or "name try" for a repeated one), from the page. */
  async path(): Promise<Record<string, number>> {
    const rows = await this.samples('traces_critical_path_seconds_total')
    return Object.fromEntries(
      rows.map(({ labels, value }) => {
        const name = /(?:^|,)operation="([^"]*)"/.exec(labels)?.[1] ?? labels
        return [labels.includes('retry="true"') ? `${name} retried` : name, Math.round(value * 1e9)]
      }),
    )
  }
}

function wide(bytes: number, value: number): Buffer {
  const id = Buffer.alloc(bytes, 0xab)
  id.writeUInt32BE(value, bytes - 4)
  return id
}

function fixed32(field: number, value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(value)
  return Buffer.concat([varint(field * 8 + 5), bytes])
}
