// The tracer that all parts have from the beginning. It records nothing until the assembly knows where the spans go: our own
// receiver has no address before it listens.

import type { OwnSpan, Tracer } from '../telemetry/tracer.ts'
import { UNRECORDED } from '../telemetry/tracer.ts'

export class OwnTracer implements Tracer, AsyncDisposable {
  #recording: (Tracer & AsyncDisposable) | undefined

  begin(...args: Parameters<Tracer['begin']>): OwnSpan {
    return (this.#recording ?? UNRECORDED).begin(...args)
  }

  /** Records from now on, for the receiver at this base URL. */
  async open(endpoint: string, version: string): Promise<void> {
    const { record } = await import('./traces.ts')
    this.#recording = record(endpoint, version)
  }

  /** Sends what is waiting, and records nothing any more. */
  async [Symbol.asyncDispose](): Promise<void> {
    const recording = this.#recording
    this.#recording = undefined
    await recording?.[Symbol.asyncDispose]()
  }
}
