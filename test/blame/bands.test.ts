// The memory that bands of slow requests may take.

import t from 'tap'
import { Bands, type SpanCauses } from '../../processors/blame/bands.ts'

function span(id: number, bands: number): SpanCauses {
  const band = { cause: 'disk', from: 0, to: 1, seconds: 0.001 }
  return { span_id: id.toString(16), causes: Array.from({ length: bands }, () => band) }
}

t.test('the bands of 200 ordinary traces are kept, and the oldest gives way', async t => {
  const bands = new Bands()
  for (let i = 0; i <= 200; i++) bands.add(`trace ${i}`, [span(i, 3)])
  t.same(bands.of('trace 0'), [])
  t.same(bands.of('trace 1'), [span(1, 3)])
  t.same(bands.of('trace 200'), [span(200, 3)])
})

t.test('traces of many spans with many bands are bounded by their sum', async t => {
  const bands = new Bands()
  const large = Array.from({ length: 300 }, (_, i) => span(i, 300))
  bands.add('small', [span(1, 1)])
  bands.add('first', large)
  t.equal(bands.of('first').length, 200, 'the newest spans of a trace')
  t.equal(bands.of('first')[0]?.causes.length, 200)
  t.same(bands.of('small'), [], 'one large trace takes the place of all others')
  bands.add('second', large)
  t.same(bands.of('first'), [])
  t.equal(bands.of('second').length, 200)
  bands.add('small', [span(1, 1)])
  t.same(bands.of('second'), [])
  t.equal(bands.of('small').length, 1)
})

t.test('what is learned of a trace later is added to it, and it counts as the newest', async t => {
  const bands = new Bands()
  for (let i = 0; i < 200; i++) bands.add(`trace ${i}`, [span(i, 3)])
  bands.add('trace 0', [span(999, 3)])
  bands.add('trace 200', [span(200, 3)])
  t.same(bands.of('trace 0'), [span(0, 3), span(999, 3)])
  t.same(bands.of('trace 1'), [])
})
