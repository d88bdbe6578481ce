// Takes out of lines what must not leave the application: whatever matches one of the patterns becomes [redacted]. It is done
// to the bytes of the line, before anything reads it, so that no field is forgotten.

import { type Replacing, replacing } from '../../options/expression.ts'

/** Matching takes time in proportion to the line, of microseconds for a few characters. */
export const MOST_REDACTED = 16 * 1024

export type Redact = (text: string) => string

/** Undefined without patterns. */
export async function redaction(patterns: readonly string[]): Promise<Redact | undefined> {
  if (patterns.length === 0) return undefined
  const all: Replacing[] = await Promise.all(patterns.map(each => replacing(each)))
  return text => {
    let clean = text
    for (const each of all) clean = each.replace(clean, '[redacted]')
    return clean
  }
}
