// The life of slots and symbols: handed out, emptied, handed out again.

import t from 'tap'
import { CounterColumn, HistogramColumn } from '../../metrics/columns.ts'
import { counter, histogram } from '../../metrics/family.ts'
import { OVERFLOW, SeriesTable } from '../../metrics/table.ts'
import fc from '../property.ts'

const EXPIRY = 100

function shop(limit: number) {
  const table = new SeriesTable(['route', 'code'], limit, EXPIRY)
  const calls = new CounterColumn(table, counter('calls_total', 'Calls.', table.labels))
  const wait = new HistogramColumn(table, histogram('wait_seconds', 'Wait.', table.labels, [0.1, 1]))
  const symbol = (text: string) => {
    const bytes = Buffer.from(text)
    return table.symbols.intern(bytes, 0, bytes.length)
  }
  return {
    table,
    calls,
    wait,
    slot: (route: string, code: string) => table.slot(Uint32Array.of(symbol(route), symbol(code))),
  }
}

t.test(
  'through any comings and goings each label set has a slot of its own, with its own numbers and text',
  async t => {
    const use = fc.record({ route: fc.nat(400), code: fc.nat(2), times: fc.integer({ min: 1, max: 3 }) })
    const step = fc.record({ pause: fc.constantFrom(0, 7, 30, 60, 130), uses: fc.array(use, { maxLength: 150 }) })
    await fc.assert(
      fc.property(fc.array(step, { maxLength: 25 }), fc.constantFrom(50, 1000), (steps, limit) => {
        const { table, calls, wait, slot } = shop(limit)
        const model = new Map<string, { seen: number; count: number }>()
        let now = 0
        for (const { pause, uses } of steps) {
          now += pause
          table.sweep(now)
          for (const [key, { seen }] of model) if (pause > 0 && now - seen >= EXPIRY) model.delete(key)
          for (const { route, code, times } of uses) {
            const key = `route="/${route}",code="${code}"`
            const at = slot(`/${route}`, String(code))
            if (!model.has(key) && model.size === limit) {
              t.equal(at, OVERFLOW)
              continue
            }
            calls.add(at, times)
            wait.observe(at, 0.5)
            const known = model.get(key)
            model.set(key, { seen: now, count: (known?.count ?? 0) + times })
          }
          const held: [string, number][] = []
          for (let at = 1; at < table.slots; at++)
            if (table.shows(at)) held.push([table.labelText(at), calls.value(at)])
            else t.equal(calls.value(at) + wait.count(at), 0)
          t.strictSame(new Map(held), new Map([...model].map(([key, { count }]) => [key, count])))
          t.equal(held.length, model.size)
          t.equal(table.series, model.size)
          t.ok(table.slots <= limit + 1)
        }
      }),
      { numRuns: 60 },
    )
  },
)

t.test('values that are in no label set are let go, but for those in use elsewhere and those of our own', async t => {
  const { table, slot } = shop(10_000)
  const own = table.symbols.text('own')
  const bytes = Buffer.from('elsewhere')
  const elsewhere = table.symbols.intern(bytes, 0, bytes.length)
  table.use(marks => {
    marks[elsewhere] = 1
  })
  for (let i = 0; i < 1000; i++) slot(`/${i}`, '200')
  t.equal(table.symbols.size, 1003)
  table.sweep(EXPIRY / 2)
  slot('/7', '404')
  table.sweep(EXPIRY)
  t.equal(table.series, 1)
  for (let i = 1000; i < 2100; i++) slot(`/${i}`, '200')
  t.equal(table.symbols.size, 2104, 'as long as they are few')
  table.sweep(EXPIRY)
  table.sweep(EXPIRY * 2)
  slot('/7', '404')
  table.tidy()
  t.equal(table.symbols.size, 4)
  t.equal(table.symbols.escaped(own), 'own')
  t.equal(table.symbols.find(bytes, 0, bytes.length), elsewhere)
  t.same(table.labelsOf(table.find(Uint32Array.of(table.symbols.text('/7'), table.symbols.text('404')))), {
    route: '/7',
    code: '404',
  })
})

t.test('a great number of label sets is removed in several sweeps, a bounded number in each', async t => {
  const { table, slot } = shop(30_000)
  for (let i = 0; i < 25_000; i++) slot(`/${i}`, '200')
  const left = [1, 2, 3].map(() => {
    table.sweep(EXPIRY)
    return table.series
  })
  t.same(left, [15_000, 5000, 0])
  t.equal(table.expired, 25_000)
})

t.test('coarser label sets take spare room, then none, and give it back', async t => {
  const table = new SeriesTable(['route'], 2, EXPIRY, 2)
  const set = (text: string) => Uint32Array.of(table.symbols.text(text))
  t.equal(table.spareSlot(set('before')), 1, 'also while there is room')
  table.slot(set('/a'))
  t.notOk(table.full)
  table.slot(set('/b'))
  t.ok(table.full)
  t.equal(table.overflow(table.spareSlot(set('rest'))), 4)
  t.notOk(table.shows(OVERFLOW))
  t.notOk(table.hasSpare)
  t.equal(table.spareSlot(set('more')), -1)
  t.equal(table.overflow(table.spareSlot(set('more'))), OVERFLOW)
  t.ok(table.shows(OVERFLOW))
  t.equal(table.overflowed, 2)
  t.equal(table.spareSlot(set('/a')), 2, 'one that is held already takes none')
  table.sweep(EXPIRY / 2)
  t.equal(table.spareSlot(set('rest')), 4)
  table.sweep(EXPIRY)
  t.equal(table.series, 1)
  t.ok(table.hasSpare)
  t.notOk(table.full)
})
