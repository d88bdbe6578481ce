// The keys of attributes, collected over many spans. Nearly every key is one that was just seen, which is recognised by its
// bytes: making a text of each would cost ten times as much.

import { lastWord, word } from '../../../metrics/word.ts'
import { Reader } from '../../../otlp/wire.ts'

const CACHE_SHIFT = 22
const CACHED = 2 ** (32 - CACHE_SHIFT)

export class Keys {
  readonly found = new Set<string>()
  readonly #cache: (Buffer | undefined)[] = new Array<Buffer | undefined>(CACHED).fill(undefined)
  readonly #most: number
  readonly #reader = new Reader()
  readonly #pair = new Reader()

  /** At most so many keys are collected. */
  constructor(most: number) {
    this.#most = most
  }

  /** Collects the keys of the KeyValues in a field of a message; `tag` is below 128. */
  collect(bytes: Buffer, start: number, end: number, tag: number): void {
    for (const message = this.#reader.over(bytes, start, end); message.next(); ) {
      if (message.tag !== tag) continue
      const at = message.start
      const length = bytes[at + 1]!
      // Fast path: the key first, and short.
      if (bytes[at] === 0x0a && length < 128) this.add(bytes, at + 2, at + 2 + length)
      else
        for (const pair = this.#pair.over(bytes, at, message.end); pair.next(); )
          if (pair.tag === 0x0a) this.add(bytes, pair.start, pair.end)
    }
  }

  add(bytes: Buffer, start: number, end: number): void {
    const length = end - start
    const last = length < 4 ? lastWord(bytes, start, end) : word(bytes, end - 4)
    const slot = Math.imul(last ^ length ^ Math.imul(bytes[start]!, 0x85ebca6b), 0x9e3779b1) >>> CACHE_SHIFT
    const cached = this.#cache[slot]
    if (cached && same(cached, bytes, start, length)) return
    if (this.found.size >= this.#most || length === 0) return
    this.#cache[slot] = Buffer.from(bytes.subarray(start, end))
    this.found.add(bytes.toString('utf8', start, end))
  }
}

function same(a: Buffer, b: Buffer, start: number, length: number): boolean {
  if (a.length !== length) return false
  for (let i = length - 1; i >= 0; i--) if (a[i] !== b[start + i]) return false
  return true
}
