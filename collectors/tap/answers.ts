// Tells the passive probes of the answers that the tap has seen: it looks at the spans of the tap as they come in.

import { Reader } from '../../otlp/wire.ts'
import { INT } from '../../telemetry/attribute.ts'
import type { SpanConsumer, SpanView } from '../../telemetry/consumer.ts'
import type { Keys } from '../../telemetry/keys.ts'
import type { Seen } from '../../telemetry/seen.ts'
import { SCOPE } from './spans.ts'

const NAME = Buffer.from(SCOPE)
/** AnyValue.int_value */
const INT_VALUE = 3 << 3

export class SeenByTap implements SpanConsumer {
  readonly name = 'tap'
  readonly #seen: Seen
  readonly #status: number
  readonly #reader = new Reader()
  /** The ScopeSpans that was looked at last, and whether it is the tap's. */
  #scope = -1
  #ours = false

  constructor(seen: Seen, keys: Keys) {
    this.#seen = seen
    this.#status = keys.span('http.response.status_code')
  }

  begin(): void {
    this.#scope = -1
  }

  span(view: SpanView): void {
    if (view.scopeSpansStart !== this.#scope) {
      this.#scope = view.scopeSpansStart
      const { bytes, scopeNameStart, scopeNameEnd } = view
      this.#ours =
        NAME.length === scopeNameEnd - scopeNameStart && NAME.equals(bytes.subarray(scopeNameStart, scopeNameEnd))
    }
    if (!this.#ours || view.spanAttributes.type[this.#status] !== INT) return
    const reader = this.#reader
    reader.over(view.bytes, view.spanAttributes.start[this.#status]!, view.spanAttributes.end[this.#status]!)
    while (reader.next())
      if (reader.tag === INT_VALUE) this.#seen.answered(reader.low, view.seconds, view.endSeconds * 1000)
  }
}
