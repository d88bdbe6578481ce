// The contract of the flight recorder: what other parts remember of the last minutes, asked when a record is written.

/** Everything a part can tell of the time from `since` on, in milliseconds since the epoch. The newest come first. */
export interface Memories {
  readonly logs?: readonly RememberedLog[]
  readonly traces?: readonly RememberedTrace[]
  readonly episodes?: readonly RememberedEpisode[]
}

export interface RememberedLog {
  /** Milliseconds since the epoch; undefined if the record has no time. */
  readonly at: number | undefined
  /** TRACE to FATAL, or UNSPECIFIED. */
  readonly severity: string
  readonly service: string
  readonly body: string
  /** In hex; '' if it belongs to no trace. */
  readonly traceId: string
}

/** A trace that failed, or was slow. */
export interface RememberedTrace {
  readonly traceId: string
  readonly at: number
  readonly ms: number
  readonly service: string
  readonly name: string
  readonly spans: number
  readonly errors: number
}

/** Many slow requests, in a sentence. */
export interface RememberedEpisode {
  readonly from: number
  /** Null while it lasts. */
  readonly to: number | null
  readonly cause: string
  readonly sentence: string
}

export interface Recall {
  readonly since: number
  /** The most of each kind. */
  readonly most: number
  /** Only what costs next to nothing: it is asked every second. */
  readonly cheap: boolean
}

/** The host of the recorder. */
export interface RecallHost {
  /** Asks every part; one that fails is left out. */
  recall(recall: Recall, signal: AbortSignal): Promise<Memories>
}
