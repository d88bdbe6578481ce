// The outside world, as a part sees it: the machine, the clock, the log, and the application that is observed.

import type { Metrics } from '../metrics/registry.ts'
import type { Memory } from './memory.ts'

/** The outside world in one small object, so that a test replaces the machine by a folder and the clock by a function. */
export interface Host {
  /** Root of the proc file system, normally "/proc". */
  readonly proc: string
  readonly clock: Clock
  readonly log: Log
  readonly metrics: Metrics
  /** The memory budget; a part asks it before it holds bytes. */
  readonly memory: Memory
  readonly app: Application
}

export interface Clock {
  /** Wall time in milliseconds since the epoch. For timestamps only. */
  now(): number
  /** Milliseconds from an arbitrary start that never go back. For durations, timeouts and schedules. */
  monotonic(): number
  /** Resolves after `ms`; rejects with the signal's reason if that comes first. Does not keep the process alive. */
  sleep(ms: number, signal: AbortSignal): Promise<void>
}

/** One line per change of state; per item there are counters. Fields are printed as logfmt, control characters escaped. */
export interface Log {
  info(message: string, fields?: Readonly<Record<string, unknown>>): void
  warn(message: string, fields?: Readonly<Record<string, unknown>>): void
  error(message: string, fields?: Readonly<Record<string, unknown>>): void
}

/** Facts about the observed application. The process collector fills in what it discovers; others read it. */
export interface Application {
  /** `app.url` as configured. */
  readonly url: string | undefined
  /** The other configured ways to find its main process. */
  readonly select: Selection
  /** The process that `pillion run` started; undefined when attached, and before the start. */
  child: number | undefined
  /** The discovered main process, or undefined while there is none. */
  pid: number | undefined
  /** The TCP port that the application listens on (the lowest, if several), as discovered. */
  port: number | undefined
  /** The end of the application that `pillion run` or `exec` started. */
  outcome?: Outcome | undefined
  /** The last end of its main process, as the process collector judged it. Each end is another object. */
  ended?: Ending | undefined
  /** The last time that a probe went from up to down. Each time is another object. */
  failing?: Failing | undefined
  /** Limited resources, by name: what is used, and the limit. Kept up to date by the process collector. */
  uses?: ReadonlyMap<string, readonly [used: number, limit: number]>
}

/** The end of a main process: why, and by which evidence. */
export interface Ending {
  readonly pid: number | undefined
  /** Milliseconds since the epoch. */
  readonly at: number
  /** Values of the labels of app_process_exits_total. */
  readonly reason: string
  readonly evidence: string
  /** One line: "the application's process 7 ended by SIGKILL". */
  readonly text: string
}

/** A probe that went from up to down. */
export interface Failing {
  readonly probe: string
  /** Milliseconds since the epoch. */
  readonly at: number
  readonly failures: number
  readonly why: string
}

/** The end of an application, as the one who waited for it knows it. Unknown values are undefined. */
export interface Outcome {
  /** 128 + n if signal n ended it. */
  readonly code: number | undefined
  /** The name of the signal that ended it, "SIGKILL". */
  readonly signal?: string | undefined
  readonly seconds: number
  readonly cpuSeconds: number | undefined
  readonly peakBytes: number | undefined
  /** Milliseconds since the epoch. */
  readonly at: number
}

/** Ways to name the application's main process; the first one that is set counts. */
export interface Selection {
  readonly pid?: number | undefined
  /** A file that begins with the process number. */
  readonly pid_file?: string | undefined
  /** A cgroup path, such as /system.slice/shop.service. */
  readonly cgroup?: string | undefined
  /** A regular expression for the command line or the name. */
  readonly match?: string | undefined
  /** A TCP port that it listens on. */
  readonly port?: number | undefined
}
