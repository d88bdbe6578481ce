// Proportional and private memory. The kernel walks all page tables for this and holds the process's memory lock
// meanwhile (seconds for hundreds of GiB), so it is read only on request, rarely, never of a large process, and off the
// loop.

import { readFile } from 'node:fs/promises'
import { unread } from './file.ts'
import { parseSmaps, type Smaps } from './parse.ts'
import type { Tracked } from './tracked.ts'

export type SmapsRead = { readonly sum: Smaps } | { readonly sum: undefined; readonly why: 'denied' | 'large' | 'gone' }

/** Sums over these processes; one that is too large or may not be read makes the sum unknown. */
export async function readSmaps(processes: Iterable<Tracked>, limitBytes: number): Promise<SmapsRead> {
  let proportionalBytes = 0
  let proportionalSwapBytes = 0
  let privateBytes = 0
  let read = 0
  for (const each of [...processes]) {
    if (each.stat.ended || each.outcome.status === 'gone') continue
    if (each.status.residentBytes > limitBytes) return { sum: undefined, why: 'large' }
    let text: string
    try {
      text = await readFile(`${each.folder}/smaps_rollup`, 'latin1')
    } catch (error) {
      const why = unread(error)
      if (why === 'gone') continue
      return { sum: undefined, why: 'denied' }
    }
    const one = parseSmaps(text)
    read++
    proportionalBytes += one.proportionalBytes
    proportionalSwapBytes += one.proportionalSwapBytes
    privateBytes += one.privateBytes
  }
  if (read === 0) return { sum: undefined, why: 'gone' }
  return { sum: { proportionalBytes, proportionalSwapBytes, privateBytes } }
}
