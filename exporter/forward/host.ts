// The contract between forwarding and the sidecar: what each needs of the other.

import type { Hops } from '../../telemetry/hops.ts'
import type { Host } from '../../telemetry/host.ts'
import type { Running } from '../../telemetry/part.ts'
import type { Signal } from '../../telemetry/request.ts'
import type { Sampler, SamplerSurroundings, SamplingOptions } from '../../telemetry/sampler.ts'

export interface ForwardHost extends Host {
  readonly version: string
  readonly hops: Hops
  /** Whether the upstream comes from variables that were meant for the application: then it keeps nothing from starting. */
  readonly adopted: boolean
  /** Where this sidecar listens, as far as it does already. */
  listening(): readonly { readonly host: string; readonly port: number }[]
  /** Makes the sampler that stands before the queues. Asked only if traces are sampled. */
  sampler(options: SamplingOptions, around: SamplerSurroundings): Promise<Sampler>
}

export interface ForwardRunning extends Running {
  /** The URL of each upstream and signal, without credentials. */
  readonly targets: readonly { readonly upstream: string; readonly signal: Signal; readonly url: string }[]
  /**
   * To be called when the listeners are open: rejects if an upstream is this sidecar itself; if that was found in variables
   * of the application, it is left out.
   */
  refuseOwn(): Promise<void>
}
