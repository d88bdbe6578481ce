// Asks the application for its metrics: one request, its answer judged, decompressed and recognised.

import { readFile } from 'node:fs/promises'
import { promisify } from 'node:util'
import { gunzip } from 'node:zlib'
import { request } from '../../client/http.ts'
import type { Answer } from '../../telemetry/client.ts'
import type { Clock } from '../../telemetry/host.ts'
import type { Allotment } from '../../telemetry/memory.ts'
import { refusal } from '../health.ts'
import type { FailureReason } from './metrics.ts'
import type { ScrapeOptions } from './options.ts'
import type { Target } from './target.ts'

export type Kind = 'text' | 'openmetrics' | 'protobuf'

export interface Body {
  readonly ok: true
  readonly bytes: Buffer
  readonly kind: Kind
  /** The content type says what it is; otherwise it looks like it. */
  readonly declared: boolean
}

export interface Failed {
  readonly ok: false
  readonly reason: FailureReason
  /** One line for people. */
  readonly detail: string
}

export interface Asking {
  readonly options: ScrapeOptions
  readonly agent: string
  readonly clock: Clock
  /** Whether one of our scrapers wants protobuf. */
  readonly protobuf: boolean
  /** Milliseconds that the application has. */
  readonly ms: number
  /** Holds twice the bytes of the body; the caller gives them back. */
  readonly held: Holding
}

/** Bytes that one scrape holds of the budget. */
export class Holding {
  readonly #allotment: Allotment
  readonly #makeRoom: () => void
  #bytes = 0
  #refused = false

  /** `makeRoom` is called when there is none: it gives back what others could do without. */
  constructor(allotment: Allotment, makeRoom: () => void) {
    this.#allotment = allotment
    this.#makeRoom = makeRoom
  }

  get refused(): boolean {
    return this.#refused
  }

  hold(bytes: number): boolean {
    if (!this.#allotment.fits(bytes)) this.#makeRoom()
    if (!this.#allotment.hold(bytes)) {
      this.#refused = true
      return false
    }
    this.#bytes += bytes
    return true
  }

  /** Holds so many bytes in all from now on; false if they do not fit. */
  keep(bytes: number): boolean {
    if (bytes > this.#bytes) return this.hold(bytes - this.#bytes)
    this.#allotment.add(bytes - this.#bytes)
    this.#bytes = bytes
    return true
  }
}

const HEAD_LIMIT = 16 * 1024
/** As Prometheus asks, by default and where it scrapes native histograms. */
const TEXT =
  'application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2'
const PROTOBUF = `application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;escaping=allow-utf-8;q=0.7,${TEXT}`

export async function ask(target: Target, asking: Asking, signal: AbortSignal): Promise<Body | Failed> {
  const { options, agent, clock, protobuf, ms, held } = asking
  let authorization: Readonly<Record<string, string>>
  try {
    authorization = target.known ? await credentials(options) : {}
  } catch (error) {
    return failed('credentials', error instanceof Error ? error.message : String(error))
  }
  const headers = {
    ...target.headers,
    ...authorization,
    accept: protobuf ? PROTOBUF : TEXT,
    'accept-encoding': 'identity',
    'user-agent': agent,
    'x-prometheus-scrape-timeout-seconds': String(Math.max(0.001, ms / 1000)),
  }
  const answer = await request(
    {
      endpoint: target.endpoint,
      method: 'GET',
      path: target.path,
      headers,
      maxHead: HEAD_LIMIT,
      maxBody: options.max_body,
      // While they are joined the bytes are there twice.
      room: bytes => held.hold(2 * bytes),
      blocked: refusal,
    },
    signal,
    clock,
  )
  if (!answer.ok) return failed(answer.reason, answer.detail)
  return judged(answer, options.max_body, held)
}

async function judged(answer: Answer, most: number, held: Holding): Promise<Body | Failed> {
  const { status, headers, whole } = answer
  if (status === 508) return failed('itself', 'the address leads to the sidecar itself')
  if (status !== 200) {
    const where = status >= 300 && status < 400 ? ', a redirect, which is not followed' : ''
    return failed('status', `status ${status}${where}`)
  }
  if (held.refused) return failed('memory', 'the memory budget has no room for the page')
  if (!whole) return failed('too_large', `the page is larger than ${most} bytes`)
  const unpacked = await decompressed(answer, most)
  if (!Buffer.isBuffer(unpacked)) return unpacked
  if (!held.keep(unpacked.length)) return failed('memory', 'the memory budget has no room for the page')
  const type = headers.get('content-type') ?? ''
  const known = declared(type)
  if (known === undefined) return failed('not_metrics', `the content type is ${JSON.stringify(type.slice(0, 80))}`)
  const kind = known === 'unsaid' ? looked(unpacked) : known
  if (kind === undefined) return failed('not_metrics', 'the answer does not look like metrics')
  // Where the connection's end is the page's end, the last line may be a part of one.
  const framed = headers.has('content-length') || headers.has('transfer-encoding')
  if (!framed && kind === 'text' && unpacked.length > 0 && unpacked.at(-1) !== NEWLINE)
    return failed('truncated', 'the connection was closed in the middle of a line')
  return { ok: true, bytes: unpacked, kind, declared: known !== 'unsaid' }
}

async function decompressed({ headers, body }: Answer, most: number): Promise<Buffer | Failed> {
  const encoding = (headers.get('content-encoding') ?? '').trim().toLowerCase()
  if (encoding === '' || encoding === 'identity') return body
  if (encoding !== 'gzip' && encoding !== 'x-gzip')
    return failed(
      'encoding',
      `the content encoding is ${JSON.stringify(encoding.slice(0, 40))}; identity was asked for`,
    )
  try {
    return await promisify(gunzip)(body, { maxOutputLength: most })
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined
    if (code === 'ERR_BUFFER_TOO_LARGE') return failed('too_large', `the page is larger than ${most} bytes`)
    return failed('encoding', 'the page is not gzip, or is cut off')
  }
}

/**
 * The format that a content type names; "unsaid" where it says nothing about metrics; undefined for what is certainly
 * something else.
 */
function declared(type: string): Kind | 'unsaid' | undefined {
  const [media = '', ...parameters] = type.split(';').map(each => each.trim().toLowerCase())
  switch (media) {
    case 'application/openmetrics-text':
      return 'openmetrics'
    case 'text/plain':
      return 'text'
    case 'application/vnd.google.protobuf': {
      const has = (parameter: string): boolean => parameters.some(each => each.replaceAll('"', '') === parameter)
      return has('proto=io.prometheus.client.metricfamily') && has('encoding=delimited') ? 'protobuf' : undefined
    }
    case '':
    case 'text/html':
    case 'application/json':
    case 'application/octet-stream':
      return 'unsaid'
    default:
      return media.startsWith('text/') ? 'unsaid' : undefined
  }
}

/** A page of metrics begins with a comment or a name, and OpenMetrics ends with "# EOF". */
function looked(bytes: Buffer): Kind | undefined {
  let start = 0
  while (bytes[start] === 32 || bytes[start] === 9 || bytes[start] === NEWLINE || bytes[start] === 13) start++
  if (!/^[#a-zA-Z_:]$/.test(bytes.toString('latin1', start, start + 1))) return undefined
  return /(?:^|\n)# EOF\n?$/.test(bytes.toString('latin1', Math.max(0, bytes.length - 8))) ? 'openmetrics' : 'text'
}

async function credentials(options: ScrapeOptions): Promise<Readonly<Record<string, string>>> {
  const { bearer_token_file: token, username, password_file: password } = options
  if (token !== undefined) return { authorization: `Bearer ${await secret(token)}` }
  if (username === undefined) return {}
  const pair = `${username}:${password === undefined ? '' : await secret(password)}`
  return { authorization: `Basic ${Buffer.from(pair).toString('base64')}` }
}

async function secret(path: string): Promise<string> {
  const text = (await readFile(path, 'utf8')).replace(/\r?\n$/, '')
  if (/[^\x20-\x7e]/.test(text) || text.length > 4096)
    throw new Error(`cannot use ${path}: it must hold one line of at most 4096 printable characters`)
  return text
}

export function failed(reason: FailureReason, detail: string): Failed {
  return { ok: false, reason, detail }
}

const NEWLINE = 10
