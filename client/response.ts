// Reads a response as leniently as curl and Go's client (the kubelet, blackbox_exporter) do: an application
// that they call healthy must not be down here for how it spells its headers. llhttp, behind node:http, refuses nine such
// spellings, and five still when it is asked to be lenient. A lenient reading cannot confuse two messages: a connection is used
// again only if nothing came after the response, and one request is under way on it at a time.
//
//   response    = *( interim-head ) head body           lines end with CRLF or LF
//   head        = status-line *( field-line ) empty-line
//   status-line = "HTTP/" digit "." digit SP 3digit [ SP reason ]
//   field-line  = name ":" value                        or, after a space or tab, the rest of the value before it
//   body        = by Transfer-Encoding: chunked, else by Content-Length, else until the connection is closed;
//                 none for HEAD, 1xx, 204 and 304

import { type Failure, failed } from './failure.ts'

export interface Response {
  readonly ok: true
  readonly status: number
  /** By lower-case name; fields of one name are joined by ", ". */
  readonly headers: ReadonlyMap<string, string>
  readonly body: Buffer
  /** False if the body was longer than the limit and the rest was not read. */
  readonly whole: boolean
}

export interface Bounds {
  /** Whether it answers a HEAD request. */
  readonly bodiless: boolean
  readonly maxHead: number
  readonly maxBody: number
  /** Told of the bytes of the body as they come; false reads no further. */
  readonly room?: ((bytes: number) => boolean) | undefined
}

// A well-behaved server sends at most one 100 and one 103; an endless series would cost CPU until the deadline.
const INTERIM_LIMIT = 16
// Bytes of chunk sizes and extensions, beyond those that small chunks need; Go has the same rule.
const CHUNK_OVERHEAD_LIMIT = 16 * 1024

type State = 'status' | 'fields' | 'length' | 'close' | 'chunk size' | 'chunk' | 'chunk end' | 'trailers'

export class ResponseReader {
  /** The status, as soon as it is known. */
  status: number | undefined
  readonly #bounds: Bounds
  readonly #chunks: Buffer[] = []
  #state: State = 'status'
  /** The beginning of a line whose end has not come yet. */
  #line = ''
  #headBytes = 0
  #fields = new Fields()
  #interim = 0
  #chunked = false
  /** Bytes of the body, or of the current chunk, that are still to come. */
  #left = 0
  #bodyBytes = 0
  #overhead = 0
  /** Whether the server keeps the connection open. */
  #persistent = false
  #rest = false

  constructor(bounds: Bounds) {
    this.#bounds = bounds
  }

  /** Takes the next bytes; undefined while the response is not complete. */
  push(bytes: Buffer): Response | Failure | undefined {
    let at = 0
    while (at < bytes.length) {
      let outcome: Response | Failure | undefined
      if (this.#inBody()) {
        const end = this.#state === 'close' ? bytes.length : Math.min(bytes.length, at + this.#left)
        outcome = this.#takeBody(bytes.subarray(at, end))
        at = end
      } else {
        const newline = bytes.indexOf(0x0a, at)
        const end = newline < 0 ? bytes.length : newline + 1
        this.#line += bytes.toString('latin1', at, end)
        this.#headBytes += end - at
        at = end
        outcome = this.#overlong() ?? (newline < 0 ? this.#premature() : this.#endLine())
      }
      if (outcome) {
        this.#rest = at < bytes.length
        return outcome
      }
    }
    return undefined
  }

  /** After a whole response: whether the connection can be used for another request. */
  get reusable(): boolean {
    return this.#persistent && !this.#rest
  }

  /** The peer has closed the connection. */
  close(): Response | Failure {
    if (this.#state === 'close') return this.#response(true)
    if (this.#state === 'status' || this.#state === 'fields')
      return failed(
        'reset',
        this.#headBytes === 0 ? 'closed without an answer' : 'closed before the end of the headers',
      )
    return failed('reset', 'closed before the end of the body')
  }

  #inBody(): boolean {
    return this.#state === 'length' || this.#state === 'close' || this.#state === 'chunk'
  }

  #overlong(): Failure | undefined {
    const { maxHead } = this.#bounds
    return this.#headBytes > maxHead ? failed('too_large', `headers over ${maxHead} bytes`) : undefined
  }

  /** Checks the beginning of a line: a peer that speaks another protocol may wait for the sidecar to continue. */
  #premature(): Failure | undefined {
    if (this.#state === 'status' && !this.#line.startsWith('HTTP/'.slice(0, this.#line.length)))
      return notHttp(this.#line)
    return undefined
  }

  #endLine(): Response | Failure | undefined {
    const line = this.#line.slice(0, this.#line.endsWith('\r\n') ? -2 : -1)
    this.#line = ''
    switch (this.#state) {
      case 'status':
        return this.#statusLine(line)
      case 'fields':
        return line === '' ? this.#endHead() : this.#fields.take(line)
      case 'chunk size':
        return this.#chunkSize(line)
      case 'chunk end':
        this.#state = 'chunk size'
        return line === '' ? undefined : failed('protocol', 'a chunk is longer than its size')
      default:
        // Trailers, which nobody asks for.
        return line === '' ? this.#response(true) : undefined
    }
  }

  #statusLine(line: string): Failure | undefined {
    const [, major, minor, status] = /^HTTP\/(\d)\.(\d) +(\d{3})(?: |$)/.exec(line) ?? []
    if (status === undefined) return notHttp(line)
    this.status = Number(status)
    // Transfer-Encoding came with HTTP/1.1.
    this.#chunked = Number(major) > 1 || (major === '1' && Number(minor) > 0)
    this.#persistent = this.#chunked
    this.#state = 'fields'
    return undefined
  }

  #endHead(): Response | Failure | undefined {
    const status = this.status ?? 0
    this.#headBytes = 0
    // 101 hands the connection over: what follows is not HTTP.
    if (status >= 100 && status < 200 && status !== 101) {
      if (++this.#interim > INTERIM_LIMIT)
        return failed('protocol', `more than ${INTERIM_LIMIT} interim (1xx) responses`)
      this.#state = 'status'
      this.#fields = new Fields()
      return undefined
    }
    this.#persistent &&=
      status !== 101 && !/(?:^|,)[ \t]*close[ \t]*(?:,|$)/i.test(this.#fields.values.get('connection') ?? '')
    if (this.#bounds.bodiless || status === 101 || status === 204 || status === 304) return this.#response(true)
    // Chunked wins over a length (RFC 9112, 6.3), whatever other codings stand before it.
    this.#chunked &&= /(?:^|,)[ \t]*chunked$/i.test(this.#fields.values.get('transfer-encoding') ?? '')
    if (this.#chunked) {
      this.#state = 'chunk size'
      return undefined
    }
    const length = contentLength(this.#fields.values.get('content-length'))
    if (typeof length === 'object') return length
    this.#state = length === undefined ? 'close' : 'length'
    this.#persistent &&= length !== undefined
    this.#left = length ?? 0
    return length === 0 ? this.#response(true) : undefined
  }

  #chunkSize(line: string): Response | Failure | undefined {
    const [, digits] = /^([\da-f]{1,12})[ \t]*(?:;|$)/i.exec(line) ?? []
    if (digits === undefined) return failed('protocol', `not the size of a chunk: ${JSON.stringify(line.slice(0, 40))}`)
    const size = Number.parseInt(digits, 16)
    this.#overhead = Math.max(0, this.#overhead + line.length - 16 - 2 * size)
    if (this.#overhead > CHUNK_OVERHEAD_LIMIT) return failed('protocol', 'the chunks of the body are mostly not body')
    this.#headBytes = 0
    this.#left = size
    this.#state = size === 0 ? 'trailers' : 'chunk'
    return undefined
  }

  #takeBody(bytes: Buffer): Response | undefined {
    this.#chunks.push(bytes)
    this.#bodyBytes += bytes.length
    this.#left -= bytes.length
    const room = this.#bounds.room?.(bytes.length) ?? true
    if (this.#bodyBytes > this.#bounds.maxBody || !room) {
      this.#persistent = false
      return this.#response(false)
    }
    if (this.#state === 'close' || this.#left > 0) return undefined
    if (this.#state === 'length') return this.#response(true)
    this.#state = 'chunk end'
    return undefined
  }

  #response(whole: boolean): Response {
    const body = Buffer.concat(this.#chunks).subarray(0, this.#bounds.maxBody)
    return { ok: true, status: this.status ?? 0, headers: this.#fields.values, body, whole }
  }
}

class Fields {
  readonly values = new Map<string, string>()
  #last: string | undefined

  take(line: string): Failure | undefined {
    // Obsolete line folding (RFC 9112, 5.2).
    if (line.startsWith(' ') || line.startsWith('\t')) {
      if (this.#last !== undefined) this.values.set(this.#last, `${this.values.get(this.#last)} ${line.trim()}`.trim())
      return undefined
    }
    const colon = line.indexOf(':')
    if (colon < 0) return failed('protocol', `a header without a colon: ${JSON.stringify(line.slice(0, 40))}`)
    const name = line.slice(0, colon).trim().toLowerCase()
    const value = line.slice(colon + 1).trim()
    const before = this.values.get(name)
    this.values.set(name, before === undefined ? value : `${before}, ${value}`)
    this.#last = name
    return undefined
  }
}

/** A length that is given several times counts if it is always the same (RFC 9110, 8.6); an empty one is none, as in Go. */
function contentLength(field: string | undefined): number | undefined | Failure {
  if (!field) return undefined
  const [first = '', ...others] = field.split(',').map(each => each.trim())
  if (/^\d{1,15}$/.test(first) && others.every(each => each === first)) return Number(first)
  return failed('protocol', `not a content length: ${JSON.stringify(field.slice(0, 40))}`)
}

function notHttp(line: string): Failure {
  return failed('protocol', `not an HTTP response: ${JSON.stringify(line.slice(0, 40))}`)
}
