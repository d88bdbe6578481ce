// The encoder of snappy blocks.

import t from 'tap'
import { compress } from '../../exporter/push/snappy.ts'
import fc from '../property.ts'
import { uncompress } from './unsnappy.ts'

t.test('whatever is compressed is the same after it is uncompressed', async t => {
  // Few different bytes, so that there is much to find; and pieces that recur at all distances.
  const bytes = fc.uint8Array({ maxLength: 2000, max: 3 })
  const pieces = fc.array(fc.constantFrom(...['a', 'bc', 'service="shop"', 'x'.repeat(70), '\0'.repeat(300)]), {
    maxLength: 3000,
  })
  const property = fc.property(
    fc.oneof(
      bytes,
      pieces.map(each => Buffer.from(each.join(''))),
    ),
    plain => uncompress(compress(Buffer.from(plain))).equals(Buffer.from(plain)),
  )
  t.doesNotThrow(() => fc.assert(property, { numRuns: 500 }))
})

t.test('blocks at and around the size of a fragment, and of every size of a literal', async t => {
  const noise = Buffer.from(Array.from({ length: 200_000 }, (_, i) => (Math.imul(i, 2654435761) >>> 13) & 255))
  for (const size of [0, 1, 3, 4, 15, 16, 59, 60, 61, 255, 256, 257, 65_535, 65_536, 65_537, 131_072, 200_000])
    t.ok(uncompress(compress(noise.subarray(0, size))).equals(noise.subarray(0, size)), `${size}`)
})

t.test('labels that recur take a small part of their bytes', async t => {
  const plain = Buffer.from(
    Array.from(
      { length: 5000 },
      (_, i) => `__name__=calls,service=shop,span_name=GET /item/${i % 50},value=${i};`,
    ).join(''),
  )
  t.ok(compress(plain).length < plain.length / 4)
})
