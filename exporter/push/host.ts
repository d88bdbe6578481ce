// The contract between the push and the sidecar: what the push needs of it.

import type { Exposition } from '../../telemetry/exposition.ts'
import type { Host } from '../../telemetry/host.ts'
import type { Allotment } from '../../telemetry/memory.ts'
import type { Attribute } from './resources.ts'

export interface Pushing extends Pick<Host, 'clock' | 'log' | 'metrics' | 'app'> {
  readonly memory: Allotment
  readonly version: string
  readonly resource: readonly Attribute[]
  /** Since when the sidecar counts, in seconds since the epoch. */
  readonly origin: number
  page(accept: string, signal: AbortSignal, ms: number): Promise<Exposition>
  /** Whether the counters of a family are read elsewhere, so that they may have any past. */
  foreign(family: string): boolean
  /** Begins the sidecar's own span of a push. */
  span(): { readonly traceparent: string | undefined; end(problem: string | undefined): void }
}
