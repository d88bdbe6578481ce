// The series that a page has shown already, by the hash of their name and labels. The order of labels does not matter:
// each label is hashed alone, mixed, and all are added up.
//
// A label's hash is universal, as in metrics/hash.ts: a sum of its bytes, each times a random factor of its place. Two
// different labels have the same one with a probability of 2^-32, and a page cannot be made such that they do. So the hash,
// 64 bits, stands for the series.

import type { Samples } from './samples.ts'

/** The longest label (name, value, and what is between them), in bytes. */
export const LONGEST_LABEL = 8192

// Sums of products stay below 2 ** 53: 8192 places, bytes below 256, factors below 2 ** 32.
export const FACTORS: Float64Array = Float64Array.from({ length: LONGEST_LABEL + 1 }, () =>
  Math.floor(Math.random() * 2 ** 32),
)

export function mixA(sum: number): number {
  return mixed((sum | 0) ^ Math.imul((sum / 0x100000000) | 0, 0x9e3779b1))
}

export function mixB(sum: number): number {
  return mixed(Math.imul(sum | 0, 0x7feb352d) ^ ((sum / 0x100000000) | 0) ^ 0x5bd1e995)
}

function mixed(word: number): number {
  let h = Math.imul(word ^ (word >>> 16), 0x85ebca6b)
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35)
  return h ^ (h >>> 16)
}

/** The sum of a label that is given as text, name="value" as it is written. */
export function sumOf(label: Uint8Array): number {
  let sum = 0
  for (let i = 0; i < label.length; i++) sum += FACTORS[i]! * label[i]!
  return sum
}

export class SeriesSet {
  readonly #samples: Samples
  #slots = new Uint32Array(1024)
  #held = 0

  constructor(samples: Samples) {
    this.#samples = samples
  }

  /** Adds the sample at this place; false if its series is there already. */
  add(place: number): boolean {
    const { keyA, keyB } = this.#samples
    const slots = this.#slots
    const mask = slots.length - 1
    const a = keyA[place]!
    const b = keyB[place]!
    let at = a & mask
    for (; slots[at] !== 0; at = (at + 1) & mask) {
      const other = slots[at]! - 1
      if (keyA[other] === a && keyB[other] === b) return false
    }
    slots[at] = place + 1
    if (++this.#held * 2 > slots.length) this.#grow()
    return true
  }

  #grow(): void {
    const { keyA } = this.#samples
    const slots = new Uint32Array(this.#slots.length * 2)
    const mask = slots.length - 1
    for (const held of this.#slots) {
      if (held === 0) continue
      let at = keyA[held - 1]! & mask
      while (slots[at] !== 0) at = (at + 1) & mask
      slots[at] = held
    }
    this.#slots = slots
  }
}
