// The contract of a collector: how a part that brings signals in is declared, started, asked and stopped.

import type { Family, Metrics } from '../exporter/metrics.ts'
import type { Field } from '../options/kinds.ts'

/**
 * A part that gathers one kind of signal. The name is one word and is everywhere the same: the file, the option
 * section, the docs heading and the `collector` label.
 */
export interface Collector<Options> {
  readonly name: string
  /** One sentence for the README's table. */
  readonly about: string
  /** Everything it can expose, for docs, dashboards and lint; it makes its metric objects from these in `start`. */
  readonly families: readonly Family[]
  /** The option section of its name, or undefined if it has no options. */
  readonly options: Field | undefined
  /**
   * Opens what it needs and returns quickly; throws only for what an operator must mend (a taken port). What it cannot
   * read or reach later is a finding and a metric, never an exception.
   */
  start(options: Options, host: Host): Running | Promise<Running>
}

/** A started collector. Disposing stops intake first, then timers and sockets; it is safe to call twice. */
export interface Running extends AsyncDisposable {
  /**
   * Brings the numbers that are read on a scrape up to date. One call is in flight at a time; it should end soon after
   * `signal` aborts (the scrape's deadline) and must leave no half-set label sets. A rejection makes
   * `pillion_collector_success` 0 and spoils nothing else.
   */
  collect?(signal: AbortSignal): void | Promise<void>
  /** What an operator should know now (what was found, what may not be read and how to allow it): for the banner and the page. */
  findings?(): readonly Finding[]
}

export interface Finding {
  readonly level: 'info' | 'warning'
  /** One line, complete in itself: what was found, or what is missing and how to give it. */
  readonly text: string
}

/** The outside world in one small object, so that a test replaces the machine by a folder and the clock by a function. */
export interface Host {
  /** Root of the proc file system, normally "/proc". */
  readonly proc: string
  readonly clock: Clock
  readonly log: Log
  readonly metrics: Metrics
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

/** What is known about the observed application. The process collector fills in what it discovers; others read it. */
export interface Application {
  /** `app.url` as configured. */
  readonly url: string | undefined
  /** What else was configured to find its main process by. */
  readonly select: Selection
  /** The process that `pillion run` started; undefined when attached, and before the start. */
  child: number | undefined
  /** The discovered main process, or undefined while there is none. */
  pid: number | undefined
  /** The TCP port that the application listens on (the lowest, if several), as discovered. */
  port: number | undefined
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
