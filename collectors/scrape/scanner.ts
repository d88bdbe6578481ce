// Reads a page in one of the text formats: one pass over its bytes, which makes no string and no object for an ordinary
// line. Prometheus fails the whole scrape for one bad line; here the line is dropped and counted, and the others stay.
//
//   page      = *( ( sample / comment / "" ) LF )                              OpenMetrics ends with "# EOF"
//   sample    = series SP value [ SP timestamp ] [ " # {" labels "} " value [ SP timestamp ] ]      (odd.ts has the rest)
//   comment   = "# HELP " name SP text / "# TYPE " name SP type / "# UNIT " name SP unit / "#" anything
//
// https://prometheus.io/docs/instrumenting/exposition_formats, https://prometheus.io/docs/specs/om/open_metrics_spec

import { isUtf8 } from 'node:buffer'
import { underscoredLabel } from '../../metrics/escaping.ts'
import { escapeLabel } from '../../metrics/page.ts'
import { LONGEST_NAME, readComment } from './comment.ts'
import { Families } from './families.ts'
import { boundText, isPlain, numberOf } from './number.ts'
import { readSeries } from './odd.ts'
import { EMPTY, LOOSE, ODD, Samples, SPELLED, VERBATIM } from './samples.ts'
import { FACTORS, LONGEST_LABEL, mixA, mixB, SeriesSet, sumOf } from './series-set.ts'

export interface Limits {
  readonly samples: number
  /** Labels of a sample, and bytes of a label's value as it is written. */
  readonly labels: number
  readonly labelBytes: number
}

/** Why samples of a page are not taken. */
export type Drop = 'syntax' | 'utf8' | 'limits' | 'duplicate'

/** A line may be as long as its labels may; and a description. */
const LONGEST_COMMENT = 16 * 1024
/** Lines between two looks at the clock. */
const LINES = 64

export class Scanner {
  readonly bytes: Buffer
  readonly openmetrics: boolean
  readonly samples = new Samples()
  readonly families: Families
  readonly dropped: Record<Drop, number> = { syntax: 0, utf8: 0, limits: 0, duplicate: 0 }
  /** Exemplars that were left out, and lines of metadata that contradict others. */
  badExemplars = 0
  badComments = 0
  /** The page has more samples than the limit; nothing of it counts. */
  tooMany = false
  /** "# EOF" has come. */
  ended = false
  readonly #limits: Limits
  readonly #series: SeriesSet
  readonly #utf8: boolean
  #at = 0
  // The result of the label set that was read last.
  #a = 0
  #b = 0
  #boundA = 0
  #boundB = 0
  #bound = Number.NaN
  #boundStart = 0
  #boundEnd = 0
  #loose = false
  #empty = false
  #fault: Drop = 'syntax'
  // And the number.
  #value = 0
  #plain = true
  #lastName = -1
  #lastStart = 0
  #lastLength = -1
  readonly #sums = { le: new Map<number, number>(), quantile: new Map<number, number>() }
  readonly #labelNames = new Float64Array(256)

  constructor(bytes: Buffer, openmetrics: boolean, limits: Limits) {
    this.bytes = bytes
    this.openmetrics = openmetrics
    this.families = new Families(openmetrics, limits.samples)
    this.#limits = limits
    this.#series = new SeriesSet(this.samples)
    this.#utf8 = isUtf8(bytes)
  }

  /** Reads on until `tired` says so, or to the end; true at the end. */
  run(tired: () => boolean): boolean {
    const { length } = this.bytes
    let lines = 0
    while (this.#at < length && !this.ended && !this.tooMany) {
      if (++lines % LINES === 0 && tired()) return false
      this.#at = this.#line(this.#at)
    }
    // The page ends at "# EOF".
    if (this.ended && this.bytes.subarray(this.#at, this.#at + LINES).some(byte => byte !== NEWLINE))
      this.dropped.syntax++
    return true
  }

  /** Reads the line that begins here; returns where the next one begins. */
  #line(start: number): number {
    const { bytes } = this
    let at = start
    while (bytes[at] === SPACE || bytes[at] === TAB) at++
    const first = bytes[at]
    if (first === undefined || first === NEWLINE) return at + 1
    if (first === RETURN && bytes[at + 1] === NEWLINE) return at + 2
    if (!this.#utf8 && !isUtf8(bytes.subarray(start, this.#end(at)))) {
      if (first !== HASH) this.dropped.utf8++
      return this.#end(at) + 1
    }
    if (first === HASH) {
      const end = this.#end(at)
      this.#comment(at, end)
      return end + 1
    }
    this.#fault = 'syntax'
    const next = this.#sample(at, at === start)
    if (next >= 0) return next
    this.dropped[this.#fault]++
    return this.#end(at) + 1
  }

  #end(at: number): number {
    const newline = this.bytes.indexOf(NEWLINE, at)
    return newline < 0 ? this.bytes.length : newline
  }

  /** Returns the beginning of the next line, or -1 if the sample is bad (`#fault`). */
  #sample(start: number, tight: boolean): number {
    const { bytes, samples } = this
    let at = start
    // One name of megabytes must not hold the event loop.
    for (const most = start + LONGEST_NAME; NAME[bytes[at]!] === 1; at++) if (at > most) return this.#bad('limits')
    const nameEnd = at
    let flags = tight ? VERBATIM : 0
    let name: number
    let labels = 0
    let labelsEnd = 0
    if (nameEnd === start || DIGIT[bytes[start]!] === 1) name = -1
    else name = this.#name(start, nameEnd)
    let next = bytes[at]
    if (name >= 0 && (next === SPACE || next === TAB)) {
      // A space before the labels.
      let after = at
      while (bytes[after] === SPACE || bytes[after] === TAB) after++
      if (bytes[after] === BRACE) name = -1
      else next = SPACE
    }
    this.#a = 0
    this.#b = 0
    this.#boundA = 0
    this.#boundB = 0
    this.#bound = Number.NaN
    this.#boundStart = 0
    this.#boundEnd = 0
    this.#loose = false
    this.#empty = false
    if (name >= 0 && next === BRACE) {
      labels = at + 1
      at = this.#labels(at)
      if (at === QUOTED) name = -1
      else if (at < 0) return -1
      else {
        labelsEnd = at - 1
        if (this.#loose) flags = (flags & ~VERBATIM) | LOOSE
        if (this.#empty) flags |= EMPTY
      }
    }
    if (name < 0) {
      const odd = this.#odd(start)
      if (odd === undefined) return -1
      name = odd.name
      at = odd.end
      labels = start
      labelsEnd = at
      flags = ODD
    }
    // The value.
    const gap = at
    while (bytes[at] === SPACE || bytes[at] === TAB) at++
    if (at !== gap + 1 || bytes[gap] !== SPACE) flags &= ~VERBATIM
    const text = at
    at = this.#number(at)
    if (at < 0) return -1
    const textEnd = at
    const value = this.#value
    if (!this.#plain) flags = (flags & ~VERBATIM) | SPELLED
    let exemplar = 0
    let exemplarEnd = 0
    if (bytes[at] !== NEWLINE) {
      at = this.#blank(at)
      const byte = bytes[at]
      if (byte !== NEWLINE && byte !== HASH && byte !== undefined) {
        // A time, which is left out: it would be that of the scrape.
        flags &= ~VERBATIM
        at = this.#time(at)
        if (at < 0) return -1
        at = this.#blank(at)
      } else if (byte === NEWLINE) flags &= ~VERBATIM
      if (bytes[at] === HASH) {
        if (!this.openmetrics || bytes[at - 1] !== SPACE) return -1
        const end = this.#exemplar(at)
        if (end < 0) return -1
        if (end === 0) {
          this.badExemplars++
          flags &= ~VERBATIM
          at = this.#end(at)
        } else {
          exemplar = at + 2
          exemplarEnd = end
          if (at !== textEnd + 1) flags &= ~VERBATIM
          at = this.#blank(end)
          if (at !== end) flags &= ~VERBATIM
        }
      }
      if (at < bytes.length && bytes[at] !== NEWLINE) return -1
      if (at >= bytes.length) flags &= ~VERBATIM
    }

    if (samples.count >= this.#limits.samples) {
      this.tooMany = true
      return at + 1
    }
    const place = samples.next()
    const { keyA, keyB } = this.families.names[name]!
    samples.keyA[place] = this.#a + this.#boundA + keyA
    samples.keyB[place] = this.#b + this.#boundB + keyB
    if (!this.#series.add(place)) {
      this.#fault = 'duplicate'
      return -1
    }
    samples.start[place] = start
    samples.nameEnd[place] = nameEnd
    samples.labels[place] = labels
    samples.labelsEnd[place] = labelsEnd
    samples.text[place] = text
    samples.textEnd[place] = textEnd
    samples.exemplar[place] = exemplar
    samples.exemplarEnd[place] = exemplarEnd
    samples.value[place] = value
    samples.bound[place] = this.#bound
    samples.boundStart[place] = this.#boundStart
    samples.boundEnd[place] = this.#boundEnd
    samples.name[place] = name
    samples.flags[place] = flags
    samples.groupA[place] = this.#a
    samples.groupB[place] = this.#b
    samples.count++
    this.families.sampled(name)
    return at + 1
  }

  #blank(from: number): number {
    const { bytes } = this
    let at = from
    while (bytes[at] === SPACE || bytes[at] === TAB) at++
    return bytes[at] === RETURN && bytes[at + 1] === NEWLINE ? at + 1 : at
  }

  /** The place of the name that stands there. Most lines have that of the line before. */
  #name(start: number, end: number): number {
    const { bytes } = this
    const length = end - start
    if (length === this.#lastLength) {
      let i = length - 1
      for (const last = this.#lastStart; i >= 0 && bytes[start + i] === bytes[last + i]; ) i--
      if (i < 0) return this.#lastName
    }
    this.#lastName = this.families.nameOf(bytes.toString('latin1', start, end))
    this.#lastStart = start
    this.#lastLength = length
    return this.#lastName
  }

  /**
   * Reads a label set from its brace on, and adds up its hash; returns the offset after it, QUOTED if a label's name is in
   * quotes, or -1.
   */
  #labels(brace: number): number {
    const { bytes } = this
    const { labelBytes, labels: most } = this.#limits
    const names = this.#labelNames
    let count = 0
    let at = brace + 1
    if (bytes[at] === CLOSE) return at + 1
    for (;;) {
      while (bytes[at] === SPACE || bytes[at] === TAB) {
        this.#loose = true
        at++
      }
      const start = at
      let sum = 0
      let byte = bytes[at]!
      if (DIGIT[byte] !== 1)
        while (LABEL[byte] === 1) {
          sum += FACTORS[at - start]! * byte
          byte = bytes[++at]!
          if (at - start > LONGEST_NAME) return this.#bad('limits')
        }
      if (at === start) {
        if (byte === QUOTE) return QUOTED
        // A comma after the last label.
        if (byte !== CLOSE) return -1
        this.#loose = true
        return at + 1
      }
      const named = at
      if (byte !== EQUALS) {
        while (bytes[at] === SPACE || bytes[at] === TAB) at++
        if (at === named || bytes[at] !== EQUALS) return -1
        this.#loose = true
      }
      // Labels of one name, found by the hash of the name: it may stand only once.
      for (let i = 0; i < count; i++) if (names[i] === sum) return -1
      if (count >= most) return this.#bad('limits')
      names[count++] = sum
      if (named - start === 8 && this.#says(start, '__name__')) return -1
      at++
      while (bytes[at] === SPACE || bytes[at] === TAB) {
        this.#loose = true
        at++
      }
      if (bytes[at] !== QUOTE) return -1
      const value = ++at
      let place = named - start
      sum += FACTORS[place]! * EQUALS + FACTORS[place + 1]! * QUOTE
      place += 2
      for (byte = bytes[at]!; byte !== QUOTE; byte = bytes[++at]!) {
        if (byte === BACKSLASH) {
          const escaped = bytes[at + 1]
          if (escaped !== BACKSLASH && escaped !== QUOTE && escaped !== LETTER_N) return -1
          sum += FACTORS[place++]! * BACKSLASH
          byte = bytes[++at]!
        } else if (byte === NEWLINE || byte === undefined) return -1
        if (place > LONGEST_LABEL - 2) return this.#bad('limits')
        sum += FACTORS[place++]! * byte
      }
      if (at - value > labelBytes) return this.#bad('limits')
      sum += FACTORS[place]! * QUOTE
      // A label without a value is none.
      if (at === value) this.#empty = true
      else {
        // Only the first one of a sample that has both.
        const isBound =
          this.#boundA === 0 &&
          this.#boundB === 0 &&
          (named - start === 2
            ? bytes[start] === 108 && bytes[start + 1] === 101
            : named - start === 8 && bytes[start] === 113 && this.#says(start, 'quantile'))
        if (isBound) {
          this.#bound = this.#number(value) === at ? this.#value : Number.NaN
          if (Number.isNaN(this.#bound) || this.#usual(value, at)) this.#boundSum(sum)
          else {
            this.#boundStart = value
            this.#boundEnd = at
            this.#boundSum(this.#usualSum(named - start === 2 ? 'le' : 'quantile'))
          }
        } else {
          this.#a = (this.#a + mixA(sum)) | 0
          this.#b = (this.#b + mixB(sum)) | 0
        }
      }
      at++
      if (bytes[at] === SPACE || bytes[at] === TAB) {
        this.#loose = true
        while (bytes[at] === SPACE || bytes[at] === TAB) at++
      }
      if (bytes[at] === CLOSE) return at + 1
      if (bytes[at] !== COMMA) return -1
      at++
    }
  }

  #boundSum(sum: number): void {
    this.#boundA = mixA(sum)
    this.#boundB = mixB(sum)
  }

  /** The sum of the bound, as `boundText` spells it: 1 and 1.0 are one bound. */
  #usualSum(label: 'le' | 'quantile'): number {
    const known = this.#sums[label].get(this.#bound)
    if (known !== undefined) return known
    const sum = sumOf(Buffer.from(`${label}="${boundText(this.#bound)}"`))
    if (this.#sums[label].size < MOST_SUMS) this.#sums[label].set(this.#bound, sum)
    return sum
  }

  /** Whether the text of a bound is the one that `boundText` gives its value. */
  #usual(start: number, end: number): boolean {
    const { bytes } = this
    // Fast path: a decimal point and few digits, such as "0.25", "2.5" and "10.0".
    let point = start
    while (point < end && bytes[point] !== POINT) point++
    if (point === end) return end - start === 4 && this.#says(start, '+Inf')
    if (
      end - start <= 6 &&
      bytes[end - 1] !== 48 &&
      DIGIT[bytes[start]!] === 1 &&
      (bytes[start] !== 48 || point === start + 1) &&
      this.#bound >= 1e-4
    )
      return true
    return boundText(this.#bound) === bytes.toString('latin1', start, end)
  }

  #says(at: number, word: string): boolean {
    for (let i = 0; i < word.length; i++) if (this.bytes[at + i] !== word.charCodeAt(i)) return false
    return true
  }

  #bad(fault: Drop): number {
    this.#fault = fault
    return -1
  }

  /** Reads a number into `#value`; returns where it ends, or -1. */
  #number(start: number): number {
    const { bytes } = this
    let at = start
    const negative = bytes[at] === MINUS
    if (negative) at++
    const digits = at
    let mantissa = 0
    let byte = bytes[at]!
    while (DIGIT[byte] === 1) {
      mantissa = mantissa * 10 + byte - 48
      byte = bytes[++at]!
    }
    let decimals = 0
    if (at > digits && byte === POINT) {
      const point = at
      byte = bytes[++at]!
      while (DIGIT[byte] === 1) {
        mantissa = mantissa * 10 + byte - 48
        byte = bytes[++at]!
      }
      decimals = at - point - 1
    }
    // Both a whole number below 2^53 and a power of ten up to 22 are exact, so their quotient is the nearest double.
    if (
      at > digits &&
      at - digits <= MOST_EXACT + (decimals > 0 ? 1 : 0) &&
      (ENDS[byte] === 1 || byte === undefined) &&
      (decimals > 0 || bytes[at - 1] !== POINT)
    ) {
      const value = decimals === 0 ? mantissa : mantissa / POWERS[decimals]!
      this.#value = negative ? -value : value
      this.#plain = true
      return at
    }
    for (at = start; at < bytes.length && ENDS[bytes[at]!] !== 1; ) at++
    if (at === start || at - start > LONGEST_NUMBER) return -1
    const text = bytes.toString('latin1', start, at)
    const value = numberOf(text)
    if (value === undefined) return -1
    this.#value = value
    this.#plain = isPlain(text)
    return at
  }

  /** Passes over a time stamp. */
  #time(start: number): number {
    const { bytes } = this
    let at = start
    while (at < bytes.length && ENDS[bytes[at]!] !== 1) at++
    const text = bytes.toString('latin1', start, Math.min(at, start + LONGEST_NUMBER))
    const good = this.openmetrics ? Number.isFinite(numberOf(text) ?? Number.NaN) : /^-?\d{1,19}$/.test(text)
    return good ? at : -1
  }

  /** Reads an exemplar from its "#" on; returns where it ends, 0 if it must be left out, or -1 if it is none. */
  #exemplar(start: number): number {
    const { bytes } = this
    if (bytes[start + 1] !== SPACE || bytes[start + 2] !== BRACE) return -1
    const [a, b, boundA, boundB] = [this.#a, this.#b, this.#boundA, this.#boundB]
    const [bound, boundStart, boundEnd, loose] = [this.#bound, this.#boundStart, this.#boundEnd, this.#loose]
    this.#loose = false
    let at = this.#labels(start + 2)
    let bad = this.#loose || at - start > LONGEST_EXEMPLAR
    this.#a = a
    this.#b = b
    this.#boundA = boundA
    this.#boundB = boundB
    this.#bound = bound
    this.#boundStart = boundStart
    this.#boundEnd = boundEnd
    this.#loose = loose
    if (at < 0) return at === QUOTED ? 0 : -1
    if (!bad && at - start > 128) bad = tooLong(bytes.toString('utf8', start + 3, at - 1))
    if (bytes[at] !== SPACE) return -1
    at = this.#number(at + 1)
    if (at < 0) return -1
    bad ||= !this.#plain
    if (bytes[at] === SPACE && bytes[at + 1] !== NEWLINE) {
      const time = at + 1
      at = this.#number(time)
      if (at < 0) return -1
      bad ||= !Number.isFinite(this.#value) || !this.#plain
    }
    return bad ? 0 : at
  }

  /** A series that must be read as strings. */
  #odd(start: number): { readonly name: number; readonly end: number } | undefined {
    const { bytes } = this
    const end = this.#end(start)
    const { labels: most, labelBytes } = this.#limits
    // As long as its labels may be, and every byte escaped.
    if (end - start > LONGEST_NAME + most * (LONGEST_NAME + 2 * labelBytes)) {
      this.#fault = 'limits'
      return undefined
    }
    const odd = readSeries(bytes.toString('latin1', start, end))
    // A zero byte in a name is in Unicode, and Prometheus does not take it.
    if (odd === undefined || odd.name.includes('\0')) return undefined
    if (odd.labels.length > most || Buffer.byteLength(odd.name) > LONGEST_NAME) {
      this.#fault = 'limits'
      return undefined
    }
    this.#a = 0
    this.#b = 0
    this.#boundA = 0
    this.#boundB = 0
    this.#bound = Number.NaN
    const names = new Set<string>()
    for (const [label, value] of odd.labels) {
      const plain = underscoredLabel(label)
      if (names.has(plain) || label === '__name__' || label.includes('\0')) return undefined
      names.add(plain)
      if (value === '') continue
      const bound = label === 'le' || label === 'quantile' ? numberOf(value) : undefined
      const text = Buffer.from(`${plain}="${escapeLabel(bound === undefined ? value : boundText(bound))}"`)
      if (
        Buffer.byteLength(value) > labelBytes ||
        Buffer.byteLength(label) > LONGEST_NAME ||
        text.length > LONGEST_LABEL
      ) {
        this.#fault = 'limits'
        return undefined
      }
      const sum = sumOf(text)
      if ((label === 'le' || label === 'quantile') && this.#boundA === 0 && this.#boundB === 0) {
        this.#boundSum(sum)
        this.#bound = bound ?? Number.NaN
      } else {
        this.#a = (this.#a + mixA(sum)) | 0
        this.#b = (this.#b + mixB(sum)) | 0
      }
    }
    return { name: this.families.nameOf(odd.name), end: start + odd.end }
  }

  #comment(start: number, end: number): void {
    const { bytes } = this
    if (this.openmetrics && end - start === 5 && this.#says(start, '# EOF')) {
      this.ended = true
      this.#at = end + 1
      return
    }
    // "# HELP", "# TYPE", "# UNIT" or any other comment.
    const letter = bytes[start + 2]
    if (end - start > LONGEST_COMMENT || (letter !== 72 && letter !== 84 && letter !== 85 && letter !== SPACE)) return
    const text = bytes.toString('utf8', start, bytes[end - 1] === RETURN ? end - 1 : end)
    if (!readComment(text, this.openmetrics, this.families)) this.badComments++
  }
}

function tooLong(labels: string): boolean {
  let characters = 0
  for (const [, name, value] of labels.matchAll(/([a-zA-Z0-9_]+)="((?:[^"\\]|\\.)*)"/g))
    characters += name!.length + [...value!.replace(/\\(.)/g, '$1')].length
  return characters > 128
}

const QUOTED = -2
const LONGEST_NUMBER = 64
/** Digits of which every whole number is exact. */
const MOST_EXACT = 15
const LONGEST_EXEMPLAR = 1024
const MOST_SUMS = 1000

const [SPACE, TAB, NEWLINE, RETURN, HASH, BRACE, CLOSE] = [32, 9, 10, 13, 35, 123, 125]
const [QUOTE, BACKSLASH, EQUALS, COMMA, MINUS, POINT, LETTER_N] = [34, 92, 61, 44, 45, 46, 110]

const POWERS = Float64Array.from({ length: 23 }, (_, power) => Number(`1e${power}`))

const DIGIT = table('0123456789')
const LABEL = table('abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789')
const NAME = table('abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789:')
/** The bytes that end a number: a space, the end of the line; the quote after a bound. */
const ENDS = table(' \t\n\r"')

function table(characters: string): Uint8Array {
  const all = new Uint8Array(256)
  for (const each of characters) all[each.charCodeAt(0)] = 1
  return all
}
