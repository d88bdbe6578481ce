// The log: logfmt or JSON on stderr, one line per change of state. Nothing that comes in from outside (a span name, a header, a
// path) can forge a line, colour a terminal or flood the log; and writing it can neither block the sidecar on a stuck
// pipe nor change how the application writes to the stderr that both share.

import { constants, fstatSync, openSync, writeSync } from 'node:fs'
import { isatty } from 'node:tty'
import type { Clock, Log } from '../telemetry/host.ts'

const LEVELS = ['info', 'warn', 'error'] as const
type Level = (typeof LEVELS)[number]

/** Writes text to stderr; false when it could not be taken at once. */
export type Write = (text: string) => boolean

/** Bytes of one value after escaping. */
const VALUE_LIMIT = 256
/** PIPE_BUF: up to this size a pipe takes a write whole, so our lines are never mixed with the application's. */
const LINE_LIMIT = 4096
const LINES_PER_SECOND = 10
/** Messages are constants in the code; the bound is for the day when one is not. */
const MESSAGES = 256

interface Window {
  start: number
  lines: number
  suppressed: number
}

export class LineLog implements Log {
  #least: number
  readonly #clock: Pick<Clock, 'now' | 'monotonic'>
  readonly #write: Write
  readonly #format: Format
  readonly #windows = new Map<string, Window>()
  /** Lines that stderr did not take; said on the next line that it takes. */
  #dropped = 0

  constructor(
    level: Level,
    clock: Pick<Clock, 'now' | 'monotonic'>,
    write: Write,
    format: 'logfmt' | 'json' = 'logfmt',
  ) {
    this.#format = format === 'json' ? JSON_LINES : LOGFMT
    this.#least = LEVELS.indexOf(level)
    this.#clock = clock
    this.#write = write
  }

  /** From now on, lines below this level are left out. */
  set level(level: Level) {
    this.#least = LEVELS.indexOf(level)
  }

  info(message: string, fields?: Readonly<Record<string, unknown>>): void {
    this.#line('info', message, fields)
  }

  warn(message: string, fields?: Readonly<Record<string, unknown>>): void {
    this.#line('warn', message, fields)
  }

  error(message: string, fields?: Readonly<Record<string, unknown>>): void {
    this.#line('error', message, fields)
  }

  #line(level: Level, message: string, fields: Readonly<Record<string, unknown>> = {}): void {
    if (LEVELS.indexOf(level) < this.#least) return
    const suppressed = this.#admit(`${level} ${message}`)
    if (suppressed === undefined) return
    const counts: Record<string, unknown> = {}
    if (suppressed > 0) counts['suppressed'] = suppressed
    if (this.#dropped > 0) counts['dropped'] = this.#dropped
    const time = new Date(this.#clock.now()).toISOString()
    // `logger=pillion` tells our lines from the application's, which owns the same stderr in `pillion run`.
    const head = { time, level, logger: 'pillion', msg: message }
    if (this.#write(`${joined(this.#format, head, { ...counts, ...fields })}\n`)) this.#dropped = 0
    else this.#dropped++
  }

  /** The lines of this message left out since its last one; undefined if this one is left out too. */
  #admit(message: string): number | undefined {
    const now = this.#clock.monotonic()
    const window = this.#windows.get(message)
    if (window && now - window.start < 1000) {
      if (window.lines++ < LINES_PER_SECOND) return 0
      window.suppressed++
      return undefined
    }
    this.#windows.delete(message)
    const [oldest] = this.#windows.keys()
    if (this.#windows.size >= MESSAGES && oldest !== undefined) this.#windows.delete(oldest)
    this.#windows.set(message, { start: now, lines: 1, suppressed: 0 })
    return window?.suppressed ?? 0
  }
}

/**
 * A writer for stderr that never goes through `process.stderr`: libuv would set O_NONBLOCK on the pipe that the
 * application inherited, whose writes would then fail with EAGAIN. A pipe or a terminal is opened anew instead, so that only
 * our own end does not block: when the reader is stuck (Ctrl-S, a terminal of a container that nobody reads), our line is
 * dropped and the sidecar goes on. Files are written as they are; a second description of a file would have an offset of its
 * own and overwrite the application.
 */
export function stderr(fd = 2): Write {
  const own = nonblocking(fd)
  /** The end of a line of which a terminal took only the beginning. */
  let rest: Buffer = Buffer.alloc(0)
  return text => {
    try {
      if (rest.length > 0) rest = rest.subarray(writeSync(own, rest))
      if (rest.length > 0) return false
      // A pipe takes a line of PIPE_BUF or less whole or not at all.
      const line = Buffer.from(text)
      rest = line.subarray(writeSync(own, line))
      return true
    } catch {
      // EAGAIN: nobody reads now. EPIPE, EBADF: nobody ever will. Neither is worth the process.
      return false
    }
  }
}

function nonblocking(fd: number): number {
  try {
    if (!fstatSync(fd).isFIFO() && !isatty(fd)) return fd
    return openSync(`/proc/self/fd/${fd}`, constants.O_WRONLY | constants.O_NONBLOCK | constants.O_NOCTTY)
  } catch {
    // No /proc, or a pipe of another user.
    return fd
  }
}

/** Text that a terminal and a log reader take as text: controls, C1, line separators and bidi marks become \u{…}. */
export function printable(text: string): string {
  return text.replace(UNPRINTABLE, character => ESCAPES[character] ?? `\\u{${character.codePointAt(0)!.toString(16)}}`)
}

const UNPRINTABLE =
  /[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g
const ESCAPES: Readonly<Record<string, string>> = { '\n': '\\n', '\r': '\\r', '\t': '\\t' }

interface Format {
  readonly open: string
  readonly close: string
  readonly separator: string
  pair(key: string, field: unknown): string
}

const LOGFMT: Format = {
  open: '',
  close: '',
  separator: ' ',
  pair: (key, field) => `${key.slice(0, 64).replace(/[^\w.-]/g, '_') || '_'}=${value(field)}`,
}

const JSON_LINES: Format = {
  open: '{',
  close: '}',
  separator: ',',
  pair: (key, field) => `${JSON.stringify(key.slice(0, 64))}:${jsonValue(field)}`,
}

function joined(format: Format, head: object, fields: Readonly<Record<string, unknown>>): string {
  let line = format.open
  const close = (): string => `${line}${format.close}`
  for (const [key, field] of [...Object.entries(head), ...Object.entries(fields)]) {
    if (field === undefined) continue
    const next = (line === format.open ? '' : format.separator) + format.pair(key, field)
    if (Buffer.byteLength(line) + Buffer.byteLength(next) > LINE_LIMIT - 32) {
      line += format.separator + format.pair('truncated', true)
      return close()
    }
    line += next
  }
  return close()
}

/** Numbers and truth values as they are, everything else as a string in the bounds of `value`. */
function jsonValue(field: unknown): string {
  if (typeof field === 'boolean' || (typeof field === 'number' && Number.isFinite(field))) return String(field)
  return JSON.stringify(capped(plain(field).slice(0, VALUE_LIMIT + 1))).replace(
    UNPRINTABLE,
    character => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}

function value(field: unknown): string {
  const raw = plain(field).slice(0, VALUE_LIMIT + 1)
  const escaped = printable(raw.replace(/["\\]/g, '\\$&'))
  const quote = escaped === '' || escaped !== raw || /[\s=]/.test(escaped)
  const text = capped(escaped)
  return quote || text !== escaped ? `"${text}"` : text
}

/** The text cut to VALUE_LIMIT bytes with an ellipsis, at the border of a character and of an escape. */
function capped(escaped: string): string {
  if (Buffer.byteLength(escaped) <= VALUE_LIMIT) return escaped
  let bytes = Buffer.byteLength('…')
  let text = ''
  for (const [unit] of escaped.matchAll(/\\u\{[0-9a-f]+\}|\\?./gsu)) {
    bytes += Buffer.byteLength(unit)
    if (bytes > VALUE_LIMIT) break
    text += unit
  }
  return `${text}…`
}

function plain(field: unknown): string {
  if (typeof field === 'string') return field
  if (field instanceof Error) return field.message
  if (typeof field !== 'object' || field === null) return String(field)
  try {
    return JSON.stringify(field) ?? typeof field
  } catch {
    return '[unprintable]'
  }
}
