import t from 'tap'
import { Check } from '../../otlp/check.ts'
import { message } from '../../otlp/schema.ts'
import {
  attribute,
  fixed64,
  hex,
  ld,
  nestedArray,
  nestedList,
  number,
  request,
  SID,
  span,
  TID,
  traces,
} from './requests.ts'

const check = new Check()
const TRACES = message('TracesRequest')
const METRICS = message('MetricsRequest')
const LOGS = message('LogsRequest')

t.test('requests are accepted and refused exactly as by Google’s protobuf parsers', async t => {
  const ok = (what: string, bytes: Buffer) => t.ok(check.run(bytes, TRACES), `${what} is accepted`)
  const err = (what: string, bytes: Buffer) => t.notOk(check.run(bytes, TRACES), `${what} is refused`)

  ok('an empty request', Buffer.alloc(0))
  err('a tag without a length', hex('0a'))
  err('a length past the end', hex('0aff010a'))
  err('a length of 2^32-1', hex('0affffffff0f'))
  err('a length of 2^31', hex('0a8080808008'))
  err('a length in 10 bytes', hex('0affffffffffffffffff01'))
  err('a length in 11 bytes', hex('0affffffffffffffffffff01'))
  err('field 0', hex('0200'))
  err('wire type 6', hex('0e'))
  err('wire type 7', hex('0f'))
  err('the end of a group that was not begun', hex('0c'))
  ok('an unknown group', hex('7b08017c'))
  err('an unclosed group', hex('7b0801'))
  err('a group that ends as another', hex('7b8401'))
  ok('a tag in more bytes than it needs', hex('8a0000'))
  err('a tag in 6 bytes', hex('8a808080800000'))
  err('a tag above 2^32', hex('8a8080801000'))
  ok('field 1 as a varint, which makes it unknown', hex('0866'))
  err('field 1 as a 64-bit value that is cut off', hex('09000a00'))
  err('the same inside a resource', hex('0a021b000a00'))
  ok('a name as a varint', request(TID, SID, hex('2807')))
  ok('a start as a varint', request(TID, SID, hex('3805')))
  ok('kind -1 in 10 bytes', request(TID, SID, hex('30ffffffffffffffffff01')))
  err('a kind in 11 bytes', request(TID, SID, hex('308080808080808080808000')))
  err('a kind that does not end', request(TID, SID, hex('30ffff')))
  ok('a trace id of 15 bytes, which is the next rule’s business', request(ld(1, Buffer.alloc(15, 1)), SID))
  ok('a trace id of zeros', request(ld(1, Buffer.alloc(16)), SID))
  ok('a trace id of 1 MiB', request(ld(1, Buffer.alloc(1 << 20, 1)), SID))
  ok('control characters in a name', request(TID, SID, ld(5, hex('000a0d1b'))))
  ok('a resource in two pieces', ld(1, ld(1, attribute(1, 'a', 'b')), ld(1, attribute(1, 'c', 'd'))))
  ok('a value of two kinds', request(TID, SID, ld(9, ld(1, 'k'), ld(2, ld(1, 'x'), number(2, 1)))))
  ok('a double that is not a number', request(TID, SID, ld(9, ld(1, 'k'), ld(2, hex('21000000000000f87f')))))
  ok('the key __proto__', request(TID, SID, attribute(9, '__proto__', 'x')))
  ok('key-value lists 30 deep', request(TID, SID, ld(9, ld(1, 'k'), nestedList(30))))
  err('key-value lists 60 deep', request(TID, SID, ld(9, ld(1, 'k'), nestedList(60))))
  err('key-value lists 10,000 deep', request(TID, SID, ld(9, ld(1, 'k'), nestedList(10_000))))
  err('arrays 10,000 deep', request(TID, SID, ld(9, ld(1, 'k'), nestedArray(10_000))))
  err('groups 200 deep', Buffer.concat([Buffer.alloc(200, 0x7b), Buffer.alloc(200, 0x7c)]))
  err('groups 100,000 deep', Buffer.concat([Buffer.alloc(100_000, 0x7b), Buffer.alloc(100_000, 0x7c)]))
  ok('a million empty spans', ld(1, ld(2, Buffer.alloc(2_000_000, hex('1200')))))
  ok('a million empty resource_spans', Buffer.alloc(2_000_000, hex('0a00')))
  ok('a name that is not UTF-8, which is decided to be accepted', request(TID, SID, ld(5, hex('fffe80'))))
  ok('a surrogate in UTF-8', request(TID, SID, ld(5, hex('eda080'))))
  ok('an overlong NUL', request(TID, SID, ld(5, hex('c080'))))
})

t.test('a refusal names the byte and the field', async t => {
  const body = traces([], span('a'), Buffer.concat([span('b'), hex('4affff03')]))
  t.notOk(check.run(body, TRACES))
  t.equal(check.path, 'resource_spans.scope_spans.spans.attributes')
  t.equal(check.offset, body.length - 4)
  t.equal(check.why, 'a length of 65535 with 0 bytes left')
})

t.test('the depth limit is where protobuf has it: 100 messages inside each other', async t => {
  // The value of a span's attribute is the fifth message; each list in a list adds three.
  t.ok(check.run(request(TID, SID, ld(9, nestedList(31))), TRACES))
  t.notOk(check.run(request(TID, SID, ld(9, nestedList(32))), TRACES))
  t.match(check.why, /100 messages inside each other/)
})

t.test('spans, data points and log records are counted', async t => {
  const items = (body: Buffer, type: typeof TRACES) => {
    t.ok(check.run(body, type))
    return check.items
  }
  t.equal(items(traces([], span('a'), span('b'), span('c')), TRACES), 3)
  const points = [ld(5, ld(1), ld(1)), ld(7, ld(1)), ld(9, ld(1)), ld(10, ld(1)), ld(11, ld(1))]
  t.equal(items(ld(1, ld(2, ...points.map(data => ld(2, data)))), METRICS), 6)
  t.equal(items(ld(1, ld(2, ld(2), ld(2, ld(3, 'INFO')))), LOGS), 2)
})

t.test('packed numbers are checked as they are when they stand singly', async t => {
  const histogram = (...fields: readonly Buffer[]) => ld(1, ld(2, ld(2, ld(9, ld(1, ...fields)))))
  const exponential = (...fields: readonly Buffer[]) => ld(1, ld(2, ld(2, ld(10, ld(1, ld(8, ...fields))))))
  t.ok(check.run(histogram(ld(6, Buffer.alloc(24)), ld(7, Buffer.alloc(16))), METRICS))
  t.ok(check.run(histogram(fixed64(6, 1n), fixed64(6, 2n)), METRICS))
  t.notOk(check.run(histogram(ld(6, Buffer.alloc(23))), METRICS))
  t.ok(check.run(exponential(ld(2, hex('01ff01'))), METRICS))
  t.notOk(check.run(exponential(ld(2, hex('01ff'))), METRICS))
  t.notOk(check.run(exponential(ld(2, Buffer.alloc(11, 0xff), hex('01'))), METRICS))
})
