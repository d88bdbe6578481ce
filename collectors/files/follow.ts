// Begins to follow what the options name.

import { Follower } from './follower.ts'
import type { FilesHost } from './host.ts'
import { type FilesOptions, SOURCE_DEFAULTS } from './options.ts'
import { type Kept, readPositions } from './positions.ts'
import { redaction } from './redact.ts'
import { readSource } from './source.ts'

export interface Following {
  readonly follower: Follower
  /** Times that the positions could not be written. */
  failures(): number
  /** Why they could not the last time. */
  trouble(): string | undefined
}

/** The most bytes that are held: the buffer for the longest line, and the requests made of it. */
const MOST_BYTES = 4 * 1024 * 1024
export const UNKNOWN_SERVICE = 'unknown_service'

export async function follow(options: FilesOptions, host: FilesHost): Promise<Following> {
  const { clock, log, service = UNKNOWN_SERVICE, seen } = host
  const around = { service, clock, seen, redact: await redaction(options.redact) }
  const all =
    options.paths.length > 0
      ? [{ ...SOURCE_DEFAULTS, name: 'files', paths: options.paths }, ...options.sources]
      : options.sources
  const sources = await Promise.all(all.map(each => readSource(each, around)))
  let failures = 0
  let trouble: string | undefined
  const failed = (why: string): void => {
    failures++
    if (why !== trouble) log.warn(why)
    trouble = why
  }
  let { positions } = options
  let kept: Kept | undefined
  try {
    kept = positions === undefined ? undefined : await readPositions(positions)
  } catch (error) {
    // The application must start all the same. The file may be anybody's, so it is left as it is.
    failed(`${error instanceof Error ? error.message : error}; until then no positions are kept`)
    positions = undefined
  }
  const follower = new Follower({ ...options, positions }, sources, {
    clock,
    log,
    intake: host.intake(),
    memory: host.memory.allot('files', MOST_BYTES),
    kept,
    unkept: error => failed(`cannot write files.positions: ${error instanceof Error ? error.message : error}`),
    shared: () =>
      failed(
        `another sidecar writes ${positions} too, so lines may be lost or come twice; give each its own positions`,
      ),
  })
  return { follower, failures: () => failures, trouble: () => trouble }
}
