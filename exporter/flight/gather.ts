// Gathers all that goes into a record: the moments before it, what the parts remember, and what they know now.

import type { Memories } from '../../telemetry/flight.ts'
import type { Status } from '../../telemetry/status.ts'
import type { Event } from './events.ts'
import type { FlightHost } from './host.ts'
import { type FlightRecord, FORMAT, NO_SAMPLES } from './record.ts'
import { samplesOf, WINDOW_MS } from './samples.ts'

const LOGS = 200
const TRACES = 40
/** For all questions. */
const MOST_MS = 3000

/** `whole`: there is memory for it. `logs`: whether log records may be in it. */
export async function gather(
  { trigger, at, cause, about }: Event,
  host: FlightHost,
  { whole, logs: withLogs }: { readonly whole: boolean; readonly logs: boolean },
  stop: AbortSignal,
): Promise<FlightRecord> {
  const { clock, version = 'unknown' } = host
  const moments = host.moments()
  const samples = samplesOf(moments?.ring, at)
  const since = at - WINDOW_MS
  // An application that is about to die may take us along, and a stop is short: no time for questions.
  const hurry = trigger === 'dying' || trigger === 'stopping'
  const missing: string[] = []
  if (samples === NO_SAMPLES)
    missing.push(
      moments ? 'Samples: none were read of this process.' : 'Samples: the sampler does not run (moments.enabled).',
    )
  if (!whole) missing.push('Texts: the memory budget had no room for them.')
  else if (hurry) missing.push('Traces and what the parts know: there was no time to ask.')
  if (!withLogs) missing.push('Log records: flight.logs is false.')
  const signal = AbortSignal.any([AbortSignal.timeout(MOST_MS), stop])
  const memories: Memories = whole
    ? await host.recall({ since, most: LOGS, cheap: hurry }, signal).catch(() => ({}))
    : {}
  const { logs = [], traces = [], episodes = [] } = memories
  return {
    format: FORMAT,
    trigger,
    at,
    written: clock.now(),
    application: about,
    cause,
    samples,
    marks: (moments?.marks ?? []).filter(mark => mark.at >= since),
    episodes,
    traces: traces.slice(0, TRACES),
    logs: withLogs ? logs : [],
    parts: whole && !hurry ? await partsOf(host, missing) : [],
    missing,
    sidecar: { version },
  }
}

async function partsOf(host: FlightHost, missing: string[]): Promise<Status['parts']> {
  try {
    return (await host.status()).parts
  } catch (error) {
    missing.push(`What the parts know: ${error instanceof Error ? error.message : error}`)
    return []
  }
}
