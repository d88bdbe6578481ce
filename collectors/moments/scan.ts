// Numbers in the small files of the kernel, straight from their bytes: the sampler reads a dozen of them fifty times a
// second, and a text for each would be most of its cost. A missing or cut number is NaN.

const NEWLINE = 0x0a
const SPACE = 0x20
const CLOSE = 0x29

/** The number that begins at a place; NaN if there is none, or it may have been cut. */
export function number(bytes: Uint8Array, from: number, length: number): number {
  let value = 0
  let at = from
  for (; at < length; at++) {
    const digit = bytes[at]! - 0x30
    if (digit < 0 || digit > 9) break
    value = value * 10 + digit
  }
  return at === from || at === length || at - from > 20 ? Number.NaN : value
}

/** The n-th word of a line, counted from 0, as a place; `length` if there is none. Words stand one space apart. */
export function word(bytes: Uint8Array, from: number, n: number, length: number): number {
  let at = from
  for (let left = n; left > 0; left--) {
    while (at < length && bytes[at] !== SPACE && bytes[at] !== NEWLINE) at++
    if (at >= length || bytes[at] === NEWLINE) return length
    at++
  }
  return at
}

/** Where the fields of a stat record begin that follow its name: the state, which is field 3 of proc(5). `length` if cut. */
export function fields(bytes: Buffer, length: number): number {
  // The name may hold anything, so the last bracket counts.
  const at = bytes.lastIndexOf(CLOSE, length - 1)
  return at >= 0 && at + 2 < length ? at + 2 : length
}

/** The number behind a key at the beginning of a line: `key 123`. `key` ends with the space. */
export function keyed(bytes: Buffer, length: number, key: Buffer): number {
  // The search is native: a loop over the bytes of memory.stat is so hot that V8 compiles it, with 5 MiB of compiler for it.
  for (let at = bytes.indexOf(key); at >= 0 && at + key.length < length; at = bytes.indexOf(key, at + 1))
    if (at === 0 || bytes[at - 1] === NEWLINE) return number(bytes, at + key.length, length)
  return Number.NaN
}

/** The number behind `total=` in the first line of a pressure file, in microseconds. */
export function pressure(bytes: Uint8Array, length: number): number {
  const end = bytes.indexOf(NEWLINE)
  if (end < 0 || end >= length) return Number.NaN
  let at = end
  while (at > 0 && bytes[at - 1] !== 0x3d) at--
  return at === 0 ? Number.NaN : number(bytes, at, end + 1)
}

/** The number in a column of a table of two lines, as /proc/PID/net/snmp has them: the names, then the values. */
export class TableField {
  readonly #prefix: Buffer
  readonly #name: string
  /** The column, once it is known, and 0 if there is none; kernels differ in their columns, but not while they run. */
  #column: number | undefined

  /** `prefix` is the table's, such as "Tcp:". */
  constructor(prefix: string, name: string) {
    this.#prefix = Buffer.from(`${prefix} `)
    this.#name = name
  }

  read(bytes: Buffer, length: number): number {
    const names = this.#line(bytes, 0, length)
    if (names < 0) return Number.NaN
    const end = bytes.indexOf(NEWLINE, names)
    const values = end < 0 ? -1 : this.#line(bytes, end, length)
    // The second line of a table follows the first.
    if (values !== end + 1) return Number.NaN
    this.#column ??= Math.max(0, bytes.toString('latin1', names, end).split(' ').indexOf(this.#name))
    return this.#column === 0 ? Number.NaN : number(bytes, word(bytes, values, this.#column, length), length)
  }

  /** Where the first line of the table from a place on begins; -1 if there is none. */
  #line(bytes: Buffer, from: number, length: number): number {
    const { length: size } = this.#prefix
    for (
      let at = bytes.indexOf(this.#prefix, from);
      at >= 0 && at + size < length;
      at = bytes.indexOf(this.#prefix, at + 1)
    )
      if (at === 0 || bytes[at - 1] === NEWLINE) return at
    return -1
  }
}
