// The moments at both ends of the application: a shell becomes it, and its last numbers wait for a scrape.

import { clock } from '../host/clock.ts'
import type { LineLog } from '../host/log.ts'
import type { Options } from '../parts.ts'
import { identity } from '../supervise/handover.ts'

/** A shell that starts the application becomes it within this time. */
const BECOMING_MS = 2000
const NEVER = new AbortController().signal

/** Waits until a shell has become the application: until its command line has changed. */
export async function become(pid: number, ended: AbortSignal, before: string | undefined): Promise<void> {
  const begun = clock.monotonic()
  while (before !== undefined && identity(pid)?.command === before && clock.monotonic() - begun < BECOMING_MS)
    await clock.sleep(5, ended).catch(() => undefined)
}

/** Keeps the sidecar up for a last scrape. A signal ends the process, in `run` by supervise.ts. */
export async function linger({ run }: Options, log: LineLog): Promise<void> {
  if (run.linger === 0) return
  log.info('stays for a last scrape', { seconds: run.linger / 1000 })
  const alive = setTimeout(() => {}, run.linger)
  await clock.sleep(run.linger, NEVER)
  clearTimeout(alive)
}
