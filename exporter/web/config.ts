// The file of `web.config.file`, in the format that Prometheus' exporters share (the exporter-toolkit's web configuration),
// so that one made for them works here. A key that this server could not honour is an error, since its
// author relies on it.

import { openFile } from '../../options/file.ts'
import { shown } from '../../options/kinds.ts'
import { nearest, suggestion } from '../../options/nearest.ts'
import { syntax } from '../../options/syntax.ts'
import { CIPHERS, CLIENT_AUTH, type ClientAuth, CURVES, VERSIONS } from './ciphers.ts'

const { validateHeaderValue } = process.getBuiltinModule('node:http')

export interface WebConfig {
  readonly tls: TlsConfig | undefined
  /** To add to each answer, by lower-case name; an empty text is absent. */
  readonly headers: Readonly<Record<string, string>>
  /** User → bcrypt hash. */
  readonly users: ReadonlyMap<string, string>
  readonly rate: { readonly intervalMs: number; readonly burst: number } | undefined
}

export interface TlsConfig {
  readonly cert: Pem
  readonly key: Pem
  readonly clientAuth: ClientAuth
  readonly clientCa: Pem | undefined
  readonly allowedSans: readonly string[]
  readonly minVersion: 'TLSv1.2' | 'TLSv1.3'
  readonly maxVersion: 'TLSv1.2' | 'TLSv1.3'
  /** In the spelling of OpenSSL; undefined leaves it to Node. */
  readonly ciphers: string | undefined
  readonly curves: string | undefined
  readonly preferOwnCiphers: boolean
}

/** PEM text in the file itself, or the path of another file. */
export type Pem = { readonly text: string } | { readonly file: string }

/** Reads and judges the file; an Error names it and what to mend in it, never a secret. */
export async function readConfig(path: string): Promise<WebConfig> {
  const opened = await openFile(path)
  if (!opened) throw new Error(`${path}: there is no such file; check web.config.file`)
  if ('problem' in opened) throw new Error(opened.problem)
  const yaml = await import('yaml')
  const lines = new yaml.LineCounter()
  const document = yaml.parseDocument(opened.text, {
    schema: 'core',
    lineCounter: lines,
    stringKeys: true,
    prettyErrors: false,
  })
  const wrong = [...document.errors, ...document.warnings][0]
  if (wrong) throw new Error(`${path}:${lines.linePos(wrong.pos[0]).line}: ${syntax(wrong.code)}`)
  try {
    // No alias is followed: a few lines of them unfold to gigabytes.
    return webConfig(new Table(document.toJS({ mapAsMap: true, maxAliasCount: 0 }), ''))
  } catch (cause) {
    // The parser's own error is about an alias, and quotes it.
    const why = cause instanceof Mistake ? cause.message : 'anchors and aliases (& and *) are not supported'
    throw new Error(`${path}: ${why}`, { cause })
  }
}

class Mistake extends Error {}

function webConfig(root: Table): WebConfig {
  const tls = root.table('tls_server_config')
  const http = root.table('http_server_config')
  const headers = http.table('headers')
  const rate = root.table('rate_limit')
  const users = root.table('basic_auth_users')
  const config = {
    tls: tlsConfig(tls),
    headers: headersOf(headers),
    users: new Map(users.names().map(name => [name, hash(users, name)])),
    rate: rateOf(rate),
  }
  // Nothing but HTTP/1.1 is spoken here, which clients that would rather speak HTTP/2 accept.
  http.flag('http2', true)
  for (const table of [root, tls, http, headers, rate]) table.finish()
  return config
}

function tlsConfig(table: Table): TlsConfig | undefined {
  const cert = table.pem('cert')
  const key = table.pem('key')
  const clientCa = table.pem('client_ca')
  const clientAuth = table.choice('client_auth_type', CLIENT_AUTH, 'NoClientCert')
  const allowedSans = table.texts('client_allowed_sans')
  const minVersion = table.mapped('min_version', VERSIONS) ?? 'TLSv1.2'
  const maxVersion = table.mapped('max_version', VERSIONS) ?? 'TLSv1.3'
  const ciphers = table.listed('cipher_suites', CIPHERS)
  const curves = table.listed('curve_preferences', CURVES)
  const preferOwnCiphers = table.flag('prefer_server_cipher_suites', true)
  if (table.empty) return undefined
  if (!cert) throw table.mistake('cert_file', 'is missing; give the certificate of this server as a PEM file')
  if (!key) throw table.mistake('key_file', 'is missing; give the key of the certificate as a PEM file')
  const verifies = clientAuth === 'RequireAndVerifyClientCert' || clientAuth === 'VerifyClientCertIfGiven'
  if (verifies && !clientCa)
    throw table.mistake('client_ca_file', `is missing; ${clientAuth} needs the authorities whose clients may come in`)
  if (!verifies && clientCa)
    throw table.mistake('client_auth_type', `is ${clientAuth}, which ignores client_ca; use RequireAndVerifyClientCert`)
  if (allowedSans.length > 0 && !clientAuth.startsWith('Require'))
    throw table.mistake(
      'client_allowed_sans',
      `needs RequireAndVerifyClientCert; ${clientAuth} lets clients in without`,
    )
  if (minVersion > maxVersion) throw table.mistake('min_version', 'is above max_version')
  return {
    cert,
    key,
    clientAuth,
    clientCa,
    allowedSans,
    minVersion,
    maxVersion,
    // TLS 1.3's suites cannot be chosen in this format, so all of them stay.
    ciphers: ciphers && `TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:${ciphers}`,
    curves,
    preferOwnCiphers,
  }
}

const HEADERS = [
  'Content-Security-Policy',
  'X-Frame-Options',
  'X-Content-Type-Options',
  'X-XSS-Protection',
  'Strict-Transport-Security',
] as const

function headersOf(table: Table): Readonly<Record<string, string>> {
  const headers: Record<string, string> = {}
  for (const name of HEADERS) {
    const value = table.text(name)
    if (!value) continue
    try {
      validateHeaderValue(name, value)
    } catch (cause) {
      throw table.mistake(name, `is not a value that HTTP allows: ${shown(value)}`, cause)
    }
    headers[name.toLowerCase()] = value
  }
  return headers
}

function hash(users: Table, name: string): string {
  const value = users.text(name) ?? ''
  // A control character cannot be sent, and what follows a colon is the password (RFC 7617, 2).
  if (name === '' || /[:\0-\x1f\x7f]/.test(name))
    throw users.mistake(shown(name), 'is no user name; leave out ":" and controls')
  if (!/^\$2[abxy]\$(?:0[4-9]|1\d|2\d|3[01])\$[./A-Za-z0-9]{53}$/.test(value))
    throw users.mistake(name, 'is not a bcrypt hash; make one with: htpasswd -nBC 10 USER')
  return value
}

function rateOf(table: Table): WebConfig['rate'] {
  const intervalMs = table.duration('interval')
  const burst = table.integer('burst')
  return intervalMs > 0 ? { intervalMs, burst: Math.max(burst, 1) } : undefined
}

/** One table of the file, read key by key; `finish` names those that nobody has asked for. */
class Table {
  readonly #path: string
  readonly #values: ReadonlyMap<unknown, unknown>
  readonly #known = new Set<string>()

  constructor(value: unknown, path: string) {
    if (value !== null && value !== undefined && !(value instanceof Map))
      throw new Mistake(`${path || 'the file'} must be a table, not ${kindOf(value)}`)
    this.#path = path
    this.#values = value instanceof Map ? value : new Map()
  }

  get empty(): boolean {
    return this.#values.size === 0
  }

  names(): readonly string[] {
    return [...this.#values.keys()].map(String)
  }

  mistake(name: string, text: string, cause?: unknown): Error {
    return new Mistake(`${this.#at(name)} ${text}`, { cause })
  }

  table(name: string): Table {
    return new Table(this.#take(name), this.#at(name))
  }

  text(name: string): string | undefined {
    const value = this.#take(name)
    if (value !== undefined && typeof value !== 'string') throw this.#not(name, 'a text', value)
    return value
  }

  flag(name: string, fallback: boolean): boolean {
    const value = this.#take(name) ?? fallback
    if (typeof value !== 'boolean') throw this.#not(name, 'true or false', value)
    return value
  }

  integer(name: string): number {
    const value = this.#take(name) ?? 0
    if (!Number.isSafeInteger(value) || Number(value) < 0) throw this.#not(name, 'a whole number', value)
    return Number(value)
  }

  /** Milliseconds; 0 is "not set". */
  duration(name: string): number {
    const value = this.#take(name) ?? 0
    if (value === 0 || value === '0') return 0
    const [, number, unit = ''] = /^(\d+(?:\.\d+)?)(ms|s|m|h)$/.exec(String(value)) ?? []
    if (number === undefined) throw this.#not(name, 'a duration such as 1s', value)
    return Number(number) * { ms: 1, s: 1000, m: 60_000, h: 3_600_000 }[unit]!
  }

  texts(name: string): readonly string[] {
    const value = this.#take(name) ?? []
    if (!Array.isArray(value) || !value.every(each => typeof each === 'string'))
      throw this.#not(name, 'a list of texts', value)
    return value
  }

  choice<const Choice extends string>(name: string, choices: readonly Choice[], fallback: Choice): Choice {
    // An empty text is the default in Go's reading of such files.
    const value = this.text(name) || fallback
    const found = choices.find(each => each === value)
    if (found === undefined) throw this.mistake(name, `must be one of ${choices.join(', ')}, not ${shown(value)}`)
    return found
  }

  mapped<To>(name: string, known: Readonly<Record<string, To>>): To | undefined {
    const value = this.text(name)
    return value ? this.#translated(name, value, known) : undefined
  }

  /** A list whose items are translated and joined as OpenSSL wants them. */
  listed(name: string, known: Readonly<Record<string, string>>): string | undefined {
    const values = this.texts(name)
    return values.length === 0 ? undefined : values.map(value => this.#translated(name, value, known)).join(':')
  }

  /** `NAME` holds the text itself, `NAME_file` a path; undefined if neither does. */
  pem(name: string): Pem | undefined {
    const [text, file] = [this.text(name), this.text(`${name}_file`)]
    if (text && file) throw this.mistake(name, `and ${name}_file are both given; keep one of them`)
    return text ? { text } : file ? { file } : undefined
  }

  finish(): void {
    const unknown = this.names().find(name => !this.#known.has(name))
    if (unknown === undefined) return
    const near = suggestion(nearest(unknown, [...this.#known]))
    throw this.mistake(unknown, `is not supported${near || `; known here: ${[...this.#known].join(', ')}`}`)
  }

  #translated<To>(name: string, value: string, known: Readonly<Record<string, To>>): To {
    const to = Object.hasOwn(known, value) ? known[value] : undefined
    if (to === undefined)
      throw this.mistake(name, `${shown(value)} is not supported; use ${Object.keys(known).join(', ')}`)
    return to
  }

  #take(name: string): unknown {
    this.#known.add(name)
    return this.#values.get(name) ?? undefined
  }

  #at(name: string): string {
    return this.#path ? `${this.#path}.${name}` : name
  }

  #not(name: string, expected: string, value: unknown): Error {
    return this.mistake(name, `must be ${expected}, not ${kindOf(value)}`)
  }
}

/** The type of a value, without the value itself, which may be a secret. */
function kindOf(value: unknown): string {
  return value instanceof Map ? 'a table' : Array.isArray(value) ? 'a list' : `a ${typeof value}`
}
