// Recognises the spans that an application made to answer our own health probes: by the tracestate that every span of
// such a trace inherits, or, where the application does not hand that on, by the user agent of its server span.

import type { SpanConsumer, SpanView } from '../otlp.ts'
import { begins, ofProbe } from './trace-state.ts'

const AGENT = Buffer.from('pillion-health/')
/** Where HTTP instrumentations report the user agent. */
const KEYS = ['user_agent.original', 'http.user_agent']

export class ProbeSpans {
  readonly wants: SpanConsumer['wants'] = { span: KEYS, resource: [] }
  #at: readonly number[] = []

  bound({ span }: { readonly span: readonly number[] }): void {
    this.#at = span
  }

  has(view: SpanView): boolean {
    if (view.traceStateEnd > 0 && ofProbe(view.bytes, view.traceStateStart, view.traceStateEnd)) return true
    const { type, start, end } = view.spanAttributes
    for (let i = 0; i < this.#at.length; i++) {
      const at = this.#at[i]!
      if (type[at] === 1 && begins(view.bytes, start[at]!, end[at]!, AGENT)) return true
    }
    return false
  }
}
