// The spans collector by itself, with a clock that is moved by hand, and what it says on a scrape.

import { Scrape } from '../../exporter/prometheus.ts'
import { Metrics } from '../../metrics/registry.ts'
import { type SpansOptions, spans } from '../../processors/spans.ts'
import { Keys } from '../../telemetry/keys.ts'
import { FakeClock } from '../world.ts'
import { type Sent, views } from './views.ts'

export const DEFAULTS: SpansOptions = {
  dimensions: [],
  kinds: ['server', 'client', 'producer', 'consumer', 'internal', 'unspecified'],
  naming: 'tempo',
  buckets: Array.from({ length: 14 }, (_, i) => 2 ** (i + 1)),
  native_histograms: { enabled: false, schema: 3 },
  sampling: 'plain',
  weight_limit: 1000,
  limit: 2000,
  expiry: 3_600_000,
  probes: 'exclude',
  graph: { enabled: true, wait: 6000, pending: 10_000, limit: 500 },
  target_info: { limit: 100, expiry: 900_000 },
}

export class Room {
  readonly clock = new FakeClock()
  readonly metrics = new Metrics()
  readonly keys = new Keys()
  readonly consumer: ReturnType<typeof spans.start>
  readonly #scrape: Scrape

  constructor(options: Partial<SpansOptions> = {}) {
    this.consumer = spans.start({ ...DEFAULTS, ...options }, this)
    const collect = (signal: AbortSignal) => this.consumer.collect?.(signal)
    this.#scrape = new Scrape(this.metrics, [{ name: 'spans', collect }])
  }

  /** Shows the spans as one request. */
  send(...sent: readonly Sent[]): void {
    views(this, sent)
  }

  /** The lines that begin with `name`, as they are on a page. */
  async lines(name: string, accept?: string): Promise<string[]> {
    const { chunks } = await this.#scrape.scrape(accept, AbortSignal.timeout(5000))
    const page = Buffer.concat(chunks).toString().split('\n')
    return page.filter(line => line.startsWith(name))
  }

  /** The samples of a family as "labels value", in order. */
  async samples(family: string): Promise<string[]> {
    const found = await this.lines(`${family}{`)
    return found.map(line => line.slice(family.length)).sort()
  }

  /** The sum of a family over all its label sets. */
  async total(family: string): Promise<number> {
    const values = (await this.lines(family)).filter(line => /^[{ ]/.test(line.slice(family.length)))
    return values.reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0)
  }
}
