// Responses of applications that are healthy, each spelled in an odd way, and a server that gives them byte for byte.

import { createServer, type Server, type Socket } from 'node:net'
import { gzipSync } from 'node:zlib'

export const BODY = '{"status":"UP"}'

const GZIP = gzipSync(BODY)
const LENGTH = `Content-Length: ${BODY.length}`
const OK = `HTTP/1.1 200 OK\r\n${LENGTH}\r\n`

interface Shape {
  readonly bytes: Buffer
  /** Whether a probe of the status succeeds, and one that looks for UP in the body. */
  readonly status: boolean
  readonly body: boolean
  /** The end of the connection: kept open for a while, closed at once, reset at once; trickle sends byte by byte. */
  readonly end: 'stay' | 'close' | 'reset' | 'trickle'
}

function shape(text: string | Buffer, status = true, body = true, end: Shape['end'] = 'stay'): Shape {
  return { bytes: Buffer.isBuffer(text) ? text : Buffer.from(text, 'latin1'), status, body, end }
}

export const SHAPES: Readonly<Record<string, Shape>> = {
  plain: shape(`${OK}\r\n${BODY}`),
  'lines that end with LF alone': shape(`HTTP/1.1 200 OK\nContent-Type: application/json\n${LENGTH}\n\n${BODY}`),
  'no reason phrase': shape(`HTTP/1.1 200\r\n${LENGTH}\r\n\r\n${BODY}`),
  'HTTP/1.0 without a length': shape(`HTTP/1.0 200 OK\r\n\r\n${BODY}`, true, true, 'close'),
  'the same length twice': shape(`${OK}${LENGTH}\r\n\r\n${BODY}`),
  'a length and chunked': shape(`${OK}Transfer-Encoding: chunked\r\n\r\nf\r\n${BODY}\r\n0\r\n\r\n`),
  'Latin-1 in a header': shape(`HTTP/1.1 200 OK\r\nX-Name: caf\xe9\r\n${LENGTH}\r\n\r\n${BODY}`),
  'UTF-8 in a header': shape(`HTTP/1.1 200 OK\r\nX-Olaf: \xe2\x9b\x84\r\n${LENGTH}\r\n\r\n${BODY}`),
  'a control character in a header': shape(`HTTP/1.1 200 OK\r\nX-C: a\x01b\r\n${LENGTH}\r\n\r\n${BODY}`),
  'a space in the name of a header': shape(`HTTP/1.1 200 OK\r\nX C: ab\r\n${LENGTH}\r\n\r\n${BODY}`),
  'a space before the colon': shape(`HTTP/1.1 200 OK\r\nX-C : ab\r\n${LENGTH}\r\n\r\n${BODY}`),
  'a folded header': shape(`HTTP/1.1 200 OK\r\nX-C: a\r\n b\r\n${LENGTH}\r\n\r\n${BODY}`),
  '100 before the answer': shape(`HTTP/1.1 100 Continue\r\n\r\n${OK}\r\n${BODY}`),
  '103 before the answer': shape(`HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n${OK}\r\n${BODY}`),
  'a switch of protocols': shape('HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n', false, false, 'close'),
  '204 with a body': shape(`HTTP/1.1 204 No Content\r\n${LENGTH}\r\n\r\n${BODY}`, true, false),
  'gzip that was not asked for': shape(
    Buffer.concat([
      Buffer.from(`HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: ${GZIP.length}\r\n\r\n`),
      GZIP,
    ]),
    true,
    false,
  ),
  'a byte order mark': shape(`HTTP/1.1 200 OK\r\nContent-Length: 18\r\n\r\n\xef\xbb\xbf${BODY}`),
  'a chunk extension and a trailer': shape(
    `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nf;x=y\r\n${BODY}\r\n0\r\nX-T: 1\r\n\r\n`,
  ),
  'chunked in capitals': shape(`HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\nF\r\n${BODY}\r\n0\r\n\r\n`),
  'a length with a sign': shape(`HTTP/1.1 200 OK\r\nContent-Length: +15\r\n\r\n${BODY}`, false, false),
  'an unknown status': shape(`HTTP/1.1 299 Odd\r\n${LENGTH}\r\n\r\n${BODY}`),
  'HTTP/1.2': shape(`HTTP/1.2 200 OK\r\n${LENGTH}\r\n\r\n${BODY}`),
  'http in small letters': shape(`http/1.1 200 OK\r\n${LENGTH}\r\n\r\n${BODY}`, false, false),
  'UTF-16': shape(
    Buffer.concat([
      Buffer.from('HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-16\r\nContent-Length: 30\r\n\r\n'),
      Buffer.from(BODY, 'utf16le'),
    ]),
    true,
    false,
  ),
  'a reset after the answer': shape(`${OK}\r\n${BODY}`, true, true, 'reset'),
  'byte by byte': shape(`${OK}\r\n${BODY}`, true, true, 'trickle'),

  // Their siblings.
  'more than the length': shape(`${OK}\r\n${BODY} and more`),
  'a second response': shape(`${OK}\r\n${BODY}HTTP/1.1 500 No\r\n\r\n`),
  'two lengths': shape(`${OK}Content-Length: 14\r\n\r\n${BODY}`, false, false),
  'less than the length': shape(`HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\n${BODY}`, false, false, 'close'),
  'an empty length': shape(`HTTP/1.1 200 OK\r\nContent-Length: \r\n\r\n${BODY}`, true, true, 'close'),
  'a length after spaces': shape(`HTTP/1.1 200 OK\r\nContent-Length: \t 15 \r\n\r\n${BODY}`),
  'a header without a name': shape(`HTTP/1.1 200 OK\r\n: a\r\n${LENGTH}\r\n\r\n${BODY}`),
  'a header without a value': shape(`HTTP/1.1 200 OK\r\nX-C:\r\n${LENGTH}\r\n\r\n${BODY}`),
  'a header without a colon': shape(`HTTP/1.1 200 OK\r\nX-C\r\n${LENGTH}\r\n\r\n${BODY}`, false, false),
  'a header folded with a tab': shape(`HTTP/1.1 200 OK\r\nX-C: a\r\n\tb\r\n${LENGTH}\r\n\r\n${BODY}`),
  'two spaces before the status': shape(`HTTP/1.1  200 OK\r\n${LENGTH}\r\n\r\n${BODY}`),
  'a status of four digits': shape(`HTTP/1.1 2000 OK\r\n${LENGTH}\r\n\r\n${BODY}`, false, false),
  'no space after the status': shape(`HTTP/1.1 200OK\r\n${LENGTH}\r\n\r\n${BODY}`, false, false),
  'HTTP/2.0 in text': shape(`HTTP/2.0 200 OK\r\n${LENGTH}\r\n\r\n${BODY}`),
  '304 with a length': shape(`HTTP/1.1 304 Not Modified\r\n${LENGTH}\r\n\r\n`, false, false),
  '205 with a body': shape(`HTTP/1.1 205 Reset Content\r\n${LENGTH}\r\n\r\n${BODY}`),
  'chunks that end with LF alone': shape(`HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\nf\n${BODY}\r\n0\n\r\n`),
  'spaces after the size of a chunk': shape(
    `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nf  \r\n${BODY}\r\n0\r\n\r\n`,
  ),
  'zeros before the size of a chunk': shape(
    `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n000f\r\n${BODY}\r\n000\r\n\r\n`,
  ),
  'several chunks': shape(
    `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\ne\r\n${BODY.slice(1)}\r\n0\r\n\r\n`,
  ),
  'chunks without an end': shape(
    `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nf\r\n${BODY}\r\n`,
    false,
    false,
    'close',
  ),
  'a chunk longer than its size': shape(
    `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\ne\r\n${BODY}\r\n0\r\n\r\n`,
    false,
    false,
  ),
  'HTTP/1.0 with chunked': shape(
    `HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nf\r\n${BODY}\r\n0\r\n\r\n`,
    true,
    true,
    'close',
  ),
}

/** Answers `/N` with the Nth shape. */
export function shapeServer(): Server {
  return createServer({ noDelay: true }, socket => {
    let head = ''
    // A client that has read the answer and does not close would keep the server from closing.
    socket.unref()
    socket.on('error', () => {})
    socket.on('data', bytes => {
      head += bytes.toString('latin1')
      const [, place] = /^GET \/(\d+) .*\r\n\r\n$/s.exec(head) ?? []
      const found = Object.values(SHAPES)[Number(place)]
      if (found) void give(found, socket)
    })
  })
}

async function give({ bytes, end }: Shape, socket: Socket): Promise<void> {
  if (end === 'trickle') {
    for (const byte of bytes) {
      socket.write(Buffer.of(byte))
      await new Promise(setImmediate)
    }
  } else if (end === 'close') socket.end(bytes)
  else {
    socket.write(bytes, () => {
      if (end === 'reset') socket.resetAndDestroy()
    })
  }
}
