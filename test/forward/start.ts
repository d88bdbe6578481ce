// Forwarding alone, with the options as a file would give them.

import type { Test } from 'tap'
import { type ForwardHost, type ForwardOptions, forward } from '../../exporter/forward.ts'
import { Scrape } from '../../exporter/prometheus.ts'
import { Metrics } from '../../metrics/registry.ts'
import { section } from '../../options/kinds.ts'
import { type Reading, read } from '../../options/read.ts'
import { Hops } from '../../telemetry/hops.ts'
import { Memory } from '../../telemetry/memory.ts'
import { SIGNALS, type Signal } from '../../telemetry/request.ts'
import { clock } from '../otlp/receiver.ts'
import { attribute, ld, number, span, traces } from '../otlp/requests.ts'
import { itemsOf } from './upstream.ts'

export function readForward(
  text: string,
  environment: Readonly<Record<string, string>> = {},
): Promise<Reading<{ readonly forward: ForwardOptions }>> {
  const schema = section('', { forward: forward.options })
  return read(schema, { environment, file: { name: 'test.yaml', text: `forward: ${text}` } })
}

/** The options of a section in JSON or YAML's flow form. */
export async function optionsOf(
  text: string,
  environment: Readonly<Record<string, string>> = {},
): Promise<ForwardOptions> {
  const reading = await readForward(text, environment)
  if (!reading.ok) throw new Error(reading.problems.map(each => each.text).join('; '))
  return reading.values.forward
}

export async function start(t: Test, options: object, host: Partial<ForwardHost> = {}) {
  const logged: string[] = []
  const line = (level: string) => (message: string, fields?: object) =>
    void logged.push(`${level} ${message} ${JSON.stringify(fields ?? {})}`)
  const metrics = new Metrics()
  const memory = new Memory(64 << 20)
  const running = await forward.start(await optionsOf(JSON.stringify(options)), {
    proc: '/proc',
    clock,
    metrics,
    memory,
    log: { info: line('info'), warn: line('warn'), error: line('error') },
    app: { select: {}, url: undefined, child: undefined, pid: undefined, port: undefined },
    version: '1.2.3',
    hops: new Hops(clock),
    adopted: false,
    listening: () => [],
    sampler: () => {
      throw new Error('nothing is sampled here')
    },
    ...host,
  })
  const end = () => running[Symbol.asyncDispose]()
  t.teardown(end)
  const scrape = new Scrape(metrics, [{ name: 'forward', collect: signal => running.collect?.(signal) }])
  const accepted: Record<Signal, number> = { traces: 0, metrics: 0, logs: 0 }
  /** All series of a family that are not 0, without its name. */
  const counted = async (family: string): Promise<Record<string, number>> => {
    const text = Buffer.concat((await scrape.scrape(undefined, AbortSignal.timeout(5000))).chunks).toString()
    const rows = text.split('\n').filter(row => row.startsWith(`${family}{`))
    const pairs = rows.map(
      row => [row.slice(family.length, row.lastIndexOf(' ')), Number(row.split(' ').at(-1))] as const,
    )
    return Object.fromEntries(pairs.filter(([, value]) => value !== 0))
  }
  const total = async (family: string, signal: Signal): Promise<number> =>
    Object.entries(await counted(family))
      .filter(([labels]) => labels.includes(`signal="${signal}"`))
      .reduce((sum, [, value]) => sum + value, 0)
  return {
    running,
    logged,
    memory,
    counted,
    total,
    end,
    accepted,
    take(signal: Signal, bytes: Buffer, received = clock.now()): void {
      const items = itemsOf(signal, bytes)
      for (const consumer of running.consumes?.[signal] ?? []) consumer.take({ signal, bytes, items, received })
      accepted[signal] += items
    },
    /** Throws unless accepted = forwarded + dropped + held, for each signal, with one upstream. */
    async balance(t: Test): Promise<void> {
      const parts = ['items_total', 'dropped_items_total', 'held_items']
      for (const signal of SIGNALS) {
        const sums = await Promise.all(parts.map(part => total(`pillion_forward_${part}`, signal)))
        t.equal(
          sums.reduce((sum, each) => sum + each, 0),
          accepted[signal],
          `${signal}: ${parts.map((part, i) => `${part} ${sums[i]}`).join(' + ')} is what was accepted`,
        )
      }
    },
  }
}

let serial = 0

/** A request of so many spans, each with its own name and a filler of about so many bytes. */
export function spans(count: number, filler = 50): Buffer {
  const all = Array.from({ length: count }, () => span(`span ${serial++}`, attribute(9, 'filler', 'x'.repeat(filler))))
  return traces([attribute(1, 'service.name', 'shop')], ...all)
}

/** A request of log records. */
export function records(count: number): Buffer {
  return ld(1, ld(2, ...Array.from({ length: count }, () => ld(2, ld(3, `INFO ${serial++}`)))))
}

/** A request of one gauge with data points. */
export function points(count: number): Buffer {
  const all = Array.from({ length: count }, () => ld(1, number(8, 0), attribute(7, 'n', `${serial++}`)))
  return ld(1, ld(2, ld(2, ld(1, 'gauge'), ld(5, ...all))))
}
