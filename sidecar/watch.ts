// Notices that a file has changed: by the kernel's word where it gives one, and by looking again where it does not (other
// file systems, links that lead elsewhere, too many watches on the machine).

import { type FSWatcher, watch } from 'node:fs'
import { dirname } from 'node:path'
import { fileStamp } from '../options/file.ts'
import type { Clock } from '../telemetry/host.ts'

const LOOK_MS = 5000
/** A file that is being written is left alone until it has been the same for this long. */
const SETTLE_MS = 200

/**
 * Calls `changed` after each change until `signal` aborts; resolves then. `changed` must not reject. It is given a question:
 * whether the file is still the one that has settled. If it is not, `changed` will be called again.
 */
export async function watchFile(
  path: string,
  clock: Pick<Clock, 'sleep'>,
  signal: AbortSignal,
  changed: (still: () => Promise<boolean>) => Promise<void>,
): Promise<void> {
  let wake = (): void => {}
  // The folder: an editor replaces the file, and Kubernetes swaps a link beside it.
  const watcher = watched(dirname(path), () => wake())
  try {
    let seen = await fileStamp(path)
    while (!signal.aborted) {
      const { promise: woken, resolve } = Promise.withResolvers<void>()
      wake = resolve
      const looked = new AbortController()
      await Promise.race([woken, clock.sleep(LOOK_MS, AbortSignal.any([signal, looked.signal])).catch(() => {})])
      looked.abort()
      if ((await fileStamp(path)) === seen) continue
      const settled = await settle(path, clock, signal)
      if (settled === undefined) return
      seen = settled
      await changed(async () => (await fileStamp(path)) === settled)
    }
  } finally {
    watcher?.close()
  }
}

/** The stamp when it has stopped changing; undefined when the signal came first. */
async function settle(path: string, clock: Pick<Clock, 'sleep'>, signal: AbortSignal): Promise<string | undefined> {
  for (;;) {
    const before = await fileStamp(path)
    try {
      await clock.sleep(SETTLE_MS, signal)
    } catch {
      return undefined
    }
    if ((await fileStamp(path)) === before) return before
  }
}

function watched(folder: string, wake: () => void): FSWatcher | undefined {
  try {
    const watcher = watch(folder, { persistent: false }, wake)
    watcher.on('error', () => watcher.close())
    return watcher
  } catch {
    return undefined
  }
}
