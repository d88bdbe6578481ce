// Recognises the sidecar's own spans, and those that an application made to answer our health probes: by the tracestate that every span of
// such a trace inherits, or, where the application does not hand that on, by the user agent of its server span. Both must
// carry this process's own mark.

import { STRING } from '../telemetry/attribute.ts'
import type { SpanView } from '../telemetry/consumer.ts'
import type { Keys } from '../telemetry/keys.ts'
import { PROBE_AGENT_END } from '../telemetry/probe.ts'
import { ATTRIBUTE_RECORD, ATTRIBUTES, SPAN_RECORD, TRACE_STATE } from './tape.ts'
import { ends, isOwn, ofProbe } from './trace-state.ts'

const AGENT_END = Buffer.from(PROBE_AGENT_END)
/** Where HTTP instrumentations report the user agent. */
const KEYS = ['user_agent.original', 'http.user_agent']

export class ProbeFilter {
  readonly #at: readonly number[]

  constructor(keys: Keys) {
    this.#at = KEYS.map(key => keys.span(key))
  }

  /** Whether the sidecar made the span itself. */
  own({ bytes, traceStateStart, traceStateEnd }: SpanView): boolean {
    return traceStateEnd > 0 && isOwn(bytes, traceStateStart, traceStateEnd)
  }

  /** The same for a span in a record of the walk. */
  ownIn(bytes: Buffer, records: Int32Array, at: number): boolean {
    const end = records[at + TRACE_STATE + 1]!
    return end > 0 && isOwn(bytes, records[at + TRACE_STATE]!, end)
  }

  /** Whether the application made the span of a record to answer a probe. */
  hasIn(bytes: Buffer, records: Int32Array, at: number): boolean {
    const end = records[at + TRACE_STATE + 1]!
    if (end > 0 && ofProbe(bytes, records[at + TRACE_STATE]!, end)) return true
    const stop = at + SPAN_RECORD + ATTRIBUTE_RECORD * records[at + ATTRIBUTES]!
    for (let each = at + SPAN_RECORD; each < stop; each += ATTRIBUTE_RECORD) {
      const what = records[each]!
      if (what >> 16 !== STRING || !this.#at.includes(what & 0xffff)) continue
      if (ends(bytes, records[each + 1]!, records[each + 2]!, AGENT_END)) return true
    }
    return false
  }

  /** Whether the application made the span to answer a probe. */
  has(view: SpanView): boolean {
    if (view.traceStateEnd > 0 && ofProbe(view.bytes, view.traceStateStart, view.traceStateEnd)) return true
    const { type, start, end } = view.spanAttributes
    for (let i = 0; i < this.#at.length; i++) {
      const at = this.#at[i]!
      if (type[at] === STRING && ends(view.bytes, start[at]!, end[at]!, AGENT_END)) return true
    }
    return false
  }
}
