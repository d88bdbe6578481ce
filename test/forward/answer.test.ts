import t from 'tap'
import { status } from '../../collectors/otlp/status.ts'
import { judgeFailure, judgeGrpc, judgeHttp, retryAfter, type Verdict } from '../../exporter/forward/answer.ts'
import { readPartialSuccess, readStatus } from '../../exporter/forward/response.ts'
import { CLIENT_REASONS } from '../../telemetry/client.ts'
import { ld, number } from '../otlp/requests.ts'

const NOW = Date.parse('2026-11-28T12:00:00Z')
const PROTOBUF = 'application/x-protobuf'

function http(
  code: number,
  body: Buffer | string = '',
  type = PROTOBUF,
  headers: Record<string, string> = {},
): Verdict {
  const all = new Map(Object.entries({ 'content-type': type, ...headers }))
  const rules = { signal: 'traces', retry500: false, now: () => NOW } as const
  return judgeHttp({ status: code, headers: all, body: Buffer.from(body) }, rules)
}

function grpc(code: number, message = '', details: Buffer = Buffer.alloc(0), body: Buffer = Buffer.alloc(0)): Verdict {
  return judgeGrpc({ code, message, details, body }, { signal: 'traces' })
}

const partial = (rejected: number, text: string) => ld(1, number(1, rejected), ld(2, text))
const taken = (rejected = 0, message = '') => ({ kind: 'taken', rejected, message })

t.test('HTTP: each answer has its action', async t => {
  const f = (verdict: Verdict, expected: object) => t.match(verdict, expected, JSON.stringify(verdict))
  f(http(200), taken())
  f(http(202), taken())
  f(http(204), taken())
  f(http(200, partial(3, 'three are bad')), taken(3, 'three are bad'))
  f(http(200, partial(0, 'mind the limit')), taken(0, 'mind the limit'))
  f(http(200, '{"partialSuccess":{"rejectedSpans":"2","errorMessage":"no"}}', 'application/json'), taken(2, 'no'))
  f(http(200, '{"partial_success":{"rejected_spans":2}}', 'application/json; charset=utf-8'), taken(2))
  f(http(200, '<html>hello</html>', 'text/html; charset=utf-8'), {
    ...taken(),
    message: 'HTTP 200 with a page in HTML; is this a receiver of OTLP?',
  })
  f(http(200, '<html>hello</html>'), taken())
  f(http(200, '{"broken', 'application/json'), taken())
  for (const code of [300, 301, 302, 303, 304, 307, 308]) f(http(code), { kind: 'drop', reason: 'redirect' })
  f(http(413), { kind: 'divide' })
  f(http(400, status('protobuf', 3, 'http: request body too large')), { kind: 'divide' })
  f(http(400, 'request body too large', 'text/plain'), { kind: 'divide' })
  f(http(400, status('protobuf', 3, 'bad wire type')), {
    kind: 'drop',
    reason: 'rejected',
    message: 'HTTP 400: bad wire type',
  })
  f(http(400, '{"message":"no such field"}', 'application/json'), { kind: 'drop', message: 'HTTP 400: no such field' })
  f(http(400, status('protobuf', 3, 'cannot take this: it has been here before (pillion-hops)')), {
    kind: 'drop',
    reason: 'loop',
  })
  for (const code of [402, 406, 408, 409, 411, 422, 431, 500, 501, 505, 507])
    f(http(code), { kind: 'drop', reason: 'rejected' })
  for (const code of [401, 403]) f(http(code), { kind: 'hold', reason: 'auth' })
  for (const code of [404, 405, 415]) f(http(code), { kind: 'hold', reason: 'not_supported' })
  for (const code of [429, 502, 503, 504]) f(http(code), { kind: 'retry', afterMs: undefined })
  f(http(429, '', PROTOBUF, { 'retry-after': '7' }), { kind: 'retry', afterMs: 7000 })
  f(http(503, status('protobuf', 14, 'busy', 1500)), { kind: 'retry', afterMs: 1500 })
})

t.test('HTTP 500 is tried again only if the option says so', async t => {
  const answer = { status: 500, headers: new Map<string, string>(), body: Buffer.alloc(0) }
  t.match(judgeHttp(answer, { signal: 'logs', retry500: true, now: () => NOW }), { kind: 'retry' })
})

t.test('gRPC: each answer has its action', async t => {
  const f = (verdict: Verdict, expected: object) => t.match(verdict, expected, JSON.stringify(verdict))
  const info = status('protobuf', 8, 'slow down', 2500)
  f(grpc(0), taken())
  f(grpc(0, '', undefined, partial(4, 'four')), taken(4, 'four'))
  for (const code of [1, 4, 10, 11, 14, 15]) f(grpc(code), { kind: 'retry', afterMs: undefined })
  f(grpc(14, 'busy', status('protobuf', 14, 'busy', 800)), { kind: 'retry', afterMs: 800 })
  f(grpc(8, 'slow down', info), { kind: 'retry', afterMs: 2500 })
  f(grpc(8, 'message larger than max'), { kind: 'divide' })
  for (const code of [2, 3, 5, 6, 9, 13, 17]) f(grpc(code), { kind: 'drop', reason: 'rejected' })
  f(grpc(3, 'it has been here before (pillion-hops)'), { kind: 'drop', reason: 'loop' })
  for (const code of [7, 16]) f(grpc(code), { kind: 'hold', reason: 'auth' })
  f(grpc(12, 'unknown service'), { kind: 'hold', reason: 'not_supported' })
})

t.test('without an answer the request is tried again, whatever the reason', async t => {
  for (const reason of CLIENT_REASONS) t.match(judgeFailure(reason, 'because'), { kind: 'retry' })
})

t.test('Retry-After is seconds or a date, between nothing and five minutes', async t => {
  const f = (field: string | undefined, expected: number | undefined) =>
    t.equal(retryAfter(field, NOW), expected, `${field}`)
  f(undefined, undefined)
  f('1', 1000)
  f(' 30 ', 30_000)
  f('0', undefined)
  f('999999999', 300_000)
  f('99999999999999999999', undefined)
  f('-1', undefined)
  f('1.5', undefined)
  f('soon', undefined)
  f('Sat, 28 Nov 2026 12:00:10 GMT', 10_000)
  f('Mon, 09 Feb 2025 12:00:00 GMT', undefined)
  f('Sat, 28 Nov 2099 12:00:10 GMT', 300_000)
})

t.test('answers of any bytes are read without an error, and reject nothing that is no number', async t => {
  const whole = Buffer.concat([partial(300, 'text'), number(9, 5), ld(7, 'x')])
  for (let cut = 0; cut <= whole.length; cut++)
    for (let bit = 0; bit < 8; bit++) {
      const bytes = Buffer.from(whole.subarray(0, cut))
      if (cut > 0) bytes[cut - 1]! ^= 1 << bit
      t.ok(readPartialSuccess(bytes, PROTOBUF, 'traces').rejected >= 0)
      t.ok(readStatus(bytes, PROTOBUF).message.length < 100)
    }
  t.same(readPartialSuccess(ld(1, number(1, 2 ** 53)), PROTOBUF, 'traces'), { rejected: 0, message: '' })
  t.same(
    readPartialSuccess(Buffer.from('{"partialSuccess":{"rejectedSpans":-3}}'), 'application/json', 'traces').rejected,
    0,
  )
  t.same(
    readPartialSuccess(Buffer.from('{"partialSuccess":{"rejectedSpans":"x"}}'), 'application/json', 'traces').rejected,
    0,
  )
})

t.test('a RetryInfo is found behind other details', async t => {
  const other = ld(3, ld(1, 'type.googleapis.com/google.rpc.BadRequest'), ld(2, ld(1, 'field')))
  const bytes = Buffer.concat([other, status('protobuf', 8, 'slow down', 1250), other])
  t.same(readStatus(bytes, PROTOBUF), { message: 'slow down', retryMs: 1250 })
})
