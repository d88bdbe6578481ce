// The attribute keys that are looked for in a walk, and how a key is recognised without making text of it.

const NONE = -1

export class KeySet {
  readonly size: number
  /** 1 at the length of each key: most attributes can be dismissed by this alone. */
  readonly lengths = new Uint8Array(128)
  readonly #keys: readonly Buffer[]
  readonly #words: readonly Int32Array[]
  // Positions of the keys of each length, so that most keys of an application are dismissed by their length alone.
  readonly #byLength: readonly (readonly number[])[]

  constructor(keys: readonly string[]) {
    this.size = keys.length
    this.#keys = keys.map(key => Buffer.from(key))
    this.#words = this.#keys.map(wordsFromEnd)
    for (const { length } of this.#keys) this.lengths[length] = 1
    const longest = Math.max(0, ...this.#keys.map(key => key.length))
    this.#byLength = Array.from({ length: longest + 1 }, (_, length) =>
      [...this.#keys.keys()].filter(position => this.#keys[position]!.length === length),
    )
  }

  /**
   * The position of the key, or -1. It is compared by four bytes at once, from its end, where keys differ most
   * ("http.request.method", "http.response.status"): 10 % of the walk (bench row decode). At least four bytes must be readable.
   */
  find(data: DataView, start: number, length: number): number {
    const candidates = this.#byLength[length]
    if (candidates === undefined) return NONE
    for (let i = 0; i < candidates.length; i++) {
      const words = this.#words[candidates[i]!]!
      let word = 0
      let at = length - 4
      for (; at > 0 && words[word] === data.getInt32(start + at, true); at -= 4) word++
      if (at > 0) continue
      const first = data.getInt32(start, true)
      if (words[word] === (length < 4 ? first & ((1 << (8 * length)) - 1) : first)) return candidates[i]!
    }
    return NONE
  }

  /** The same for a key of any length, wherever it stands. */
  search(bytes: Buffer, start: number, end: number): number {
    const candidates = this.#byLength[end - start] ?? []
    return candidates.find(each => this.#keys[each]!.compare(bytes, start, end) === 0) ?? NONE
  }
}

/** The words of a key as `find` compares them: the last one first, and the first one even if it overlaps the second. */
function wordsFromEnd(key: Buffer): Int32Array {
  const words: number[] = []
  for (let at = key.length - 4; at > 0; at -= 4) words.push(key.readInt32LE(at))
  words.push(Buffer.concat([key, Buffer.alloc(4)]).readInt32LE(0))
  return Int32Array.from(words)
}
