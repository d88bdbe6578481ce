// The receiver of the push: one request to it, and what its answer means.

import { readFile } from 'node:fs/promises'
import { Deadline } from '../../client/deadline.ts'
import { request } from '../../client/http.ts'
import { withoutSecrets } from '../../client/secrets.ts'
import type { Answer, ClientTls, NoAnswer, TcpEndpoint } from '../../telemetry/client.ts'
import type { Clock } from '../../telemetry/host.ts'
import type { DropReason } from './families.ts'
import { type PushOptions, pair, unsafe } from './options.ts'
import { partialSuccess } from './partial.ts'

export type Version = 'otlp' | '1.0' | '2.0'

export interface Body {
  readonly version: Version
  /** As it is sent. */
  readonly bytes: Buffer
  readonly encoding: 'gzip' | 'snappy' | undefined
  /** Samples or data points in it. */
  readonly samples: number
}

export type Outcome =
  /** Taken, except for so many. */
  | { readonly kind: 'taken'; readonly dropped: number; readonly reason: DropReason; readonly text: string }
  /** To be tried again, after so many milliseconds if the receiver says so. */
  | { readonly kind: 'later'; readonly text: string; readonly afterMs: number | undefined }
  /** Refused for good, except for those that were taken; if `all`, the next request would be refused as well. */
  | {
      readonly kind: 'refused'
      readonly reason: DropReason
      readonly all: boolean
      readonly taken: number
      readonly text: string
    }
  /** It does not understand this version of remote write. */
  | { readonly kind: 'version'; readonly text: string }

export interface Reply {
  /** For the metric: a status, or why there is none. */
  readonly code: string
  readonly outcome: Outcome
}

const HEAD_LIMIT = 16 * 1024
/** Longer answers are not read to their end. */
const BODY_LIMIT = 64 * 1024
/** The longest wait that a receiver may ask for. */
const WAIT_LIMIT_MS = 300_000

export class Receiver {
  readonly #options: PushOptions
  readonly #url: URL
  readonly #version: string
  readonly #clock: Clock

  constructor(options: PushOptions & { readonly endpoint: string }, version: string, clock: Clock) {
    this.#options = options
    this.#version = version
    this.#clock = clock
    this.#url = new URL(options.endpoint)
    if (this.#url.pathname === '/') this.#url.pathname = options.protocol === 'otlp' ? '/v1/metrics' : '/api/v1/write'
  }

  /** Without what may be secret. */
  get shown(): string {
    return `${this.#url.origin}${this.#url.pathname}`
  }

  /** The advice if it fails and the path is one of the other protocol; the default is otlp, and easily forgotten. */
  get hint(): string {
    const { pathname } = this.#url
    if (this.#options.protocol === 'otlp')
      return /(?<!opentelemetry)\/api\/v1\/(write|push)$/.test(pathname)
        ? '; this is a path for remote write: set push.protocol to remote-write'
        : ''
    return pathname.endsWith('/v1/metrics') ? '; this is a path for OTLP: set push.protocol to otlp' : ''
  }

  /** Never rejects. `traceparent` continues the sidecar's own span of the push. */
  async send(body: Body, signal: AbortSignal, traceparent: string | undefined): Promise<Reply> {
    const { bytes } = body
    let credentials: Record<string, string>
    let headers: Record<string, string>
    let endpoint: TcpEndpoint
    try {
      credentials = await this.#credentials()
      headers = { ...this.#head(body), ...credentials, ...(traceparent === undefined ? {} : { traceparent }) }
      endpoint = await this.#endpoint()
    } catch (error) {
      const text = error instanceof Error ? error.message : String(error)
      return { code: 'local', outcome: { kind: 'later', text, afterMs: undefined } }
    }
    using deadline = new Deadline(this.#options.timeout)
    const path = this.#url.pathname + this.#url.search
    const limits = { maxHead: HEAD_LIMIT, maxBody: BODY_LIMIT }
    const answer = await request(
      { endpoint, method: 'POST', path, headers, body: bytes, ...limits },
      AbortSignal.any([signal, deadline.signal]),
      this.#clock,
    )
    // A refusal may come before the body was read to its end, and the connection may be reset then.
    const code = answer.status === undefined ? (answer.ok ? '' : answer.reason) : String(answer.status)
    const outcome = judge(answer, body, this.#clock)
    // A receiver may repeat in its answer what it was sent.
    return { code, outcome: { ...outcome, text: withoutSecrets(outcome.text, credentials) } }
  }

  #head({ version, encoding }: Body): Record<string, string> {
    return {
      host: this.#url.host,
      accept: '*/*',
      'user-agent': `Pillion/${this.#version}`,
      ...formatHeaders(version),
      ...(encoding && { 'content-encoding': encoding }),
    }
  }

  /** The headers of the options. Files are read each time, since they change while the sidecar runs. */
  async #credentials(): Promise<Record<string, string>> {
    const { headers, header_files, token_file, username, password_file } = this.#options
    const all: Record<string, string> = {}
    for (const line of headers) {
      const { name = '', value = '' } = pair(line, ':') ?? {}
      all[name.toLowerCase()] = value
    }
    for (const line of header_files) {
      const { name = '', value: file = '' } = pair(line, ':') ?? {}
      all[name.toLowerCase()] = await secret(file)
    }
    if (token_file !== undefined) all['authorization'] = `Bearer ${await secret(token_file)}`
    if (username !== undefined && password_file !== undefined)
      all['authorization'] = `Basic ${Buffer.from(`${username}:${await secret(password_file)}`).toString('base64')}`
    return all
  }

  /** Certificates are read each time, since they are renewed while the sidecar runs. */
  async #endpoint(): Promise<TcpEndpoint> {
    const secure = this.#url.protocol === 'https:'
    const host = this.#url.hostname.replace(/^\[|\]$/g, '')
    return {
      host,
      port: Number(this.#url.port) || (secure ? 443 : 80),
      tls: secure ? await this.#tls(host) : undefined,
    }
  }

  async #tls(host: string): Promise<ClientTls> {
    const { tls_verify, tls_server_name, tls_ca_file, tls_cert_file, tls_key_file } = this.#options
    const [ca, cert, key] = await Promise.all(
      [tls_ca_file, tls_cert_file, tls_key_file].map(file => (file === undefined ? undefined : readFile(file, 'utf8'))),
    )
    return { verify: tls_verify, serverName: tls_server_name ?? host, ca, cert, key }
  }
}

function formatHeaders(version: Version): Record<string, string> {
  switch (version) {
    case 'otlp':
      return { 'content-type': 'application/x-protobuf' }
    case '1.0':
      return { 'content-type': 'application/x-protobuf', 'x-prometheus-remote-write-version': '0.1.0' }
    case '2.0':
      return {
        'content-type': 'application/x-protobuf;proto=io.prometheus.write.v2.Request',
        'x-prometheus-remote-write-version': '2.0.0',
      }
  }
}

/** A secret from a file, which is never part of a message. */
async function secret(file: string): Promise<string> {
  const text = (await readFile(file, 'utf8')).trim()
  if (text === '' || unsafe(text)) throw new Error(`cannot use what is in ${file}: it must be one line of text`)
  return text
}

/** The meaning of an answer (opentelemetry.io/docs/specs/otlp, and the two specifications of remote write). */
function judge(answer: Answer | NoAnswer, body: Body, clock: Pick<Clock, 'now'>): Outcome {
  const { status } = answer
  if (!answer.ok && status === undefined) return { kind: 'later', text: answer.detail, afterMs: undefined }
  const said = answer.ok ? summary(answer) : answer.detail
  const text = `status ${status}${said === '' ? '' : `: ${said}`}`
  const refused = (reason: DropReason, all: boolean, taken = 0): Outcome => ({
    kind: 'refused',
    reason,
    all,
    taken,
    text,
  })
  switch (status) {
    case 429:
    case 502:
    case 503:
    case 504:
      return { kind: 'later', text, afterMs: answer.ok ? retryAfter(answer, clock) : undefined }
    case 401:
    case 403:
      return refused('auth', true)
    case 404:
    case 405:
      return refused('not_supported', true)
    case 415:
      return body.version === '2.0' ? { kind: 'version', text } : refused('not_supported', true)
    case 413:
      return refused('too_large', false)
  }
  if (status !== undefined && status >= 200 && status < 300) return success(answer, body)
  if (status !== undefined && status >= 300 && status < 400) return refused('redirect', true)
  // Remote write retries all server errors, OTLP only those above.
  if (status !== undefined && status >= 500 && body.version !== 'otlp')
    return { kind: 'later', text, afterMs: answer.ok ? retryAfter(answer, clock) : undefined }
  return refused('rejected', false, answer.ok ? (written(answer) ?? 0) : 0)
}

function success(answer: Answer | NoAnswer, body: Body): Outcome {
  const taken: Outcome = { kind: 'taken', dropped: 0, reason: 'partial', text: '' }
  // The status says that it was taken, even if the rest of the answer is missing.
  if (!answer.ok) return body.version === '2.0' ? { ...taken, text: answer.detail } : taken
  if (body.version === 'otlp') {
    const { rejected, message } = partialSuccess(answer)
    return { ...taken, dropped: Math.min(rejected, body.samples), text: message }
  }
  if (body.version === '1.0') return taken
  const count = written(answer)
  // A receiver of 1.0 finds nothing that it knows in the body, and says that all is well.
  if (count === undefined) return { kind: 'version', text: 'it does not say how many samples it has written' }
  const dropped = Math.max(0, body.samples - count)
  return { ...taken, dropped, text: dropped > 0 ? summary(answer) || 'it has not written all samples' : '' }
}

/** The samples written, by the headers of remote write 2.0; undefined if there are none. */
function written({ headers }: Answer): number | undefined {
  const counts = ['samples', 'histograms'].map(what => headers.get(`x-prometheus-remote-write-${what}-written`))
  if (counts.every(each => each === undefined)) return undefined
  return counts.reduce((sum, each) => sum + (/^\d{1,12}$/.test(each ?? '') ? Number(each) : 0), 0)
}

/** Milliseconds; seconds or a date stand in the header. */
function retryAfter({ headers }: Answer, clock: Pick<Clock, 'now'>): number | undefined {
  const value = headers.get('retry-after')
  if (value === undefined) return undefined
  const ms = /^\d{1,9}$/.test(value) ? Number(value) * 1000 : Date.parse(value) - clock.now()
  return Number.isNaN(ms) ? undefined : Math.min(Math.max(0, ms), WAIT_LIMIT_MS)
}

/** The beginning of an answer in words, on one line; nothing of a page in HTML or of binary data. */
function summary({ headers, body }: Answer): string {
  if (/html|protobuf|octet/i.test(headers.get('content-type') ?? '')) return ''
  const line = body
    .toString('utf8', 0, 300)
    .replace(/[\x00-\x1f\x7f]+/g, ' ')
    .trim()
  return line.length > 150 ? `${line.slice(0, 149)}…` : line
}
