// Routes that parts contribute: the web server finds them, lets in whom they are for, and limits them.

import t, { type Test } from 'tap'
import type { Route, RouteRequest } from '../../telemetry/route.ts'
import { type OpenServer, openServer, parsed, silent, until } from './open.ts'

function route(more: Partial<Route> & Pick<Route, 'path'>): Route {
  return {
    methods: ['GET'],
    access: 'operator',
    handle: (_, response) => void response.end(`${more.path}\n`),
    ...more,
  }
}

async function serving(t: Test, routes: readonly Route[]): Promise<OpenServer> {
  return await openServer(t, { host: { routes: () => routes } })
}

t.test('a path is a route’s own, or the longest prefix of it; everything else is a page', async t => {
  const { ask } = await serving(t, [
    route({ path: '/tempo/' }),
    route({ path: '/tempo/api/' }),
    route({ path: '/tempo/api/echo' }),
    route({ path: '/metrics' }),
  ])
  const f = async (path: string, expected: string): Promise<void> =>
    void t.equal(parsed(await ask(`GET ${path}`)).body, expected, path)
  await f('/tempo/api/echo', '/tempo/api/echo\n')
  await f('/tempo/api/echo?x=1', '/tempo/api/echo\n')
  await f('/tempo/api/search/tags', '/tempo/api/\n')
  await f('/tempo/', '/tempo/\n')
  await f('/metrics', 'up 1\n')
  t.match(parsed(await ask('GET /tempo')), { status: 404 })
})

t.test('a request comes as it was sent, with its body and our security headers', async t => {
  const seen: RouteRequest[] = []
  const { ask, raw } = await serving(t, [
    route({
      path: '/-/flight',
      methods: ['GET', 'POST'],
      maxBody: 5,
      handle(request, response) {
        seen.push(request)
        response.setHeader('Content-Type', 'text/plain').end('written\n')
      },
    }),
  ])
  const { status, head, body } = parsed(await ask('GET /-/flight?why=a%20b', 'X-Why: c'))
  t.equal(status, 200)
  t.equal(body, 'written\n')
  t.match(head, 'X-Content-Type-Options: nosniff')
  t.match(head, 'Cache-Control: no-store')
  t.match(seen[0], { method: 'GET', path: '/-/flight', target: '/-/flight?why=a%20b', headers: { 'x-why': 'c' } })
  t.match(parsed(await ask('HEAD /-/flight')), { status: 200, body: '' })
  const post = (more: string): Promise<string> => raw(`POST /-/flight HTTP/1.1\r\nHost: localhost\r\n${more}`)
  t.equal(parsed(await post('Content-Length: 5\r\n\r\n12345')).status, 200)
  t.equal(parsed(await post('Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n')).status, 200)
  t.same(
    seen.slice(2).map(({ body }) => `${body}`),
    ['12345', 'abcde'],
  )
  t.equal(parsed(await post('Content-Length: 6\r\n\r\n123456')).status, 413)
  t.equal(parsed(await post('Transfer-Encoding: chunked\r\n\r\n6\r\nabcdef\r\n0\r\n\r\n')).status, 413)
  t.equal(seen.length, 4)
})

t.test('a request that a route does not allow never reaches it', async t => {
  let called = 0
  const { ask } = await serving(t, [
    route({ path: '/-/flight', methods: ['POST'], handle: () => void called++ }),
    route({ path: '/open', access: 'scraper' }),
    route({ path: '/fails', handle: () => Promise.reject(new Error('broken')) }),
  ])
  t.match(parsed(await ask('GET /-/flight')), { status: 405, head: /Allow: POST/, body: /\/-\/flight takes POST/ })
  t.match(parsed(await ask('POST /-/flight', 'Content-Length: 1')), { status: 400, body: /takes no body/ })
  t.match(parsed(await ask('POST /-/flight', 'X-Forwarded-For: 192.0.2.1')), { status: 403 })
  t.match(parsed(await ask('POST /-/flight', 'Origin: https://other.example')), { status: 403 })
  t.equal(called, 0)
  t.match(parsed(await ask('GET /open', 'X-Forwarded-For: 192.0.2.1')), { status: 200 })
  t.match(parsed(await ask('POST /open', 'X-Forwarded-For: 192.0.2.1')), { status: 403 }, 'only what it allows is open')
  t.match(parsed(await ask('GET /fails')), { status: 500, body: /its log says why/ })
  t.match(parsed(await ask('GET /-/none')), {
    status: 404,
    body: /healthy, \/-\/ready, POST \/-\/reload and POST \/-\/flight/,
  })
})

t.test('a stream goes on for as long as it is read, any other answer is cut off', async t => {
  const ends: string[] = []
  const endless = (path: string, streams: boolean): Route =>
    route({
      path,
      streams,
      handle(_, response, signal) {
        const timer = setInterval(() => response.write('more\n'), 10)
        signal.addEventListener('abort', () => {
          clearInterval(timer)
          ends.push(path)
        })
      },
    })
  const server = await openServer(t, {
    host: { routes: () => [endless('/stream', true), endless('/slow', false)] },
    options: { scrape_timeout: 100 },
    limits: { responseMs: 100 },
  })
  const stream = silent(server.port, 'GET /stream HTTP/1.1\r\nHost: localhost\r\n\r\n')
  stream.resume()
  const cut = await server.raw('GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n')
  t.match(parsed(cut).status, 200)
  await until(() => ends.includes('/slow'))
  t.equal(await server.refused('slow'), 1)
  t.notOk(ends.includes('/stream'))
  t.notOk(stream.destroyed)
  stream.destroy()
  await until(() => ends.includes('/stream'))
})

t.test('a stream is told when the server closes', async t => {
  let told = false
  const { port, close } = await serving(t, [
    route({
      path: '/stream',
      streams: true,
      handle(_, response, signal) {
        response.write('begun\n')
        signal.addEventListener('abort', () => {
          told = true
          response.end('ended\n')
        })
      },
    }),
  ])
  const stream = silent(port, 'GET /stream HTTP/1.1\r\nHost: localhost\r\n\r\n')
  let text = ''
  stream.on('data', chunk => {
    text += chunk
  })
  stream.resume()
  await until(() => text.includes('begun'))
  await close()
  t.ok(told)
  await until(() => text.includes('ended'))
})
