// Which process a ring belongs to, and whether a process still lives. A pid alone proves nothing: it is used again, and
// counts anew in each container and after each start of the machine.

import { readFileSync, readlinkSync } from 'node:fs'

export interface Identity {
  readonly pid: number
  /** When it started, in clock ticks since the machine did. */
  readonly ticks: number
}

/** A process, and where its pid counts. */
export interface Owner extends Identity {
  readonly boot: string
  /** The PID namespace. */
  readonly namespace: string
}

/** This process; undefined where there is no /proc. */
export function ourselves(proc: string): Owner | undefined {
  const place = here(proc)
  const self = identity(proc, 'self')
  return place && self && { ...self, ...place }
}

/** A process by its pid; undefined if it cannot be seen, or has ended and is only waited for. */
export function identity(proc: string, pid: number | 'self'): Identity | undefined {
  try {
    const text = readFileSync(`${proc}/${pid}/stat`, 'latin1')
    // The command name may contain ')' and spaces (proc(5)), so fields start after the last ')'.
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
    const [number, ticks] = [Number.parseInt(text, 10), Number(fields[19])]
    if (fields[0] === 'Z' || fields[0] === 'X' || !(number > 0) || !(ticks >= 0)) return undefined
    return { pid: number, ticks }
  } catch {
    return undefined
  }
}

/** Whether a process lives; undefined if that cannot be seen from here. */
export function lives(proc: string, { boot, namespace }: Pick<Owner, 'boot' | 'namespace'>, known: Identity) {
  const place = here(proc)
  if (!place) return undefined
  if (place.boot !== boot) return false
  if (place.namespace !== namespace) return undefined
  return identity(proc, known.pid)?.ticks === known.ticks
}

export function here(proc: string): { readonly boot: string; readonly namespace: string } | undefined {
  try {
    return {
      boot: readFileSync(`${proc}/sys/kernel/random/boot_id`, 'latin1').trim(),
      namespace: readlinkSync(`${proc}/self/ns/pid`),
    }
  } catch {
    return undefined
  }
}
