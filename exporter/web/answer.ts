// One way to answer, so that no route forgets a security header.

import type { OutgoingHttpHeaders, ServerResponse } from 'node:http'

/** On every answer. Scripts, styles and pictures come from the server itself; none stands in a document. */
export const SECURITY: Readonly<Record<string, string>> = {
  'Content-Security-Policy':
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'",
  'X-Content-Type-Options': 'nosniff',
  'X-Frame-Options': 'DENY',
  'Referrer-Policy': 'no-referrer',
  'Cross-Origin-Resource-Policy': 'same-origin',
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cache-Control': 'no-store',
}

/** Those headers that nothing has set before: the web configuration may have chosen others. */
export function security(response: ServerResponse): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(SECURITY).filter(([name]) => !response.hasHeader(name)))
}

/** Answers with one line of plain text, complete in itself. Does nothing when an answer has already begun. */
export function say(response: ServerResponse, status: number, text: string, headers: OutgoingHttpHeaders = {}): void {
  const body = `${text}\n`
  begin(response, status, {
    'Content-Type': 'text/plain; charset=utf-8',
    'Content-Length': Buffer.byteLength(body),
    ...headers,
  })?.end(body)
}

/** Writes the head; undefined when an answer has already begun or nobody is there to read it. */
export function begin(
  response: ServerResponse,
  status: number,
  headers: OutgoingHttpHeaders,
): ServerResponse | undefined {
  if (response.headersSent || response.destroyed) return undefined
  return response.writeHead(status, { ...security(response), ...headers })
}
