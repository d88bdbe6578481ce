// Random choices that are the same for the same seed; SEED=n tries others.

export const SEED = Number(process.env['SEED'] ?? 1)

/** Numbers from 0 up to, and without, 1 (mulberry32). Each is a multiple of 2⁻³². */
export function numbers(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

export class Random {
  /** From 0 up to, and without, 1. */
  readonly next: () => number

  constructor(seed: number) {
    this.next = numbers(seed)
  }

  /** A whole number from `least` to `most`. */
  whole(least: number, most: number): number {
    return least + Math.floor(this.next() * (most - least + 1))
  }

  chance(share: number): boolean {
    return this.next() < share
  }

  of<T>(all: readonly T[]): T {
    return all[this.whole(0, all.length - 1)]!
  }

  bytes(length: number): Buffer {
    const bytes = Buffer.alloc(length)
    for (let i = 0; i < length; i++) bytes[i] = this.whole(0, 255)
    return bytes
  }

  /** Cut into pieces. */
  pieces(bytes: Buffer, most: number): Buffer[] {
    const cuts = Array.from({ length: this.whole(0, most - 1) }, () => this.whole(0, bytes.length)).sort(
      (a, b) => a - b,
    )
    return [...cuts, bytes.length]
      .map((end, i) => bytes.subarray(i === 0 ? 0 : cuts[i - 1]!, end))
      .filter(each => each.length)
  }
}
