// The strata: classes of traces by what is known of them, each with a probability of its own. Facts are independent of a
// trace's randomness R, so with `th` written into what is kept, every sum of adjusted counts is what it would have been.
//
// A limit of spans or bytes a second becomes probabilities, once a second, from what came in the seconds before. It is
// shared out: each stratum has a part of it, and what one does not use the others have. A probability at most doubles
// or halves in a second. Meanwhile more than the limit may come; a bucket of some seconds of it lets that through, and
// beyond it drops traces as they come. That is no sampling by probability, so `th` is then erased.

/** In order of precedence. The last one holds every trace. */
export const STRATA = ['error', 'slow', 'rare', 'ordinary'] as const
export type Stratum = (typeof STRATA)[number]

export const ERROR = 0
export const SLOW = 1
export const RARE = 2
export const ORDINARY = 3

/** The shares of a limit. */
const SHARES = [4, 2, 1, 3]

/** Thresholds are the first 28 of R's 56 bits. This one is above every R. */
export const NEVER = 2 ** 28

/** The last second counts half, and all before it the other half; more than that at once counts at once. */
const SMOOTHING = 0.5
/** Seconds of the limit that the bucket holds: a load of seven times the limit from one moment to the next fits into it. */
const BURST = 10

export interface Limits {
  readonly spans: number | undefined
  readonly bytes: number | undefined
}

export function thresholdOf(probability: number): number {
  return Math.round((1 - Math.min(1, Math.max(0, probability))) * NEVER)
}

export function probabilityOf(threshold: number): number {
  return (NEVER - threshold) / NEVER
}

export class Strata {
  /** The thresholds in force, and those without limits. */
  readonly thresholds: Int32Array
  readonly configured: Int32Array
  readonly #limits: readonly { readonly limit: number; readonly demand: Demand }[]
  readonly #spans = new Demand()
  readonly #bytes = new Demand()
  readonly #buckets: readonly Bucket[]
  #since: number
  #begun = false

  /** The probability of each stratum without limits. */
  constructor(probabilities: Readonly<Record<Stratum, number>>, { spans, bytes }: Limits, now: number) {
    this.configured = Int32Array.from(STRATA, each => thresholdOf(probabilities[each]))
    this.thresholds = Int32Array.from(this.configured)
    this.#since = now
    this.#limits = [
      ...(spans === undefined ? [] : [{ limit: spans, demand: this.#spans }]),
      ...(bytes === undefined ? [] : [{ limit: bytes, demand: this.#bytes }]),
    ]
    this.#buckets = this.#limits.map(({ limit }) => new Bucket(limit, now))
  }

  /** The stratum that a trace of these facts (bits) counts for: of those with the lowest threshold the first. */
  of(facts: number, thresholds = this.thresholds): number {
    let best = ORDINARY
    for (let each = ORDINARY - 1; each >= 0; each--)
      if ((facts >> each) & 1 && thresholds[each]! <= thresholds[best]!) best = each
    return best
  }

  /** The probabilities in force. */
  get ratios(): Record<Stratum, number> {
    const [error = 0, slow = 0, rare = 0, ordinary = 0] = Array.from(this.thresholds, probabilityOf)
    return { error, slow, rare, ordinary }
  }

  /** Whether limits are kept, so that what comes has to be counted. */
  get limited(): boolean {
    return this.#limits.length > 0
  }

  /**
   * The count of a span that stands for `weight` spans, in a trace of this threshold: one that stands for more than
   * this stage would make of one is not thinned out any more.
   */
  counted(weight: number, threshold: number): number {
    const most = NEVER / Math.max(1, NEVER - threshold)
    return weight < most ? weight : most
  }

  /** Counts a span that came, `counted` times. A later finding moves it: counted −1 times, then elsewhere. */
  count(stratum: number, counted: number, bytes: number): void {
    this.#spans.add(stratum, counted, Math.sign(counted))
    this.#bytes.add(stratum, counted * bytes, Math.sign(counted) * bytes)
  }

  /** Sets the thresholds of the next second, if one is over. */
  adapt(now: number): void {
    const seconds = (now - this.#since) / 1000
    if (seconds < 1 || !this.limited) return
    this.#since = now
    const targets = Array.from(STRATA, (_, each) => probabilityOf(this.configured[each]!))
    const most = [...targets]
    for (const { limit, demand } of this.#limits) {
      const wanted = demand.close(seconds, most)
      for (const [each, given] of share(wanted, limit).entries())
        if (given < wanted[each]!) targets[each] = Math.min(targets[each]!, given / demand.weighted(each))
    }
    // After the first second there is nothing to be steady about.
    const step = this.#begun ? 2 ** seconds : Number.POSITIVE_INFINITY
    this.#begun = true
    for (const [each, target] of targets.entries()) {
      const before = probabilityOf(this.thresholds[each]!)
      // From a probability that cannot be told from 0, doubling would lead nowhere.
      const next = Math.max(Math.min(Math.max(target, before / step), before * step), Math.min(target, 1 / NEVER))
      this.thresholds[each] = thresholdOf(next)
    }
  }

  /**
   * Whether the buckets have room for what is kept, which then takes it. Spans kept while a bucket recovers have no
   * threshold that could be told: see `exhausted`.
   */
  take(spans: number, bytes: number, now: number): boolean {
    const amounts = [spans, bytes]
    for (const bucket of this.#buckets) bucket.refill(now)
    if (this.#buckets.some(bucket => bucket.empty)) return false
    for (const [i, bucket] of this.#buckets.entries())
      bucket.take(amounts[this.#limits[i]!.demand === this.#spans ? 0 : 1]!)
    return true
  }

  /** Whether traces are, or were a moment ago, dropped as they come. */
  get exhausted(): boolean {
    return this.#buckets.some(bucket => bucket.exhausted)
  }
}

/** The spans and bytes of a second, by stratum. */
class Demand {
  readonly #weighted = new Float64Array(STRATA.length)
  readonly #plain = new Float64Array(STRATA.length)
  readonly #weightedRate = new Float64Array(STRATA.length)
  readonly #plainRate = new Float64Array(STRATA.length)

  add(stratum: number, weighted: number, plain: number): void {
    this.#weighted[stratum]! += weighted
    this.#plain[stratum]! += plain
  }

  /** The load that these probabilities would send in a second, after a window of so many seconds. */
  close(seconds: number, probabilities: readonly number[]): number[] {
    const newer = 1 - SMOOTHING ** seconds
    return Array.from(STRATA, (_, each) => {
      this.#weightedRate[each] = smooth(this.#weightedRate[each]!, this.#weighted[each]! / seconds, newer)
      this.#plainRate[each] = smooth(this.#plainRate[each]!, this.#plain[each]! / seconds, newer)
      this.#weighted[each] = this.#plain[each] = 0
      return Math.min(this.#plainRate[each]!, probabilities[each]! * this.#weightedRate[each]!)
    })
  }

  /** The spans of a second, each as often as it stands for others. */
  weighted(stratum: number): number {
    return this.#weightedRate[stratum]!
  }
}

function smooth(before: number, now: number, part: number): number {
  // Spans that were moved to another stratum may be more than those that came.
  return Math.max(0, now > before ? now : before + (now - before) * part)
}

/** Shares out a limit: nobody gets more than it wants, and what it leaves goes to the others by their shares. */
export function share(wanted: readonly number[], limit: number): number[] {
  const given = wanted.map(() => 0)
  let open = wanted.map((_, each) => each).filter(each => wanted[each]! > 0)
  let left = limit
  while (open.length > 0) {
    const all = open.reduce((sum, each) => sum + SHARES[each]!, 0)
    const content = open.filter(each => wanted[each]! <= (left * SHARES[each]!) / all)
    if (content.length === 0) {
      for (const each of open) given[each] = (left * SHARES[each]!) / all
      break
    }
    for (const each of content) given[each] = wanted[each]!
    left -= content.reduce((sum, each) => sum + wanted[each]!, 0)
    open = open.filter(each => !content.includes(each))
  }
  return given
}

/** The last guard: some seconds of the limit. A trace is let through while anything is in it, however large it is. */
class Bucket {
  exhausted = false
  readonly #rate: number
  #tokens: number
  #since: number

  constructor(rate: number, now: number) {
    this.#rate = rate
    this.#tokens = BURST * rate
    this.#since = now
  }

  get empty(): boolean {
    return this.#tokens <= 0
  }

  refill(now: number): void {
    this.#tokens = Math.min(BURST * this.#rate, this.#tokens + ((now - this.#since) / 1000) * this.#rate)
    this.#since = now
    if (this.#tokens <= 0) this.exhausted = true
    else if (this.#tokens > (BURST * this.#rate) / 2) this.exhausted = false
  }

  take(amount: number): void {
    this.#tokens -= amount
  }
}
