// Fields that the sampler writes onto spans that it sends on: the threshold in their tracestate, and why a trace was kept.

import { withThreshold } from '../../otlp/trace-state.ts'
import { putVarint, varintSize } from '../../protobuf/varint.ts'
import { NEVER, STRATA } from './strata.ts'

const NO_BYTES = Buffer.alloc(0)
const MOST_TAILS = 1000

export class Written {
  readonly #tails = new Map<number, Buffer>()
  /** The last tracestate that was written, and what it was made from. */
  #before = NO_BYTES
  #threshold: number | undefined
  #after = NO_BYTES

  /** A tracestate with another threshold, or none. The spans of a trace mostly have the same one. */
  state(bytes: Buffer, start: number, end: number, threshold: number | undefined): Buffer {
    const same =
      threshold === this.#threshold &&
      this.#before.length === end - start &&
      this.#before.compare(bytes, start, end) === 0
    if (same) return this.#after
    this.#before = Buffer.from(bytes.subarray(start, end))
    this.#threshold = threshold
    this.#after = withThreshold(bytes, start, end, threshold === undefined ? undefined : digits(threshold))
    return this.#after
  }

  /** The tracestate as a field of a span that had none. */
  tail(threshold: number, mark: Buffer): Buffer {
    let tail = this.#tails.get(threshold)
    if (!tail) {
      // With limits, thresholds change each second.
      if (this.#tails.size >= MOST_TAILS) this.#tails.clear()
      tail = field(3, `ot=th:${digits(threshold)}`)
      this.#tails.set(threshold, tail)
    }
    return mark.length === 0 ? tail : Buffer.concat([tail, mark])
  }

  /** Attributes of a span. */
  mark(stratum: number, partial: boolean): Buffer {
    const why = attribute('pillion.kept_because', STRATA[stratum]!)
    return partial ? Buffer.concat([why, attribute('pillion.sampling', 'partial')]) : why
  }
}

/** A threshold as hex digits, without zeros at its end. */
export function digits(threshold: number): string {
  // Nothing passes NEVER, so nothing is written with it.
  const hex = Math.min(threshold, NEVER - 1)
    .toString(16)
    .padStart(7, '0')
  return hex.replace(/0+$/, '') || '0'
}

/** A field that holds a text or other fields. */
function field(number: number, ...parts: readonly (string | Buffer)[]): Buffer {
  const body = Buffer.concat(parts.map(part => (typeof part === 'string' ? Buffer.from(part) : part)))
  const head = Buffer.alloc(1 + varintSize(body.length))
  head[0] = (number << 3) | 2
  putVarint(head, 1, body.length)
  return Buffer.concat([head, body])
}

/** An attribute of a span: KeyValue = key 1, AnyValue 2, whose text is 1. */
function attribute(key: string, value: string): Buffer {
  return field(9, field(1, key), field(2, field(1, value)))
}
