// The names and services of spans in the rings of the trace store.

import t from 'tap'
import { Texts } from '../../store/texts.ts'
import fc from '../property.ts'

const CAPACITY = 200

/** Pairs of texts that differ in one place, which are the hardest to tell apart. */
const near = fc
  .array(
    fc.record({
      word: fc.string({ unit: fc.constantFrom('a', 'é'), maxLength: 60, size: 'max' }),
      odd: fc.nat(59),
    }),
    { minLength: 2, maxLength: 30 },
  )
  .map(all => all.flatMap(({ word, odd }) => [word, `${word.slice(0, odd)}c${word.slice(odd + 1)}`]))

t.test('texts of any length have one number each, whatever the order in which numbers are asked for', async t => {
  const check = (all: readonly string[], newestFirst: boolean) => {
    const ring = Buffer.alloc(2 ** 15)
    const held = { oldest: 1, next: 1 }
    const texts = new Texts(held, ring, CAPACITY)
    const records: { record: number; start: number; end: number; text: string }[] = []
    let at = 0
    for (const text of [...all, ...all]) {
      const end = at + ring.write(text, at)
      records.push({ record: held.next++, start: at, end, text })
      at = end
    }
    if (newestFirst) records.reverse()
    const known = new Map<string, number>()
    for (const { record, start, end, text } of records) {
      const number = texts.add(start, end, record)
      if (number !== (known.get(text) ?? known.size + 1) || texts.text(number) !== text) return false
      known.set(text, number)
    }
    return true
  }
  t.doesNotThrow(() => fc.assert(fc.property(near, fc.boolean(), check), { numRuns: 300 }))
})

t.test('a text keeps its number as long as one of its records is held, and is read where that one stands', async t => {
  const ring = Buffer.alloc(8 * CAPACITY)
  const held = { oldest: 1, next: 1 }
  const texts = new Texts(held, ring, CAPACITY)
  const write = (text: string): [start: number, end: number, record: number] => {
    const start = 8 * (held.next % CAPACITY)
    return [start, start + ring.write(text, start), held.next++]
  }
  const older = write('render')
  const newer = write('render')
  const number = texts.add(...newer)
  t.equal(texts.add(...older), number, 'the older record was asked about later')
  // The older one leaves, and something else stands in its place.
  held.oldest = newer[2]
  ring.write('xxxxxx', older[0])
  t.equal(texts.text(number), 'render')
  // All numbers are given out, and those of records that have gone are found.
  for (let i = 1; i < CAPACITY; i++) t.ok(texts.add(...write(`n${i}`)) > 0)
  const { generation } = texts
  t.equal(texts.add(...write('one')), 0, 'every number is in use')
  held.oldest = newer[2] + 1
  t.equal(texts.add(...write('one')), number)
  t.not(texts.generation, generation, 'the number means something else now')
  t.equal(texts.text(number), 'one')
})

t.test('a service that comes again has its number, also if it stands in no span', async t => {
  const ring = Buffer.from('shop shop cart')
  const data = new DataView(ring.buffer, ring.byteOffset, ring.length)
  const held = { oldest: 1, next: 4 }
  const texts = new Texts(held, ring, CAPACITY)
  const shop = texts.add(0, 4, 1)
  t.equal(texts.again(shop, data, 10, 0, 2), false, 'another one')
  t.equal(texts.again(shop, data, 5, 0, 2), true)
  held.oldest = 2
  ring.write('xxxx')
  t.equal(texts.text(shop), 'shop', 'it is read where it came last')
  const unknown = texts.addOwn(Buffer.from('unknown_service'), 3)
  t.equal(texts.addOwn(Buffer.from('unknown_service'), 3), unknown)
  t.equal(texts.text(unknown), 'unknown_service')
  t.equal(texts.lengthOf(unknown), 15)
})
