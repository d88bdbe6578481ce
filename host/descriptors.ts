// The number of connections that the listeners may hold, so that descriptors remain for the sidecar's own work: reading
// /proc, probing, answering a scrape. Beyond its limit the kernel refuses every open alike (EMFILE), and a flood would blind it.

import { readFileSync } from 'node:fs'

export interface Connections {
  readonly web: number
  readonly http: number
  readonly grpc: number
}

/** Open at rest: 23 of Node's own, a socket for each listener, a probe. */
const AT_REST = 32
/** Held back for reading /proc (five for a process, two for a thread), probes, and what is sent upstream. */
const HELD_BACK = 32
/** Less than this and one connection that is kept open would lock all other clients out. */
const FEWEST = 2

/** The number of connections that each listener may hold; as many as it wants if `files` is not known. */
export function connectionsWithin(files: number | undefined, wanted: Connections): Connections {
  const { web, http, grpc } = wanted
  const share = files === undefined ? 1 : (files - AT_REST - HELD_BACK) / (web + http + grpc)
  if (share >= 1) return wanted
  const fit = (connections: number): number => Math.min(connections, Math.max(FEWEST, Math.floor(connections * share)))
  return { web: fit(web), http: fit(http), grpc: fit(grpc) }
}

/**
 * The number of files that this process may have open; Node has raised the soft limit to the hard one.
 * proc_pid_limits(5).
 */
export function openFilesLimit(proc: string): number | undefined {
  try {
    const [, soft] = /^Max open files +(\d+)/m.exec(readFileSync(`${proc}/self/limits`, 'utf8')) ?? []
    return soft === undefined ? undefined : Number(soft)
  } catch {
    return undefined
  }
}
