// Where telemetry comes in: the receivers, and anything else that makes telemetry (a tap, a tailed file, our own spans), give
// their requests to one intake, so that the same checks, limits and ledger hold for all of it.

import type { Signal } from './request.ts'

export interface Intake {
  /**
   * Takes or refuses a whole Export…ServiceRequest in protobuf; never throws. The bytes are valid until the decision. A large
   * request is decided later and keeps the memory of its bytes; if `awaited` is false before its first part is taken, it is
   * dropped and the answer is undefined.
   */
  offer(signal: Signal, bytes: Buffer, awaited?: () => boolean): Decision | Promise<Decision | undefined>
}

/** The host of a part that makes telemetry. */
export interface IntakeHost {
  /** The intake of all receivers; there is one if a part declares that it `feeds` it. */
  intake(): Intake
}

export type Decision =
  /** Taken, except for `rejected` items that no consumer kept, which `text` explains. */
  | { readonly kind: 'taken'; readonly rejected: number; readonly text: string }
  /** Nothing was taken: a consumer has no room now. The sender may come again after so many milliseconds. */
  | { readonly kind: 'later'; readonly ms: number }
  | {
      readonly kind: 'refused'
      readonly reason: 'undecodable' | 'too_large' | 'loop' | 'internal'
      readonly text: string
    }
