// The memory limit of the sidecar's own cgroup, from which its memory budget follows.

import { Controllers } from './controllers.ts'
import { readText } from './file.ts'
import { locate } from './hierarchy.ts'

/** In bytes; undefined if there is none, or if it cannot be read. */
export function ownMemoryLimit(proc: string): number | undefined {
  const lines = readText(`${proc}/self/cgroup`)
  const place = lines === undefined ? undefined : locate(proc, process.pid, lines)
  if (!place) return undefined
  using controllers = new Controllers(place)
  const bytes = controllers.gauges().memoryLimitBytes
  return bytes > 0 ? bytes : undefined
}
