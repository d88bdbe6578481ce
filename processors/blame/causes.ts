// The closed list of causes. A dependency is named with its peer: "dependency:db".

/** Causes that the ring of moments can show, in the order of the columns of evidence. */
export const CAUSES = ['own_cpu', 'waiting_for_cpu', 'throttled', 'stopped', 'paging', 'disk', 'lock', 'gc'] as const

export type Cause = (typeof CAUSES)[number]

export const OWN_CPU = 0
export const WAITING = 1
export const THROTTLED = 2
export const STOPPED = 3
export const PAGING = 4
export const DISK = 5
export const LOCK = 6
export const GC = 7

export const UNEXPLAINED = 'unexplained'

export function dependency(peer: string): string {
  return `dependency:${peer}`
}

/** The words for it in a sentence; `process` is true where threads cannot be told apart. */
export function said(cause: string, process: boolean): string {
  if (cause.startsWith('dependency:')) return `waiting for ${cause.slice('dependency:'.length)}`
  const words: Readonly<Record<string, string>> = {
    own_cpu: 'CPU of its own',
    waiting_for_cpu: 'waiting for a core',
    throttled: 'throttled',
    stopped: 'stopped',
    paging: 'reading pages from disk',
    disk: 'waiting for a disk',
    lock: 'waiting for a lock',
    gc: 'garbage collection',
  }
  const word = words[cause] ?? 'unexplained'
  return process && cause !== UNEXPLAINED && cause !== 'stopped' && cause !== 'throttled'
    ? `${word} (of the process)`
    : word
}
