// Connections as both ends act them: requests and answers of every kind, well-formed and not, and how the connection ends.

import type { Random } from '../random.ts'

/** Done once the peer has received so many bytes in all, and has done what stands before. */
export interface Act {
  readonly after: number
  readonly what: 'write' | 'end' | 'reset'
  readonly bytes?: Buffer
}

export interface Expected {
  readonly method: string
  readonly target: string
  readonly status: number
  readonly requestBytes: number
  readonly responseBytes: number
}

export interface Script {
  readonly kind: string
  readonly client: readonly Act[]
  readonly server: readonly Act[]
  /** The exchanges that are complete. */
  readonly exchanges: readonly Expected[]
  /** The number of exchanges, complete or not. */
  readonly count: number
  /** Why the connection is not followed to its end; undefined if it is. */
  readonly opaque?: string
  /** Bytes may be lost, since one side resets the connection. */
  readonly reset?: boolean
}

const ENDS = [
  ...['client', 'client', 'client', 'server', 'server', 'half', 'half', 'close', 'close'],
  ...[
    'upgrade',
    'connect',
    'unanswered',
    'client reset',
    'server reset',
    'cut',
    'tls',
    'http2',
    'garbage',
    'server first',
  ],
  ...['folded', 'two lengths', 'bad length', 'bad chunk', 'long head', 'h2c'],
] as const

class Talk {
  readonly random: Random
  readonly client: Act[] = []
  readonly server: Act[] = []
  readonly exchanges: Expected[] = []
  /** Bytes that each side has sent so far. */
  sentByClient = 0
  sentByServer = 0
  count = 0

  constructor(random: Random) {
    this.random = random
  }

  /** The client writes when it has received this much. */
  ask(bytes: Buffer, after: number): void {
    for (const piece of this.random.pieces(bytes, 4)) this.client.push({ after, what: 'write', bytes: piece })
    this.sentByClient += bytes.length
  }

  answer(bytes: Buffer, after: number): void {
    for (const piece of this.random.pieces(bytes, 4)) this.server.push({ after, what: 'write', bytes: piece })
    this.sentByServer += bytes.length
  }
}

export function script(random: Random): Script {
  const talk = new Talk(random)
  const exchanges = random.whole(0, 12)
  // Pipelined: requests do not wait for the answers before them.
  const pipelined = random.chance(0.4)
  for (let i = 0; i < exchanges; i++) {
    const made = message(random)
    const { request, head, response } = made
    const before = talk.sentByClient
    talk.ask(request, pipelined ? 0 : talk.sentByServer)
    // An early answer comes when only the head has arrived.
    const early = random.chance(0.1)
    talk.answer(response, early ? before + head : talk.sentByClient)
    talk.exchanges.push(made)
    talk.count++
  }
  const kind = random.of(ENDS)
  const opaque = finish(kind, talk)
  return {
    kind,
    client: talk.client,
    server: talk.server,
    exchanges: talk.exchanges,
    count: talk.count,
    ...(opaque !== undefined && { opaque }),
    ...(kind.endsWith('reset') && { reset: true }),
  }
}

/** Ends the connection; returns the reason if it is opaque by then. */
function finish(kind: (typeof ENDS)[number], talk: Talk): string | undefined {
  const { random } = talk
  const all = (): readonly [number, number] => [talk.sentByServer, talk.sentByClient]
  const bothEnd = (first: 'client' | 'server'): void => {
    const [received, asked] = all()
    talk.client.push({ after: received, what: 'end' })
    // The other one ends when it has heard of the end, which the peers see to.
    talk.server.push({ after: first === 'client' ? asked : asked, what: 'end' })
  }
  const odd = (text: string | Buffer): void => {
    talk.ask(Buffer.from(text as string, 'latin1'), talk.sentByServer)
    talk.answer(
      Buffer.from('HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n'),
      talk.sentByClient,
    )
    talk.count++
    bothEnd('server')
  }
  switch (kind) {
    case 'client':
    case 'server':
      bothEnd(kind)
      return undefined
    case 'half': {
      // The client sends a request, closes its side, and still gets the answer.
      const made = message(random)
      talk.ask(made.request, talk.sentByServer)
      talk.client.push({ after: 0, what: 'end' })
      talk.answer(made.response, talk.sentByClient)
      talk.server.push({ after: talk.sentByClient, what: 'end' })
      talk.exchanges.push(made)
      talk.count++
      return undefined
    }
    case 'close': {
      // The answer ends with the connection.
      const body = random.bytes(random.whole(0, 3000))
      const target = path(random)
      talk.ask(Buffer.from(`GET ${target} HTTP/1.${random.whole(0, 1)}\r\nHost: a\r\n\r\n`), talk.sentByServer)
      talk.answer(Buffer.concat([Buffer.from('HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n'), body]), talk.sentByClient)
      talk.exchanges.push({ method: 'GET', target, status: 200, requestBytes: 0, responseBytes: body.length })
      talk.count++
      bothEnd('server')
      return undefined
    }
    case 'upgrade': {
      const target = path(random)
      talk.ask(
        Buffer.from(`GET ${target} HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n`),
        talk.sentByServer,
      )
      talk.answer(
        Buffer.from('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n'),
        talk.sentByClient,
      )
      talk.exchanges.push({ method: 'GET', target, status: 101, requestBytes: 0, responseBytes: 0 })
      talk.count++
      for (let i = random.whole(0, 4); i > 0; i--) {
        talk.ask(random.bytes(random.whole(1, 500)), talk.sentByServer)
        talk.answer(random.bytes(random.whole(1, 500)), talk.sentByClient)
      }
      bothEnd('client')
      return 'upgrade'
    }
    case 'h2c': {
      // Java's client asks each server for an upgrade, and servers answer as if it had not.
      const target = path(random)
      talk.ask(
        Buffer.from(
          `GET ${target} HTTP/1.1\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAA\r\n\r\n`,
        ),
        talk.sentByServer,
      )
      talk.answer(Buffer.from('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok'), talk.sentByClient)
      talk.exchanges.push({ method: 'GET', target, status: 200, requestBytes: 0, responseBytes: 2 })
      talk.count++
      bothEnd('client')
      return undefined
    }
    case 'connect':
      talk.ask(Buffer.from('CONNECT db:5432 HTTP/1.1\r\nHost: db:5432\r\n\r\n'), talk.sentByServer)
      talk.answer(Buffer.from('HTTP/1.1 200 OK\r\n\r\n'), talk.sentByClient)
      talk.ask(random.bytes(50), talk.sentByServer)
      talk.answer(random.bytes(50), talk.sentByClient)
      talk.count++
      bothEnd('client')
      return 'connect'
    case 'unanswered':
      talk.ask(Buffer.from(`GET ${path(random)} HTTP/1.1\r\nHost: a\r\n\r\n`), talk.sentByServer)
      talk.count++
      bothEnd('server')
      return undefined
    case 'cut': {
      // The server ends in the middle of an answer.
      talk.ask(Buffer.from(`GET ${path(random)} HTTP/1.1\r\nHost: a\r\n\r\n`), talk.sentByServer)
      talk.answer(Buffer.from('HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nonly this'), talk.sentByClient)
      talk.count++
      bothEnd('server')
      return undefined
    }
    case 'client reset':
      talk.ask(Buffer.from('POST /upload HTTP/1.1\r\nContent-Length: 5000\r\n\r\nthe beginning'), talk.sentByServer)
      talk.answer(Buffer.from('HTTP/1.1 100 Continue\r\n\r\n'), talk.sentByClient)
      talk.client.push({ after: talk.sentByServer, what: 'reset' })
      talk.count++
      return undefined
    case 'server reset':
      talk.ask(Buffer.from(`GET ${path(random)} HTTP/1.1\r\nHost: a\r\n\r\n`), talk.sentByServer)
      talk.server.push({ after: talk.sentByClient, what: 'reset' })
      talk.count++
      return undefined
    case 'tls':
      odd(Buffer.concat([Buffer.from([0x16, 3, 1, 0, 200]), random.bytes(random.whole(10, 300))]))
      return talk.exchanges.length > 0 ? 'not_http' : 'tls'
    case 'http2':
      odd('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0')
      return 'http2'
    case 'garbage':
      odd(Buffer.concat([Buffer.from([random.of([0, 1, 127, 128, 255, 64])]), random.bytes(random.whole(1, 400))]))
      return 'not_http'
    case 'server first':
      talk.answer(Buffer.from('220 mail.example ESMTP\r\n'), talk.sentByClient)
      talk.ask(Buffer.from('EHLO a\r\n'), talk.sentByServer)
      talk.count++
      bothEnd('client')
      return 'unexpected'
    case 'folded':
      odd('GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n')
      return 'head'
    case 'two lengths':
      odd('POST / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n123456')
      return 'length'
    case 'bad length':
      odd(`POST / HTTP/1.1\r\nContent-Length: ${random.of(['-1', '+5', '0x5', '5, 5', '', '5 5'])}\r\n\r\n12345`)
      return 'length'
    case 'bad chunk':
      odd('POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\nabc\r\n0\r\n\r\n')
      return 'length'
    case 'long head':
      odd(`GET / HTTP/1.1\r\nCookie: ${'c'.repeat(random.whole(17_000, 40_000))}\r\n\r\n`)
      return 'head'
  }
}

interface Made extends Expected {
  readonly request: Buffer
  /** Bytes of the head of the request. */
  readonly head: number
  readonly response: Buffer
}

function message(random: Random): Made {
  const method = random.of(['GET', 'GET', 'GET', 'HEAD', 'POST', 'POST', 'PUT', 'DELETE', 'OPTIONS', 'PATCH', 'PURGE'])
  const target = path(random)
  const hasBody = ['POST', 'PUT', 'PATCH'].includes(method)
  const sent = hasBody ? body(random) : { bytes: Buffer.alloc(0), payload: 0, field: '' }
  const more = Array.from({ length: random.whole(0, 8) }, () => `${random.of(NAMES)}: ${word(random)}\r\n`)
  if (random.chance(0.2))
    more.push(`traceparent: 00-${random.bytes(16).toString('hex')}-${random.bytes(8).toString('hex')}-01\r\n`)
  if (hasBody && random.chance(0.2)) more.push('Expect: 100-continue\r\n')
  const blank = random.chance(0.05) ? '\r\n' : ''
  const fields = shuffled(random, [`Host: shop\r\n`, sent.field, ...more]).join('')
  const requestHead = Buffer.from(`${blank}${method} ${target} HTTP/1.1\r\n${fields}\r\n`, 'latin1')
  const status = random.of([200, 200, 200, 201, 204, 206, 301, 304, 400, 404, 409, 500, 503])
  const bare = method === 'HEAD' || status === 204 || status === 304
  const answered = body(random)
  const interim = random.chance(0.15)
    ? random.of([
        'HTTP/1.1 100 Continue\r\n\r\n',
        'HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n',
        'HTTP/1.1 102 \r\n\r\n',
      ])
    : ''
  const reason = random.of([' OK', ' ', '', ' Not Found At All'])
  const responseFields = shuffled(random, [
    `Server: test\r\n`,
    status === 204 ? '' : answered.field,
    `x-a: ${word(random)}\r\n`,
  ])
  const responseHead = `${interim}HTTP/1.1 ${status}${reason}\r\n${responseFields.join('')}\r\n`
  return {
    method,
    target,
    status,
    requestBytes: sent.payload,
    responseBytes: bare ? 0 : answered.payload,
    head: requestHead.length,
    request: Buffer.concat([requestHead, sent.bytes]),
    response: Buffer.concat([Buffer.from(responseHead, 'latin1'), bare ? Buffer.alloc(0) : answered.bytes]),
  }
}

/** A body with its framing. */
function body(random: Random): { readonly bytes: Buffer; readonly payload: number; readonly field: string } {
  const size = random.chance(0.02)
    ? random.whole(50_000, 300_000)
    : random.chance(0.3)
      ? random.whole(0, 5000)
      : random.whole(0, 60)
  const payload = size > 5000 ? Buffer.alloc(size, random.whole(0, 255)) : random.bytes(size)
  if (random.chance(0.5)) {
    const name = random.of(['Content-Length', 'content-length', 'CONTENT-LENGTH'])
    return {
      bytes: payload,
      payload: size,
      field: `${name}:${random.of([' ', '', '\t', '  '])}${size}${random.of(['', ' '])}\r\n`,
    }
  }
  const parts: Buffer[] = []
  for (const piece of random.pieces(payload, 5)) {
    const digits = random.chance(0.3)
      ? piece.length.toString(16).toUpperCase().padStart(6, '0')
      : piece.length.toString(16)
    const extension = random.chance(0.2) ? random.of([';a=b', ' ; a="b"', ';x']) : ''
    parts.push(Buffer.from(`${digits}${extension}\r\n`), piece, Buffer.from('\r\n'))
  }
  const trailers = random.chance(0.2) ? 'Digest: x\r\nServer-Timing: total;dur=1\r\n' : ''
  parts.push(Buffer.from(`${random.of(['0', '000'])}\r\n${trailers}\r\n`))
  const field = random.of([
    'Transfer-Encoding: chunked\r\n',
    'transfer-encoding:chunked\r\n',
    'Transfer-Encoding: gzip, Chunked \r\n',
  ])
  return { bytes: Buffer.concat(parts), payload: size, field }
}

const NAMES = [
  'Accept',
  'User-Agent',
  'x-length',
  'Cookie',
  'If-None-Match',
  'Content-Lengths',
  'X-Transfer-Encoding',
  'Via',
]

function path(random: Random): string {
  return random.of([
    '/',
    '/users/1',
    `/orders/${random.whole(1, 9999)}?page=2`,
    'http://shop/absolute',
    '*',
    '/%F0%9F%8D%8E',
    '/a;b=c',
  ])
}

function word(random: Random): string {
  return random.of(['a', '"quoted, text"', 'gzip, br', '\xe4\xf6', '', 'x'.repeat(random.whole(1, 200))])
}

function shuffled(random: Random, all: readonly string[]): string[] {
  return all
    .map(each => [random.next(), each] as const)
    .sort((a, b) => a[0] - b[0])
    .map(([, each]) => each)
}
