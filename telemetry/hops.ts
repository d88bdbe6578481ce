// The sidecars that telemetry has passed through, so that a loop of them is noticed: each tells the next one in a
// header of its requests. A forwarded request is joined from many, so a sidecar names all that it has lately been sent
// from.
//
//   pillion-hops = depth ";" id *( "," id )      depth: how many sidecars the longest way here has

import type { Clock } from './host.ts'
import type { Signal } from './request.ts'

export const HOPS_HEADER = 'pillion-hops'

/** No real chain is longer: application, node, gateway, region. */
const MOST_HOPS = 4
/** A sender that has been silent for this long is not named any more. */
const FORGET_MS = 600_000
/** Ids that are named at most; the depth ends a loop that is not noticed for lack of an id. */
const MOST_IDS = 64

interface Seen {
  /** Id → when it was last seen. */
  readonly ids: Map<string, number>
  /** Depth → when it was last seen. */
  readonly depths: Map<number, number>
}

export class Hops {
  /** Random for each process. */
  readonly id = Buffer.from(crypto.getRandomValues(new Uint8Array(8))).toString('hex')
  readonly #clock: Pick<Clock, 'monotonic'>
  readonly #seen = new Map<Signal, Seen>()

  constructor(clock: Pick<Clock, 'monotonic'>) {
    this.#clock = clock
  }

  /** Takes note of the header of a request; returns why the request must not be taken, or undefined if it may. */
  arrive(signal: Signal, header: string): string | undefined {
    const [, digits, list] = /^\s*(\d{1,4})\s*;([\da-f,\s]{1,2000})$/.exec(header) ?? []
    // A sender of anything else is no sidecar.
    if (digits === undefined || list === undefined) return undefined
    const depth = Number(digits)
    const ids = list.split(',').map(each => each.trim())
    if (ids.includes(this.id))
      return `cannot take this request: it has been here before (${HOPS_HEADER}); the upstream leads back to this sidecar`
    if (depth > MOST_HOPS)
      return `cannot take this request: it has passed through ${depth} sidecars (${HOPS_HEADER}); they form a loop`
    const now = this.#clock.monotonic()
    const seen = this.#seen.get(signal) ?? { ids: new Map(), depths: new Map() }
    this.#seen.set(signal, seen)
    for (const each of ids.slice(0, MOST_IDS)) {
      // Behind the others: the first of a Map is the one that has been silent the longest.
      seen.ids.delete(each)
      seen.ids.set(each, now)
    }
    for (const [first] of seen.ids) {
      if (seen.ids.size < MOST_IDS) break
      seen.ids.delete(first)
    }
    seen.depths.set(depth, now)
    return undefined
  }

  /** The header of what is sent on. */
  header(signal: Signal): string {
    const seen = this.#seen.get(signal)
    if (!seen) return `1;${this.id}`
    const since = this.#clock.monotonic() - FORGET_MS
    let depth = 0
    for (const [each, at] of seen.depths) {
      if (at < since) seen.depths.delete(each)
      else depth = Math.max(depth, each)
    }
    for (const [each, at] of seen.ids) if (at < since) seen.ids.delete(each)
    return `${depth + 1};${[...seen.ids.keys(), this.id].join(',')}`
  }
}
