// The contract between the intake and the parts that use what comes in. Consumers are equals, any number for each signal.
//
// Taking a request has two steps. First all consumers of its signal are asked whether they can take it now (`admit`); if one
// says "later", none takes it, and the sender is told to come again. Then each takes it. So a request is never half taken.
//
// Each consumer counts what it could not keep as dropped, with its own reason. The sender is told of rejected items only
// where no consumer kept them. Of n items, dropped d₁ … dₖ by the k consumers of the signal, these are
//
//   rejected = max(0, d₁ + … + dₖ − (k − 1) · n)
//
// which is exact as long as at most one consumer drops single items while the others keep or drop a request as a whole (one
// that keeps all makes it 0: a data point that cannot become a Prometheus series but is forwarded is accepted). If several
// drop single items, nobody can say whether they mean the same ones; then it is the number that is certainly lost, and never
// counts an item that one of them kept. The reasons that the sender is told, and that the ledger counts as refused, are those
// of the consumer that dropped the fewest. Accepted plus refused is always what was offered.

import type { Keys } from './keys.ts'
import type { Request } from './request.ts'

interface Consumer {
  /** For the ledger: a value of the label `consumer`. */
  readonly name: string
  /**
   * Asked once for each request, before anybody takes it: 0 takes it, a larger number is in how many milliseconds the sender
   * may try again (it is told at most 2 s, since SDKs give up after 10). Must change nothing, since another consumer may
   * refuse. A large request is asked for as a whole and then taken in parts, between which other requests may come; it must
   * then be taken even if there is no room any more. Only one large request is under way at a time.
   */
  admit?(request: Request): number
  /**
   * Resolves when what it has taken so far is safe from a sudden end, and the sender is answered then; undefined if it need not
   * wait. Never rejects. With false it could not be made safe, and the sender is told to come again, although the request has
   * been taken: it may then be counted twice, and is not lost.
   */
  settled?(): Promise<boolean> | undefined
}

/**
 * Is shown the spans of each accepted request. The intake has checked the whole request first, so nothing that follows can
 * fail half way. Calls are synchronous: `begin`, then `span` for each span in wire order. It asks for attributes while it is
 * being built (see `Keys`). It keeps every span that it is shown, or counts itself what it lets go.
 */
export interface SpanConsumer extends Consumer {
  /**
   * True if it need not be shown each span at the same time as the others: then it is shown a run of spans by itself, after
   * them. That is faster, since its code and its tables stay in the processor's caches. Others may ask each other about the span
   * at hand.
   */
  readonly apart?: boolean
  begin?(request: Request): void
  /** The view is reused: it is valid only during the call, and so are its bytes' offsets. Absent only if there is `run`. */
  span?(view: SpanView): void
  /**
   * Is called instead of `span` for a consumer that is apart and needs no view of each: with the notes on some spans of one scope,
   * one after another as in otlp/tape.ts, from the offset `from` to `to`. That is half of the work. The view says what they
   * have in common: bytes, data, the resource and the scope.
   */
  run?(view: SpanView, notes: Int32Array, from: number, to: number): void
}

/**
 * One span inside the bytes of its request, as offsets rather than objects. A pair [start, end) of 0, 0 means that the
 * field is absent or empty.
 */
export interface SpanView {
  /** The request's bytes; every offset below counts from its beginning. */
  readonly bytes: Buffer
  /** The same bytes, to read ids and texts by words of four bytes: a third of what four single bytes cost. */
  readonly data: DataView
  /** The Span message itself, without its tag and length. */
  readonly start: number
  readonly end: number
  /** Offset of the 16-byte trace id, of the 8-byte span id; of the parent's id, or -1 for a root span. */
  readonly traceId: number
  readonly spanId: number
  readonly parentSpanId: number
  /**
   * Another one if the trace is not that of the span before: what was looked up for a trace can be kept until then. It is
   * unique in the process for some hours.
   */
  readonly traceSerial: number
  /** The hash of the trace id, as `hashOfFour` makes it: computed when it is first asked for, once for a run of spans. */
  readonly traceHash: number
  readonly nameStart: number
  readonly nameEnd: number
  /** The W3C tracestate. */
  readonly traceStateStart: number
  readonly traceStateEnd: number
  /** A KIND; values that OTLP does not define are given as 0. */
  readonly kind: number
  /** A STATUS; values that OTLP does not define are given as 0. */
  readonly status: number
  /** Bits 0–7 are the W3C trace flags; see also PARENT_KNOWN and PARENT_REMOTE. */
  readonly flags: number
  /** The number of events and links of the span. */
  readonly events: number
  readonly links: number
  /** Seconds from start to end, exact to the nanosecond; 0 when the span ends before it starts. */
  readonly seconds: number
  /** The same in nanoseconds: a whole number, exact below 2 ** 53. */
  readonly nanoseconds: number
  /** End of the span in seconds since the epoch, for exemplar timestamps. */
  readonly endSeconds: number
  /** The same in nanoseconds, exact, as two numbers of 32 bits: endHigh · 2^32 + endLow. */
  readonly endHigh: number
  readonly endLow: number
  /** Values of the attributes that were asked for, at the positions that `Keys` gave. */
  readonly spanAttributes: AttributeView
  readonly resourceAttributes: AttributeView
  /** Changes when the resource changes: what was computed for a resource can be kept until then. */
  readonly resourceSerial: number
  /**
   * A number that no span of another operation (service, name and kind) has or will have in this process, as a consumer found it
   * who leaves it for those that are shown the span later; else 0. An operation may have several.
   */
  operation: number
  /** Name and version of the instrumentation scope. */
  readonly scopeNameStart: number
  readonly scopeNameEnd: number
  readonly scopeVersionStart: number
  readonly scopeVersionEnd: number
  /** The ScopeSpans message around the span. */
  readonly scopeSpansStart: number
  readonly scopeSpansEnd: number
  /** The ResourceSpans message around the span: for whole resources, which may stand in it in several pieces (field 1). */
  readonly resourceSpansStart: number
  readonly resourceSpansEnd: number
}

/** Values of the attributes that were asked for. Each type is an `AttributeType`. */
export interface AttributeView {
  readonly type: Uint8Array
  /** For strings: the offsets of the text. For the rest: the offsets of the encoded AnyValue. */
  readonly start: Uint32Array
  readonly end: Uint32Array
  /** Bit n is set if the value at position n is a text that is not empty. Only the first 32 positions have one. */
  readonly texts: number
}

/** Takes whole requests of one signal, after the check: walk `bytes` with `Reader`. The call is synchronous. */
export interface RequestConsumer extends Consumer {
  /** Every reason it may drop items for: values of a label. */
  readonly reasons: readonly string[]
  /** Returns what it could not keep; undefined if it kept all. */
  take(request: Request): readonly Dropped[] | undefined
}

/** Items that a consumer could not keep. */
export interface Dropped {
  readonly reason: string
  readonly items: number
  /** A description: a sender that is told of them is told "refused", their number, and this. */
  readonly text: string
}

/** The consumers of all that comes in. A signal without consumers is answered with success and all items rejected. */
export interface Consumers {
  /** The attributes that the span consumers have asked for. */
  readonly keys: Keys
  readonly spans: readonly SpanConsumer[]
  readonly traces?: readonly RequestConsumer[]
  readonly metrics?: readonly RequestConsumer[]
  readonly logs?: readonly RequestConsumer[]
}
