// The real clock: wall time for timestamps, monotonic time for durations, and a sleep that never keeps the process alive.

import type { Clock } from '../telemetry/host.ts'

/** setTimeout counts in a signed 32-bit number; a longer delay would fire at once. */
const LONGEST = 2 ** 31 - 1

export const clock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  sleep,
}

function sleep(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason)
    let left = ms
    let timer: NodeJS.Timeout
    const abort = (): void => {
      clearTimeout(timer)
      reject(signal.reason)
    }
    const wait = (): void => {
      const step = Math.min(left, LONGEST)
      left -= step
      timer = setTimeout(left > 0 ? wait : done, step).unref()
    }
    const done = (): void => {
      signal.removeEventListener('abort', abort)
      resolve()
    }
    signal.addEventListener('abort', abort, { once: true })
    wait()
  })
}
