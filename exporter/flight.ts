// The flight recorder: when the application ends, or is about to, the last minutes are written into one file that a person
// can open and a program can read. Without a folder for it, nothing is loaded.

import { resolve } from 'node:path'
import type { Part, Running, Step } from '../telemetry/part.ts'
import { flightFamilies, held, heldBytes } from './flight/families.ts'
import type { FlightHost } from './flight/host.ts'
import { FLIGHT_OPTIONS, type FlightOptions } from './flight/options.ts'
import { routes } from './flight/routes.ts'

export * from './flight/families.ts'
export type { FlightHost } from './flight/host.ts'
export type { FlightOptions } from './flight/options.ts'

export interface FlightRunning extends Running<FlightOptions> {
  prepare(next: FlightOptions): Step
}

export const flight = {
  name: 'flight',
  about:
    'Writes what was known of the last minutes when the application ends, fails or is about to run out of something.',
  families: flightFamilies,
  options: FLIGHT_OPTIONS,
  feeds: ({ dir }) => isSet(dir),
  async start({ dir, redact, ...options }: FlightOptions, host: FlightHost): Promise<FlightRunning> {
    const { clock, metrics } = host
    if (!isSet(dir))
      return {
        routes: routes(undefined, () => clock.monotonic()),
        prepare: () => () => {},
        async [Symbol.asyncDispose]() {},
      }
    const { Recorder } = await import('./flight/recorder.ts')
    const { redaction } = await import('./flight/redact.ts')
    const recorder = new Recorder({ ...options, dir: resolve(dir) }, host, await redaction(redact))
    recorder.start()
    const readings = { held: metrics.reading(held), bytes: metrics.reading(heldBytes) }
    return {
      routes: routes(recorder, () => clock.monotonic()),
      prepare:
        ({ keep, max_bytes }) =>
        () => {
          recorder.bounds = { keep, max_bytes }
        },
      findings: () => recorder.findings(),
      async collect() {
        readings.held.clear()
        readings.bytes.clear()
        const kept = await recorder.kept().catch(() => undefined)
        readings.held.set({}, kept?.length)
        readings.bytes.set(
          {},
          kept?.reduce((sum, { bytes }) => sum + bytes, 0),
        )
      },
      async facts() {
        const [count] = await metrics.samples(held)
        const [bytes] = await metrics.samples(heldBytes)
        return [
          ...(count ? [{ name: 'records', value: count.value }] : []),
          ...(bytes ? [{ name: 'size', value: bytes.value, unit: 'bytes' as const }] : []),
        ]
      },
      finish: signal => recorder.finish(signal),
      async [Symbol.asyncDispose]() {
        await recorder[Symbol.asyncDispose]()
      },
    }
  },
} satisfies Part<FlightOptions, FlightHost>

/** A variable may be there, and be empty. */
function isSet(dir: string | undefined): dir is string {
  return dir !== undefined && dir !== ''
}

/** A record, or a ring that was left behind, as text or as JSON; rejects with what is wrong with the file. */
export async function showFlight(path: string, json: boolean, proc = '/proc'): Promise<string> {
  const { shown } = await import('./flight/show.ts')
  return await shown(path, json, proc)
}
