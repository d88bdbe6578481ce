// What ends a sidecar that is attached to an application it did not start: a first signal asks, a second one insists.

import { constants } from 'node:os'

const STOPPING = ['SIGTERM', 'SIGINT'] as const

/** Resolves with the first SIGTERM or SIGINT; a second one ends the process at once with 128 + its number. */
export function stopRequested(): Promise<NodeJS.Signals> {
  return new Promise(resolve => {
    let asked = false
    for (const signal of STOPPING)
      process.on(signal, () => {
        if (asked) process.exit(128 + constants.signals[signal])
        asked = true
        resolve(signal)
      })
  })
}
