// Which spans become exemplars: few, spread over the range and over traces.

import type { Cursor } from './reading.ts'

export interface Exemplar {
  readonly interval: number
  readonly ms: number
  /** 32 hexadecimal digits. */
  readonly trace: string
  /** NaN where the value of the interval stands for it. */
  readonly value: number
}

/** So many in one series at most. */
const MOST_IN_SERIES = 100

export class Exemplars {
  readonly #bySeries = new Map<number, Exemplar[]>()
  readonly #traces = new Set<string>()
  readonly #places: Uint32Array
  readonly #intervals: number
  readonly #most: number
  readonly #inPlace: number
  #left: number

  /** `most` in all, over so many intervals. */
  constructor(most: number, intervals: number) {
    this.#most = most
    this.#left = most
    this.#intervals = intervals
    this.#places = new Uint32Array(Math.max(1, Math.min(most, intervals)))
    this.#inPlace = Math.max(1, Math.floor(most / this.#places.length))
  }

  /** Takes the span as an exemplar of a series, if there is room for it. */
  offer(series: number, interval: number, cursor: Cursor, value: number): void {
    if (this.#left === 0) return
    const place = Math.min(this.#places.length - 1, Math.floor((interval * this.#places.length) / this.#intervals))
    if (this.#places[place]! >= this.#inPlace) return
    const trace = cursor.bytes.toString('hex', cursor.traceId, cursor.traceId + 16)
    if (this.#traces.has(trace)) return
    const own = this.#bySeries.get(series) ?? []
    if (own.length >= Math.min(MOST_IN_SERIES, this.#most)) return
    this.#bySeries.set(series, own)
    own.push({ interval, ms: Math.round(cursor.startSeconds * 1000), trace, value })
    this.#traces.add(trace)
    this.#places[place]!++
    this.#left--
  }

  of(series: number): readonly Exemplar[] {
    return this.#bySeries.get(series) ?? []
  }
}
