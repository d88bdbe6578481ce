// Headers that are sent to an upstream: from options, and from files, which are read again when they change. They hold
// credentials, so nothing here ever puts a value into a message.

import { readFileSync } from 'node:fs'
import { fileStamp } from '../../options/file.ts'
import { opaqueFields } from '../../options/opaque.ts'
import { fileReason } from '../../options/readable.ts'

/** By lower-case name. */
export type Headers = Readonly<Record<string, string>>

const NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}$/
/** Visible Latin-1, spaces and tabs inside: what may stand in a header of HTTP/1.1 and HTTP/2. */
const VALUE = /^[\x21-\x7e\xa0-\xff](?:[\x20-\x7e\xa0-\xff\t]*[\x21-\x7e\xa0-\xff])?$/
/** These are made here, or would change what a request means. */
const OURS = new Set([
  'host',
  'connection',
  'content-length',
  'content-type',
  'content-encoding',
  'transfer-encoding',
  'te',
  'trailer',
  'upgrade',
  'keep-alive',
  'expect',
  'pillion-hops',
])

/** Why a line "Name: value" is no header, without its value; undefined if it is one. */
export function faultOf(line: string): string | undefined {
  const colon = line.indexOf(':')
  if (colon < 1) return 'must be "Name: value"'
  const name = line.slice(0, colon).trim()
  if (!NAME.test(name) || name.startsWith('grpc-')) return 'must be "Name: value" with the name of a header'
  if (OURS.has(name.toLowerCase())) return `must not set ${name}, which is made by the sidecar`
  const value = line.slice(colon + 1).trim()
  if (value !== '' && !VALUE.test(value)) return `has a value of ${name} that cannot stand in a header`
  return undefined
}

/** Lines without faults; of a name that occurs twice the last one wins. */
export function headersOf(lines: readonly string[]): Headers {
  const entries = lines.map((line): [string, string] => {
    const colon = line.indexOf(':')
    return [line.slice(0, colon).trim().toLowerCase(), line.slice(colon + 1).trim()]
  })
  const headers = Object.fromEntries(entries)
  return opaqueFields(headers, Object.keys(headers))
}

/**
 * The list of OTEL_EXPORTER_OTLP_HEADERS as lines: pairs as in W3C Baggage, "name=value,name2=value2", with percent-encoded
 * values. Throws with what is wrong, without any value.
 */
export function fromBaggage(text: string): readonly string[] {
  return text
    .split(',')
    .filter(pair => pair.trim() !== '')
    .map(pair => {
      const equals = pair.indexOf('=')
      if (equals < 1) throw new Error('must be a list of name=value, separated by commas')
      const line = `${pair.slice(0, equals).trim()}: ${percentDecoded(pair.slice(equals + 1).trim())}`
      const fault = faultOf(line)
      if (fault !== undefined) throw new Error(fault)
      return line
    })
}

function percentDecoded(value: string): string {
  try {
    return decodeURIComponent(value)
  } catch {
    return value
  }
}

/** The text of a file that may change: read again when its stamp is another. */
export class WatchedFile {
  readonly path: string
  text: string
  #stamp: string | undefined

  /** Throws if the file cannot be read. */
  constructor(path: string) {
    this.path = path
    try {
      this.text = readFileSync(path, 'utf8')
    } catch (cause) {
      throw new Error(`cannot read ${path}: ${fileReason(cause)}`, { cause })
    }
  }

  /** Whether it has changed. A file that cannot be read, or is empty because it is being written, stays as it was. */
  async look(): Promise<boolean> {
    const stamp = await fileStamp(this.path)
    if (stamp === this.#stamp) return false
    this.#stamp = stamp
    try {
      const text = readFileSync(this.path, 'utf8')
      if (text === '') return false
      const changed = text !== this.text
      this.text = text
      return changed
    } catch {
      return false
    }
  }
}

/** The lines of a file of headers: "Name: value", one a line; empty lines and lines that begin with # are left out. */
export function linesOf(text: string): readonly string[] {
  return text
    .split(/\r?\n/)
    .map(line => line.trim())
    .filter(line => line !== '' && !line.startsWith('#'))
}
