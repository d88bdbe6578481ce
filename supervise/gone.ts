// The end of an application that the sidecar did not start, for a sidecar whose time is over with it.

import type { Application, Clock } from '../telemetry/host.ts'

/** A look costs nothing: the process collector keeps `app.pid`, and looks itself once a second. */
const LOOK_MS = 250

/**
 * Resolves with true when the application was found and has been gone for `afterMs`, with false when the signal aborts.
 * An application that comes back in time, under any pid, was not gone.
 */
export async function gone(app: Application, afterMs: number, clock: Clock, signal: AbortSignal): Promise<boolean> {
  let last: number | undefined
  while (!signal.aborted) {
    const now = clock.monotonic()
    if (app.pid !== undefined) last = now
    else if (last !== undefined && now - last >= afterMs) return true
    await clock.sleep(LOOK_MS, signal).catch(() => undefined)
  }
  return false
}
