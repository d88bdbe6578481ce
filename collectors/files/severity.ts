// Severities as logs spell them, as OTLP's numbers (opentelemetry/proto/logs/v1/logs.proto).

export const TRACE = 1
export const DEBUG = 5
export const INFO = 9
export const WARN = 13
export const ERROR = 17
export const FATAL = 21

const WORDS: ReadonlyMap<string, number> = new Map([
  ...each(TRACE, 'trace', 'trc', 'finest', 'finer', 'verbose', 'vrb'),
  ...each(DEBUG, 'debug', 'dbg', 'fine', 'config'),
  ...each(INFO, 'info', 'inf', 'information', 'informational'),
  ...each(10, 'notice'),
  ...each(WARN, 'warn', 'warning', 'wrn'),
  ...each(ERROR, 'error', 'err', 'severe'),
  ...each(FATAL, 'fatal', 'ftl', 'critical', 'crit', 'panic', 'dpanic'),
  ...each(22, 'alert'),
  ...each(23, 'emerg', 'emergency'),
])

/** Words that mean a severity only where one is expected: in text they are ordinary. */
const ORDINARY = new Set(['verbose', 'fine', 'finer', 'finest', 'config', 'information', 'alert', 'notice'])

function each(number: number, ...words: readonly string[]): [string, number][] {
  return words.map(word => [word, number])
}

/** The severity that a field says, as a word or a number; 0 if it says none. */
export function severityOf(value: unknown): number {
  if (typeof value === 'string') {
    const known = WORDS.get(value) ?? WORDS.get(value.trim().toLowerCase())
    if (known !== undefined) return known
    return /^\d{1,2}$/.test(value) ? severityOf(Number(value)) : 0
  }
  if (typeof value !== 'number' || !Number.isInteger(value) || value < 0) return 0
  // Below 8 they are syslog's: 0 is an emergency, 7 is for debugging. From 10 on pino's and bunyan's: 30 is info.
  if (value < 8) return SYSLOG[value]!
  if (value < 10 || value > 69) return 0
  return PINO[Math.floor(value / 10) - 1]!
}

const SYSLOG = [23, 22, FATAL, ERROR, WARN, 10, INFO, DEBUG]
const PINO = [TRACE, DEBUG, INFO, WARN, ERROR, FATAL]

/** A severity in a text stands here. */
const WITHIN = 100

/**
 * The severity of a line of text: the first word that is one, in any case, among the first hundred bytes; 0 if there is none.
 * "no errors" and "/info" have none, nor has what only went to standard error.
 */
export function severityIn(bytes: Uint8Array, start: number, end: number): number {
  // klog writes "W1128 22:01:02.123456".
  const first = bytes[start]!
  if (end - start > 6 && isKlog(first) && digits(bytes, start + 1, 4) && bytes[start + 5] === 32) return KLOG[first]!
  const stop = Math.min(end, start + WITHIN)
  for (let at = start; at < stop; ) {
    let byte = bytes[at]! | 32
    if (byte < 97 || byte > 122) {
      at++
      continue
    }
    const from = at
    let hash = 0
    do {
      hash = (hash * 31 + byte) | 0
      byte = bytes[++at]! | 32
    } while (at < end && byte >= 97 && byte <= 122)
    const length = at - from
    if (length < 3 || length > 9) continue
    const found = HASHES.get(hash)
    // Its neighbours tell a word by itself from a part of a name.
    if (found && found.word.length === length && open(bytes, from, start) && closed(bytes, at, end)) return found.number
  }
  return 0
}

const KLOG: Readonly<Record<number, number>> = { 73: INFO, 87: WARN, 69: ERROR, 70: FATAL }

function isKlog(byte: number): boolean {
  return byte === 73 || byte === 87 || byte === 69 || byte === 70
}

function digits(bytes: Uint8Array, at: number, count: number): boolean {
  for (let i = at; i < at + count; i++) if (bytes[i]! < 48 || bytes[i]! > 57) return false
  return true
}

/** No two words have the same; a test looks. */
const HASHES: ReadonlyMap<number, { readonly word: string; readonly number: number }> = new Map(
  [...WORDS]
    .filter(([word]) => !ORDINARY.has(word))
    .map(([word, number]) => [[...word].reduce((h, c) => (h * 31 + c.charCodeAt(0)) | 0, 0), { word, number }]),
)

/** Space, tab, quotes, brackets and separators: the words of a line end at these. */
const AROUND = new Uint8Array(256)
for (const each of ' \t"\'()[]{}<>|:=,;') AROUND[each.charCodeAt(0)] = 1

function open(bytes: Uint8Array, at: number, start: number): boolean {
  return at === start || AROUND[bytes[at - 1]!] === 1
}

function closed(bytes: Uint8Array, at: number, end: number): boolean {
  return at === end || AROUND[bytes[at]!] === 1
}
