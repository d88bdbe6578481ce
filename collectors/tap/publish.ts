// The numbers of the tap as metrics of the sidecar. They are the tap's totals, so they go on when the sidecar is
// restarted.

import type { HistogramFamily } from '../../metrics/family.ts'
import type { Reading } from '../../metrics/registry.ts'
import type { Host } from '../../telemetry/host.ts'
import * as family from './families.ts'
import type { Distribution } from './numbers.ts'
import type { TapStatus } from './status.ts'

type Metrics = Host['metrics']

export class Published {
  readonly #plain
  readonly #distributions

  constructor(metrics: Metrics) {
    this.#plain = {
      open: metrics.reading(family.open),
      connections: metrics.reading(family.connections),
      refused: metrics.reading(family.refusedConnections),
      unreachable: metrics.reading(family.unreachable),
      resets: metrics.reading(family.resets),
      expired: metrics.reading(family.expired),
      opaque: metrics.reading(family.opaque),
      requests: metrics.reading(family.requests),
      unanswered: metrics.reading(family.unanswered),
      inFlight: metrics.reading(family.inFlight),
      relayed: metrics.reading(family.relayed),
      spans: metrics.reading(family.spans),
      dropped: metrics.reading(family.droppedSpans),
      cpu: metrics.reading(family.cpu),
      memory: metrics.reading(family.memory),
    }
    const distribution = (of: HistogramFamily): DistributionReading => {
      const made = new DistributionReading(of)
      metrics.add(made)
      return made
    }
    this.#distributions = {
      wait: distribution(family.wait),
      requestSize: distribution(family.requestSize),
      responseSize: distribution(family.responseSize),
    }
  }

  /** Without a tap, all of them are absent. */
  set(status: TapStatus | undefined): void {
    const plain = this.#plain
    for (const each of Object.values(plain)) each.clear()
    const { wait, requestSize, responseSize } = this.#distributions
    wait.value = status?.numbers.wait
    requestSize.value = status?.numbers.requestSize
    responseSize.value = status?.numbers.responseSize
    if (!status) return
    const { numbers } = status
    plain.open.set({}, status.open)
    plain.connections.set({}, numbers.connections)
    plain.expired.set({}, numbers.expired)
    plain.inFlight.set({}, numbers.inFlight)
    plain.spans.set({}, numbers.spans)
    plain.cpu.set({}, status.cpuSeconds)
    plain.memory.set({}, status.residentBytes)
    plain.relayed.set({ side: 'client' }, numbers.requestBytes)
    plain.relayed.set({ side: 'application' }, numbers.responseBytes)
    each(plain.refused, 'reason', numbers.refusedConnections)
    each(plain.unreachable, 'reason', numbers.unreachable)
    each(plain.resets, 'side', numbers.resets)
    each(plain.opaque, 'reason', numbers.opaque)
    each(plain.requests, 'class', numbers.requests)
    each(plain.unanswered, 'side', numbers.unanswered)
    each(plain.dropped, 'reason', numbers.droppedSpans)
  }
}

function each<Label extends string>(
  reading: Reading<Label>,
  label: Label,
  values: Readonly<Record<string, number>> | undefined,
): void {
  for (const [key, value] of Object.entries(values ?? {}))
    reading.set({ [label]: key } as Readonly<Record<Label, string>>, value)
}

interface Value {
  readonly metricName: string
  readonly labels: Readonly<Record<string, string | number>>
  readonly value: number
}

/** A histogram that is counted elsewhere: a metric object as prom-client has them, which is absent until it has a value. */
class DistributionReading {
  readonly name: string
  readonly help: string
  readonly type = 'histogram'
  readonly aggregator = 'sum'
  readonly #bounds: readonly number[]
  value: Distribution | undefined

  constructor({ name, help, buckets }: HistogramFamily) {
    this.name = name
    this.help = help
    this.#bounds = buckets
  }

  async get(): Promise<{ name: string; help: string; type: string; aggregator: string; values: readonly Value[] }> {
    const { name, help, type, aggregator, value } = this
    const values: Value[] = []
    if (value && value.counts.length === this.#bounds.length + 1) {
      let total = 0
      for (const [place, count] of value.counts.entries()) {
        total += count
        values.push({ metricName: `${name}_bucket`, labels: { le: this.#bounds[place] ?? '+Inf' }, value: total })
      }
      values.push({ metricName: `${name}_sum`, labels: {}, value: value.sum })
      values.push({ metricName: `${name}_count`, labels: {}, value: total })
    }
    return { name, help, type, aggregator, values }
  }

  reset(): void {
    this.value = undefined
  }
}
