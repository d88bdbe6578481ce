// The tables behind requests that are put together: traces by their ids, and operations by their names.

import t from 'tap'
import { hashOfFour } from '../../metrics/hash.ts'
import { Newest } from '../../processors/trees/newest.ts'
import type { SpanView } from '../../telemetry/consumer.ts'
import { Memory } from '../../telemetry/memory.ts'
import { ALL, Pending } from '../../telemetry/pending.ts'
import fc from '../property.ts'

/** The facts of a span that the table asks for: a trace by a number, whose hash collides with those of many others. */
function ofTrace(number: number, serial: number, hashes: number): SpanView {
  const data = new DataView(new ArrayBuffer(16))
  data.setInt32(12, number, true)
  const traceHash = hashes === 0 ? hashOfFour(0, 0, 0, number) : number % hashes
  return { data, traceId: 0, traceSerial: serial, traceHash } as SpanView
}

t.test('traces are found by their ids whatever was added and removed before, also if their hashes collide', async t => {
  const step = fc.record({ trace: fc.nat(300), remove: fc.boolean() })
  const run = (steps: readonly { trace: number; remove: boolean }[], hashes: number) => {
    const pending = new Pending(new Memory(2 ** 30).allot('pending'))
    const known = new Map<number, number>()
    let serial = 0
    for (const { trace, remove } of steps) {
      const found = pending.find(ofTrace(trace, ++serial, hashes))
      if (found !== (known.get(trace) ?? -1)) return false
      if (found < 0) {
        // Others may go between the search and the entry.
        const oldest = remove ? pending.oldest(ALL) : -1
        if (oldest >= 0) {
          pending.remove(oldest)
          for (const [each, place] of known) if (place === oldest) known.delete(each)
        }
        known.set(trace, pending.add(0))
      } else if (remove) {
        pending.remove(found)
        known.delete(trace)
      }
      if (pending.size !== known.size) return false
    }
    for (const [trace, place] of known) if (pending.find(ofTrace(trace, ++serial, hashes)) !== place) return false
    while (pending.size > 0) pending.remove(pending.oldest(ALL))
    return [...known.keys()].every(trace => pending.find(ofTrace(trace, ++serial, hashes)) === -1)
  }
  const steps = fc.array(step, { minLength: 1, maxLength: 1500, size: 'max' })
  for (const hashes of [0, 1, 7])
    t.doesNotThrow(() =>
      fc.assert(
        fc.property(steps, all => run(all, hashes)),
        { numRuns: 40 },
      ),
    )
})

t.test(
  'an operation is found by its service, kind, name and peer, of any length, and no other is taken for it',
  async t => {
    const word = fc.string({ unit: fc.constantFrom('a', 'b'), maxLength: 70, size: 'max' })
    const operation = fc.record({ owner: fc.nat(2), name: word, peer: word, odd: fc.nat(69) })
    const near = fc.array(operation, { minLength: 2, maxLength: 30 }).map(some =>
      // Names that differ in one byte are the hardest to tell apart.
      some.flatMap(each => [
        each,
        { ...each, name: `${each.name.slice(0, each.odd)}c${each.name.slice(each.odd + 1)}` },
      ]),
    )
    t.doesNotThrow(() =>
      fc.assert(
        fc.property(near, all => {
          const newest = new Newest(2000)
          const known = new Map<string, number>()
          for (const { owner, name, peer } of [...all, ...all]) {
            const bytes = Buffer.from(name + peer)
            const data = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
            const at = [owner, data, 0, name.length, name.length, bytes.length] as const
            const key = JSON.stringify([owner, name, peer])
            const found = newest.find(...at)
            if (found !== 0 && found !== known.get(key)) return false
            const number = known.get(key) ?? known.size + 1
            known.set(key, number)
            if (found === 0) newest.keep(number, ...at)
            const short = name.length <= 64 && peer.length <= 32
            if (newest.find(...at) !== (short ? number : 0)) return false
          }
          return true
        }),
        { numRuns: 300 },
      ),
    )
  },
)
