// The ring of the trace store beside a simple model: chains of traces and numbers of names, in whatever order spans come, leave
// and are asked about.

import t from 'tap'
import { NAME, NAME_START, RECORD_WORDS } from '../../store/record.ts'
import { Ring } from '../../store/ring.ts'
import fc from '../property.ts'

interface Span {
  readonly hash: number
  readonly name: string
  /** Bytes behind the name, so that other names, or parts of them, come to stand where it stood. */
  readonly rest: number
}

/** A small ring, and all spans that it was ever given, by their numbers. */
class Model {
  readonly ring: Ring
  readonly spans = new Map<number, Span>()

  constructor(first: number) {
    this.ring = new Ring(64 * 400, () => {}, first)
  }

  send(spans: readonly Span[]): void {
    const { ring } = this
    const request = Buffer.from(spans.map(({ name, rest }) => name.padEnd(name.length + rest)).join(''))
    let at = ring.begin(request, 0, request.length, spans.length, 0)
    for (const span of spans) {
      const { place, next } = ring
      ring.records[place * RECORD_WORDS + NAME] = ~span.name.length
      ring.records[place * RECORD_WORDS + NAME_START] = at
      at += span.name.length + span.rest
      ring.push(place, span.hash)
      this.spans.set(next, span)
    }
  }

  get held(): number[] {
    return Array.from({ length: this.ring.spans }, (_, i) => this.ring.oldest + i)
  }

  /** The records of a trace, the newest first. Stops if there are more than there can be. */
  chain(hash: number): number[] {
    const { ring } = this
    const found: number[] = []
    let looks = 0
    for (let number = ring.newest(hash); number >= ring.oldest && ++looks <= ring.most; number = ring.before(number))
      if (ring.cursor().at(number).traceHash === hash) found.push(number)
    return found
  }
}

const span = fc.record({
  // Few chains, so that several traces are in one.
  hash: fc.nat(5).map(i => Math.imul(i, 0x30000001)),
  name: fc.oneof(
    fc.nat(3).map(i => `GET /${i}`),
    fc.nat(1e6).map(i => `render ${i}`),
  ),
  rest: fc.nat(400),
})
const step = fc.oneof(
  { weight: 4, arbitrary: fc.array(span, { minLength: 1, maxLength: 20, size: 'max' }).map(spans => ({ spans })) },
  { weight: 1, arbitrary: fc.nat(63).map(place => ({ place })) },
  { weight: 1, arbitrary: fc.nat(5).map(i => ({ hash: Math.imul(i, 0x30000001) })) },
)

t.test('spans have their traces and names, whatever came, left and was asked, also beyond 2^32 of them', async t => {
  const check = (first: number, steps: readonly (typeof step extends fc.Arbitrary<infer S> ? S : never)[]) => {
    const model = new Model(first)
    const { ring } = model
    // Cursors that stand where a suspended query left them.
    const standing = Array.from({ length: 8 }, () => ring.cursor().at(first))
    const named = (number: number) => ring.names.text(ring.cursor().at(number).name) === model.spans.get(number)!.name
    for (const [i, each] of steps.entries()) {
      if ('spans' in each) {
        model.send(each.spans)
        standing[i % standing.length]!.at(ring.oldest + ((i * 7) % ring.spans))
      } else if ('place' in each) {
        // Some are asked newest first, so that older records get their numbers after newer ones.
        const some = model.held.filter(number => number % 64 <= each.place)
        if (!(i % 2 === 0 ? some : some.reverse()).every(number => named(number))) return false
      } else {
        const of = model.held.filter(number => model.spans.get(number)!.hash === each.hash)
        if (model.chain(each.hash).join() !== of.reverse().join()) return false
      }
      for (const cursor of standing) {
        // The name of a record that has gone may be asked, and is nobody's; it must not cost another its own.
        const { number, name } = cursor
        if (number >= ring.oldest && number < ring.next && ring.names.text(name) !== model.spans.get(number)!.name)
          return false
      }
    }
    return model.held.every(number => named(number))
  }
  const firsts = fc.oneof(fc.constant(1), fc.integer({ min: 2 ** 32 - 300, max: 2 ** 32 + 1 }))
  t.doesNotThrow(() =>
    fc.assert(fc.property(firsts, fc.array(step, { minLength: 20, maxLength: 80 }), check), { numRuns: 200 }),
  )
})

t.test('a chain ends, though a number that is 2^32 records old leads into the middle of it', async t => {
  const model = new Model(2 ** 32 - 4)
  const spans = Array.from({ length: 8 }, () => ({ hash: 7, name: '', rest: 0 }))
  model.send(spans)
  t.same(
    model.chain(7),
    spans.map((_, i) => 2 ** 32 + 3 - i),
  )
})
