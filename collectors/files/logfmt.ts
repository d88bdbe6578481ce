// logfmt: key=value pairs, values with spaces in quotes, a key alone is true.
//
//   time=2026-11-28T22:01:02Z level=info msg="it is \"done\"" retry=3 last

/** The pairs of a line; undefined if it is something else. */
export function parseLogfmt(text: string): Record<string, string | boolean> | undefined {
  const pairs: Record<string, string | boolean> = Object.create(null)
  let [at, found] = [0, 0]
  const { length } = text
  while (at < length) {
    while (text.charCodeAt(at) === 32) at++
    if (at >= length) break
    const start = at
    while (at < length && isKey(text.charCodeAt(at))) at++
    if (at === start) return undefined
    const key = text.slice(start, at)
    if (text.charCodeAt(at) !== 61) {
      if (at < length && text.charCodeAt(at) !== 32) return undefined
      pairs[key] ??= true
      continue
    }
    found++
    at++
    if (text.charCodeAt(at) === 34) {
      const end = closing(text, at + 1)
      if (end < 0) return undefined
      pairs[key] ??= unquoted(text.slice(at, end + 1))
      at = end + 1
      continue
    }
    const from = at
    while (at < length && text.charCodeAt(at) !== 32) at++
    pairs[key] ??= text.slice(from, at)
  }
  return found > 0 ? pairs : undefined
}

/** Whether a line begins as logfmt does: with a short key and "=". */
export function looksLikeLogfmt(bytes: Uint8Array, start: number, end: number): boolean {
  const stop = Math.min(end, start + 24)
  for (let at = start; at < stop; at++) {
    if (bytes[at] === 61) return at > start
    if (!isKey(bytes[at]!)) return false
  }
  return false
}

function isKey(code: number): boolean {
  return code > 32 && code !== 61 && code !== 34 && code !== 123 && code !== 91
}

function closing(text: string, start: number): number {
  for (let at = start; ; ) {
    const quote = text.indexOf('"', at)
    if (quote < 0) return -1
    let slashes = 0
    while (text.charCodeAt(quote - 1 - slashes) === 92) slashes++
    if (slashes % 2 === 0) return quote
    at = quote + 1
  }
}

function unquoted(quoted: string): string {
  if (!quoted.includes('\\')) return quoted.slice(1, -1)
  try {
    // logfmt's escapes are those of Go and JSON.
    return JSON.parse(quoted) as string
  } catch {
    return quoted.slice(1, -1).replaceAll('\\"', '"')
  }
}
