// Reads the application's process and cgroup from the kernel: its use, its waits, its limits. It also finds the
// process, and gives its pid and port to the other collectors.

import { existsSync } from 'node:fs'
import type { Family } from '../metrics/family.ts'
import { bytes, choice, duration, flag, integer, type Kind, section, shown, type Values } from '../options/kinds.ts'
import { readable } from '../options/readable.ts'
import type { Host } from '../telemetry/host.ts'
import type { End } from '../telemetry/incident.ts'
import type { MomentsHost } from '../telemetry/moment.ts'
import type { Part, Running } from '../telemetry/part.ts'
import { exits } from './process/exit.ts'
import * as declared from './process/families.ts'
import { cpuTime, endTime, exitCode, duration as jobDuration, peakMemory } from './process/job.ts'
import { ratio, secondsToLimit } from './process/saturation.ts'
import { Watch } from './process/watch.ts'

export { advice } from './process/access.ts'
export { exits } from './process/exit.ts'
export * as families from './process/families.ts'
export { bytes, KeptFile, readText, text, type Unread } from './process/file.ts'
export { type Folder, locate, type Place } from './process/hierarchy.ts'
export { cpuTime, duration as jobDuration, endTime, exitCode, peakMemory } from './process/job.ts'
export { ownMemoryLimit } from './process/own-limit.ts'
export { parseMaxFds } from './process/parse.ts'
export { ratio as saturation, secondsToLimit } from './process/saturation.ts'

const exitHelper: Kind<string> = {
  kind: 'scalar',
  about:
    'The program that learns the exit status of an application that the sidecar has not started (Linux 6.15 and later): auto is the one beside the sidecar, if it is there; off is none; else its path.',
  expects: 'auto, off or the name of a file',
  json: { type: ['string', 'boolean'] },
  default: 'auto',
  parse(value) {
    // YAML 1.1 reads a plain "off" as false.
    if (value === false) return 'off'
    if (typeof value === 'string' && value !== '') return value
    throw new Error(`must be auto, off or the name of a file, not ${shown(value)}`)
  },
  verify: async value => (value === 'auto' || value === 'off' ? undefined : await readable(value)),
}

export const options = section("How the application's process is read.", {
  children: choice(
    'Whether the processes that the application starts are counted with it, or shown apart as app_process_children_….',
    ['together', 'apart'],
    {
      default: 'together',
    },
  ),
  interval: duration(
    'How often processes are read in the background, so that counters stay complete when processes end between scrapes.',
    {
      default: '5s',
      min: '1s',
      max: '1m',
    },
  ),
  processes_limit: integer(
    'The largest number of processes of the application that are read. Each takes five open files of the sidecar.',
    {
      default: 512,
      min: 1,
      max: 4096,
    },
  ),
  threads_limit: integer(
    'The largest number of threads, besides main threads, that are read. Each takes two open files of the sidecar.',
    {
      default: 256,
      max: 4096,
    },
  ),
  tcp: flag('Count TCP connections by state. At most every 15 s, because the kernel walks its whole table for it.', {
    default: true,
  }),
  smaps: flag(
    'Read proportional and private memory once a minute. This stops the application for up to 25 ms per GiB.',
    {
      default: false,
    },
  ),
  smaps_limit: bytes('Proportional memory is not read while a process uses more memory than this.', {
    default: '1GiB',
    max: '64GiB',
  }),
  exit_helper: exitHelper,
})

export type ProcessOptions = Values<typeof options>

export interface ProcessRunning extends Running {
  /** The last ends of the application, the newest first; absent where nothing tells of them. */
  ends?(): readonly End[]
}

export const process = {
  name: 'process',
  about:
    "CPU, memory, files, threads, I/O, restarts, connections and cgroup of the application's processes, from the kernel.",
  families: [
    ...Object.values<Family>(declared),
    exits,
    ratio,
    secondsToLimit,
    exitCode,
    jobDuration,
    cpuTime,
    peakMemory,
    endTime,
  ],
  options,
  async start(options: ProcessOptions, host: Host & Partial<MomentsHost>): Promise<ProcessRunning> {
    if (!existsSync(host.proc)) {
      const { startPortable } = await import('./process/portable.ts')
      return startPortable(host)
    }
    const watch = new Watch(options, host)
    await watch.start()
    return watch
  },
} satisfies Part<ProcessOptions, Host & Partial<MomentsHost>>
