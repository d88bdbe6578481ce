// Incidents of the application: ends of its process, and times of slow requests. The parts that notice them keep the
// newest; the page shows them.

/** An end of the main process. */
export interface End {
  /** Milliseconds since the epoch. */
  readonly at: number
  /** The process that ended; undefined if it was over before it could be found. */
  readonly pid: number | undefined
  /** The labels of `app_process_exits_total`: why it ended, and by which evidence. */
  readonly reason: string
  readonly evidence: string
  /** One sentence: "the application's process 7 ended by SIGKILL". */
  readonly text: string
}

/** A time in which many requests of a service were slow. */
export interface Episode {
  readonly id: string
  /** Milliseconds since the epoch; `to` is null while it lasts. */
  readonly from: number
  readonly to: number | null
  readonly service: string
  readonly operation: string
  readonly cause: string
  /** With numbers, complete in itself but for the service. */
  readonly sentence: string
  /** The slowest request of its operation, in hex. */
  readonly trace_id: string | null
  readonly requests: number
}
