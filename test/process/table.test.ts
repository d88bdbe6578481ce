// The table of all processes stays whole while it is renewed, and notices numbers that are given again.

import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { Table } from '../../collectors/process/table.ts'
import { type Facts, machine, stat } from './machine.ts'

const MINUTE = 60_000

t.test('with more processes than one refresh reads, the rest follows, and none is forgotten meanwhile', async t => {
  const many: Record<number, Facts> = Object.fromEntries(Array.from({ length: 1200 }, (_, i) => [i + 1, { fds: 0 }]))
  const table = new Table(t.testdir(machine(many)))
  t.equal(table.refresh(0), 1200 - 512)
  t.equal(table.refresh(0), 1200 - 1024)
  t.equal(table.refresh(0), 0)
  for (let now = MINUTE; now < 2 * MINUTE; now += 10_000) {
    t.equal(table.refresh(now), 0)
    t.equal(table.entries.size, 1200)
  }
  t.ok(
    [...table.entries.values()].every(({ readAtMs }) => readAtMs >= MINUTE),
    'all were read again',
  )
})

t.test('a number that was given to another process is known within a minute, an ended one at once', async t => {
  const proc = t.testdir(machine({ 1: {}, 8: { ppid: 1, start: 10 }, 9: { ppid: 8 } }))
  const table = new Table(proc)
  table.refresh(0)
  t.ok(table.under(9, 1))
  writeFileSync(join(proc, '8/stat'), stat(8, { ppid: 7, start: 99 }))
  rmSync(join(proc, '9'), { recursive: true })
  table.refresh(1000)
  t.equal(table.entries.get(8)?.ppid, 1, 'not read again yet')
  t.equal(table.entries.has(9), false)
  table.refresh(MINUTE)
  t.match(table.entries.get(8), { ppid: 7, startTicks: 99 })
})

t.test('threads of the kernel are known by their flag, not by their name', async t => {
  const table = new Table(t.testdir(machine({ 2: { comm: 'kthreadd', kernel: true }, 3: { comm: 'kworker/0:1' } })))
  table.refresh(0)
  t.equal(table.entries.get(2)?.kernel, true)
  t.equal(table.entries.get(3)?.kernel, false)
})
