// An exemplar as it stands in the page: labels and a value, seldom a time.
//
//   Exemplar = label* 1 {name 1, value 2}, value 2, timestamp 3 {seconds 1, nanos 2}

import { FIXED64, field, LENGTH, Reader, VARINT } from '../../otlp/wire.ts'

export class Exemplar {
  value = 0
  /** Seconds since the epoch, 0 if unknown. */
  seconds = 0
  /** Four offsets into the page for each label. */
  readonly at: number[] = []
  readonly #reader = new Reader()
  readonly #inner = new Reader()

  /** False if there is none. */
  read(page: Buffer, start: number, end: number): boolean {
    if (end <= start) return false
    this.value = 0
    this.seconds = 0
    this.at.length = 0
    for (const each = this.#reader.over(page, start, end); each.next(); )
      if (each.tag === field(1, LENGTH)) {
        let [nameStart, nameEnd, valueStart, valueEnd] = [0, 0, 0, 0]
        for (const part = this.#inner.over(page, each.start, each.end); part.next(); )
          if (part.tag === field(1, LENGTH)) [nameStart, nameEnd] = [part.start, part.end]
          else if (part.tag === field(2, LENGTH)) [valueStart, valueEnd] = [part.start, part.end]
        this.at.push(nameStart, nameEnd, valueStart, valueEnd)
      } else if (each.tag === field(2, FIXED64)) this.value = each.double
      else if (each.tag === field(3, LENGTH)) {
        let [seconds, nanos] = [0, 0]
        for (const part = this.#inner.over(page, each.start, each.end); part.next(); )
          if (part.tag === field(1, VARINT)) seconds = part.signed
          else if (part.tag === field(2, VARINT)) nanos = part.low
        this.seconds = seconds + nanos / 1e9
      }
    return true
  }
}
