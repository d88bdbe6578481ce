// Every probe is part of a trace, so that the application's server span joins it. Without an upstream nothing records
// the sidecar's own span; the ids are made all the same.

import type { Verdict } from './verdict.ts'

/** Records the sidecar's own span of each probe. */
export interface ProbeSpans {
  begin(probe: { readonly name: string; readonly kind: string; readonly target: string }): ProbeSpan
}

export interface ProbeSpan {
  /** W3C trace context that continues this span. */
  readonly traceparent: string
  end(verdict: Verdict): void
}

/**
 * Sent along with every probe. An SDK hands it on to every span below, so that a whole trace can be recognised as a
 * probe's, wherever in it a span stands.
 */
export const TRACESTATE = 'pillion=probe'

/** Spans that are not recorded anywhere. */
export const UNRECORDED: ProbeSpans = {
  begin: () => ({
    // Sampled (01): otherwise a parent-based sampler would leave the application's own span out.
    traceparent: `00-${randomId(16)}-${randomId(8)}-01`,
    end() {},
  }),
}

/** Unique, not secret: node:crypto would cost 3 MiB in every sidecar. */
function randomId(bytes: number): string {
  const id = Buffer.from(Uint8Array.from({ length: bytes }, () => Math.random() * 256))
  // All zeros is the one invalid id.
  id[0] = id[0]! | 1
  return id.toString('hex')
}
