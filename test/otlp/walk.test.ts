// The walk's verdicts are those of the check, which the differential test holds to protobufjs; here is what it does besides.

import t from 'tap'
import { KeySet } from '../../otlp/key-set.ts'
import { Walk } from '../../otlp/walk.ts'
import { attribute, hex, ld, request, SID, span, TID, traces } from './requests.ts'

const MANY = 2_000_000
const walk = new Walk(new KeySet(['http.route']))

t.test('spans with ids that identify nothing are found', async t => {
  const bad = (...fields: readonly Buffer[]) => {
    t.ok(walk.run(request(...fields), MANY))
    return [walk.badTraceIds, walk.badSpanIds, walk.badParentIds].join(' ')
  }
  t.equal(bad(TID, SID), '0 0 0')
  t.equal(bad(), '1 0 0')
  t.equal(bad(SID), '1 0 0')
  t.equal(bad(ld(1, Buffer.alloc(15, 1)), SID), '1 0 0')
  t.equal(bad(ld(1, Buffer.alloc(17, 1)), SID), '1 0 0')
  t.equal(bad(ld(1, Buffer.alloc(16)), SID), '1 0 0')
  t.equal(bad(TID), '0 1 0')
  t.equal(bad(TID, ld(2, Buffer.alloc(8))), '0 1 0')
  t.equal(bad(TID, SID, ld(4, Buffer.alloc(7, 1))), '0 0 1')
  t.equal(bad(TID, SID, ld(4)), '0 0 0', 'an empty parent is none')
  t.equal(bad(ld(1, 'x'), TID, ld(2), SID), '0 0 0', 'of a field that occurs twice the last one holds')
  t.equal(bad(TID, ld(1, 'x'), SID), '1 0 0')
})

t.test('the first span that is refused is named by its byte', async t => {
  const body = traces([attribute(1, 'service.name', 'shop')], span('a'), ld(5, 'nameless'), span('b'), ld(5, 'x'))
  t.ok(walk.run(body, MANY))
  t.equal(walk.items, 4)
  t.equal(walk.badTraceIds, 2)
  t.equal(walk.firstBad, body.indexOf('nameless') - 2)
})

t.test('only good spans up to the limit are noted, and all are counted', async t => {
  const noted = (body: Buffer, limit: number) => {
    t.ok(walk.run(body, limit))
    return `${walk.items} ${walk.tape.length}`
  }
  const one = traces([], span('a'))
  const size = Number(noted(one, MANY).split(' ')[1])
  t.ok(size > 0)
  t.equal(noted(traces([], span('a'), ld(5, 'nameless')), MANY), `2 ${size}`)
  t.equal(noted(Buffer.concat([traces([]), hex('0a00'), hex('0a021200'), one, traces([])]), MANY), `1 ${size}`)
  t.equal(noted(one, 0), '1 0')
  t.equal(noted(traces([], ...Array.from({ length: 100 }, () => span('a'))), 99), '100 0')
})

t.test('items beyond the limit are still checked', async t => {
  const broken = traces([], ...Array.from({ length: 10 }, () => span('a')), Buffer.concat([TID, SID, hex('2aff')]))
  t.notOk(walk.run(broken, 2))
})

t.test('a huge request leaves no memory behind', async t => {
  const route = attribute(9, 'http.route', '/a')
  const body = traces([], ...Array.from({ length: 20_000 }, () => span('a', route)))
  const before = walk.tape.numbers.length
  t.ok(walk.run(body, MANY))
  t.ok(walk.tape.numbers.length * 4 < 4 * body.length, 'while it is read, the tape follows its size')
  walk.tape.clear()
  t.equal(walk.tape.numbers.length, before)
  t.equal(before * 4, 65_536)
})
