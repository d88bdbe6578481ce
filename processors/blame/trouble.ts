// Whether an application was in trouble while a request ran, by its moments alone: asked for each local root while traces are
// sampled, so it looks at both ends only.

import { type MomentRing, STATE } from '../../telemetry/moment.ts'

/** A share of the time of a request. */
const THROTTLED = 0.25
/** A share of the limit of its memory. */
const FULL = 0.95

export function troubled(ring: MomentRing | undefined, from: number, to: number): boolean {
  const first = ring?.find(from) ?? -1
  if (!ring || first < 0) return false
  const last = ring.find(to)
  if (ring.value('state', first) === STATE.stopped || ring.value('state', last) === STATE.stopped) return true
  if (ring.value('memory', last) > FULL * ring.value('memoryLimit', last)) return true
  // Throttling is counted when it ends, up to a period later.
  const after = Math.min(ring.next - 1, ring.find(to + 100))
  const ms = 1000 * (ring.value('throttled', after) - ring.value('throttled', first))
  return ring.value('process', after) === ring.value('process', first) && ms > 0 && ms >= THROTTLED * (to - from)
}
