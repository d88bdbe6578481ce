// Log files of the application: what it and its web server write becomes log records and request metrics, without an SDK. The
// part only opens what the options name; without any it is off and loads nothing.

import type { Finding, Part, Running } from '../telemetry/part.ts'
import type { Fact } from '../telemetry/status.ts'
import * as family from './files/families.ts'
import type { Skipped } from './files/finder.ts'
import type { FilesHost } from './files/host.ts'
import { FILES_OPTIONS, type FilesOptions, filesFaults } from './files/options.ts'

export * from './files/families.ts'
export type { Skipped } from './files/finder.ts'
export type { FilesHost } from './files/host.ts'
export { type FilesOptions, SOURCE_DEFAULTS, type SourceOptions } from './files/options.ts'

export interface FilesRunning extends Running {
  /** The position up to which a file was read; undefined if it is not followed. */
  offset(path: string): number | undefined
  /** Passes over what stands before this offset of a file; undefined if it was read that far. */
  passOver(path: string, offset: number): Skipped | undefined
  /** The file was truncated by whoever made it, and is read from its beginning. */
  restart(path: string): void
}

export const files = {
  name: 'files',
  about: 'Log files and access logs: lines become log records, and requests become request metrics, without an SDK.',
  families: family.fileFamilies,
  options: FILES_OPTIONS,
  off: options => options.paths.length === 0 && options.sources.length === 0,
  feeds: ({ paths, sources }) => paths.length > 0 || sources.length > 0,
  async start(options: FilesOptions, host: FilesHost): Promise<FilesRunning> {
    const faults = filesFaults(options).map(({ path, message }) => `files.${path} ${message}`)
    if (faults.length > 0) throw new Error(faults.join('\n'))
    const { follow } = await import('./files/follow.ts')
    return new Files(host, options, await follow(options, host))
  },
} satisfies Part<FilesOptions, FilesHost>

type Following = Awaited<ReturnType<typeof import('./files/follow.ts').follow>>

class Files implements FilesRunning {
  readonly #host: FilesHost
  readonly #options: FilesOptions
  readonly #following: Following
  readonly #readings

  constructor(host: FilesHost, options: FilesOptions, following: Following) {
    this.#host = host
    this.#options = options
    this.#following = following
    const { metrics } = host
    this.#readings = {
      lines: metrics.reading(family.lines),
      readBytes: metrics.reading(family.readBytes),
      dropped: metrics.reading(family.dropped),
      cut: metrics.reading(family.cut),
      unparsed: metrics.reading(family.unparsed),
      requests: metrics.reading(family.requests),
      routeOverflow: metrics.reading(family.routeOverflow),
      files: metrics.reading(family.followed),
      unfollowed: metrics.reading(family.unfollowed),
      behind: metrics.reading(family.behind),
      rotations: metrics.reading(family.rotations),
      truncations: metrics.reading(family.truncations),
      failures: metrics.reading(family.positionFailures),
    }
  }

  offset(path: string): number | undefined {
    return this.#following.follower.offset(path)
  }

  passOver(path: string, offset: number): Skipped | undefined {
    return this.#following.follower.passOver(path, offset)
  }

  restart(path: string): void {
    this.#following.follower.restart(path)
  }

  collect(): void {
    const readings = this.#readings
    for (const { source, files, unfollowed, behind } of this.#following.follower.counts()) {
      const labels = { source: source.name }
      readings.lines.set(labels, source.lines)
      readings.readBytes.set(labels, source.bytes)
      for (const reason of family.REASONS) readings.dropped.set({ ...labels, reason }, source.dropped.get(reason) ?? 0)
      readings.cut.set(labels, source.cut)
      readings.files.set(labels, files)
      readings.unfollowed.set(labels, unfollowed)
      readings.behind.set(labels, behind)
      readings.rotations.set(labels, source.rotations)
      readings.truncations.set(labels, source.truncations)
      if (source.options.requests === 'off') continue
      readings.unparsed.set(labels, source.unparsed)
      readings.requests.set(labels, source.access.requests)
      readings.routeOverflow.set(labels, source.access.routeOverflow)
    }
    readings.failures.set({}, this.#following.failures())
  }

  async facts(): Promise<readonly Fact[]> {
    const { metrics } = this.#host
    const sum = async (of: typeof family.followed | typeof family.lines | typeof family.behind): Promise<number> =>
      (await metrics.samples(of)).reduce((total, { value }) => total + value, 0)
    return [
      { name: 'files', value: await sum(family.followed) },
      { name: 'lines read', value: await sum(family.lines) },
      { name: 'unread', value: await sum(family.behind), unit: 'bytes' },
    ]
  }

  findings(): readonly Finding[] {
    const found: Finding[] = []
    for (const { source, files, unfollowed } of this.#following.follower.counts()) {
      const { name } = source
      if (unfollowed > 0)
        found.push({
          level: 'warning',
          text: `${unfollowed} ${unfollowed === 1 ? `file of files.${name} is` : `files of files.${name} are`} not followed; the log says why`,
        })
      if (files === 0 && unfollowed === 0)
        found.push({ level: 'info', text: `no file of files.${name} is there yet: ${source.options.paths.join(', ')}` })
      if (source.access.untimed)
        found.push({
          level: 'warning',
          text: `requests of files.${name} do not say how long they took, so they are counted without a latency; add $request_time (nginx) or %D (Apache) to the log format`,
        })
      if (source.unparsed > 0)
        found.push({
          level: source.access.requests === 0 ? 'warning' : 'info',
          text: `${source.unparsed} lines of files.${name} are not of the format ${source.options.request_format ?? source.options.requests}`,
        })
    }
    if (this.#options.positions === undefined)
      found.push({
        level: 'info',
        text: 'after a restart log files are read anew; to go on where reading stopped, set files.positions',
      })
    const trouble = this.#following.trouble()
    if (trouble !== undefined) found.push({ level: 'warning', text: trouble })
    return found
  }

  async finish(signal: AbortSignal): Promise<void> {
    await this.#following.follower.finish(signal)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#following.follower[Symbol.asyncDispose]()
  }
}
