// Which traces have lost spans lately.

import t from 'tap'
import { Lost } from '../../store/lost.ts'

/** More than wait for a question, and not a multiple of it. */
const SPANS = 100_000

t.test('what was lost lately is known, whenever somebody asks, and what is older is forgotten', async t => {
  const lost = new Lost(SPANS)
  // Different for each, and as different as hashes are.
  const hash = (i: number): number => Math.imul(i, 0x9e3779b1)
  const known = (from: number, to: number): number => {
    let count = 0
    for (let i = from; i < to; i++) if (lost.has(hash(i))) count++
    return count
  }
  for (let i = 0; i < SPANS; i++) lost.add(hash(i))
  t.equal(known(0, SPANS), SPANS)
  t.ok(known(SPANS, 2 * SPANS) < SPANS * 0.02, 'few others are taken for lost')
  for (let i = SPANS; i < 2.5 * SPANS; i++) lost.add(hash(i))
  t.equal(known(SPANS, 2.5 * SPANS), 1.5 * SPANS, 'as many as the ring holds, at least')
  t.ok(known(0, SPANS) < SPANS * 0.03, 'the oldest are forgotten')
})
