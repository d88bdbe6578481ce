// Takes out of texts what must not be in a file that people hand around: whatever looks like a credential, and whatever
// matches the operator's patterns. Every text that comes from outside passes here, whole records at once.

import { type Replacing, replacing } from '../../options/expression.ts'

export type Redact = (text: string) => string

const HIDDEN = '[redacted]'
/** A text is cut at this length first, so that matching takes bounded time. */
export const LONGEST = 4096

/** Every repetition is bounded, so that each takes time in proportion to the text. */
const SECRETS: readonly (readonly [RegExp, string])[] = [
  [/-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----[\s\S]{0,8000}?(?:-----END [A-Z ]{0,40}-----|$)/g, HIDDEN],
  [/\b((?:proxy-)?authorization|(?:set-)?cookie)(\\{0,3}["']?\s{0,4}[:=]\s{0,4})[^\r\n]{1,4096}/gi, `$1$2${HIDDEN}`],
  [/\b(bearer|basic)\s{1,4}[\w.~+/=-]{8,}/gi, `$1 ${HIDDEN}`],
  // In quotes a value goes on to the next of them, and may have spaces. Inside of other JSON a quote is written as \".
  [
    /(passw(?:or)?d|passphrase|pwd|secret(?:[_-]?key)?|token|api[_-]?key|access[_-]?key|private[_-]?key|credentials?)(\\{0,3}["']?\s{0,4}[:=]\s{0,4}\\{0,3})(["'])(?:\\.|(?!\3)[^\\\r\n]){1,4096}/gi,
    `$1$2$3${HIDDEN}`,
  ],
  [
    /(passw(?:or)?d|passphrase|pwd|secret(?:[_-]?key)?|token|api[_-]?key|access[_-]?key|private[_-]?key|credentials?)(\s{0,4}[:=]\s{0,4})[^\s"',;&<>]{1,4096}/gi,
    `$1$2${HIDDEN}`,
  ],
  [/\beyJ[\w-]{8,2000}\.[\w-]{8,4096}\.[\w-]{0,4096}/g, HIDDEN],
  [/\b(?:AKIA|ASIA)[0-9A-Z]{16}\b/g, HIDDEN],
  [/:\/\/[^\s/@"'<>]{1,4096}@/g, `://${HIDDEN}@`],
]

export async function redaction(patterns: readonly string[]): Promise<Redact> {
  const own: Replacing[] = await Promise.all(patterns.map(each => replacing(each)))
  return text => {
    let clean = text.length > LONGEST ? `${text.slice(0, LONGEST)}…` : text
    for (const each of own) clean = each.replace(clean, HIDDEN)
    for (const [pattern, by] of SECRETS) clean = clean.replace(pattern, by)
    return clean
  }
}

/** The characters of a whole record, so that its file stays below its limit however they must be escaped. */
const MOST = 600_000

/** The same value with every string in it made clean. Text beyond so many characters is cut, the last first. */
export function redacted<Value>(value: Value, redact: Redact): Value {
  let left = MOST
  const within: Redact = text => {
    const shown = redact(text)
    const kept = shown.length > left ? `${shown.slice(0, Math.max(0, left - 1))}…` : shown
    left = Math.max(0, left - kept.length)
    return kept
  }
  // The value is put together in the shape in which it was taken apart.
  return clean(value, within) as Value
}

function clean(value: unknown, redact: Redact): unknown {
  if (typeof value === 'string') return redact(value)
  if (Array.isArray(value)) return typeof value[0] === 'number' ? value : value.map(each => clean(each, redact))
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, clean(each, redact)]))
}
