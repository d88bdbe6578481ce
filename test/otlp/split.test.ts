// A request in parts holds the same items, below the same resources, as the request itself, and what nobody knows around them.

import t from 'tap'
import { Check } from '../../otlp/check.ts'
import { REQUESTS } from '../../otlp/schema.ts'
import { type RequestPart, split } from '../../otlp/split.ts'
import { SpanVisitor } from '../../otlp/visit.ts'
import { generate, Random } from './generate.ts'
import { Recorder } from './recorder.ts'
import { attribute, hex, ld, span, traces } from './requests.ts'

const SEED = Number(process.env['SEED'] ?? 1)
const ROUNDS = 2000
const check = new Check()

function bytesOf({ bytes }: RequestPart): Buffer {
  return Buffer.from(bytes)
}

/** Every span that can be taken, with its resource, as text. */
function spansOf(...requests: readonly Uint8Array[]): string[] {
  const recorder = new Recorder(['a', 'http.route'], ['a', 'service.name'])
  const visitor = new SpanVisitor(recorder.keys, [recorder])
  for (const each of requests) {
    const bytes = Buffer.from(each)
    if (!visitor.walk.run(bytes, 1_000_000)) throw new Error('the request is good')
    visitor.show({ signal: 'traces', bytes, items: visitor.walk.items, received: 0 })
  }
  return recorder.spans.map(each => JSON.stringify({ ...each, serial: 0 }))
}

function itemsOf(signal: keyof typeof REQUESTS, bytes: Uint8Array): number {
  if (!check.run(bytes, REQUESTS[signal])) throw new Error(check.failure)
  return check.items
}

t.test(`whatever is in a request of spans, its parts show the same (SEED=${SEED})`, async t => {
  const random = new Random(SEED)
  let parts = 0
  let spans = 0
  for (let i = 0; i < ROUNDS; i++) {
    const whole = generate(random, 'traces')
    // The generator makes some that are not.
    if (!check.run(whole, REQUESTS.traces)) continue
    const made = split(whole, REQUESTS.traces, 1 << random.below(9)) ?? []
    const [expected, found] = [spansOf(whole), spansOf(...made.map(bytesOf))]
    if (expected.join() !== found.join()) t.same(found, expected, `round ${i}: ${whole.toString('hex')}`)
    parts += made.length
    spans += expected.length
  }
  t.ok(parts > ROUNDS && spans > 500, `${spans} spans in ${parts} parts`)
})

t.test(`no point and no record is lost, and each part is a good request (SEED=${SEED})`, async t => {
  const random = new Random(SEED)
  for (const signal of ['metrics', 'logs'] as const) {
    let items = 0
    for (let i = 0; i < ROUNDS; i++) {
      const whole = generate(random, signal)
      if (!check.run(whole, REQUESTS[signal])) continue
      const made = split(whole, REQUESTS[signal], 1 << random.below(9)) ?? []
      const found = made.reduce((sum, each) => sum + itemsOf(signal, each.bytes), 0)
      if (made.some(each => itemsOf(signal, each.bytes) !== each.items)) t.fail(`counts of round ${i}`)
      const expected = itemsOf(signal, whole)
      if (found !== expected) t.equal(found, expected, `round ${i}: ${whole.toString('hex')}`)
      items += found
    }
    t.ok(items > 100, `${items} items`)
  }
})

t.test('a request that fits into one part is that part, byte for byte', async t => {
  const small = traces([attribute(1, 'service.name', 'shop')], span('a'), span('b'))
  t.same(split(small, REQUESTS.traces)?.map(bytesOf), [small])
  t.same(split(Buffer.alloc(0), REQUESTS.traces), [])
})

t.test('the pieces of a resource stand in each part, merged as protobuf merges them', async t => {
  const piece = (key: string, value: string) => ld(1, attribute(1, key, value))
  const scopes = Array.from({ length: 5 }, (_, n) => ld(2, ld(2, span(`s-${n}`))))
  const whole = ld(1, piece('a', '1'), ...scopes, piece('service.name', 'shop'))
  const parts = split(whole, REQUESTS.traces, 50) ?? []
  t.ok(parts.length > 1)
  t.same(spansOf(...parts.map(bytesOf)), spansOf(whole))
})

t.test('a request in shreds is refused before it takes memory', async t => {
  const shreds = (field: string) => Buffer.alloc(2_000_000, hex(`7801 ${field}`))
  t.equal(split(ld(1, shreds('0a021001'), ld(2, ld(2, span('a')))), REQUESTS.traces), undefined)
  t.equal(split(ld(1, shreds('1200'), ld(2, ld(2, span('a')))), REQUESTS.traces), undefined)
  t.equal(split(ld(1, ld(2, ld(2, span('a')), shreds('0a021001'))), REQUESTS.traces), undefined)
  t.equal(split(ld(1, shreds(''), ld(2, ld(2, span('a')))), REQUESTS.traces), undefined, 'unknown fields are fields')
  const scope = ld(
    2,
    ...Array.from({ length: 30_000 }, (_, n) => ld(2, span(`${n}`), attribute(9, 'a', 'x'.repeat(99)))),
  )
  t.equal(split(ld(1, shreds(''), scope), REQUESTS.traces), undefined, 'also where its spans are in parts')
})

t.test(
  'fields that nobody knows stand around the items of each part, groups too, and no byte of an item changes',
  async t => {
    const unknown = (text: string) => Buffer.concat([ld(1000, text), hex('c33e 0801 c43e')])
    const spans = Array.from({ length: 9 }, (_, n) => ld(2, span(`s-${n}`), unknown(`span ${n}`)))
    const scope = ld(
      2,
      ld(1, ld(1, 'scope'), unknown('in the scope')),
      ...spans.slice(0, 8),
      unknown('scope'),
      spans[8]!,
    )
    const resource = ld(1, ld(1, attribute(1, 'a', '1')), unknown('resource'), scope, ld(3, 'schema'))
    const whole = Buffer.concat([unknown('request'), resource])
    const parts = (split(whole, REQUESTS.traces, 50) ?? []).map(bytesOf)
    t.ok(parts.length > 3, `${parts.length} parts`)
    for (const part of parts)
      for (const each of ['request', 'resource', 'scope', 'in the scope'])
        t.ok(part.includes(unknown(each)), `a part has the unknown field of the ${each}`)
    const all = Buffer.concat(parts)
    for (const each of spans) t.ok(all.includes(each), 'the span, byte for byte')
  },
)

t.test('data of a metric in pieces stay together, since only all of them say what it is', async t => {
  const points = Array.from({ length: 50 }, () => ld(1, hex('21 0000000000000000')))
  const metric = (...data: readonly Buffer[]) => ld(1, ld(2, ld(2, ld(1, 'a'), ...data)))
  const sum = metric(ld(7, ...points), ld(7, hex('10 02')))
  t.same(split(sum, REQUESTS.metrics, 50)?.map(bytesOf), [sum])
  const kinds = metric(ld(5, ...points), ld(7, ...points))
  t.same(split(kinds, REQUESTS.metrics, 50)?.map(bytesOf), [kinds])
  t.ok((split(metric(ld(5, ...points)), REQUESTS.metrics, 50)?.length ?? 0) > 1, 'in one piece they are divided')
})
