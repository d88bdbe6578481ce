// The samples of a page: for each of them where its pieces stand in the bytes of the page, and what was computed of them.
// Columns of numbers instead of objects: a page of 50 000 samples is 3 MB of them, and no garbage.

/** Flags: the ways in which a line differs from how we would write it. */
export const VERBATIM = 1
/** There are spaces between the labels, or a comma after the last one. */
export const LOOSE = 2
/** A name in quotes. */
export const ODD = 4
/** A value that is not spelled as all formats spell it. */
export const SPELLED = 8
/** A label without a value, which is none. */
export const EMPTY = 16

export class Samples {
  count = 0
  /** Offsets: the name, its end, the labels inside their braces (0, 0 if there are none), the value, its end. */
  start = new Uint32Array(FIRST)
  nameEnd = new Uint32Array(FIRST)
  labels = new Uint32Array(FIRST)
  labelsEnd = new Uint32Array(FIRST)
  text = new Uint32Array(FIRST)
  textEnd = new Uint32Array(FIRST)
  /** The exemplar, from its brace to the end of its value or time; 0, 0 if there is none. */
  exemplar = new Uint32Array(FIRST)
  exemplarEnd = new Uint32Array(FIRST)
  value = new Float64Array(FIRST)
  /** The value of the label le or quantile; NaN if there is none. */
  bound = new Float64Array(FIRST)
  /** Where its text stands, if it is not the one of `boundText`; 0, 0 if it is, or there is none. */
  boundStart = new Uint32Array(FIRST)
  boundEnd = new Uint32Array(FIRST)
  /** The place of the name among the page's names. */
  name = new Uint32Array(FIRST)
  flags = new Uint8Array(FIRST)
  /** The hash of name and labels, and that of the labels without le and quantile; in two words each. */
  keyA = new Int32Array(FIRST)
  keyB = new Int32Array(FIRST)
  groupA = new Int32Array(FIRST)
  groupB = new Int32Array(FIRST)

  /** Makes room for one more, and returns its place; it counts from `count++` on. */
  next(): number {
    if (this.count === this.start.length) this.#grow()
    return this.count
  }

  /** Bytes that the columns take. */
  get bytes(): number {
    return this.start.length * SAMPLE_BYTES
  }

  #grow(): void {
    const size = this.start.length * 2
    for (const name of [
      'start',
      'nameEnd',
      'labels',
      'labelsEnd',
      'text',
      'textEnd',
      'exemplar',
      'exemplarEnd',
      'boundStart',
      'boundEnd',
      'name',
    ] as const)
      this[name] = larger(this[name], new Uint32Array(size))
    for (const name of ['keyA', 'keyB', 'groupA', 'groupB'] as const)
      this[name] = larger(this[name], new Int32Array(size))
    for (const name of ['value', 'bound'] as const) this[name] = larger(this[name], new Float64Array(size))
    this.flags = larger(this.flags, new Uint8Array(size))
  }
}

const FIRST = 256
/** Bytes of one sample in the columns, the set of series and the order. */
export const SAMPLE_BYTES = 11 * 4 + 4 * 4 + 2 * 8 + 1 + 16

function larger<A extends { set(from: A): void }>(from: A, to: A): A {
  to.set(from)
  return to
}
