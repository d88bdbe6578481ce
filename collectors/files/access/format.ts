// Access logs by their format string: nginx's variables ($status), Apache's directives (%>s), Envoy's operators
// (%RESPONSE_CODE%), and names of our own for any other text. A format becomes a list of literals and fields; a field
// ends where the next literal begins, so a line is read in one pass and in linear time.

import { readTime } from '../time.ts'
import type { AccessRequest, Unit } from './request.ts'

/** Takes the text of a field; false if it cannot be one. */
type Take = (text: string, request: AccessRequest, now: number) => boolean

interface Field {
  readonly take: Take | undefined
  /** The text that follows; '' at the end of the line. */
  readonly until: string
  /** Whether it stands in quotes, in which a quote is escaped by a backslash. */
  readonly quoted: boolean
}

export interface LineFormat {
  /** False if the line is not of this format. `line` is Latin-1. */
  read(line: string, request: AccessRequest, now: number): boolean
  /** Whether the format says how long requests took. */
  readonly timed: boolean
}

/** Throws an Error whose message follows the option's name. */
export function compileFormat(source: string, rest?: Take): LineFormat {
  const pieces = tokens(source)
  if (!pieces.some(piece => typeof piece === 'object' && STATUS.has(piece.name)))
    throw new Error('must have a field for the status: $status, %>s or %RESPONSE_CODE%')
  const known = pieces.map(piece =>
    typeof piece === 'string' ? piece : { name: piece.name, take: FIELDS.get(piece.name) },
  )
  for (const [place, piece] of known.entries())
    if (typeof piece === 'object' && typeof known[place + 1] === 'object')
      throw new Error(`must have text between ${piece.name} and the next field`)
  const first = typeof known[0] === 'string' ? known[0] : ''
  const fields: Field[] = []
  for (const [place, piece] of known.entries()) {
    if (typeof piece === 'string') continue
    const [before, after] = [known[place - 1], known[place + 1]]
    const until = typeof after === 'string' ? after : ''
    const quoted = typeof before === 'string' && before.endsWith('"') && until.startsWith('"')
    fields.push({ take: piece.take, until, quoted })
  }
  const timed = rest !== undefined || pieces.some(piece => typeof piece === 'object' && DURATIONS.has(piece.name))
  return { timed, read: (line, request, now) => readLine(line, first, fields, rest, request, now) }
}

function readLine(
  line: string,
  first: string,
  fields: readonly Field[],
  rest: Take | undefined,
  request: AccessRequest,
  now: number,
): boolean {
  if (!line.startsWith(first)) return false
  let at = first.length
  for (let i = 0; i < fields.length; i++) {
    const { take, until, quoted } = fields[i]!
    let end = until === '' ? line.length : line.indexOf(until, at)
    if (quoted) while (end > at && escaped(line, end)) end = line.indexOf(until, end + 1)
    if (end < 0) {
      // The last literal may be the end of what is fixed, without what stands before the rest.
      if (i < fields.length - 1) return false
      end = line.length
    }
    if (take && !take(line.slice(at, end), request, now)) return false
    at = end + until.length
  }
  return !rest || at >= line.length || rest(line.slice(at), request, now)
}

/** Whether an odd number of backslashes stands before it. */
function escaped(line: string, at: number): boolean {
  let slashes = 0
  while (line.charCodeAt(at - 1 - slashes) === 92) slashes++
  return slashes % 2 === 1
}

type Token = string | { readonly name: string }

function tokens(source: string): Token[] {
  const all: Token[] = []
  let at = 0
  let literal = ''
  const push = (name: string): void => {
    if (literal !== '') all.push(literal)
    literal = ''
    all.push({ name })
  }
  while (at < source.length) {
    const rest = source.slice(at)
    const found =
      /^\$\{(\w+)\}/.exec(rest) ??
      /^\$(\w+)/.exec(rest) ??
      // Envoy's: %REQ(:METHOD)%, %REQ(X?:PATH):10%, %START_TIME(%s)%.
      /^(%[A-Z_]+(?:\([^)]*\))?(?::\d+)?%)/.exec(rest) ??
      // Apache's: %>s, %{Referer}i, %!200{x}o, %^FU.
      /^(%[!\d,]*[<>]?(?:\{[^}]*\})?(?:\^[A-Z]{2}|[A-Za-z]))/.exec(rest)
    if (rest.startsWith('%%')) {
      literal += '%'
      at += 2
    } else if (found) {
      // Apache writes the brackets itself.
      const time = found[1] === '%t'
      if (time) literal += '['
      push(found[1]!)
      if (time) literal = ']'
      at += found[0].length
    } else {
      literal += source[at]
      at++
    }
  }
  if (literal !== '') all.push(literal)
  return all
}

const STATUS = new Set(['status', '%s', '%>s', '%<s', '%RESPONSE_CODE%'])

const duration =
  (unit: Unit): Take =>
  (text, request) =>
    request.readDuration(text, unit)

const ended: Take = (text, request, now) => {
  if (readTime(text, 0, request.end, now) >= 0) return true
  return request.end.setEpoch(Number(text))
}

const method: Take = (text, request) => {
  request.method = text
  return true
}

const target: Take = (text, request) => {
  if (text !== '-') request.target = text
  return true
}

const query: Take = (text, request) => {
  request.target += text
  return true
}

const parent: Take = (text, request) => {
  request.traceparent = text
  return true
}

const status: Take = (text, request) => {
  request.status = /^\d{3}$/.test(text) ? Number(text) : 0
  // nginx writes 000 and Envoy 0 for a client that has gone before there was an answer.
  if (/^0+$/.test(text)) request.status = 499
  return request.status > 0
}

const line: Take = (text, request) => {
  request.readLine(text)
  return true
}

const begun: Take = (text, request, now) => readTime(text, 0, request.begin, now) >= 0

/** By name; fields that are not here are passed over. */
const FIELDS: ReadonlyMap<string, Take> = new Map<string, Take>([
  // nginx, and for any other text
  ['request', line],
  ['request_method', method],
  ['method', method],
  ['request_uri', target],
  ['uri', target],
  ['path', target],
  ['status', status],
  ['request_time', duration('s')],
  ['upstream_response_time', duration('s')],
  ['duration', duration('s')],
  ['duration_s', duration('s')],
  ['duration_ms', duration('ms')],
  ['duration_us', duration('us')],
  ['duration_ns', duration('ns')],
  ['time_local', ended],
  ['time_iso8601', ended],
  ['msec', ended],
  ['time', ended],
  ['start_time', begun],
  ['http_traceparent', parent],
  ['traceparent', parent],
  // Apache: the time is that of the request, unless it says "end:"
  ['%r', line],
  ['%m', method],
  ['%U', target],
  ['%q', query],
  ['%s', status],
  ['%>s', status],
  ['%<s', status],
  ['%t', begun],
  ['%D', duration('us')],
  ['%T', duration('s')],
  ['%{s}T', duration('s')],
  ['%{ms}T', duration('ms')],
  ['%{us}T', duration('us')],
  ['%{traceparent}i', parent],
  // Envoy
  ['%RESPONSE_CODE%', status],
  ['%DURATION%', duration('ms')],
  ['%START_TIME%', begun],
  ['%REQ(:METHOD)%', method],
  ['%REQ(:PATH)%', target],
  ['%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%', target],
  ['%REQ(TRACEPARENT)%', parent],
])

const DURATIONS: ReadonlySet<string> = new Set(
  [...FIELDS.keys()].filter(name => /time$|duration|%D|T$|DURATION/.test(name) && !/start_time/.test(name)),
)

/**
 * Formats that servers write unless they are told otherwise. Fields that they lack come from `rest`, if they are there.
 */
export const NAMED: Readonly<Record<'nginx' | 'apache' | 'traefik' | 'envoy', LineFormat>> = {
  // After "combined", $request_time: the first number with three decimals, also as rt=0.123 and in brackets.
  nginx: compileFormat(
    '$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent"',
    (text, request) => {
      const [, seconds] = /(?:^|[\s=[("])(\d{1,9}\.\d{3})(?![\d.])/.exec(text.slice(0, 1024)) ?? []
      return seconds === undefined || request.readDuration(seconds, 's')
    },
  ),
  // After "combined", %D: the first whole number.
  apache: compileFormat('%h %l %u %t "%r" %>s %b "%{Referer}i" "%{User-Agent}i"', (text, request) => {
    const [, micros] = /(?:^|\s)(\d{1,12})(?=\s|$)/.exec(text.slice(0, 1024)) ?? []
    return micros === undefined || request.readDuration(micros, 'us')
  }),
  // After "combined", the number of the request, the router, the server and the duration.
  traefik: compileFormat(
    '$remote_addr - $remote_user [$start_time] "$request" $status $bytes "$referer" "$user_agent"',
    (text, request) => {
      const [, ms] = /\s(\d{1,12})ms\s*$/.exec(text.slice(-256)) ?? []
      return ms !== undefined && request.readDuration(ms, 'ms')
    },
  ),
  envoy: compileFormat(
    '[%START_TIME%] "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%" %RESPONSE_CODE% %RESPONSE_FLAGS% %BYTES_RECEIVED% %BYTES_SENT% %DURATION% %OTHER%',
  ),
}
