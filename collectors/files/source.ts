// A source: how its lines are read, and what is made of them. It is handed one record after another, as bytes, and writes log
// records and spans into the requests for the intake.

import { smallExpression } from '../../options/expression.ts'
import { resourceOf } from '../../otlp/attributes.ts'
import type { Clock } from '../../telemetry/host.ts'
import type { Seen } from '../../telemetry/seen.ts'
import { Access } from './access.ts'
import { looksLikeDocker, Wrapped } from './container.ts'
import { type FileContext, streamAttribute } from './context.ts'
import type { Reason } from './families.ts'
import { type Continues, continues, startsWith } from './join.ts'
import { looksLikeLogfmt, parseLogfmt } from './logfmt.ts'
import type { SourceOptions } from './options.ts'
import type { Output } from './output.ts'
import { Pattern } from './pattern.ts'
import { Quota } from './quota.ts'
import type { Redact } from './redact.ts'
import { MOST_REDACTED } from './redact.ts'
import { severityIn } from './severity.ts'
import { Structured } from './structured.ts'
import { cleaned } from './text.ts'
import { readTime, Time } from './time.ts'
import { traceIn } from './trace.ts'

export interface SourceSurroundings {
  readonly service: string
  readonly clock: Pick<Clock, 'monotonic'>
  readonly seen: Seen | undefined
  readonly redact: Redact | undefined
}

const COMPRESSED = /\.(?:gz|bz2|xz|zst|lz4|zip|Z)$/

export class Source {
  readonly name: string
  readonly options: SourceOptions
  readonly #patterns: readonly Pattern[]
  readonly #excluded: readonly Pattern[]
  /** Undefined if each line is a record. */
  readonly continues: Continues | undefined
  readonly maxLine: number
  // Counts since the start.
  lines = 0
  bytes = 0
  cut = 0
  unparsed = 0
  rotations = 0
  truncations = 0
  readonly dropped = new Map<Reason, number>()
  /** Lines that tell of requests. */
  readonly access: Access

  readonly #redact: Redact | undefined
  readonly #resource: Buffer
  readonly #quota: Quota
  readonly #line = new Line()
  readonly #structured = new Structured()
  readonly #wrapped = new Wrapped()
  readonly #plain = new Plain()
  readonly #streams = { stdout: streamAttribute('stdout'), stderr: streamAttribute('stderr') }

  constructor(options: SourceOptions, around: SourceSurroundings, start: Continues | undefined) {
    const { redact, seen, clock, service } = around
    this.options = options
    this.name = options.name ?? ''
    this.#redact = redact
    this.#patterns = options.paths.filter(Boolean).map(each => new Pattern(each))
    this.#excluded = options.exclude.filter(Boolean).map(each => new Pattern(each))
    const joins =
      options.join && (options.format === 'auto' || options.format === 'plain') && options.requests === 'off'
    this.continues = start ?? (joins ? continues : undefined)
    this.maxLine = redact ? Math.min(options.max_line, MOST_REDACTED) : options.max_line
    this.#resource = resourceOf({ 'service.name': options.service ?? service })
    this.access = new Access(options, this.#resource, seen)
    this.#quota = new Quota(options, clock)
  }

  /** The paths that belong to it now. */
  async find(): Promise<readonly string[]> {
    const all = (await Promise.all(this.#patterns.map(each => each.find()))).flat()
    return all.filter(path => !COMPRESSED.test(path) && !this.#excluded.some(each => each.matches(path)))
  }

  drop(reason: Reason, count: number): void {
    this.dropped.set(reason, (this.dropped.get(reason) ?? 0) + count)
  }

  /**
   * Takes one record: the bytes between the offsets, without the line break. `utf8` says that they are valid. `file` is its
   * attribute, encoded.
   */
  take(bytes: Buffer, start: number, end: number, utf8: boolean, file: FileContext, out: Output): void {
    const line = this.#line
    line.file = file
    line.out = out
    line.stream = undefined
    line.time = undefined
    line.odd = out.odd
    line.race = out.race
    if (this.#redact && end > start) {
      const clean = Buffer.from(this.#redact(bytes.toString('utf8', start, end)))
      line.set(clean, 0, clean.length, true)
    } else line.set(bytes, start, end, utf8)
    this.#unwrap(line)
  }

  /** Partial lines of containers, until their end comes. */
  flush(file: FileContext, out: Output): void {
    const line = this.#line
    line.file = file
    line.out = out
    line.time = undefined
    line.odd = true
    line.race = true
    for (const stream of ['stdout', 'stderr'] as const) {
      const text = file.partial.take(stream)
      if (!text) continue
      line.set(text, 0, text.length, false)
      line.stream = stream
      this.#inner(line)
    }
  }

  #unwrap(line: Line): void {
    const { format } = this.options
    const { bytes, start, end, out } = line
    const wrapped = this.#wrapped
    if ((format === 'cri' || format === 'auto') && wrapped.cri(bytes, start, end, out.now)) {
      this.#unwrapped(line)
      return
    }
    if ((format === 'docker' || format === 'auto') && looksLikeDocker(bytes, start, end)) {
      const values = parseJson(line)
      if (values && wrapped.docker(values, out.now)) {
        // Characters that were escaped in the JSON.
        line.odd = true
        line.race = true
        line.utf8 = true
        this.#unwrapped(line)
        return
      }
    }
    this.#inner(line)
  }

  #unwrapped(line: Line): void {
    const { bytes, start, end, stream, partial, time } = this.#wrapped
    const { partial: held } = line.file
    line.stream = stream
    line.time = time
    if (held.has(stream)) {
      line.odd = true
      line.race = true
    }
    if (partial || held.has(stream)) {
      if (!held.add(stream, bytes, start, end, this.maxLine)) this.cut++
      const text = partial ? undefined : held.take(stream)
      if (!text) return
      line.set(text, 0, text.length, line.utf8)
    } else line.set(bytes, start, end, line.utf8)
    this.#inner(line)
  }

  /** A line without its wrapping. */
  #inner(line: Line): void {
    const { bytes, start, end, out } = line
    const { access } = this
    const { format, keep_requests: keep } = this.options
    if (access.text && access.line(bytes.toString('latin1', start, end), out) && !keep) return
    const json = format === 'json' || (format !== 'plain' && format !== 'logfmt' && bytes[start] === 123)
    if (json || access.json) {
      const values = parseJson(line)
      if (values) {
        if (access.json && access.values(values, out) && !keep) return
        if (json) {
          if (access.only) this.unparsed++
          this.#structuredRecord(values, line)
          return
        }
      }
    }
    if (access.only) this.unparsed++
    if (format === 'logfmt' || (format !== 'plain' && format !== 'json' && looksLikeLogfmt(bytes, start, end))) {
      const values = parseLogfmt(bytes.toString('utf8', start, end))
      // In text, "count=1" alone is no logfmt: there is a severity, a message or a time as well.
      if (values && (format === 'logfmt' || 'level' in values || 'msg' in values || 'lvl' in values)) {
        this.#structuredRecord(values, line)
        return
      }
    }
    this.#textRecord(line)
  }

  #structuredRecord(values: Values, line: Line): void {
    const { bytes, start, end, utf8, time, out } = line
    const record = this.#structured
    record.read(values, out.now)
    if (!this.#kept(record.severity)) return
    if (!record.time.known && time) record.time.copy(time)
    const attributes = this.#attributes(line)
    if (record.body !== undefined) {
      out.logs.add(this.#resource, record, out.observed, attributes, record.body, 0, 0)
      return
    }
    // Without a message, the line itself says the most.
    const text = utf8 && !line.odd ? undefined : cleaned(bytes, start, end, utf8)
    if (text) out.logs.add(this.#resource, record, out.observed, attributes, text, 0, text.length)
    else out.logs.add(this.#resource, record, out.observed, attributes, bytes, start, end)
  }

  #textRecord(line: Line): void {
    const { bytes, start, end, utf8, time, out } = line
    // An empty line says nothing.
    if (end === start) return
    const clean = utf8 && !line.odd ? undefined : cleaned(bytes, start, end, utf8)
    const text = clean ?? bytes
    const from = clean ? 0 : start
    const to = clean ? clean.length : end
    if (to === from) return
    const record = this.#plain
    record.severity = severityIn(text, from, to)
    if (!this.#kept(record.severity)) return
    record.time.clear()
    if (time) record.time.copy(time)
    else if (mayBeTime(text[from]!)) {
      if (readTime(text.toString('latin1', from, Math.min(to, from + 40)), 0, record.time, out.now) < 0)
        record.time.clear()
    }
    const ids = line.race ? traceIn(text.toString('latin1', from, Math.min(to, from + 4096))) : undefined
    record.traceId = ids?.traceId
    record.spanId = ids?.spanId
    out.logs.add(this.#resource, record, out.observed, this.#attributes(line), text, from, to)
  }

  #attributes({ file, stream }: Line): readonly Buffer[] {
    return stream === undefined ? file.attributes : file.with(stream, this.#streams[stream])
  }

  /** Whether a record of this severity becomes one. */
  #kept(severity: number): boolean {
    const reason = this.#quota.drops(severity)
    if (reason !== undefined) this.drop(reason, 1)
    return reason === undefined
  }
}

type Values = Readonly<Record<string, unknown>>

/** The line at hand. One object is used again for each. */
class Line {
  bytes: Buffer = Buffer.alloc(0)
  start = 0
  end = 0
  /** Whether the bytes are valid. */
  utf8 = false
  /** As in the output, for the text at hand. */
  odd = true
  race = true
  /** As its wrapping says. */
  stream: 'stdout' | 'stderr' | undefined
  time: Time | undefined
  file!: FileContext
  out!: Output

  set(bytes: Buffer, start: number, end: number, utf8: boolean): void {
    this.bytes = bytes
    this.start = start
    this.end = end
    this.utf8 = utf8
  }
}

/** A record of text. */
class Plain {
  readonly time = new Time()
  severity = 0
  readonly severityText = ''
  traceId: string | undefined
  spanId: string | undefined
  readonly keys: readonly string[] = []
  readonly values = {}
}

/** Rejects with a message that names the option, if a pattern cannot be used. */
export async function readSource(options: SourceOptions, around: SourceSurroundings): Promise<Source> {
  const { record_start: start } = options
  return new Source(options, around, start === undefined ? undefined : startsWith(await smallExpression(start)))
}

/** A time begins with a digit, "[" or the name of a day or month. */
function mayBeTime(byte: number): boolean {
  return (byte >= 48 && byte <= 57) || byte === 91 || (byte >= 65 && byte <= 87)
}

function parseJson({ bytes, start, end }: Line): Values | undefined {
  try {
    const value: unknown = JSON.parse(bytes.toString('utf8', start, end))
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Values) : undefined
  } catch {
    // It is text then.
    return undefined
  }
}
