// The application's process and cgroup, read from the kernel: what it uses, what it waits for, what limits it. Also finds
// the process, and tells the other collectors its pid and port.

import { existsSync } from 'node:fs'
import type { Family } from '../exporter/metrics.ts'
import { bytes, choice, duration, flag, integer, section, type Values } from '../options/kinds.ts'
import type { Collector, Host, Running } from './collector.ts'
import * as declared from './process/families.ts'
import { Watch } from './process/watch.ts'

export * as families from './process/families.ts'

export const options = section("How the application's process is read.", {
  children: choice(
    'Whether descendants are counted in, or shown apart as app_process_children_….',
    ['together', 'apart'],
    {
      default: 'together',
    },
  ),
  interval: duration('Between looks in the background, which keep counters whole when processes end.', {
    default: '5s',
    min: '1s',
    max: '1m',
  }),
  processes_limit: integer('Processes of the application that are read at most; each takes five open files.', {
    default: 512,
    min: 1,
    max: 4096,
  }),
  threads_limit: integer('Threads beside the main ones that are read at most; each takes two open files.', {
    default: 256,
    max: 4096,
  }),
  tcp: flag('Count TCP connections by state, every 15 s at most, since the kernel walks its whole table for it.', {
    default: true,
  }),
  smaps: flag(
    'Read proportional and private memory once a minute; this stops the application for up to 25 ms per GiB.',
    {
      default: false,
    },
  ),
  smaps_limit: bytes('No proportional memory while a process has more than this in RAM.', {
    default: '1GiB',
    max: '64GiB',
  }),
})

export type ProcessOptions = Values<typeof options>

export const process: Collector<ProcessOptions> = {
  name: 'process',
  about:
    "CPU, memory, files, threads, I/O, restarts, connections and cgroup of the application's processes, from the kernel.",
  families: Object.values<Family>(declared),
  options,
  async start(options: ProcessOptions, host: Host): Promise<Running> {
    if (!existsSync(host.proc)) {
      const { startPortable } = await import('./process/portable.ts')
      return startPortable(host)
    }
    const watch = new Watch(options, host)
    await watch.start()
    return watch
  },
}
