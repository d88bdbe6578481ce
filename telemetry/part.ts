// The contract of a part: how anything that collects, processes or exports is declared, started, asked and stopped.

import type { Family } from '../metrics/family.ts'
import type { Fields, Section } from '../options/kinds.ts'
import type { Consumers } from './consumer.ts'
import type { Asked } from './exposition.ts'
import type { Memories, Recall } from './flight.ts'
import type { Host } from './host.ts'
import type { Route } from './route.ts'
import type { Fact } from './status.ts'

/** The declaration of a part. The option schema, the catalogue of metrics and the documents are made from it alone. */
export interface Description {
  /** One word, everywhere the same: the file, the option section, the heading in the docs and the `collector` label. */
  readonly name: string
  /** One sentence for the README's table. */
  readonly about: string
  /** Everything it can expose, for docs, dashboards and lint; it makes its metric objects from these in `start`. */
  readonly families: readonly Family[]
  /** The option section of its name, or undefined if it has no options. */
  readonly options: Section<Fields> | undefined
}

export interface Part<Options, Surroundings extends Host = Host> extends Description {
  /**
   * Whether these options switch the part off. Every part can be switched off: one that does not declare this is given the
   * option `enabled`, unless its section has one already. `fed` is true if a part that runs makes telemetry.
   */
  off?(options: Options, fed: boolean): boolean
  /**
   * Whether it makes telemetry with these options, and so needs the intake (`IntakeHost`), which then runs even if nothing
   * can come in from outside. Such a part stands above the receiver in the list of parts.
   */
  feeds?(options: Options): boolean
  /**
   * Opens what it needs and returns quickly; throws only for what an operator must mend (a taken port). Work that it cannot
   * read or reach later is a finding and a metric, never an exception. `host` may carry more than the outside world (the
   * consumers of telemetry, for instance): the assembly gives each part all that it has.
   */
  start(options: Options, host: Surroundings): Running<Options> | Promise<Running<Options>>
}

/** A started part. Disposing stops intake first, then timers and sockets; it is safe to call twice. */
export interface Running<Options = never> extends AsyncDisposable {
  /**
   * Brings the numbers that are read on a scrape up to date. One call is in flight at a time; it should end soon after
   * `signal` aborts (the scrape's deadline) and must leave no half-set label sets. A rejection makes
   * `pillion_collector_success` 0 and spoils nothing else.
   */
  collect?(signal: AbortSignal): void | Promise<void>
  /**
   * Brings in what belongs on the page of one scrape alone: called for each page that is written, beside `collect`, and not
   * when only the status is asked for. It ends when `signal` aborts. Scrapes that ask at the same time may share the result.
   */
  merge?(asked: Asked, signal: AbortSignal): Promise<void>
  /** Facts for an operator (what was found, what may not be read and how to allow it), for the banner and the page. */
  findings?(): readonly Finding[]
  /**
   * The few numbers a person wants first, in the order to show them, for the page and /api/status. Called after `collect`.
   * Numbers come from the part's own metrics, so that the page says nothing that Prometheus is not told.
   */
  facts?(): readonly Fact[] | Promise<readonly Fact[]>
  /**
   * Judges new values of the options that are declared `live`, and returns the step that puts them in effect, which cannot
   * fail. Throws for what an operator must mend, with nothing changed. A part with live options must have this.
   */
  prepare?(next: Options): Step | Promise<Step>
  /**
   * The application has ended, or the sidecar is about to: sends what would be lost otherwise, while every part still runs.
   * Called once, before the parts are disposed of; it must end when `signal` aborts.
   */
  finish?(signal: AbortSignal): Promise<void>
  /** For a flight record: what it remembers of the last minutes. A rejection leaves it out. */
  recall?(recall: Recall, signal: AbortSignal): Memories | Promise<Memories>
  /** Its routes over HTTP; the web server serves, guards and limits them. Fixed once the part has started. */
  readonly routes?: readonly Route[]
  /** Its consumers of incoming telemetry. Fixed once the part has started. */
  readonly consumes?: Partial<Omit<Consumers, 'keys'>>
}

/** Puts in effect what `prepare` has judged. */
export type Step = () => void | Promise<void>

export interface Finding {
  readonly level: 'info' | 'warning'
  /** One line, complete in itself: what was found, or what is missing and how to give it. */
  readonly text: string
}
