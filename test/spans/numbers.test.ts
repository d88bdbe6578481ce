// The numbers of label sets, which are never given twice.

import t from 'tap'
import { SeriesTable } from '../../metrics/table.ts'
import { Numbers } from '../../processors/spans/numbers.ts'

function numberOf(numbers: Numbers, slot: number): number {
  numbers.give(slot)
  return numbers.of(slot)
}

function slotOf(table: SeriesTable, name: string): number {
  return table.slot(Uint32Array.of(table.symbols.text(name)))
}

t.test('a label set keeps its number, also when the table grows', async t => {
  const table = new SeriesTable(['name'], 1000)
  const numbers = new Numbers(table)
  const first = numberOf(numbers, slotOf(table, 'first'))
  for (let i = 0; i < 500; i++) numberOf(numbers, slotOf(table, `other ${i}`))
  t.equal(numberOf(numbers, slotOf(table, 'first')), first)
  t.ok(first > 0)
})

t.test('a slot that is used again has another number', async t => {
  const table = new SeriesTable(['name'], 1000, 60_000)
  const numbers = new Numbers(table)
  const slot = slotOf(table, 'old')
  const old = numberOf(numbers, slot)
  table.sweep(200_000)
  t.equal(slotOf(table, 'new'), slot)
  t.equal(numbers.of(slot), 0)
  t.not(numberOf(numbers, slot), old)
})

t.test('two tables never give the same number', async t => {
  const tables = [new SeriesTable(['name'], 10), new SeriesTable(['name'], 10)]
  const given = tables.flatMap(table => {
    const numbers = new Numbers(table)
    return [numberOf(numbers, slotOf(table, 'a')), numberOf(numbers, slotOf(table, 'b'))]
  })
  t.equal(new Set(given).size, 4)
})
