// Traces for tests of the page: columns from a few words, and generated ones of any size.

import { MISSING, type TraceColumns } from '../../telemetry/trace-columns.ts'

export interface Given {
  readonly id: string
  /** The id of the parent; one that no span has is missing. */
  readonly parent?: string
  readonly from: number
  readonly to: number
  readonly service?: string
  readonly name?: string
  readonly error?: boolean
}

/** Columns of spans, which must be in the order of their starts. */
export function columnsOf(...given: readonly Given[]): TraceColumns {
  const services = [...new Set(given.map(each => each.service ?? 'shop'))]
  const names = [...new Set(given.map(each => each.name ?? each.id))]
  const missing: Record<number, string> = {}
  const parent = given.map((each, i) => {
    if (each.parent === undefined) return -1
    const at = given.findIndex(({ id }) => id === each.parent)
    if (at < 0) missing[i] = each.parent
    return at < 0 ? MISSING : at
  })
  return {
    traceId: 'a'.padStart(32, '0'),
    startUnixNano: '1750000000000000000',
    services,
    names,
    spanId: given.map(({ id }) => id),
    parent,
    start: given.map(({ from }) => from),
    duration: given.map(({ from, to }) => to - from),
    service: given.map(each => services.indexOf(each.service ?? 'shop')),
    name: given.map(each => names.indexOf(each.name ?? each.id)),
    kind: given.map(() => 1),
    status: given.map(({ error }) => (error ? 2 : 0)),
    missing,
    events: [],
    eventsLeftOut: 0,
  }
}

/** A trace of so many spans: each span has a parent among those before it. The same for the same seed. */
export function generated(spans: number, seed = 1): TraceColumns {
  let state = seed
  const random = (): number => {
    state = (Math.imul(state, 1664525) + 1013904223) | 0
    return (state >>> 0) / 2 ** 32
  }
  const services = ['shop', 'payment', 'inventory', 'shipping', 'mail', 'postgres']
  const names = Array.from({ length: 40 }, (_, i) => `operation ${i}`)
  const start = Array.from({ length: spans }, (_, i) => (i === 0 ? 0 : random() * 900_000)).sort((a, b) => a - b)
  return {
    traceId: 'b'.padStart(32, '0'),
    startUnixNano: '1750000000000000000',
    services,
    names,
    spanId: start.map((_, i) => (i + 1).toString(16).padStart(16, '0')),
    parent: start.map((_, i) => (i === 0 ? -1 : Math.floor(random() * Math.min(i, 300)) + Math.max(0, i - 300))),
    start,
    duration: start.map((each, i) => (i === 0 ? 1_000_000 : random() * (1_000_000 - each) * 0.2)),
    service: start.map(() => Math.floor(random() * services.length)),
    name: start.map(() => Math.floor(random() * names.length)),
    kind: start.map(() => 1 + Math.floor(random() * 3)),
    status: start.map(() => (random() < 0.01 ? 2 : 0)),
    missing: {},
    events: [],
    eventsLeftOut: 0,
  }
}
