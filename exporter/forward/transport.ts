// Sends one body to the target of a signal, over HTTP/1.1 or gRPC, and judges the answer.

import { GrpcChannel } from '../../client/grpc.ts'
import { KeepAlive } from '../../client/keep-alive.ts'
import { withoutSecrets } from '../../client/secrets.ts'
import type { AddressCheck, TcpEndpoint } from '../../telemetry/client.ts'
import type { Clock } from '../../telemetry/host.ts'
import { judgeFailure, judgeGrpc, judgeHttp, MOST_ANSWER, type Rules, type Verdict } from './answer.ts'
import { faultOf, type Headers, headersOf, linesOf, WatchedFile } from './headers.ts'
import type { Target } from './target.ts'

export interface Sent {
  /** For the label `code`: the HTTP status, the gRPC code, or why there was no answer. */
  readonly code: string
  readonly verdict: Verdict
}

export interface TransportSurroundings {
  readonly clock: Clock
  readonly userAgent: string
  readonly rules: Rules
  /** Why an address must not be connected to. */
  readonly blocked: AddressCheck
  /** Told of a file that has changed and cannot be used. */
  warn(text: string): void
}

const MOST_HEAD = 16 * 1024

export class Transport implements Disposable {
  readonly #target: Target
  readonly #around: TransportSurroundings
  readonly #files: {
    readonly headers: readonly WatchedFile[]
    readonly pem: Readonly<Record<Pem, WatchedFile | undefined>>
  }
  readonly #http: KeepAlive | undefined
  readonly #grpc: GrpcChannel | undefined
  #headers: Headers
  /** The lines of the head, for this value of the hops. */
  #head: { readonly hops: string; readonly text: string } | undefined

  /** Throws if one of the files of the target cannot be read. */
  constructor(target: Target, around: TransportSurroundings) {
    this.#target = target
    this.#around = around
    const { caFile, certFile, keyFile } = target
    this.#files = {
      headers: target.headersFiles.map(path => new WatchedFile(path)),
      pem: { ca: watched(caFile), cert: watched(certFile), key: watched(keyFile) },
    }
    this.#headers = this.#read()
    const endpoint = () => this.#endpoint()
    const { clock, blocked } = around
    if (target.protocol === 'grpc') this.#grpc = new GrpcChannel(endpoint, target.authority, clock, blocked)
    else this.#http = new KeepAlive(endpoint, clock, { maxHead: MOST_HEAD, maxBody: MOST_ANSWER, blocked })
  }

  /** The body is compressed as the target says, and lent until the answer is there. */
  async send(body: Buffer, hops: string, signal: AbortSignal): Promise<Sent> {
    const { rules } = this.#around
    const sent = this.#grpc ? await this.#call(this.#grpc, body, hops, signal) : await this.#post(body, hops, signal)
    if (!sent.ok) return { code: sent.reason, verdict: this.#hidden(judgeFailure(sent.reason, sent.detail)) }
    if ('code' in sent) return { code: String(sent.code), verdict: this.#hidden(judgeGrpc(sent, rules)) }
    return { code: statusLabel(sent.status), verdict: this.#hidden(judgeHttp(sent, rules)) }
  }

  /** Looks for files that have changed, and closes connections that are old. */
  async tick(): Promise<void> {
    this.#http?.sweep()
    this.#grpc?.sweep()
    const { headers, pem } = this.#files
    for (const file of Object.values(pem)) await file?.look()
    const changed = await Promise.all(headers.map(file => file.look()))
    if (!changed.includes(true)) return
    try {
      this.#headers = this.#read()
      this.#head = undefined
    } catch (error) {
      this.#around.warn(error instanceof Error ? error.message : String(error))
    }
  }

  [Symbol.dispose](): void {
    this.#http?.[Symbol.dispose]()
    this.#grpc?.[Symbol.dispose]()
  }

  #post(body: Buffer, hops: string, signal: AbortSignal) {
    if (this.#head?.hops !== hops) this.#head = { hops, text: this.#headText(hops) }
    // There is one of the two.
    return this.#http!.request({ method: 'POST', path: this.#target.path, head: this.#head.text, body }, signal)
  }

  #call(grpc: GrpcChannel, body: Buffer, hops: string, signal: AbortSignal) {
    const { path, coding, timeoutMs } = this.#target
    const headers = { 'user-agent': this.#around.userAgent, ...this.#headers, 'pillion-hops': hops }
    const encoding = coding === 'none' ? undefined : coding
    return grpc.call({ path, headers, message: body, encoding, timeoutMs }, signal)
  }

  #headText(hops: string): string {
    const { authority, coding } = this.#target
    const all = {
      host: authority,
      'user-agent': this.#around.userAgent,
      'content-type': 'application/x-protobuf',
      ...(coding === 'none' ? {} : { 'content-encoding': coding }),
      ...this.#headers,
      'pillion-hops': hops,
    }
    return Object.entries(all)
      .map(([name, value]) => `${name}: ${value}\r\n`)
      .join('')
  }

  #endpoint(): TcpEndpoint {
    const { host, port, secure } = this.#target
    const { ca, cert, key } = this.#files.pem
    if (!secure) return { host, port, tls: undefined }
    return {
      host,
      port,
      tls: { verify: true, serverName: host, ca: ca?.text, cert: cert?.text, key: key?.text },
    }
  }

  #read(): Headers {
    const { userinfo, headers } = this.#target
    const lines = [...headers]
    if (userinfo !== undefined) lines.unshift(`authorization: Basic ${Buffer.from(userinfo).toString('base64')}`)
    for (const file of this.#files.headers)
      for (const [i, line] of linesOf(file.text).entries()) {
        const fault = faultOf(line)
        if (fault !== undefined) throw new Error(`cannot use the headers of ${file.path}: header ${i + 1} ${fault}`)
        lines.push(line)
      }
    return headersOf(lines)
  }

  /** An upstream may repeat in its answer what it was sent. */
  #hidden(verdict: Verdict): Verdict {
    return { ...verdict, message: withoutSecrets(verdict.message, this.#headers) }
  }
}

type Pem = 'ca' | 'cert' | 'key'

function watched(path: string | undefined): WatchedFile | undefined {
  return path === undefined ? undefined : new WatchedFile(path)
}

/** Statuses that upstreams really send; the others by their first digit, so that nobody can make a thousand series. */
const STATUSES = new Set([
  200, 201, 202, 204, 301, 302, 303, 307, 308, 400, 401, 402, 403, 404, 405, 406, 408, 409, 411, 412, 413, 415, 422,
  429, 431, 499, 500, 501, 502, 503, 504, 505, 507, 520, 521, 522, 523, 524,
])

function statusLabel(status: number): string {
  return STATUSES.has(status) ? String(status) : `${Math.floor(status / 100)}xx`
}
