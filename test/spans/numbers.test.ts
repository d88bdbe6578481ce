// The numbers of label sets, which are never given twice.

import t from 'tap'
import { SeriesTable } from '../../metrics/table.ts'
import { Numbers } from '../../processors/spans/numbers.ts'

function slotOf(table: SeriesTable, name: string): number {
  return table.slot(Uint32Array.of(table.symbols.text(name)))
}

t.test('a label set keeps its number, also when the table grows', async t => {
  const table = new SeriesTable(['name'], 1000)
  const numbers = new Numbers(table)
  const first = numbers.of(slotOf(table, 'first'))
  for (let i = 0; i < 500; i++) numbers.of(slotOf(table, `other ${i}`))
  t.equal(numbers.of(slotOf(table, 'first')), first)
  t.ok(first > 0)
})

t.test('a slot that is used again has another number', async t => {
  const table = new SeriesTable(['name'], 1000, 60_000)
  const numbers = new Numbers(table)
  const slot = slotOf(table, 'old')
  const old = numbers.of(slot)
  table.sweep(200_000)
  t.equal(slotOf(table, 'new'), slot)
  t.not(numbers.of(slot), old)
})

t.test('two tables never give the same number', async t => {
  const tables = [new SeriesTable(['name'], 10), new SeriesTable(['name'], 10)]
  const given = tables.flatMap(table => {
    const numbers = new Numbers(table)
    return [numbers.of(slotOf(table, 'a')), numbers.of(slotOf(table, 'b'))]
  })
  t.equal(new Set(given).size, 4)
})
