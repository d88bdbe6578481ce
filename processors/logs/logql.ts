// The part of LogQL that Grafana sends for "trace to logs", for its log volume and for its label browser
// (https://grafana.com/docs/loki/latest/query/): a stream selector, line filters, label filters, `label_format` with a template
// that looks for a text in the line, and `count_over_time` and `rate` with `sum by`. Everything else is refused by name.

import { type Expression, smallExpression } from '../../options/expression.ts'
import { NANOSECONDS } from '../../options/units.ts'

/** A record as LogQL sees it: labels, of which one that is absent is "", and the line. */
export interface Line {
  label(name: string): string
  readonly text: string
}

export type Demand = (line: Line) => boolean

export interface LogSelector {
  readonly kind: 'logs'
  readonly matches: Demand
}

/** `sum by (labels) (count_over_time(selector [range]))`; without `by` each label set of the stream is a series. */
export interface Count {
  readonly kind: 'count'
  readonly matches: Demand
  readonly rangeNs: bigint
  /** Per second instead of a number. */
  readonly rate: boolean
  /** Undefined keeps the labels of the streams. */
  readonly by: readonly string[] | undefined
}

/** `vector(1)+vector(1)`, by which Grafana tests a data source. */
export interface Scalar {
  readonly kind: 'scalar'
  readonly value: number
}

export type Query = LogSelector | Count | Scalar

/** A query that cannot be read; the message says what and where. */
export class LogqlError extends Error {}

const LONGEST = 5000
/** Parentheses in parentheses. */
const DEEPEST = 20

/** Reads a query. Rejects with a `LogqlError`. */
export async function parse(text: string): Promise<Query> {
  if (text.length > LONGEST) throw new LogqlError(`the query is longer than ${LONGEST} characters`)
  const parser = new Parser(text)
  const query = parser.query()
  parser.end()
  await parser.compile()
  return query
}

type Token = { readonly kind: 'word' | 'text' | 'number' | 'sign' | 'end'; readonly value: string; readonly at: number }

const TOKEN =
  /\s*(?:(?<word>[A-Za-z_][A-Za-z0-9_]*)|(?<number>\d+(?:\.\d+)?(?:ns|us|µs|ms|s|m|h|d|w)?(?:\d+(?:ms|s|m|h))*)|(?<text>"(?:[^"\\\n]|\\.)*"|`[^`]*`)|(?<sign>\|=|\|~|!=|!~|=~|==|[{}()[\],|=+*/<>-]))/y

/** The labels that one `label_format` made, in front of those of the record. */
class Formatted implements Line {
  readonly #line: Line
  readonly #name: string
  readonly #value: string

  constructor(line: Line, name: string, value: string) {
    this.#line = line
    this.#name = name
    this.#value = value
  }

  get text(): string {
    return this.#line.text
  }

  label(name: string): string {
    return name === this.#name ? this.#value : this.#line.label(name)
  }
}

/** One step of a pipeline: the line as the next step sees it, or undefined if it does not pass. */
type Stage = (line: Line) => Line | undefined

/** A regular expression that is compiled when the query has been read. */
interface Pending {
  readonly source: string
  readonly at: number
  compiled: Expression | undefined
}

class Parser {
  readonly #text: string
  #at = 0
  #next: Token
  /** Regular expressions, compiled when the query has been read: RE2 is loaded for them only. */
  readonly #expressions: Pending[] = []

  constructor(text: string) {
    this.#text = text
    this.#next = this.#read()
  }

  query(): Query {
    if (this.#is('{')) return { kind: 'logs', matches: this.#pipeline() }
    if (this.#next.value === 'vector') return { kind: 'scalar', value: this.#scalar() }
    return this.#count()
  }

  end(): void {
    if (this.#next.kind !== 'end') throw this.#unexpected()
  }

  async compile(): Promise<void> {
    for (const each of this.#expressions)
      try {
        each.compiled = await smallExpression(each.source)
      } catch (error) {
        throw this.#error(each.at, `the expression ${error instanceof Error ? error.message : String(error)}`)
      }
  }

  /** {a="b"} |= "x" | c="d" … */
  #pipeline(): Demand {
    const stages: Stage[] = [pass(this.#selector())]
    for (;;) {
      const sign = this.#next
      const filter = sign.kind === 'sign' ? LINE_FILTERS[sign.value] : undefined
      if (filter) {
        this.#take()
        stages.push(pass(this.#lineFilter(filter)))
      } else if (this.#accept('|')) stages.push(this.#stage())
      else break
    }
    return line => {
      let current: Line | undefined = line
      for (const stage of stages) {
        current = stage(current)
        if (!current) return false
      }
      return true
    }
  }

  #selector(): Demand {
    this.#expect('{')
    const matchers: Demand[] = []
    while (!this.#accept('}')) {
      if (matchers.length > 0) this.#expect(',')
      if (this.#accept('}')) break
      matchers.push(this.#matcher())
    }
    return line => matchers.every(matches => matches(line))
  }

  #lineFilter({ regex, wanted }: { readonly regex: boolean; readonly wanted: boolean }): Demand {
    const choices = [this.#needle(regex)]
    while (this.#word('or')) choices.push(this.#needle(regex))
    return line => choices.some(found => found(line.text)) === wanted
  }

  #needle(regex: boolean): (text: string) => boolean {
    const { value, at } = this.#string()
    if (regex) return this.#expression(value, at)
    return text => text.includes(value)
  }

  #stage(): Stage {
    const { value, kind, at } = this.#next
    if (kind === 'word' && value === 'label_format') {
      this.#take()
      return this.#labelFormat()
    }
    // Parsers may fail on a line and mark it; here nothing fails.
    if (kind === 'word' && value === 'drop') {
      this.#take()
      do if (this.#take().kind !== 'word') throw this.#error(at, 'drop needs names of labels')
      while (this.#accept(','))
      return line => line
    }
    if (kind === 'word' && STAGES.has(value))
      throw this.#error(at, `${value} is not supported: records have the labels ${LABELS.join(', ')}`)
    return pass(this.#labelFilter(0))
  }

  /** NAME=`{{ contains "TEXT" __line__ }}` */
  #labelFormat(): Stage {
    const name = this.#name()
    this.#expect('=')
    const { value, at } = this.#string()
    const wanted = /^\{\{\s*contains\s+"((?:[^"\\]|\\.)*)"\s+__line__\s*\}\}$/.exec(value)?.[1]
    if (wanted === undefined) throw this.#error(at, 'only the template {{ contains "TEXT" __line__ }} is supported')
    const needle = unquoted(`"${wanted}"`)
    return line => new Formatted(line, name, String(line.text.includes(needle)))
  }

  /** Label filters with `and`, `or` and commas; `and` binds more tightly. */
  #labelFilter(depth: number): Demand {
    const choices = [this.#all(depth)]
    while (this.#word('or')) choices.push(this.#all(depth))
    return line => choices.some(matches => matches(line))
  }

  #all(depth: number): Demand {
    const demands = [this.#one(depth)]
    while (this.#word('and') || this.#accept(',')) demands.push(this.#one(depth))
    return line => demands.every(matches => matches(line))
  }

  #one(depth: number): Demand {
    const { at } = this.#next
    if (!this.#accept('(')) return this.#matcher()
    if (depth >= DEEPEST) throw this.#error(at, `parentheses are nested more than ${DEEPEST} deep`)
    const inner = this.#labelFilter(depth + 1)
    this.#expect(')')
    return inner
  }

  #matcher(): Demand {
    const name = this.#name()
    const sign = this.#take()
    if (!['=', '==', '!=', '=~', '!~'].includes(sign.value)) throw this.#unexpected(sign, 'one of = != =~ !~')
    const { value, at } = this.#string()
    const wanted = sign.value.startsWith('=')
    if (!sign.value.endsWith('~')) return line => (line.label(name) === value) === wanted
    // All matchers of a label must match.
    const found = this.#expression(`^(?s:${value})$`, at)
    return line => found(line.label(name)) === wanted
  }

  #expression(source: string, at: number): (text: string) => boolean {
    const entry: Pending = { source, at, compiled: undefined }
    this.#expressions.push(entry)
    return text => entry.compiled?.test(text) ?? false
  }

  #count(): Count {
    if (!this.#word('sum')) return { ...this.#overTime(), by: undefined }
    let by = this.#by()
    this.#expect('(')
    const counted = this.#overTime()
    this.#expect(')')
    by ??= this.#by()
    return { ...counted, by: by ?? [] }
  }

  #by(): readonly string[] | undefined {
    if (!this.#word('by')) return undefined
    this.#expect('(')
    const names: string[] = []
    while (!this.#accept(')')) {
      if (names.length > 0) this.#expect(',')
      names.push(this.#name())
    }
    return names
  }

  #overTime(): Omit<Count, 'by'> {
    const verb = this.#take()
    if (verb.value !== 'count_over_time' && verb.value !== 'rate')
      throw this.#unexpected(verb, 'a stream selector {…}, count_over_time or rate')
    this.#expect('(')
    const matches = this.#pipeline()
    this.#expect('[')
    const length = this.#take()
    const rangeNs = length.kind === 'number' ? durationNs(length.value) : undefined
    if (!rangeNs) throw this.#unexpected(length, 'a duration such as 5m')
    this.#expect(']')
    this.#expect(')')
    return { kind: 'count', matches, rangeNs, rate: verb.value === 'rate' }
  }

  #scalar(): number {
    let value = this.#vector()
    while (this.#accept('+')) value += this.#vector()
    return value
  }

  #vector(): number {
    const word = this.#take()
    if (word.value !== 'vector') throw this.#unexpected(word, 'vector(NUMBER)')
    this.#expect('(')
    const number = this.#take()
    if (number.kind !== 'number' || !Number.isFinite(Number(number.value))) throw this.#unexpected(number, 'a number')
    this.#expect(')')
    return Number(number.value)
  }

  #name(): string {
    const token = this.#take()
    if (token.kind !== 'word') throw this.#unexpected(token, 'the name of a label')
    return token.value
  }

  #string(): { value: string; at: number } {
    const token = this.#take()
    if (token.kind !== 'text') throw this.#unexpected(token, 'a quoted text')
    return { value: unquoted(token.value), at: token.at }
  }

  /** A word of the language is read whatever its case. */
  #word(word: string): boolean {
    if (this.#next.kind !== 'word' || this.#next.value.toLowerCase() !== word) return false
    this.#take()
    return true
  }

  #is(sign: string): boolean {
    return this.#next.kind === 'sign' && this.#next.value === sign
  }

  #accept(sign: string): boolean {
    if (!this.#is(sign)) return false
    this.#take()
    return true
  }

  #expect(sign: string): void {
    if (!this.#accept(sign)) throw this.#unexpected(this.#next, sign)
  }

  #take(): Token {
    const token = this.#next
    this.#next = this.#read()
    return token
  }

  #read(): Token {
    TOKEN.lastIndex = this.#at
    const found = TOKEN.exec(this.#text)
    if (!found) {
      const rest = /\S/g
      rest.lastIndex = this.#at
      const bad = rest.exec(this.#text)
      if (bad) throw this.#error(bad.index, `cannot read ${JSON.stringify(bad[0])}`)
      return { kind: 'end', value: 'the end', at: this.#text.length }
    }
    this.#at = TOKEN.lastIndex
    const [kind, value = ''] = Object.entries(found.groups ?? {}).find(([, value]) => value !== undefined) ?? ['end']
    return { kind: kind as Token['kind'], value, at: this.#at - value.length }
  }

  #unexpected(token = this.#next, wanted?: string): LogqlError {
    return this.#error(token.at, `unexpected ${token.value}${wanted === undefined ? '' : `; expected ${wanted}`}`)
  }

  #error(at: number, why: string): LogqlError {
    const before = this.#text.slice(0, at).split('\n')
    return new LogqlError(
      `parse error at line ${before.length}, col ${(before.at(-1)?.length ?? 0) + 1}: ${why.slice(0, 500)}`,
    )
  }
}

/** The labels of a record; the first two are those of its stream. */
export const LABELS = ['service_name', 'level', 'detected_level', 'severity_number', 'trace_id', 'span_id'] as const

const LINE_FILTERS: Readonly<Record<string, { readonly regex: boolean; readonly wanted: boolean }>> = {
  '|=': { regex: false, wanted: true },
  '!=': { regex: false, wanted: false },
  '|~': { regex: true, wanted: true },
  '!~': { regex: true, wanted: false },
}

/** Stages of LogQL that are not label filters. */
const STAGES = new Set(['json', 'logfmt', 'pattern', 'regexp', 'unpack', 'line_format', 'decolorize', 'keep', 'unwrap'])

function pass(demand: Demand): Stage {
  return line => (demand(line) ? line : undefined)
}

/** The text of a string in quotes, where escapes are Go's, or in backticks. */
function unquoted(quoted: string): string {
  if (quoted.startsWith('`')) return quoted.slice(1, -1)
  return quoted.slice(1, -1).replace(ESCAPE, (whole, code: string) => {
    if (code.startsWith('u') || code.startsWith('U') || code.startsWith('x'))
      return String.fromCodePoint(Math.min(Number.parseInt(code.slice(1), 16), 0x10ffff))
    return ESCAPES[code] ?? whole
  })
}

const ESCAPE = /\\(u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|x[0-9a-fA-F]{2}|.)/g
const ESCAPES: Readonly<Record<string, string>> = {
  n: '\n',
  t: '\t',
  r: '\r',
  '\\': '\\',
  '"': '"',
  "'": "'",
  a: '\x07',
  b: '\b',
  f: '\f',
  v: '\v',
}

/** Nanoseconds of a duration such as 5s or 1h30m; undefined if it has no unit or is 0. */
function durationNs(text: string): bigint | undefined {
  let total = 0
  let rest = text
  while (rest !== '') {
    const part = /^(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h|d|w)/.exec(rest)
    if (!part) return undefined
    total += Number(part[1]) * NANOSECONDS[part[2] ?? '']!
    rest = rest.slice(part[0].length)
  }
  return total >= 1 && total < 1e18 ? BigInt(Math.round(total)) : undefined
}
