// Which web pages may send: browsers name the page's origin, and ask by a preflight before they send what OTLP needs.

import type { IncomingMessage } from 'node:http'
import { type Kind, shown } from '../../options/kinds.ts'

/** "https://shop.example": scheme, host and, unless it is the scheme's own, port, as browsers write it. */
export const origin: Kind<string | undefined> = {
  kind: 'scalar',
  about: 'An origin.',
  expects: 'an origin such as https://shop.example',
  json: { type: 'string', pattern: '^https?://[^/]+$' },
  default: undefined,
  parse: value => {
    const parsed = typeof value === 'string' ? URL.parse(value) : null
    if (parsed && parsed.origin === value && /^https?:\/\/[^*]+$/.test(value)) return value
    const meant =
      parsed && /^https?:/.test(parsed.protocol) && !parsed.host.includes('*') ? `; write ${parsed.origin}` : ''
    throw new Error(`must be an origin such as https://shop.example, not ${shown(value)}${meant}`)
  },
}

/** Headers for the answer to a page of this origin; undefined when it may not send. Compared as a whole, letter by letter. */
export function allowance(
  { headers }: IncomingMessage,
  allowed: readonly string[],
): Readonly<Record<string, string>> | undefined {
  const { origin } = headers
  if (origin === undefined || !allowed.includes(origin)) return undefined
  return { 'Access-Control-Allow-Origin': origin, 'Access-Control-Expose-Headers': 'Retry-After', Vary: 'Origin' }
}

/** A browser's question whether it may send, from an allowed origin: the headers of the answer. */
export function preflight(request: IncomingMessage): Readonly<Record<string, string>> | undefined {
  if (request.method !== 'OPTIONS' || request.headers['access-control-request-method'] === undefined) return undefined
  return {
    'Access-Control-Allow-Methods': 'POST',
    'Access-Control-Allow-Headers': 'content-type, content-encoding, authorization, traceparent, tracestate, baggage',
    // The longest that a browser keeps it (Chromium).
    'Access-Control-Max-Age': '7200',
  }
}
