// The file system that holds the application's working directory: how large it is, and what is left. /proc/PID/cwd
// leads straight into the application's own mounts, so it is also right for a container, and for a directory that was
// deleted.

import type { StatsFs } from 'node:fs'
import { statfs } from 'node:fs/promises'
import { gauge } from '../metrics/family.ts'
import type { Reading } from '../metrics/registry.ts'
import type { Host } from '../telemetry/host.ts'
import type { Finding, Part, Running } from '../telemetry/part.ts'
import type { Fact } from '../telemetry/status.ts'
import { advice } from './process.ts'

export const size = gauge(
  'app_disk_size_bytes',
  "Size of the file system that holds the application's working directory.",
)
export const free = gauge('app_disk_free_bytes', 'Free space of that file system, including space reserved for root.')
export const available = gauge(
  'app_disk_available_bytes',
  'Free space of that file system that a process other than root can use.',
)
export const inodes = gauge(
  'app_disk_inodes',
  'Files and directories that the file system can hold; absent where it has no fixed number of them.',
)
export const freeInodes = gauge('app_disk_free_inodes', 'Files and directories that it can still hold.')

export const disk: Part<unknown> = {
  name: 'disk',
  about: "The file system that holds the application's working directory: size, free space and inodes.",
  families: [size, free, available, inodes, freeInodes],
  options: undefined,
  start: (_options, host) => new Disk(host),
}

class Disk implements Running {
  readonly #host: Host
  readonly #readings: Readonly<Record<'size' | 'free' | 'available' | 'inodes' | 'freeInodes', Reading<never>>>
  /** A read that has not answered: a network file system may hang for ever, and one waiting thread is enough. */
  #waiting: Promise<unknown> | undefined
  #warning: string | undefined

  constructor(host: Host) {
    this.#host = host
    const { metrics } = host
    this.#readings = {
      size: metrics.reading(size),
      free: metrics.reading(free),
      available: metrics.reading(available),
      inodes: metrics.reading(inodes),
      freeInodes: metrics.reading(freeInodes),
    }
  }

  async collect(signal: AbortSignal): Promise<void> {
    for (const reading of Object.values(this.#readings)) reading.clear()
    const { app, proc } = this.#host
    const { pid } = app
    if (pid === undefined) {
      this.#warning = undefined
      return
    }
    const path = `${proc}/${pid}/cwd`
    if (this.#waiting)
      throw new Error(`cannot read the file system of ${path}: it has not answered since the last scrape`)
    const read = statfs(path)
    const done = () => {
      this.#waiting = undefined
    }
    this.#waiting = read.then(done, done)
    try {
      const answer = await Promise.race([read, aborted(signal)])
      this.#warning = undefined
      // Meanwhile it may have ended, and its number may be another's.
      if (app.pid === pid) this.#publish(answer)
    } catch (error) {
      if (signal.aborted) this.#warn(`the file system of ${path} does not answer; is it on a network?`)
      else if (isDenied(error)) this.#warn(`cannot read ${path} (the disk); ${advice(proc, pid)}`)
      // The process has just ended, or there are no such links here.
      else this.#warning = undefined
      signal.throwIfAborted()
    }
  }

  async facts(): Promise<Fact[]> {
    const samples = await this.#host.metrics.samples(available)
    return samples.map(({ value }) => ({ name: 'available', value, unit: 'bytes' }))
  }

  findings(): Finding[] {
    return this.#warning === undefined ? [] : [{ level: 'warning', text: this.#warning }]
  }

  async [Symbol.asyncDispose](): Promise<void> {}

  #publish({ frsize, bsize, blocks, bfree, bavail, files, ffree }: StatsFs): void {
    // Blocks are counted in units of frsize. bsize is what is best read at once, and may be larger (FUSE, network file
    // systems); a file system that does not say frsize means bsize (statfs(2), as df reads it).
    const unit = frsize || bsize
    this.#readings.size.set({}, blocks * unit)
    this.#readings.free.set({}, bfree * unit)
    this.#readings.available.set({}, bavail * unit)
    // btrfs and others make inodes as they need them, and say 0.
    if (files === 0) return
    this.#readings.inodes.set({}, files)
    this.#readings.freeInodes.set({}, ffree)
  }

  #warn(text: string): void {
    if (text !== this.#warning) this.#host.log.warn(text)
    this.#warning = text
  }
}

function isDenied(error: unknown): boolean {
  return error instanceof Error && 'code' in error && (error.code === 'EACCES' || error.code === 'EPERM')
}

function aborted(signal: AbortSignal): Promise<never> {
  const { promise, reject } = Promise.withResolvers<never>()
  if (signal.aborted) reject(signal.reason)
  signal.addEventListener('abort', () => reject(signal.reason), { once: true })
  return promise
}
