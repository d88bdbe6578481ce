// The tap reads the start line of a head, and the few fields that say where the message ends and to which trace it
// belongs. Servers differ in what they make of odd heads, so odd ones are faults (RFC 9112, 2.2 and 5; RFC 9110,
// 5.6.2).

import type { Fault } from './framing.ts'

/** The fields of one head that matter here; used again for the next one. */
export class Fields {
  /** Content-Length; -1 without one. */
  length = -1
  /** Transfer-Encoding: whether there is one, and whether its last coding is chunked. */
  encoded = false
  chunked = false
  traceparent: string | undefined
  tracestate: string | undefined
  readonly #traced: boolean

  /** `traced`: whether the trace context is read, which only requests have. */
  constructor(traced: boolean) {
    this.#traced = traced
  }

  clear(): void {
    this.length = -1
    this.encoded = false
    this.chunked = false
    this.traceparent = undefined
    this.tracestate = undefined
  }

  read(bytes: Buffer, start: number, end: number): Fault | undefined {
    let colon = start
    while (colon < end && TOKEN[bytes[colon]!]) colon++
    // A line that begins with a space goes on with the one before it (obs-fold), or hides a field from some servers.
    if (colon === start || bytes[colon] !== 58) return 'head'
    switch (colon - start) {
      case 14:
        return is(bytes, start, 'content-length') ? this.#readLength(bytes, colon + 1, end) : undefined
      case 17:
        return is(bytes, start, 'transfer-encoding') ? this.#readEncoding(bytes, colon + 1, end) : undefined
      case 11:
        if (this.#traced && is(bytes, start, 'traceparent')) this.traceparent ??= value(bytes, colon + 1, end, 128)
        return undefined
      case 10:
        if (this.#traced && is(bytes, start, 'tracestate')) this.tracestate ??= value(bytes, colon + 1, end, 512)
        return undefined
      default:
        return undefined
    }
  }

  /** Several that differ, or a list, would be read in different ways by different servers. */
  #readLength(bytes: Buffer, start: number, end: number): Fault | undefined {
    const text = value(bytes, start, end, 32)
    if (!/^\d{1,15}$/.test(text)) return 'length'
    const length = Number(text)
    if (this.length >= 0 && this.length !== length) return 'length'
    this.length = length
    return undefined
  }

  #readEncoding(bytes: Buffer, start: number, end: number): Fault | undefined {
    const codings = value(bytes, start, end, 256).toLowerCase().split(',')
    // Chunked is the last one, and there is one of it.
    if (this.chunked || codings.slice(0, -1).some(each => each.trim() === 'chunked')) return 'length'
    this.encoded = true
    this.chunked = codings.at(-1)?.trim() === 'chunked'
    return undefined
  }
}

/** Without the white space around it. */
function value(bytes: Buffer, start: number, end: number, most: number): string {
  return bytes.toString('latin1', start, Math.min(end, start + most)).trim()
}

/** Whether a name stands there, in any case. */
function is(bytes: Buffer, start: number, name: string): boolean {
  for (let i = 0; i < name.length; i++) if ((bytes[start + i]! | 32) !== name.charCodeAt(i)) return false
  return true
}

/** Characters of a token: 1. */
export const TOKEN = new Uint8Array(128 + 128)
for (const each of "!#$%&'*+-.^_`|~") TOKEN[each.charCodeAt(0)] = 1
for (let code = 0; code < 128; code++) if (/[0-9A-Za-z]/.test(String.fromCharCode(code))) TOKEN[code] = 1
