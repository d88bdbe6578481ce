// The Huffman code of HPACK (RFC 7541, section 5.2 and appendix B). The code is canonical: codes follow from their lengths
// alone, in the order of length, then symbol. It is decoded eight bits at a time.

/** The length of the code of each symbol, 256 being the end of the string: a is 1 bit, z 26, A 27, D 30. */
const LENGTHS =
  'mwBBBBBBBxDBBDBBBBBBBBDBBBBBBBBBfjjlmfhkjjhkhfffeeefffffffghofljmfgggggggggggggggggggggghghmsmnfoefefefffeggfffefgfeefgggggoknmB' +
  'tvttvvvwvwwwwwxwxxvwxwwwwuvwvwwxvutvvwwuwvvxuvwwuuvuwvwwtvvvwvvwzztsvwvyzzzAAzxysuzAAzAxuuzzBAAAtxtuvuuwvvyyxxzwzAzzAAAAABAAAAAzD'

const END = 256

/**
 * Tables of 256 entries each, which stand for the next eight bits: a symbol and how many of the bits are its own
 * (symbol · 16 + bits), or the table for the bits after these (its place, negative), or 0 where no code is.
 */
let tables: Int16Array | undefined

/** The text that a Huffman-coded string stands for, as Latin-1; undefined if the code or its padding is wrong. */
export function decodeHuffman(bytes: Buffer, start: number, end: number): string | undefined {
  tables ??= makeTables()
  // The shortest code has five bits.
  const text = Buffer.allocUnsafe(Math.ceil(((end - start) * 8) / 5))
  let length = 0
  let table = 0
  let bits = 0
  let count = 0
  for (let at = start; at < end; at++) {
    bits = ((bits << 8) | bytes[at]!) & 0xffff
    count += 8
    while (count >= 8) {
      const entry = tables[table + ((bits >> (count - 8)) & 255)]!
      if (entry === 0) return undefined
      if (entry < 0) {
        table = -entry
        count -= 8
        continue
      }
      text[length++] = entry >> 4
      count -= entry & 15
      table = 0
    }
  }
  while (count > 0) {
    const entry = tables[table + ((bits << (8 - count)) & 255)]!
    if (entry <= 0 || (entry & 15) > count) break
    text[length++] = entry >> 4
    count -= entry & 15
    table = 0
  }
  // The rest must be the beginning of the code for the end: fewer than eight bits, all of them 1.
  const ones = (1 << count) - 1
  return table === 0 && (bits & ones) === ones ? text.toString('latin1', 0, length) : undefined
}

function makeTables(): Int16Array {
  const made: number[] = Array(256).fill(0)
  const lengths = [...LENGTHS].map(letter => (letter >= 'a' ? letter.charCodeAt(0) - 96 : letter.charCodeAt(0) - 38))
  let code = 0
  for (let length = 1; length <= 30; length++) {
    code *= 2
    for (const [symbol, each] of lengths.entries()) if (each === length) enter(made, code++, length, symbol)
  }
  return Int16Array.from(made)
}

function enter(made: number[], code: number, length: number, symbol: number): void {
  // The end of the string is no symbol of a text (section 5.2).
  if (symbol === END) return
  let table = 0
  let rest = length
  for (; rest > 8; rest -= 8) {
    const at = table + ((code >> (rest - 8)) & 255)
    if (made[at] === 0) {
      made[at] = -made.length
      made.push(...Array<number>(256).fill(0))
    }
    table = -made[at]!
  }
  // All bytes that begin with the last bits of the code.
  const first = table + ((code << (8 - rest)) & 255)
  made.fill((symbol << 4) | rest, first, first + (1 << (8 - rest)))
}
