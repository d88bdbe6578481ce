// Browsers that send OTLP: none by default, listed origins by choice, and the warning about a listener that is open.

import t from 'tap'
import { exposure } from '../../collectors/otlp/listen.ts'
import { origin } from '../../collectors/otlp/origins.ts'
import { OPTIONS, receiver, Wire } from './receiver.ts'

const SHOP = 'https://shop.example'
const options = { ...OPTIONS, http: { ...OPTIONS.http, allowed_origins: [SHOP, 'http://localhost:3000'] } }

t.test('a page of a listed origin may ask and send; any other may not', async t => {
  const { port, counted } = await receiver(t, { spans: [] }, options)
  const f = async (line: string, headers: string, status: string, allowed: string | undefined): Promise<string> => {
    const wire = new Wire(port)
    wire.send(`${line} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 2\r\n${headers}\r\n{}`)
    await wire.untilClosed()
    t.equal(wire.text.slice(9, 12), status, `${line} ${headers}`)
    t.equal(/^access-control-allow-origin: (.*)\r$/im.exec(wire.text)?.[1], allowed, `${line} ${headers}`)
    t.notMatch(wire.text, /access-control-allow-credentials/i)
    return wire.text
  }
  const ask = 'Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: content-type,traceparent\r\n'
  for (const path of ['/v1/traces', '/v1/metrics', '/v1/logs']) {
    const answer = await f(`OPTIONS ${path}`, `Origin: ${SHOP}\r\n${ask}`, '204', SHOP)
    t.match(answer, /^Access-Control-Allow-Methods: POST\r$/m)
    const names = 'content-type, content-encoding, authorization, traceparent, tracestate, baggage'
    t.match(answer, new RegExp(`^Access-Control-Allow-Headers: ${names}\r$`, 'm'))
    t.match(answer, /^Vary: Origin\r$/im)
  }
  t.same(await counted('pillion_otlp_requests_total'), {}, 'a preflight carries nothing to count')
  const json = 'Content-Type: application/json\r\n'
  await f('POST /v1/traces', `Origin: ${SHOP}\r\n${json}`, '200', SHOP)
  await f('POST /v1/traces', `Origin: http://localhost:3000\r\n${json}`, '200', 'http://localhost:3000')
  await f('POST /v1/traces', json, '200', undefined)
  // A page must be able to read why it was refused.
  await f('POST /v1/traces', `Origin: ${SHOP}\r\nContent-Type: text/plain\r\n`, '415', SHOP)
  await f('POST /v1/nothing', `Origin: ${SHOP}\r\n${json}`, '404', SHOP)
  await f('OPTIONS /v1/nothing', `Origin: ${SHOP}\r\n${ask}`, '404', SHOP)
  await f('OPTIONS /v1/traces', `Origin: ${SHOP}\r\n`, '405', SHOP)

  for (const stranger of [
    'https://evil.example',
    'http://shop.example',
    'https://shop.example:8443',
    'https://shop.example.evil.example',
    'https://evilshop.example',
    'https://SHOP.example',
    'https://shop.example/',
    `${SHOP}, https://evil.example`,
    'http://localhost:3001',
    'null',
    '*',
    '',
  ]) {
    await f('OPTIONS /v1/traces', `Origin: ${stranger}\r\n${ask}`, '403', undefined)
    await f('POST /v1/traces', `Origin: ${stranger}\r\n${json}`, '403', undefined)
  }
})

t.test('an origin is written as browsers write it', async t => {
  const f = (value: unknown, expected: string): void => {
    try {
      t.equal(origin.parse(value), expected)
    } catch (error) {
      t.match(error instanceof Error && error.message, expected)
    }
  }
  f('https://shop.example', 'https://shop.example')
  f('http://localhost:3000', 'http://localhost:3000')
  f('http://[::1]:3000', 'http://[::1]:3000')
  f(
    'https://shop.example/',
    'must be an origin such as https://shop.example, not "https://shop.example/"; write https:',
  )
  f('https://Shop.example:443', 'not "https://Shop.example:443"; write https://shop.example')
  f('*', 'must be an origin')
  f('null', 'must be an origin')
  f('https://*.example', 'must be an origin')
  f('shop.example', 'must be an origin')
  f('file:///x', 'must be an origin')
  f(3, 'must be an origin')
})

t.test('a listener that other hosts can reach says so', async t => {
  const f = (host: string, expected: boolean): void =>
    void t.equal(exposure({ host, port: 4318 }, 'otlp.http.listen') !== undefined, expected, host)
  f('127.0.0.1', false)
  f('127.9.9.9', false)
  f('localhost', false)
  f('::1', false)
  f('0.0.0.0', true)
  f('::', true)
  f('10.0.0.5', true)
  f('127.example', true)
  const open = { ...OPTIONS, http: { ...OPTIONS.http, listen: { host: '0.0.0.0', port: 0 } } }
  const { running } = await receiver(t, { spans: [] }, open)
  t.match(
    running.findings?.().map(finding => finding.text),
    [/every host that reaches 0.0.0.0:\d+ can send here: .*\(otlp.http.listen\)/],
  )
})
