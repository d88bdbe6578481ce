// One budget of bytes for everything in the sidecar that holds what others send or do not read: bodies, answers, series,
// stores. Each part asks it before it takes more, so that all of them together stay within the limit of the cgroup.

/** The budget, and what its parts hold. */
export class Memory {
  readonly total: number
  readonly #parts = new Map<string, Allotment>()
  used = 0

  /** `total` is in bytes. */
  constructor(total: number) {
    this.total = total
  }

  /** The allotment of a part, at most so many bytes of the budget. Asked for again under the same name, it is the same. */
  allot(name: string, most = this.total): Allotment {
    const known = this.#parts.get(name)
    if (known) return known
    const allotment = new Allotment(this, Math.min(most, this.total))
    this.#parts.set(name, allotment)
    return allotment
  }

  /** The allotment of each part, with its size and its refusals. */
  get parts(): ReadonlyMap<string, Allotment> {
    return this.#parts
  }
}

/** The share of the budget that one part holds. */
export class Allotment {
  used = 0
  refused = 0
  readonly most: number
  readonly #memory: Memory

  constructor(memory: Memory, most: number) {
    this.#memory = memory
    this.most = most
  }

  /** Whether there is no room for anything more. */
  get full(): boolean {
    return this.used >= this.most || this.#memory.used >= this.#memory.total
  }

  /** Whether so many bytes would fit. */
  fits(bytes: number): boolean {
    return this.used + bytes <= this.most && this.#memory.used + bytes <= this.#memory.total
  }

  /** Takes so many bytes; false, and counted, if they do not fit. */
  hold(bytes: number): boolean {
    if (!this.fits(bytes)) {
      this.refused++
      return false
    }
    this.add(bytes)
    return true
  }

  /** Accounts for bytes that are held whether there is room or not; a negative number gives back. */
  add(bytes: number): void {
    this.used += bytes
    this.#memory.used += bytes
  }
}
