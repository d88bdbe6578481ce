// The surroundings of the sidecar whose panels are asked: an upstream and a receiver of the push that refuse some of
// what they are sent, an application with metrics of its own, and somebody who looks at traces.

import { once } from 'node:events'
import { appendFileSync } from 'node:fs'
import { createServer, type ServerResponse } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { page as runtimes } from './runtimes.ts'

export interface Served extends AsyncDisposable {
  readonly url: string
}

/** A server over HTTP that reads each request to its end before it answers the n-th, from 0. */
async function serve(answer: (response: ServerResponse, n: number) => void): Promise<Served> {
  let n = 0
  const server = createServer((request, response) => {
    request.resume()
    request.on('end', () => answer(response, n++))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      server.close()
    },
  }
}

/** Takes two requests of three, and lets each fifth wait, so that there is something in the queue. */
export function upstream(): Promise<Served> {
  return serve((response, n) => {
    response.statusCode = n % 3 === 2 ? 400 : 200
    if (n % 5 === 4) setTimeout(() => response.end(), 2500)
    else response.end()
  })
}

/** Takes all of four pages of five, and at each seventh asks to wait, so that the next ones are skipped. */
export function receiver(): Promise<Served> {
  return serve((response, n) => {
    response.setHeader('X-Prometheus-Remote-Write-Samples-Written', n % 5 === 4 ? '1' : '1000000')
    if (n % 7 === 6) response.writeHead(503, { 'Retry-After': '3' }).end()
    else response.writeHead(204).end()
  })
}

/** Metrics of an application with runtimes of all kinds: one without a type, and one line that is none. */
export function metrics(): Promise<Served> {
  return serve((response, n) => {
    const page = [
      '# TYPE orders_total counter',
      `orders_total ${n}`,
      '# TYPE basket gauge',
      'basket{size="small"} 3',
      'without_a_type 1',
      'this is no sample',
    ]
    response.setHeader('Content-Type', 'text/plain; version=0.0.4').end(`${page.join('\n')}\n${runtimes(n)}`)
  })
}

/** Searches the traces of the sidecar all the time. */
export function onlooker(web: string): AsyncDisposable {
  const timer = setInterval(() => {
    fetch(`${web}/tempo/api/search?q=${encodeURIComponent('{ status = error }')}`).then(
      answer => answer.text(),
      () => {},
    )
  }, 500)
  return {
    async [Symbol.asyncDispose]() {
      clearInterval(timer)
    },
  }
}

/** Clients of the tap: whatever happens to the application behind it, they come again. */
export function throughTap(port: number): AsyncDisposable {
  const timer = setInterval(() => {
    const socket = connect({ port, host: '127.0.0.1' })
    socket.on('error', () => {})
    socket.setTimeout(2000, () => socket.destroy())
    socket.resume().end('POST /healthz HTTP/1.1\r\nHost: shop\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello')
  }, 200)
  return {
    async [Symbol.asyncDispose]() {
      clearInterval(timer)
    },
  }
}

/** A web server's access log in the format of nginx, with now and then a line that is something else. */
export function accessLog(file: string): AsyncDisposable {
  let n = 0
  const timer = setInterval(() => {
    n += 1
    const at = new Date().toISOString().slice(11, 19)
    const request = `127.0.0.1 - - [28/Nov/2026:${at} +0000] "GET /page${n % 3}/part HTTP/1.1" 200 512 "-" "curl"`
    appendFileSync(file, n % 5 === 0 ? 'the server has begun to listen\n' : `${request}\n`)
  }, 200)
  return {
    async [Symbol.asyncDispose]() {
      clearInterval(timer)
    },
  }
}
