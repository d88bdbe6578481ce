// Running totals of an application that outlive its processes. A process's numbers are read as they are; what they grew
// by since the last look is added here, so that the totals never fall when a process ends or the application restarts.

/**
 * The sums that are kept: ticks, counts, bytes, and seconds from `wait` on. The first four stand twice in
 * /proc/PID/stat: for the process itself, and for the children it waited for.
 */
export const Sum = {
  user: 0,
  system: 1,
  minorFaults: 2,
  majorFaults: 3,
  read: 4,
  written: 5,
  voluntary: 6,
  involuntary: 7,
  wait: 8,
  mainThread: 9,
} as const
export type Sum = (typeof Sum)[keyof typeof Sum]
const SUMS = 10
/** The sums below this one are also known for reaped children. */
const REAPED = 4
/** There are debts in these sums, and in the two io sums that follow. */
const DEBTS = REAPED + 2

/** The sums of one group of processes. A sum that was never read is NaN, and therefore absent. */
export class Account {
  readonly sums: Float64Array = new Float64Array(SUMS).fill(Number.NaN)

  /** NaN is "could not be read" and changes nothing. */
  add(sum: Sum, growth: number): void {
    const before = this.sums[sum]!
    if (!Number.isNaN(growth)) this.sums[sum] = Number.isNaN(before) ? growth : before + growth
  }
}

const WRAP = 2 ** 32

/** The growth of a kernel counter of one process. A 32-bit kernel's counter begins anew after 2^32. */
export function growth(before: number, now: number): number {
  if (now >= before) return now - before
  return before < WRAP && before >= WRAP / 2 && now < WRAP / 2 ? now + WRAP - before : 0
}

/**
 * The amounts that one process and its ended children have been credited with.
 *
 * When a child ends and is waited for, the kernel adds all it used to its parent's "reaped" numbers. The part that was
 * already credited while the child lived must not be credited again: it is a debt of the nearest living ancestor, paid
 * from the growth of its reaped numbers. So children too short-lived to be seen are counted, and none is counted twice.
 *
 * The wait may come after the look that missed the child, so a debt lives for two looks; then the child was not waited
 * for (SIGCHLD ignored), and the debt is forgotten. Sound only if parents are read before their children.
 */
export class Ledger {
  readonly #own = new Float64Array(SUMS)
  readonly #reaped = new Float64Array(REAPED)
  readonly #debt = new Float64Array(DEBTS)
  readonly #olderDebt = new Float64Array(DEBTS)

  /** The process's own use since the last call. The io sums contain reaped children, so they pay debts too. */
  own(sum: Sum, now: number): number {
    if (Number.isNaN(now)) return Number.NaN
    const grown = growth(this.#own[sum]!, now)
    this.#own[sum] = now
    return sum === Sum.read || sum === Sum.written ? this.#pay(sum, grown) : grown
  }

  /** The use of reaped children beyond the amount they were already credited with. */
  reaped(sum: Sum, now: number): number {
    const grown = growth(this.#reaped[sum]!, now)
    this.#reaped[sum] = now
    return this.#pay(sum, grown)
  }

  /** A descendant has ended, and this is its nearest living ancestor, which takes over its debts. */
  inherit(ended: Ledger): void {
    for (let sum = 0; sum < DEBTS; sum++) {
      const credited = ended.#own[sum]! + (sum < REAPED ? ended.#reaped[sum]! : 0)
      this.#debt[sum]! += credited + ended.#debt[sum]! + ended.#olderDebt[sum]!
    }
  }

  /** Begins a look: debts inherited at the last one can be paid for the second and last time. */
  age(): void {
    this.#olderDebt.set(this.#debt)
    this.#debt.fill(0)
  }

  #pay(sum: Sum, amount: number): number {
    const older = Math.min(amount, this.#olderDebt[sum]!)
    this.#olderDebt[sum]! -= older
    const newer = Math.min(amount - older, this.#debt[sum]!)
    this.#debt[sum]! -= newer
    return amount - older - newer
  }
}
