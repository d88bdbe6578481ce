// Bytes that are no proper HTTP/1.1, at both HTTP listeners of a real sidecar: each has its answer, none is work done twice, and
// none gets as far as the handler of last resort.

import { connect } from 'node:net'
import t, { type Test } from 'tap'
import { type Ride, startSidecar } from '../e2e/ride.ts'
import { hex, span, traces } from '../otlp/requests.ts'
import { numbers } from '../random.ts'

const HOST = 'Host: localhost\r\n'
const CLOSE = 'Connection: close\r\n'
const BODY = traces([], span('once')).toString('latin1')
/** A whole good request, to be hidden behind another one. */
const HIDDEN = `POST /v1/traces HTTP/1.1\r\n${HOST}Content-Type: application/x-protobuf\r\nContent-Length: ${BODY.length}\r\n\r\n${BODY}`
const get = (target: string, more = ''): string => `GET ${target} HTTP/1.1\r\n${HOST}${CLOSE}${more}\r\n`
const post = (more: string, body = ''): string =>
  `POST /v1/traces HTTP/1.1\r\n${HOST}${CLOSE}Content-Type: application/x-protobuf\r\n${more}\r\n${body}`
const length = `Content-Length: ${BODY.length}\r\n`

/**
 * The bytes to send, and the status of the web server and of OTLP/HTTP: '' is a connection closed without an answer, and of
 * two the first is a handler's, which may answer before Node has seen what is wrong with the body.
 */
type Line = readonly [sent: string, web: string, otlp: string]

const LINES: readonly Line[] = [
  // Node passes these on to its user, whose `new URL` or `decodeURIComponent` would throw.
  [get('//'), '404', '404'],
  [get('http://['), '400', '404'],
  [get('/%'), '400', '404'],
  [get('/ui/%2e%2e%2f..'), '404', '404'],
  [get('/ui/a%00.js'), '404', '404'],
  [get('/metrics', '__proto__: x\r\n'), '200', '404'],
  [get('http://evil.example/metrics'), '421', '404'],
  [`GET /metrics HTTP/1.1\r\nHost: evil.example\r\n${CLOSE}\r\n`, '421', '404'],
  [get('/metrics', 'Host: evil.example\r\n'), '400', '404'],
  ['GET /metrics HTTP/1.0\r\n\r\n', '421', '404'],
  [`GET /metrics HTTP/1.1\r\n${HOST}Upgrade: websocket\r\nConnection: Upgrade, close\r\n\r\n`, '200', '404'],
  [`GET /metrics HTTP/1.1\r\n${HOST}Upgrade: h2c\r\nConnection: Upgrade, close\r\n\r\n`, '200', '404'],
  // Nothing that a client writes may become a header of the answer.
  [get('/metrics', 'Origin: https://a\tb\r\nAccept: \xff\r\nUser-Agent: \xe2\x80\xa8\r\n'), '200', '403'],
  [post(`__proto__: x\r\n${length}`, BODY), '405', '200'],
  [post(`Content-Type: text/plain\r\n${length}`, BODY), '405', '200'],
  [post(`Content-Encoding: gzip\r\nContent-Encoding: gzip\r\n${length}`, BODY), '405', '415'],
  [post(`Upgrade: websocket\r\n${length}`, BODY), '405', '200'],
  // Requests that two parsers could end at different places: bytes behind them are not read.
  [post(`Content-Length: 0\r\nTransfer-Encoding: chunked\r\n`, `0\r\n\r\n${HIDDEN}`), '400', '400'],
  [post(`Content-Length: 0\r\nContent-Length: ${HIDDEN.length}\r\n`, HIDDEN), '400', '400'],
  [post('Content-Length: -1\r\n', HIDDEN), '400', '400'],
  [post('Content-Length: 100000000000000000000\r\n', HIDDEN), '400', '400'],
  [post('Transfer-Encoding: chunked\r\n', `FFFFFFFFFFFFFFFFF\r\n${HIDDEN}`), '405|400', '400'],
  [post('Transfer-Encoding: chunked\r\n', `1;${'x'.repeat(20_000)}\r\n${HIDDEN}`), '405|413', '413|400'],
  [post(`X: ${'x'.repeat(20_000)}\r\n${length}`, BODY), '431', '431'],
  [post(`${'X: y\r\n'.repeat(3000)}${length}`, BODY), '431', '431'],
  [post(`X: a\0b\r\n${length}`, BODY), '400', '400'],
  [`POST /v1/traces HTTP/1.1\r\n${length}\r\n${BODY}`, '400', '400'],
  [post(`Expect: foo\r\n${length}`, BODY), '417', '417'],
  // Other protocols.
  [hex('16030102000100 01fc0303').toString('latin1'), '400', '400'],
  // OTLP takes HTTP/2 on this port too; its first frame is SETTINGS.
  ['PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', '400', String.raw`\0\0.\x04[\s\S]*`],
  ['CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example:443\r\n\r\n', '', ''],
]

t.test('the raw lines of HTTP that reach a handler, or should not: each has its answer at both listeners', async t => {
  await using ride = await startSidecar()
  let taken = 0
  for (const [sent, web, otlp] of LINES) {
    const name = JSON.stringify(sent.slice(0, 120))
    t.match(status(await exchange(ride.web, sent, web === '200')), new RegExp(`^(?:${web})$`), `web: ${name}`)
    const answer = await exchange(ride.otlp, sent)
    t.match(status(answer), new RegExp(`^(?:${otlp})$`), `OTLP: ${name}`)
    t.notMatch(answer.slice(0, answer.indexOf('\r\n\r\n')), /\xff|\xe2|evil/, 'nothing is reflected')
    if (otlp === '200') taken += 1
  }
  t.equal(await ride.value('pillion_otlp_accepted_items_total', { signal: 'traces' }), taken, 'no work twice')
  await unharmed(t, ride)
})

t.test('a thousand mutations of them: each connection is answered or closed, and nothing is harmed', async t => {
  await using ride = await startSidecar()
  const seed = Number(process.env['SEED'] ?? 1)
  t.comment(`SEED=${seed}`)
  const random = generator(seed)
  let answered = 0
  for (let round = 0; round < 20; round += 1) {
    const answers = Array.from({ length: 50 }, () => {
      const [line] = LINES[random(LINES.length)]!
      return exchange(random(2) ? ride.web : ride.otlp, mutated(line.slice(0, 4000), random))
    })
    for (const answer of await Promise.all(answers)) {
      t.match(answer, /^(HTTP\/1\.1 \d{3} |\0\0.\x04|$)/)
      if (answer !== '') answered += 1
    }
  }
  t.ok(answered > 500, `${answered} were answered`)
  await unharmed(t, ride)
})

async function unharmed(t: Test, ride: Ride): Promise<void> {
  t.equal(await ride.value('pillion_uncaught_exceptions_total'), 0)
  t.equal(status(await exchange(ride.web, get('/-/healthy'))), '200')
  t.equal(status(await exchange(ride.otlp, post(length, BODY))), '200')
  t.notMatch(ride.child.stderr, /level=error/)
}

/** Everything that comes until the peer closes; we have nothing more to say after what is sent. */
/**
 * Everything that is answered until the server closes. Node drops an answer that is not ready when its client has no more
 * to send, so one that takes a scrape is waited for by a client that stays (the request itself says that it is the last).
 */
function exchange(base: string, sent: string, stays = false): Promise<string> {
  const { hostname, port } = new URL(base)
  return new Promise(resolve => {
    const socket = connect(Number(port), hostname)
    let answer = ''
    socket.setEncoding('latin1').on('data', chunk => {
      answer += chunk
    })
    socket.on('error', () => {})
    socket.on('close', () => resolve(answer))
    if (stays) socket.write(sent, 'latin1')
    else socket.end(sent, 'latin1')
  })
}

function status(answer: string): string {
  return /^HTTP\/1\.1 (\d{3}) /.exec(answer)?.[1] ?? answer
}

/** One to four bytes overwritten, removed, doubled or put in. */
function mutated(text: string, random: (below: number) => number): string {
  const bytes = [...Buffer.from(text, 'latin1')]
  for (let n = random(4) + 1; n > 0; n -= 1) {
    const at = random(bytes.length)
    const byte = random(2) ? random(256) : Buffer.from('\r\n \0:%;,/[]').at(random(11))!
    bytes.splice(at, random(2), ...(random(3) ? [byte] : bytes.slice(at, at + random(20))))
  }
  return Buffer.from(bytes).toString('latin1')
}

/** Whole numbers below a bound, the same for the same seed. */
function generator(seed: number): (below: number) => number {
  const next = numbers(seed)
  return below => (next() * 2 ** 32) % below
}
