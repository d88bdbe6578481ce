// The ring of moments: what it says of times between rows, outside of them, of two processes, and after a step of the clock.

import t from 'tap'
import { emptyRow, MomentRing } from '../../telemetry/moment.ts'

function ring(rows = 8): {
  readonly ring: MomentRing
  add(wall: number, run: number, process?: number, late?: number): void
} {
  const made = new MomentRing(rows)
  const row = emptyRow()
  return {
    ring: made,
    add(wall, mainRun, process = 1, late = 0) {
      Object.assign(row, { mainRun, process })
      made.add(wall, wall + late, row)
    },
  }
}

t.test('a counter between two rows lies on the line between them', t => {
  const { ring: moments, add } = ring()
  add(1000, 1)
  add(1100, 2)
  add(1300, 2)
  t.equal(moments.at('mainRun', 1000), 1)
  t.equal(moments.at('mainRun', 1025), 1.25)
  t.equal(moments.at('mainRun', 1200), 2)
  t.equal(moments.grown('mainRun', 1050, 1300), 0.5)
  t.end()
})

t.test('nothing is known outside of the rows, nor of a column that was never read', t => {
  const { ring: moments, add } = ring()
  t.equal(moments.find(1000), -1)
  add(1000, 1)
  add(1100, 2)
  t.ok(Number.isNaN(moments.at('mainRun', 999)))
  t.ok(Number.isNaN(moments.at('mainRun', 1101)))
  t.ok(Number.isNaN(moments.grown('throttled', 1000, 1100)))
  t.end()
})

t.test('counters of two processes are not compared', t => {
  const { ring: moments, add } = ring()
  add(1000, 5, 1)
  add(1100, 6, 1)
  add(1200, 0.5, 2)
  add(1300, 0.7, 2)
  t.ok(Number.isNaN(moments.at('mainRun', 1150)), 'between them')
  t.ok(Number.isNaN(moments.grown('mainRun', 1050, 1250)), 'from one to the other')
  t.equal(moments.grown('mainRun', 1200, 1300).toFixed(3), '0.200')
  t.end()
})

t.test('old rows give way to new ones', t => {
  const { ring: moments, add } = ring(4)
  for (let i = 0; i < 10; i++) add(1000 + i * 100, i)
  t.equal(moments.next - moments.first, 4)
  t.equal(moments.wall(moments.first), 1600)
  t.equal(moments.find(1599), -1)
  t.equal(moments.at('mainRun', 1650), 6.5)
  t.end()
})

t.test('after a step of the wall clock only the rows from then on are compared', t => {
  const { ring: moments, add } = ring()
  add(5000, 1)
  add(5100, 2)
  add(4000, 3, 1, 1200)
  t.equal(moments.next - moments.first, 1, 'back')
  add(4100, 4, 1, 1200)
  t.equal(moments.grown('mainRun', 4000, 4100), 1)
  add(9000, 5, 1, -3600)
  t.equal(moments.next - moments.first, 1, 'ahead')
  t.end()
})
