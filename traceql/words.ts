// The words of TraceQL. An attribute is one word with its scope: it goes on until white space or one of {}()=~!<>&|^, and so
// `.a-b` and `span.a/b` are attributes, and `.a - b` is not a subtraction. Everything else is read as Go's scanner reads it.

import { Fault } from './refusal.ts'
import { type Int, int, MAX_INT } from './static.ts'

export type Scope = 'none' | 'span' | 'resource' | 'event' | 'link' | 'instrumentation'

export type Word =
  /** A keyword, an operator, or a scope with a colon (`span:`). */
  | { readonly type: 'mark'; readonly text: string; readonly at: number; readonly end: number }
  | { readonly type: 'name'; readonly text: string; readonly at: number; readonly end: number }
  | { readonly type: 'string'; readonly value: string; readonly at: number; readonly end: number }
  | { readonly type: 'int'; readonly value: Int; readonly at: number; readonly end: number }
  | { readonly type: 'float'; readonly value: number; readonly at: number; readonly end: number }
  | { readonly type: 'duration'; readonly value: Int; readonly at: number; readonly end: number }
  | {
      readonly type: 'attribute'
      readonly scope: Scope
      readonly parent: boolean
      readonly name: string
      readonly at: number
      readonly end: number
    }
  | { readonly type: 'end'; readonly at: number; readonly end: number }

/** Names with a meaning; they cannot be names of hints. */
const KEYWORDS = new Set(
  `true false nil ok error unset unspecified internal server client producer consumer
   duration childCount name status statusMessage kind rootName rootServiceName rootService traceDuration
   nestedSetLeft nestedSetRight nestedSetParent id traceID spanID parentID timeSinceStart version parent
   count avg max min sum by coalesce select with
   rate count_over_time min_over_time max_over_time avg_over_time sum_over_time quantile_over_time
   histogram_over_time compare topk bottomk`.split(/\s+/),
)

const COLON_SCOPES = new Set(['trace', 'span', 'event', 'link', 'instrumentation'])
const DOT_SCOPES = new Set<string>(['parent', 'span', 'resource', 'event', 'link', 'instrumentation'])

/** The longest first. */
const OPERATORS = `!>> !<< &>> &<< && || =~ != !~ !> !< >> << >= <= &~ &> &< { } ( ) = > < + - / % * ^ ! | ~ ,`.split(
  ' ',
)

const SPACE = /[ \t\r\n]+/y
const COMMENT = /\/\/[^\n]*|\/\*.*?\*\//sy
const NAME = /[\p{L}_][\p{L}\p{Nd}_]*/uy
const NUMBER = /(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?/y
/** Units that make a number a duration. */
const UNITS = /[\p{N}nsumhµdwy.]+/uy
const ATTRIBUTE = /[^\s\u0085{}()=~!<>&|^,"]+/uy
const RAW = /`[^`]*`/y
const QUOTED = /"(?:[^"\\\n]|\\[^\n])*"/y

/** All words of a query, with a word of type 'end' behind the last. Throws a Fault. */
export function words(query: string): Word[] {
  const all: Word[] = []
  for (let at = 0; ; ) {
    at = skip(query, at)
    const word = next(query, at)
    all.push(word)
    if (word.type === 'end') return all
    at = word.end
  }
}

function skip(query: string, from: number): number {
  let at = from
  for (
    let text = match(SPACE, query, at) || comment(query, at);
    text;
    text = match(SPACE, query, at) || comment(query, at)
  )
    at += text.length
  return at
}

function comment(query: string, at: number): string {
  const text = match(COMMENT, query, at)
  if (!text && query.startsWith('/*', at)) throw new Fault(at, 'the comment does not end; close it with */')
  return text
}

/** The text that the expression matches right there, or ''. */
function match(expression: RegExp, query: string, at: number): string {
  expression.lastIndex = at
  return expression.exec(query)?.[0] ?? ''
}

function next(query: string, at: number): Word {
  if (at >= query.length) return { type: 'end', at, end: at }
  const char = query[at]!
  if (char === '"' || char === '`') return string(query, at)
  const number = match(NUMBER, query, at)
  if (number) return numeric(query, at, number)
  if (char === '.') return attribute(query, at, 'none', false, at + 1)
  const name = match(NAME, query, at)
  if (name) return named(query, at, name)
  const operator = OPERATORS.find(each => query.startsWith(each, at))
  if (operator) return { type: 'mark', text: operator, at, end: at + operator.length }
  throw new Fault(at, `unexpected ${JSON.stringify(String.fromCodePoint(query.codePointAt(at)!))}`)
}

function named(query: string, at: number, name: string): Word {
  const end = at + name.length
  if (query[end] === '.' && DOT_SCOPES.has(name)) {
    if (name !== 'parent') return attribute(query, at, name as Scope, false, end + 1)
    const inner = /^(span|resource)\./.exec(query.slice(end + 1, end + 10))?.[1] as Scope | undefined
    return attribute(query, at, inner ?? 'none', true, end + 1 + (inner ? inner.length + 1 : 0))
  }
  if (query[end] === ':' && COLON_SCOPES.has(name)) return { type: 'mark', text: `${name}:`, at, end: end + 1 }
  return { type: KEYWORDS.has(name) ? 'mark' : 'name', text: name, at, end }
}

/** The name of an attribute, parts of which may be quoted: `span."foo bar".x`. */
function attribute(query: string, at: number, scope: Scope, parent: boolean, from: number): Word {
  let name = ''
  let end = from
  for (;;) {
    const plain = match(ATTRIBUTE, query, end)
    name += plain
    end += plain.length
    if (query[end] !== '"') break
    const part = quotedPart(query, end)
    name += part.name
    end = part.end
  }
  if (end === from) throw new Fault(at, `the name of an attribute must follow ${JSON.stringify(query.slice(at, from))}`)
  return { type: 'attribute', scope, parent, name, at, end }
}

function quotedPart(query: string, at: number): { readonly name: string; readonly end: number } {
  let name = ''
  for (let i = at + 1; i < query.length; i++) {
    const char = query[i]!
    if (char === '"') return { name, end: i + 1 }
    if (char !== '\\') name += char
    else if (query[i + 1] === '"' || query[i + 1] === '\\') name += query[++i]
    else throw new Fault(i, 'only \\" and \\\\ are escapes in the name of an attribute')
  }
  throw new Fault(at, 'the quoted name of an attribute does not end; close it with "')
}

function string(query: string, at: number): Word {
  const raw = match(RAW, query, at)
  if (raw) return { type: 'string', value: raw.slice(1, -1).replaceAll('\r', ''), at, end: at + raw.length }
  const quoted = match(QUOTED, query, at)
  if (!quoted) throw new Fault(at, `the string does not end; close it with ${query[at]}`)
  return { type: 'string', value: unescaped(quoted.slice(1, -1), at + 1), at, end: at + quoted.length }
}

const ESCAPE = /\\(?:([abfnrtv\\"])|x([0-9a-fA-F]{2})|([0-7]{3})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8}))/y
const SINGLE: Readonly<Record<string, string>> = {
  a: '\x07',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
  v: '\v',
  '\\': '\\',
  '"': '"',
}

/** Go's escapes. `\x` and octal digits give bytes, which together are UTF-8. */
function unescaped(text: string, at: number): string {
  if (!text.includes('\\')) return text
  const bytes: number[] = []
  for (let i = 0; i < text.length; ) {
    if (text[i] !== '\\') {
      const plain = /[^\\]+/y
      const part = match(plain, text, i)
      bytes.push(...Buffer.from(part))
      i += part.length
      continue
    }
    ESCAPE.lastIndex = i
    const found = ESCAPE.exec(text)
    if (!found) throw new Fault(at + i, `unknown escape ${JSON.stringify(text.slice(i, i + 2))} in the string`)
    const [whole, single, hex, octal, short, long] = found
    if (single) bytes.push(...Buffer.from(SINGLE[single]!))
    else if (hex || octal) {
      const byte = hex ? Number.parseInt(hex, 16) : Number.parseInt(octal!, 8)
      if (byte > 255) throw new Fault(at + i, `${whole} is no byte`)
      bytes.push(byte)
    } else {
      const point = Number.parseInt(short ?? long!, 16)
      if (point > 0x10ffff || (point >= 0xd800 && point < 0xe000)) throw new Fault(at + i, `${whole} is no character`)
      bytes.push(...Buffer.from(String.fromCodePoint(point)))
    }
    i += whole.length
  }
  return Buffer.from(bytes).toString()
}

function numeric(query: string, at: number, number: string): Word {
  const units = match(UNITS, query, at + number.length)
  const nanoseconds = units ? duration(number + units) : undefined
  const end = at + number.length
  if (nanoseconds !== undefined) {
    const value = int(nanoseconds)
    if (nanoseconds > MAX_INT) throw new Fault(at, `the duration ${number + units} is longer than 64 bits can hold`)
    return { type: 'duration', value, at, end: end + units.length }
  }
  if (/[.eE]/.test(number)) {
    const value = Number(number)
    if (!Number.isFinite(value)) throw new Fault(at, `the number ${number} is out of range`)
    return { type: 'float', value, at, end }
  }
  // Go takes a leading 0 for octal digits, then reads them as decimal ones.
  if (/^0[0-7]*[89]/.test(number) || /[\p{L}_]/u.test(query[end] ?? ' '))
    throw new Fault(at, `numbers are decimal, and durations end in ns, us, ms, s, m, h, d, w or y`)
  const whole = BigInt(number)
  if (whole > MAX_INT) throw new Fault(at, `the number ${number} is out of range`)
  return { type: 'int', value: int(whole), at, end }
}

/** Years, weeks, days and hours down to milliseconds, each at most once and in this order, as Prometheus has them. */
const PROMETHEUS = /^(?:(\d+)y)?(?:(\d+)w)?(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?(?:(\d+)ms)?$/
const DAY = 86_400_000_000_000n
const PROMETHEUS_UNITS = [365n * DAY, 7n * DAY, DAY, DAY / 24n, 60_000_000_000n, 1_000_000_000n, 1_000_000n]
const GO = /(\d*)(?:\.(\d*))?(ns|us|µs|ms|s|m|h)/y
const GO_UNITS: Readonly<Record<string, bigint>> = {
  ns: 1n,
  us: 1000n,
  µs: 1000n,
  ms: 1_000_000n,
  s: 1_000_000_000n,
  m: 60_000_000_000n,
  h: 3_600_000_000_000n,
}

/** Nanoseconds; undefined if the text is no duration. */
function duration(text: string): bigint | undefined {
  const found = PROMETHEUS.exec(text)
  if (found) return PROMETHEUS_UNITS.reduce((sum, unit, i) => sum + BigInt(found[i + 1] ?? 0) * unit, 0n)
  let sum = 0n
  for (let at = 0; at < text.length; ) {
    GO.lastIndex = at
    const part = GO.exec(text)
    if (!part || !(part[1] || part[2])) return undefined
    const [all, whole = '', fraction = '', unit = ''] = part
    // Beyond 18 digits a fraction changes no nanosecond of any unit.
    const digits = fraction.slice(0, 18)
    sum += BigInt(whole || 0) * GO_UNITS[unit]!
    sum += (BigInt(digits || 0) * GO_UNITS[unit]!) / 10n ** BigInt(digits.length)
    at += all.length
  }
  return sum
}
