// The file of the bench's results: a row that is measured again alone replaces its old table and leaves the others.

import t from 'tap'
import { type Measured, readResults, results } from '../../bench/results.ts'

const ORDER = ['http', 'memory', 'start']

function row(name: string, commit = 'abc1234', holds = true): Measured {
  const stamp = {
    ...{ machine: '2 × a CPU', commit, at: '2026-01-02T03:04', seconds: 5, node: '24.0.0' },
    ...{ collector: 'no Go, so no Collector', others: 0.25, stolen: 0 },
  }
  const budgets = [{ what: `${name}, something`, budget: '≤ 5', measured: holds ? '4' : '6', holds }]
  return { name, title: `Of ${name}`, text: `About ${name}.\n\n| a | b |\n| --- | ---: |\n| 1 | 2 |`, stamp, budgets }
}

t.test('written results are read again: tables, stamps, and budgets', async t => {
  const rows = [row('http'), row('memory', 'def5678', false)]
  t.same(readResults(results(rows, ORDER)), rows)
})

t.test('tables stand in the order of the rows, and those that are missing are named', async t => {
  const text = results([row('start'), row('http')], ORDER)
  t.ok(text.indexOf('## Of http') < text.indexOf('## Of start'))
  t.match(text, '- not measured: memory\n')
})

t.test('each table says when, of which commit and beside how much other work it was measured', async t => {
  const text = results([row('http'), row('start', 'def5678')], ORDER)
  t.match(text, '*abc1234, 2026-01-02T03:04Z, 5 s, others used 0.25 cores*')
  t.match(text, '*def5678, 2026-01-02T03:04Z, 5 s, others used 0.25 cores*')
  t.match(text, '- commit abc1234 and def5678; ')
})

t.test('the budgets are those of the tables that are there', async t => {
  const text = results([row('http'), row('start', 'def5678', false)], ORDER)
  t.match(text, '| http, something | ≤ 5 | 4 | yes |\n| start, something | ≤ 5 | 6 | **no** |')
})

t.test('a table without a stamp cannot be kept, and that is said', async t => {
  t.throws(() => readResults('# Results\n\n## Start\n\n| a |\n'), {
    message: 'cannot tell when "Start" was measured; make a full run',
  })
})
