// Moments of the application: counters of its process, threads and cgroup, read many times a second and kept for some minutes.
// They are not metrics, but what explains a slow request, and what is left of an application that has ended.

import { existsSync } from 'node:fs'
import { counter, gauge } from '../metrics/family.ts'
import { integer, section, type Values } from '../options/kinds.ts'
import type { Host } from '../telemetry/host.ts'
import type { Moments } from '../telemetry/moment.ts'
import type { Finding, Part, Running } from '../telemetry/part.ts'
import { momentsRoute } from './moments/api.ts'
import { ROWS, Sampler } from './moments/sampler.ts'
import { parseMaxFds, readText } from './process.ts'

export const rows = counter('pillion_moments_total', 'Moments of the application that were read from the kernel.')
export const seconds = counter('pillion_moments_seconds_total', 'Time that reading moments of the application took.')
export const late = counter(
  'pillion_moments_late_seconds_total',
  'How much later than planned moments were read, added up: a busy machine delays the sampler.',
)
export const held = gauge('pillion_moments_held', `Moments kept in memory; at most ${ROWS}.`)

export const options = section(
  'Moments of the application: what its threads and cgroup do, many times a second, to explain slow requests.',
  {
    rest: integer('Moments that are read each second while no requests are seen.', { default: 10, min: 1, max: 50 }),
    busy: integer('Moments that are read each second while spans come in, and for 5 s after the last.', {
      default: 50,
      min: 1,
      max: 100,
    }),
    threads_limit: integer(
      'The largest number of threads that are read. Each takes up to two open files of the sidecar.',
      {
        default: 128,
        min: 1,
        max: 4096,
      },
    ),
  },
)

/** Open files that the sidecar must be allowed for the sampler to run; it takes up to 20, and two for each thread. */
const FILES = 512
const TOO_FEW: Finding = {
  level: 'info',
  text: `no moments of the application are read: the sidecar may open fewer than ${FILES} files; raise it with ulimit -n or LimitNOFILE=`,
}

export type MomentsOptions = Values<typeof options>

export interface MomentsRunning extends Running {
  readonly moments: Moments
}

export const moments = {
  name: 'moments',
  about: 'Reads what the application’s threads and cgroup do, many times a second, to explain slow requests.',
  families: [rows, seconds, late, held],
  options,
  start(options: MomentsOptions, host: Host): MomentsRunning {
    const rates = { rest: options.rest, busy: Math.max(options.rest, options.busy), threads: options.threads_limit }
    const sampler = new Sampler(host, rates, host.memory.allot('moments'))
    // Its files are many and stay open: where few may be, they are for the sidecar's work.
    const few = parseMaxFds(readText(`${host.proc}/self/limits`) ?? '') < FILES
    if (!few && existsSync(host.proc)) sampler.start()
    const readings = {
      rows: host.metrics.reading(rows),
      seconds: host.metrics.reading(seconds),
      late: host.metrics.reading(late),
      held: host.metrics.reading(held),
    }
    return {
      moments: sampler,
      routes: [momentsRoute(sampler)],
      findings: () => (few ? [TOO_FEW] : sampler.findings()),
      facts: () => [
        { name: 'moments read', value: sampler.spent.rows },
        { name: 'moments a second', value: sampler.busy ? rates.busy : rates.rest },
      ],
      collect() {
        readings.rows.set({}, sampler.spent.rows)
        readings.seconds.set({}, sampler.spent.seconds)
        readings.late.set({}, sampler.spent.late)
        readings.held.set({}, sampler.ring ? sampler.ring.next - sampler.ring.first : 0)
      },
      async [Symbol.asyncDispose]() {
        sampler[Symbol.dispose]()
      },
    }
  },
} satisfies Part<MomentsOptions>
