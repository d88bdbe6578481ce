// Shared by the three services: a server with a few exact routes, a client that speaks JSON, and an end without haste.

import { channel } from 'node:diagnostics_channel'
import { createServer, request } from 'node:http'

/**
 * Serves `routes` ("GET /path" → handler) and /healthz on `port`, or on PORT (0: a free one). A handler gets the URL and
 * the parsed body and returns the JSON answer; to answer with another status it throws a Refusal. `checks` gives the
 * components of the health document.
 */
export function serve(name, port, routes, checks = () => ({})) {
  const server = createServer((incoming, outgoing) => {
    const url = new URL(incoming.url, 'http://any')
    const handler = routes[`${incoming.method} ${url.pathname}`]
    if (handler || url.pathname === '/healthz') incoming.route = url.pathname
    if (url.pathname === '/healthz') return answerHealth(outgoing, checks())
    if (!handler) return answer(outgoing, 404, { error: `no route ${incoming.method} ${url.pathname}` })
    body(incoming)
      .then(given => handler(url, given))
      .then(
        value => answer(outgoing, 200, value),
        error => {
          const status = error.status ?? 500
          if (status >= 500) log('ERROR', `${incoming.method} ${url.pathname} failed: ${error.message}`, error)
          answer(outgoing, status, { error: error.message })
        },
      )
  })
  const wanted = Number(process.env.PORT ?? port)
  server.on('error', ({ code }) => {
    console.error(`${name} cannot listen on port ${wanted}: ${code}; free it, or choose another with PORT`)
    process.exitCode = 1
  })
  server.listen(wanted, '127.0.0.1', () =>
    console.log(`${name} listening on http://127.0.0.1:${server.address().port}`),
  )
  for (const signal of ['SIGTERM', 'SIGINT'])
    process.on(signal, () => {
      server.close()
      // Requests in flight are answered; their connections would then stay open for a next one.
      setInterval(() => server.closeIdleConnections(), 50).unref()
    })
}

const logged = channel('shop:log')

/** Logs a line: "INFO", "WARN" or "ERROR". The listener of the channel decides where it goes. */
export function log(severity, text, error) {
  logged.publish({ severity, text, error })
}

export class Refusal extends Error {
  constructor(status, message) {
    super(message)
    this.status = status
  }
}

/** Asks another service for JSON. A status of 400 and more becomes a Refusal; no answer at all is any other error. */
export async function call(method, url, value) {
  const answered = await new Promise((resolve, reject) => {
    const outgoing = request(url, { method, timeout: 2000 }, resolve)
    outgoing.on('timeout', () => outgoing.destroy(new Error('no answer within 2 s')))
    outgoing.on('error', reject)
    outgoing.end(value && JSON.stringify(value))
  })
  const read = await body(answered)
  if (answered.statusCode >= 400)
    throw new Refusal(502, `${method} ${url} was answered ${answered.statusCode}: ${read?.error}`)
  return read
}

export const sleep = ms => new Promise(resolve => setTimeout(resolve, ms))

/** A health document: as bad as its worst check, and 503 when that is "fail". */
function answerHealth(outgoing, checks) {
  const found = Object.values(checks).flatMap(list => list.map(check => check.status))
  const status = ['fail', 'warn'].find(each => found.includes(each)) ?? 'pass'
  answer(outgoing, status === 'fail' ? 503 : 200, { status, checks }, 'application/health+json')
}

function answer(outgoing, status, value, type = 'application/json') {
  outgoing.writeHead(status, { 'content-type': type }).end(JSON.stringify(value))
}

async function body(stream) {
  const chunks = []
  for await (const chunk of stream) chunks.push(chunk)
  if (chunks.length === 0) return undefined
  try {
    return JSON.parse(Buffer.concat(chunks).toString())
  } catch (error) {
    throw new Refusal(400, `cannot read the body as JSON: ${error.message}`)
  }
}
