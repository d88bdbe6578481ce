// Writes a traceparent into requests that have none, so that the application's spans become children of the tap's. This is the one
// place where the tap changes what passes, and it is off by default. The field stands right before the empty line that ends
// a head, so nothing waits for the rest of a head; only the CR of what may be that line waits for its LF.

import type { Exchange, Watch } from './watch.ts'

const CR = Buffer.from('\r')

export class Injector {
  readonly #watch: Watch
  readonly #newIds: () => { readonly traceId: string; readonly spanId: string }
  #kept = false

  constructor(watch: Watch, newIds: () => { readonly traceId: string; readonly spanId: string }) {
    this.#watch = watch
    this.#newIds = newIds
  }

  /** The bytes to be sent instead of these. */
  pass(bytes: Buffer): readonly Buffer[] {
    const before = this.#kept ? 1 : 0
    const all = this.#kept ? Buffer.concat([CR, bytes]) : bytes
    this.#kept = false
    const out: Buffer[] = []
    let from = 0
    const fresh = (exchange: Exchange, at: number): void => {
      if (exchange.traceparent !== undefined) return
      const place = at + before
      const ids = this.#newIds()
      exchange.given = ids
      if (place > from) out.push(all.subarray(from, place))
      out.push(Buffer.from(`traceparent: 00-${ids.traceId}-${ids.spanId}-01\r\n`, 'latin1'))
      from = place
    }
    this.#watch.request(bytes, fresh)
    this.#kept = this.#watch.atLoneReturn
    const end = this.#kept ? all.length - 1 : all.length
    if (end > from) out.push(all.subarray(from, end))
    return out
  }

  /** The client sends no more. */
  rest(): Buffer | undefined {
    if (!this.#kept) return undefined
    this.#kept = false
    return CR
  }
}
