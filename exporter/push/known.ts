// The metrics of the last page that was delivered: since when each counts, and what it needs to be told that it has ended.
//
// A page is compared with the one before it. Each is a generation: an arena of canonical labels, and a table over it in typed
// arrays. A metric of the older one that the newer one does not have has vanished. So nothing is ever removed from a table, and
// the memory is that of two pages at most.

import { hash } from '../../metrics/hash.ts'
import { Exemplar } from './exemplar.ts'
import { type Family, GAUGE, HISTOGRAM, type Metric, type Shape, SUMMARY, UNTYPED } from './metric.ts'

/** When counters of a family began, if the page does not say. */
export interface Beginnings {
  /** Seconds since the epoch at which what the sidecar counts itself was 0. */
  readonly origin: number
  /** Whether the counters of a family were not 0 then: numbers of the kernel, for instance, which are only read. */
  foreign(family: string): boolean
}

export class Known {
  readonly #beginnings: Beginnings
  #before: Generation | undefined
  #now: Generation | undefined
  readonly #exemplar = new Exemplar()
  /** The times of the exemplars of one metric. */
  readonly #times: number[] = []

  constructor(beginnings: Beginnings) {
    this.#beginnings = beginnings
  }

  /** Begins a page of this time, in seconds since the epoch. */
  begin(seconds: number): void {
    this.#before?.kept.fill(0)
    this.#now = new Generation(seconds)
  }

  /** The page has been delivered. */
  commit(): void {
    this.#before = this.#now
    this.#now = undefined
  }

  /** The page was given up: the next one is compared with the last one that was delivered. */
  abandon(): void {
    this.#now = undefined
  }

  /** Bytes held. */
  get bytes(): number {
    return (this.#before?.bytes ?? 0) + (this.#now?.bytes ?? 0)
  }

  /** The time of the last page that was delivered, 0 if there is none. */
  get delivered(): number {
    return this.#before?.seconds ?? 0
  }

  /**
   * Notes a metric of the page, and returns since when it counts, in seconds since the epoch; 0 for what does not count.
   * A metric that is seen again, since a request is repeated, has the same start. Exemplars that the last page had, or that
   * are older than its own, are taken out of the metric.
   */
  see(metric: Metric): number {
    const now = this.#now
    if (!now) throw new Error('cannot note a metric: no page has begun')
    const key = keyOf(metric)
    const before = this.#before
    const known = before?.find(key, metric) ?? -1
    const times = this.#leaveOut(metric, before, known)
    const again = now.find(key, metric)
    if (again >= 0) return now.starts[again]!
    let start = metric.created
    if (start === 0 && counts(metric.family)) {
      if (!before || known < 0) start = this.#since(metric.family, now, before)
      else if (metric.value < before.values[known]!) start = before.seconds
      else start = before.starts[known]!
    }
    if (before && known >= 0) before.kept[known] = 1
    now.add(key, metric, start, times)
    return start
  }

  // An exemplar has the time at which its span ended, and SDKs send spans some seconds later, so the time of the last page
  // does not tell which are new. A receiver wants those of one series in the order of their times.
  #leaveOut(metric: Metric, before: Generation | undefined, known: number): readonly number[] {
    const { exemplars, page } = metric
    const times = this.#times
    times.length = 0
    for (let i = 0; i < exemplars.length; i += 2) {
      const sent = before && known >= 0 ? before.exemplarTime(known, i / 2) : 0
      const there = this.#exemplar.read(page, exemplars[i]!, exemplars[i + 1]!)
      const seconds = there ? this.#exemplar.seconds : 0
      if (there && seconds <= sent) exemplars[i] = exemplars[i + 1] = 0
      times.push(Math.max(sent, seconds))
    }
    return times
  }

  /** Those of the last page that this one does not have, one after another in the metric given. Call it after the last `see`. */
  *vanished(metric: Metric): Generator<Metric> {
    if (this.#before) yield* this.#before.ended(metric)
  }

  /** All of the last page that was delivered, as `vanished`. */
  *all(metric: Metric): Generator<Metric> {
    this.#before?.kept.fill(0)
    yield* this.vanished(metric)
  }

  // A series absent from the last page has begun since; the first page has all that was counted since the sidecar
  // started. Numbers that are only read may have any past: they count from the time at which they are first seen.
  #since({ name }: Family, now: Generation, before: Generation | undefined): number {
    return this.#beginnings.foreign(name) ? now.seconds : (before?.seconds ?? this.#beginnings.origin)
  }
}

function counts({ type }: Family): boolean {
  return type !== GAUGE && type !== UNTYPED
}

/** Bytes of a metric in the typed arrays, with its share of the buckets of the table. */
const ENTRY_BYTES = 5 * 4 + 2 * 8 + 1 + 2 * 4

class Generation {
  readonly seconds: number
  starts = new Float64Array(64)
  values = new Float64Array(64)
  /** 1: the next page has it too. */
  kept = new Uint8Array(64)
  #hashes = new Int32Array(64)
  #families = new Int32Array(64)
  #ends = new Int32Array(64)
  #shapes = new Int32Array(64)
  /** Where the times of its exemplars begin, -1 if it has none. */
  #exemplars = new Int32Array(64)
  #times = new Float64Array(0)
  #timeCount = 0
  #buckets = new Int32Array(128).fill(-1)
  #arena = Buffer.allocUnsafe(8192)
  #count = 0
  readonly #all: Family[] = []
  readonly #byName = new Map<string, number>()
  /** The bounds of histograms and the quantiles of summaries; few, since the metrics of a family share theirs. */
  readonly #known: Shape[] = [NO_SHAPE]

  constructor(seconds: number) {
    this.seconds = seconds
  }

  get bytes(): number {
    return this.#arena.length + this.#times.byteLength + this.starts.length * ENTRY_BYTES
  }

  find(key: number, metric: Metric): number {
    const family = this.#byName.get(metric.family.name)
    if (family === undefined) return -1
    const mask = this.#buckets.length - 1
    for (let at = key & mask; ; at = (at + 1) & mask) {
      const entry = this.#buckets[at]!
      if (entry < 0) return -1
      if (this.#hashes[entry] === key && this.#families[entry] === family && this.#equals(entry, metric)) return entry
    }
  }

  /** The newest time, in seconds since the epoch, of the exemplars of a bucket that were sent; 0 if there are none. */
  exemplarTime(entry: number, bucket: number): number {
    const at = this.#exemplars[entry]!
    return at < 0 ? 0 : this.#times[at + bucket]!
  }

  /** `times` of its exemplars: one for each bucket. */
  add(key: number, metric: Metric, start: number, times: readonly number[]): void {
    if (this.#count === this.starts.length) this.#grow()
    const entry = this.#count++
    const begin = this.#begin(entry)
    const end = begin + metric.size
    if (end > this.#arena.length) this.#extend(end)
    metric.labels.copy(this.#arena, begin, 0, metric.size)
    this.#hashes[entry] = key
    this.#families[entry] = this.#family(metric.family)
    this.#ends[entry] = end
    this.#shapes[entry] = this.#shape(metric, entry)
    this.#exemplars[entry] = this.#timed(times)
    this.starts[entry] = start
    this.values[entry] = metric.value
    this.#place(entry)
  }

  *ended(metric: Metric): Generator<Metric> {
    for (let entry = 0; entry < this.#count; entry++) {
      if (this.kept[entry] === 1) continue
      const family = this.#all[this.#families[entry]!]!
      metric.end(family, this.#arena, this.#begin(entry), this.#ends[entry]!, this.#known[this.#shapes[entry]!]!)
      yield metric
    }
  }

  #begin(entry: number): number {
    return entry === 0 ? 0 : this.#ends[entry - 1]!
  }

  #equals(entry: number, { labels, size }: Metric): boolean {
    const begin = this.#begin(entry)
    const end = this.#ends[entry]!
    return end - begin === size && labels.compare(this.#arena, begin, end, 0, size) === 0
  }

  #timed(times: readonly number[]): number {
    if (times.every(time => time === 0)) return -1
    const at = this.#timeCount
    this.#timeCount += times.length
    if (this.#timeCount > this.#times.length)
      this.#times = copied(this.#times, new Float64Array(Math.max(64, this.#timeCount, this.#times.length * 2)))
    this.#times.set(times, at)
    return at
  }

  #family(family: Family): number {
    const known = this.#byName.get(family.name)
    if (known !== undefined) return known
    this.#byName.set(family.name, this.#all.length)
    return this.#all.push(family) - 1
  }

  #shape(metric: Metric, entry: number): number {
    const { type } = metric.family
    if (type !== HISTOGRAM && type !== SUMMARY) return 0
    const last = entry > 0 ? this.#shapes[entry - 1]! : 0
    if (fits(this.#known[last]!, metric)) return last
    const known = this.#known.findLastIndex(each => fits(each, metric))
    if (known >= 0) return known
    return this.#known.push({ bounds: [...metric.bounds], native: metric.nativeEnd > 0 }) - 1
  }

  #place(entry: number): void {
    const mask = this.#buckets.length - 1
    let at = this.#hashes[entry]! & mask
    while (this.#buckets[at]! >= 0) at = (at + 1) & mask
    this.#buckets[at] = entry
  }

  #extend(needed: number): void {
    const larger = Buffer.allocUnsafe(Math.max(needed, this.#arena.length * 2))
    this.#arena.copy(larger)
    this.#arena = larger
  }

  #grow(): void {
    const size = this.starts.length * 2
    this.starts = copied(this.starts, new Float64Array(size))
    this.values = copied(this.values, new Float64Array(size))
    this.kept = copied(this.kept, new Uint8Array(size))
    this.#hashes = copied(this.#hashes, new Int32Array(size))
    this.#families = copied(this.#families, new Int32Array(size))
    this.#ends = copied(this.#ends, new Int32Array(size))
    this.#shapes = copied(this.#shapes, new Int32Array(size))
    this.#exemplars = copied(this.#exemplars, new Int32Array(size))
    this.#buckets = new Int32Array(size * 2).fill(-1)
    for (let entry = 0; entry < this.#count; entry++) this.#place(entry)
  }
}

function copied<T extends Uint8Array | Int32Array | Float64Array>(from: T, to: T): T {
  to.set(from)
  return to
}

const NO_SHAPE: Shape = { bounds: [], native: false }

function fits({ bounds, native }: Shape, metric: Metric): boolean {
  if (native !== metric.nativeEnd > 0 || bounds.length !== metric.bounds.length) return false
  return bounds.every((bound, i) => bound === metric.bounds[i])
}

/** Words of labels in one hash, besides the hash of those before them. */
const AT_ONCE = 255
const words = new Int32Array(AT_ONCE + 1)

/** The hash of the labels and the name of the family. */
function keyOf({ family, labels, size }: Metric): number {
  let key = nameKey(family)
  for (let from = 0; from < size; from += AT_ONCE * 4) {
    const length = Math.min(size - from, AT_ONCE * 4)
    words[0] = key
    let word = 1
    for (let at = from; at < from + length; at += 4) {
      // Up to three bytes behind the end are those of an earlier metric, so they are left out.
      const left = from + length - at
      let each = labels[at]!
      if (left > 1) each |= labels[at + 1]! << 8
      if (left > 2) each |= labels[at + 2]! << 16
      if (left > 3) each |= labels[at + 3]! << 24
      words[word++] = each
    }
    key = hash(words, word)
  }
  return key
}

const nameKeys = new WeakMap<Family, number>()

function nameKey(family: Family): number {
  const known = nameKeys.get(family)
  if (known !== undefined) return known
  let key = 0
  for (let from = 0; from < family.name.length; from += AT_ONCE) {
    const part = family.name.slice(from, from + AT_ONCE)
    words[0] = key
    for (let i = 0; i < part.length; i++) words[i + 1] = part.charCodeAt(i)
    key = hash(words, part.length + 1)
  }
  nameKeys.set(family, key)
  return key
}
