// `pillion healthcheck`: asks a running sidecar whether it is ready, for container images that have no shell and no curl.

import { readFileSync } from 'node:fs'
import { type WebOptions, web } from '../exporter/web.ts'

export interface Answer {
  readonly ready: boolean
  /** One line for the operator. */
  readonly text: string
}

/** Files of the client certificate, if the web server asks for one. */
export interface Identity {
  readonly cert?: string | undefined
  readonly key?: string | undefined
}

/** For the whole check. Docker's own limit is 30 s, but a sidecar that needs longer than this is not ready. */
const DEADLINE_MS = 2000

export async function askReady(
  { listen, config }: Pick<WebOptions, 'listen' | 'config'>,
  identity: Identity = {},
): Promise<Answer> {
  if (!listen) return { ready: false, text: 'cannot ask: web.listen is off; give it an address' }
  if (listen.port === 0) return { ready: false, text: 'cannot ask: web.listen has port 0; give it a fixed one' }
  const host = ANY.has(listen.host) ? '127.0.0.1' : listen.host
  const address = `${host.includes(':') ? `[${host}]` : host}:${listen.port}/-/ready`
  let url = `http://${address}`
  try {
    if (await web.secure({ config })) url = `https://${address}`
    const { status, body } = await get(url, identity)
    return { ready: status === 200, text: `${url}: ${status} ${body}`.trim() }
  } catch (error) {
    const reason = error instanceof Error ? (error.name === 'TimeoutError' ? 'no answer in 2 s' : error.message) : error
    return { ready: false, text: `cannot ask ${url}: ${reason}` }
  }
}

/** A listener on all addresses is reached at the loopback address. */
const ANY = new Set(['::', '0.0.0.0'])

async function get(url: string, { cert, key }: Identity): Promise<{ status: number; body: string }> {
  const signal = AbortSignal.timeout(DEADLINE_MS)
  const { promise, resolve, reject } = Promise.withResolvers<{ status: number; body: string }>()
  const client = url.startsWith('https:')
    ? process.getBuiltinModule('node:https')
    : process.getBuiltinModule('node:http')
  const shown = { cert: cert && readFileSync(cert), key: key && readFileSync(key) }
  // No secret is sent and only yes or no comes back, so the certificate may be made for any name.
  const request = client.get(url, { signal, agent: false, rejectUnauthorized: false, ...shown }, response => {
    let body = ''
    response.setEncoding('utf8')
    response.on('data', (text: string) => {
      body = (body + text).slice(0, 200)
    })
    response.on('end', () => resolve({ status: response.statusCode ?? 0, body: body.split('\n', 1)[0] ?? '' }))
    response.on('error', reject)
  })
  // An aborted request fails with the signal's reason as cause.
  request.on('error', error => reject(signal.aborted ? signal.reason : error))
  return promise
}
