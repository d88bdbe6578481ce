// Reads JSON (RFC 8259) from bytes, one token at a time. Bounded: nothing recurses deeper than MAX_NESTING, and no number
// is longer than LONGEST_NUMBER. Bytes that are not UTF-8 pass through strings unchanged, as they do in protobuf.

import type { Writer } from './writer.ts'

/** Thrown at the first byte that is not what it must be. */
export class Unreadable extends Error {
  readonly offset: number
  constructor(why: string, offset: number) {
    super(why)
    this.offset = offset
  }
}

/** Two JSON levels (an array and an object) for each of the 100 messages that protobuf allows inside each other. */
const MAX_NESTING = 200
/** The exact decimal form of a double has up to 767 digits. */
const LONGEST_NUMBER = 800

export class Scanner {
  /** The halves of the number that `unsigned` has read. */
  low = 0
  high = 0
  readonly #json: Buffer
  #pos = 0
  #nesting = 0

  constructor(json: Buffer) {
    this.#json = json
  }

  fail(why: string, offset = this.#pos): never {
    throw new Unreadable(why, offset)
  }

  /** Opens an object or array, named by its closing byte; false if it is empty (and then closed already). */
  open(close: number): boolean {
    const open = close - 2
    if (this.#peek() !== open) this.fail(`something else where ${String.fromCharCode(open)} was expected`)
    this.#pos++
    if (++this.#nesting > MAX_NESTING) this.fail(`more than ${MAX_NESTING} objects and arrays inside each other`)
    if (this.#peek() !== close) return true
    this.#pos++
    this.#nesting--
    return false
  }

  /** After a member: true before a further one; false at the end of the object or array, which is then closed. */
  another(close: number): boolean {
    const byte = this.#peek()
    if (byte !== COMMA && byte !== close)
      this.fail(`something else where a comma or ${String.fromCharCode(close)} was expected`)
    this.#pos++
    if (byte === COMMA) return true
    this.#nesting--
    return false
  }

  /** The key of a member, and the colon after it: what it names, or undefined. */
  key<Value>(names: Names<Value>): Value | undefined {
    const start = this.#quote()
    const stop = this.#plain(start)
    let named: Value | undefined
    if (this.#json[stop] === QUOTE) {
      // Fast path: no text is made of a key without escapes.
      this.#pos = stop + 1
      named = names.find(this.#json, start, stop)
    } else {
      this.#pos = start - 1
      const text = Buffer.from(this.text())
      named = names.find(text, 0, text.length)
    }
    if (this.#peek() !== COLON) this.fail('something else where a colon was expected')
    this.#pos++
    return named
  }

  /** Takes a null if there is one. */
  null(): boolean {
    return this.#peek() === 0x6e && this.#literal('null')
  }

  boolean(): boolean {
    const byte = this.#peek()
    if (byte === 0x74) return this.#literal('true')
    if (byte === 0x66) return !this.#literal('false')
    return this.fail('something else where true or false was expected')
  }

  /** A string, as text. */
  text(): string {
    const start = this.#quote()
    const stop = this.#plain(start)
    if (this.#json[stop] === QUOTE) {
      this.#pos = stop + 1
      return this.#json.toString('utf8', start, stop)
    }
    this.#pos = start
    this.#rest()
    // The string is known to be well-formed now, escapes included, so JSON.parse can be left to undo them.
    return JSON.parse(this.#json.toString('utf8', start - 1, this.#pos))
  }

  /** A string, written as bytes. */
  string(out: Writer): void {
    for (let from = this.#quote(); ; from = this.#pos) {
      this.#pos = this.#plain(from)
      out.copy(this.#json, from, this.#pos)
      if (this.#json[this.#pos] === QUOTE) break
      // Fast path: an escape of one letter costs no text; alone between letters it took four times as long (row longest).
      const letter = ESCAPES.indexOf(this.#json[this.#pos + 1] ?? 0)
      if (letter >= 0) {
        out.byte(ESCAPED[letter]!)
        this.#pos += 2
        continue
      }
      const begin = this.#pos
      this.#escapes()
      // All escapes that touch each other are undone at once: a surrogate pair is two of them.
      out.text(JSON.parse(`"${this.#json.toString('latin1', begin, this.#pos)}"`))
    }
    this.#pos++
  }

  /** The digits of a number, or the text of a string: OTLP writes 64-bit numbers as strings and accepts both. */
  numberOrText(): string {
    if (this.#peek() !== QUOTE) return this.#number()
    const start = this.#pos
    const text = this.text()
    if (text.length > LONGEST_NUMBER) this.fail(`a number of ${text.length} characters`, start)
    return text
  }

  /**
   * Fast path: a number of at most `digits` digits (19, or fewer) and nothing else, in quotes or not. True if there was one;
   * it is then in `low` and `high`. Otherwise nothing was taken.
   */
  unsigned(digits: number): boolean {
    const json = this.#json
    const quoted = this.#peek() === QUOTE
    const start = quoted ? this.#pos + 1 : this.#pos
    let at = start
    // In two parts, the upper of at most ten digits, so that each is exact.
    let upper = 0
    let lower = 0
    let scale = 1
    for (let byte = json[at]!; byte >= 0x30 && byte <= 0x39; byte = json[++at]!) {
      if (at - start < 10) upper = upper * 10 + byte - 0x30
      else {
        lower = lower * 10 + byte - 0x30
        scale *= 10
      }
      if (at - start >= digits) return false
    }
    if (at === start || (quoted ? json[at] !== QUOTE : NUMERIC[json[at] ?? 0] === 1)) return false
    // JSON has no leading zeros.
    if (!quoted && at - start > 1 && json[start] === 0x30) return false
    this.#pos = quoted ? at + 1 : at
    // upper × scale + lower, of which the first product passes 2^53: upper is split at 16 bits.
    const top = Math.floor(upper / 65_536) * scale
    const rest = (upper % 65_536) * scale + lower + (top % 65_536) * 65_536
    this.low = rest % 0x1_0000_0000
    this.high = Math.floor(top / 65_536) + Math.floor(rest / 0x1_0000_0000)
    return true
  }

  /** Passes over a value of any kind, checking its grammar. */
  skip(): void {
    const byte = this.#peek()
    switch (byte) {
      case QUOTE:
        this.#quote()
        this.#rest()
        break
      case 0x7b:
      case 0x5b:
        for (let more = this.open(byte + 2); more; more = this.another(byte + 2)) {
          if (byte === 0x7b) this.key(NO_NAMES)
          this.skip()
        }
        break
      case 0x6e:
        this.#literal('null')
        break
      case 0x74:
      case 0x66:
        this.boolean()
        break
      default:
        this.#number()
    }
  }

  /** Nothing may follow the value. */
  end(): void {
    if (this.#peek() !== -1) this.fail('something after the end of the value')
  }

  /** The next byte that is not white space, or -1 at the end. */
  #peek(): number {
    const json = this.#json
    for (; this.#pos < json.length; this.#pos++) {
      const byte = json[this.#pos]!
      if (byte > 0x20 || (byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09)) return byte
    }
    return -1
  }

  #quote(): number {
    if (this.#peek() !== QUOTE) this.fail('something else where a string was expected')
    return ++this.#pos
  }

  /** Where the run of bytes ends that stand for themselves: at a quote or a backslash. */
  #plain(start: number): number {
    const json = this.#json
    for (let at = start; at < json.length; at++) {
      const byte = json[at]!
      if (byte === QUOTE || byte === BACKSLASH) return at
      if (byte < 0x20) this.fail('a control character in a string', at)
    }
    return this.fail('a string that is cut off', json.length)
  }

  /** Passes over the rest of a string, its closing quote included. */
  #rest(): void {
    for (;;) {
      this.#pos = this.#plain(this.#pos)
      if (this.#json[this.#pos] === QUOTE) break
      this.#escapes()
    }
    this.#pos++
  }

  /** Passes over escapes that follow each other directly. */
  #escapes(): void {
    const json = this.#json
    const begin = this.#pos
    // 1024 at a time are plenty, and bound the text that is made of them; a surrogate pair is not torn.
    for (let count = 0; json[this.#pos] === BACKSLASH && (count < 1024 || lowSurrogate(json, this.#pos)); count++) {
      const letter = json[this.#pos + 1] ?? 0
      if (letter === 0x75) {
        if (!HEX4.test(json.toString('latin1', this.#pos + 2, this.#pos + 6)))
          this.fail('an escape that is not \\uXXXX')
        this.#pos += 6
      } else if (ESCAPES.includes(letter)) this.#pos += 2
      else this.fail('an escape that does not exist')
    }
    if (this.#pos === begin) this.fail('an escape that does not exist')
  }

  #literal(word: string): true {
    const stop = this.#pos + word.length
    if (this.#json.toString('latin1', this.#pos, stop) !== word) this.fail(`something else where ${word} was expected`)
    this.#pos = stop
    return true
  }

  #number(): string {
    const json = this.#json
    const start = this.#pos
    let at = start
    while (at < json.length && NUMERIC[json[at]!] === 1) at++
    if (at - start > LONGEST_NUMBER) this.fail(`a number of ${at - start} characters`, start)
    const text = json.toString('latin1', start, at)
    if (!NUMBER.test(text)) this.fail('something that is not a JSON value', start)
    this.#pos = at
    return text
  }
}

/** Things by name, found by the bytes of the name. */
export class Names<Value> {
  // By length: few names of one message are equally long.
  readonly #byLength: { readonly name: Buffer; readonly value: Value }[][] = []

  constructor(named: Iterable<readonly [string, Value]>) {
    for (const [text, value] of named) {
      const name = Buffer.from(text)
      while (this.#byLength.length <= name.length) this.#byLength.push([])
      this.#byLength[name.length]!.push({ name, value })
    }
  }

  find(bytes: Buffer, start: number, end: number): Value | undefined {
    const length = end - start
    if (length >= this.#byLength.length) return undefined
    const candidates = this.#byLength[length]!
    for (let i = 0; i < candidates.length; i++) {
      const { name, value } = candidates[i]!
      let at = 0
      while (at < length && name[at] === bytes[start + at]) at++
      if (at === length) return value
    }
    return undefined
  }
}

const NO_NAMES = new Names<never>([])

const QUOTE = 0x22
const COMMA = 0x2c
const COLON = 0x3a
const BACKSLASH = 0x5c
const ESCAPES = Buffer.from('"\\/bfnrt')
/** The characters that they stand for. */
const ESCAPED = Buffer.from('"\\/\b\f\n\r\t')
const HEX4 = /^[0-9a-fA-F]{4}$/
const NUMBER = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?$/
const NUMERIC = new Uint8Array(256)
for (const byte of Buffer.from('0123456789+-.eE')) NUMERIC[byte] = 1

function lowSurrogate(json: Buffer, at: number): boolean {
  return /^\\u[dD][c-fC-F]/.test(json.toString('latin1', at, at + 4))
}
