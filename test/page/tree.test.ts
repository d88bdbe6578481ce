// The tree of a trace, its rows and its critical path.

import fc from 'fast-check'
import t from 'tap'
import { compared, difference } from '../../exporter/web/page/traces/compare.ts'
import { criticalPath } from '../../exporter/web/page/traces/path.ts'
import { nextRow, revealed, rowsOf } from '../../exporter/web/page/traces/rows.ts'
import { deepestErrors, serviceSums } from '../../exporter/web/page/traces/services.ts'
import { firstWindow, type Tree, treeOf } from '../../exporter/web/page/traces/tree.ts'
import type { TraceColumns } from '../../telemetry/trace-columns.ts'
import { columnsOf, type Given, generated } from './traces.ts'

/** The tree as lines: two blanks for each level, and the id of the span or of the missing parent. */
function drawn(columns: TraceColumns, rows?: Int32Array, tree = treeOf(columns)): string[] {
  return [...(rows ?? tree.order)].map(
    node =>
      ' '.repeat(2 * tree.depth[node]!) +
      (node < tree.spans ? columns.spanId[node] : `(${tree.missing[node - tree.spans]})`),
  )
}

const SHOP: readonly Given[] = [
  { id: 'root', from: 0, to: 100 },
  { id: 'a', parent: 'root', from: 10, to: 40 },
  { id: 'a1', parent: 'a', from: 15, to: 30 },
  { id: 'b', parent: 'root', from: 30, to: 90 },
  { id: 'b1', parent: 'b', from: 40, to: 60 },
  { id: 'b2', parent: 'b', from: 50, to: 80 },
]

t.test('children stand below their parents in the order of their starts', async t => {
  t.same(drawn(columnsOf(...SHOP)), ['root', '  a', '    a1', '  b', '    b1', '    b2'])
})

t.test('spans whose parent is not here stand below a row that names it, those of one parent together', async t => {
  const columns = columnsOf(
    { id: 'root', from: 0, to: 9 },
    { id: 'x', parent: 'gone', from: 1, to: 2 },
    { id: 'y', parent: 'lost', from: 2, to: 3 },
    { id: 'z', parent: 'gone', from: 4, to: 8 },
    { id: 'z1', parent: 'z', from: 5, to: 6 },
  )
  t.same(drawn(columns), ['root', '(gone)', '  x', '  z', '    z1', '(lost)', '  y'])
  const tree = treeOf(columns)
  t.equal(tree.start[5], 1)
  t.equal(tree.duration[5], 7, 'it lasts as long as its children')
})

t.test('spans that are each other’s ancestors are shown, the first of each circle at the top', async t => {
  const columns = columnsOf(
    { id: 'hanging', parent: 'p', from: 0, to: 1 },
    { id: 'p', parent: 'r', from: 1, to: 2 },
    { id: 'q', parent: 'p', from: 2, to: 3 },
    { id: 'r', parent: 'q', from: 3, to: 4 },
    { id: 'self', parent: 'self', from: 5, to: 6 },
  )
  const tree = treeOf(columns)
  t.same(drawn(columns), ['p', '  hanging', '  q', '    r', 'self'])
  t.same([...tree.circular], [0, 1, 0, 0, 1])
})

t.test('self time is the time in which no child runs', async t => {
  const { self } = treeOf(columnsOf(...SHOP))
  // root: 0–10 and 90–100; a: 10–15 and 30–40; b: 30–40 and 80–90.
  t.same([...self], [20, 15, 15, 20, 20, 30])
})

t.test('a child that outlives its parent takes only the time inside it', async t => {
  const { self } = treeOf(columnsOf({ id: 'p', from: 0, to: 10 }, { id: 'c', parent: 'p', from: 4, to: 99 }))
  t.same([...self], [4, 95])
})

t.test('a child that starts before its parent is marked, with how much the clocks differ', async t => {
  const { skew } = treeOf(
    columnsOf(
      { id: 'c', parent: 'p', from: 0, to: 10 },
      { id: 'd', parent: 'p', from: 495, to: 510 },
      { id: 'p', from: 500, to: 600 },
    ),
  )
  t.same([...skew], [500, 0, 0], 'five microseconds are no sign')
})

t.test('the critical path goes back from the end: parallel calls that were not waited for are not on it', async t => {
  const columns = columnsOf(...SHOP)
  const { parts, own, on } = criticalPath(treeOf(columns))
  t.same(
    parts.map(({ span, from, to }) => [columns.spanId[span], from, to]),
    [
      ['root', 0, 10],
      ['a', 10, 15],
      ['a1', 15, 30],
      ['b', 30, 40],
      ['b1', 40, 50],
      ['b2', 50, 80],
      ['b', 80, 90],
      ['root', 90, 100],
    ],
  )
  t.same([...own], [20, 5, 15, 20, 10, 30])
  t.same([...on], [1, 1, 1, 1, 1, 1])
  const parallel = columnsOf(
    { id: 'root', from: 0, to: 100 },
    { id: 'long', parent: 'root', from: 0, to: 80 },
    { id: 'last', parent: 'root', from: 10, to: 95 },
  )
  t.same([...criticalPath(treeOf(parallel)).own], [5, 10, 85], 'the last one was waited for, not the longest')
})

t.test(
  'a child that outlives its parent is cut to it, and one that begins after its end was not waited for',
  async t => {
    const columns = columnsOf(
      { id: 'root', from: 0, to: 100 },
      { id: 'late', parent: 'root', from: 60, to: 500 },
      { id: 'after', parent: 'root', from: 200, to: 300 },
    )
    t.same([...criticalPath(treeOf(columns)).own], [60, 40, 0])
  },
)

t.test('the parts of the critical path add up to the root, whatever the trace', async () => {
  const span = fc.record({ parent: fc.integer({ min: -2, max: 20 }), from: fc.nat(1000), length: fc.nat(400) })
  fc.assert(
    fc.property(fc.array(span, { minLength: 1, maxLength: 20 }), given => {
      const sorted = [...given].sort((a, b) => a.from - b.from)
      const columns = columnsOf(
        ...sorted.map(({ parent, from, length }, i) => ({
          id: `${i}`,
          ...(parent !== -1 && i !== parent && { parent: `${parent}` }),
          from,
          to: from + length,
        })),
      )
      const tree = treeOf(columns)
      const { parts, own } = criticalPath(tree)
      let cursor = Number.NEGATIVE_INFINITY
      for (const { from, to } of parts) {
        if (from < cursor || to < from) throw new Error('parts overlap')
        cursor = to
      }
      const sum = own.reduce((all, each) => all + each, 0)
      const root = tree.duration[tree.root]!
      // A missing parent has no time of its own.
      if (tree.root < tree.spans ? Math.abs(sum - root) > 1e-6 : sum > root + 1e-6) throw new Error(`${sum} of ${root}`)
      // Each node once.
      if (new Set(tree.order).size !== tree.nodes) throw new Error('a node is lost')
      for (let at = 0; at < tree.nodes; at++) {
        const parent = tree.parent[tree.order[at]!]!
        if (parent >= 0 && !(tree.position[parent]! < at && tree.lastPosition[parent]! >= at))
          throw new Error('not nested')
      }
    }),
    { numRuns: 500, seed: 16 },
  )
})

t.test('a chain of 50,000 spans, each the child of the one before, overflows nothing', async t => {
  const given = generated(50_000)
  const chain = { ...given, parent: given.parent.map((_, i) => i - 1) }
  const tree = treeOf(chain)
  t.equal(tree.depth[49_999], 49_999)
  t.ok(criticalPath(tree).parts.length > 0)
  t.equal(compared({ columns: chain, tree }, { columns: chain, tree }).at(-1)?.depth, 200)
})

t.test('a collapsed span hides what is below it; a filter shows matches with their ancestors', async t => {
  const columns = columnsOf(...SHOP)
  const tree = treeOf(columns)
  const f = (showing: Partial<Parameters<typeof rowsOf>[1]>): string[] =>
    drawn(columns, rowsOf(tree, { collapsed: new Set(), matches: undefined, only: false, ...showing }))
  t.same(f({ collapsed: new Set([1]) }), ['root', '  a', '  b', '    b1', '    b2'])
  const matches = Uint8Array.from([0, 0, 0, 0, 1, 0])
  t.same(f({ matches, only: true }), ['root', '  b', '    b1'])
  t.same(
    f({ matches, only: true, collapsed: new Set([0]) }),
    ['root', '  b', '    b1'],
    'nothing that matches is hidden',
  )
  t.same(f({ matches, only: false }).length, 6)
  t.same(revealed(tree, new Set([0, 3]), 4), new Set())
  t.equal(revealed(tree, new Set([1]), 4), undefined)
})

t.test('the next row that is wanted is found in both directions, and round the end', async t => {
  const rows = Int32Array.from([4, 5, 6, 7])
  t.equal(
    nextRow(rows, 0, 1, node => node === 6),
    2,
  )
  t.equal(
    nextRow(rows, 2, 1, node => node === 4),
    0,
  )
  t.equal(
    nextRow(rows, 0, -1, node => node > 4),
    3,
  )
  t.equal(
    nextRow(rows, 0, 1, () => false),
    undefined,
  )
})

t.test(
  'each service has its own time and its part of the critical path; errors that a child explains are not the cause',
  async t => {
    const columns = columnsOf(
      { id: 'root', from: 0, to: 100, error: true },
      { id: 'pay', parent: 'root', from: 10, to: 90, service: 'pay', error: true },
      { id: 'db', parent: 'pay', from: 20, to: 80, service: 'db', error: true },
      { id: 'side', parent: 'root', from: 20, to: 25, error: true },
    )
    const tree = treeOf(columns)
    t.same(serviceSums(columns, tree, criticalPath(tree)), [
      { service: 'db', spans: 1, errors: 1, self: 60, critical: 60 },
      { service: 'shop', spans: 2, errors: 2, self: 25, critical: 20 },
      { service: 'pay', spans: 1, errors: 1, self: 20, critical: 20 },
    ])
    t.same(deepestErrors(columns, tree), [2, 3])
  },
)

t.test('two traces are compared by callers, service and name', async t => {
  const side = (...given: readonly Given[]) => {
    const columns = columnsOf(...given)
    return { columns, tree: treeOf(columns) }
  }
  const a = side(
    { id: '1', name: 'GET', from: 0, to: 100 },
    { id: '2', name: 'query', parent: '1', from: 10, to: 30 },
    { id: '3', name: 'query', parent: '1', from: 40, to: 60 },
    { id: '4', name: 'old', parent: '1', from: 60, to: 70 },
  )
  const b = side(
    { id: '1', name: 'GET', from: 0, to: 300, error: true },
    { id: '2', name: 'query', parent: '1', from: 10, to: 250 },
    { id: '5', name: 'new', parent: '2', from: 20, to: 50 },
  )
  const rows = compared(a, b)
  t.same(
    rows.map(row => [row.depth, row.name, row.a?.spans ?? 0, row.b?.spans ?? 0, difference(row, 'total')]),
    [
      [0, 'GET', 1, 1, 200],
      [1, 'query', 2, 1, 200],
      [2, 'new', 0, 1, 30],
      [1, 'old', 1, 0, -10],
    ],
  )
  t.same(rows[0]!.b, { spans: 1, errors: 1, total: 300, self: 60 })
})

t.test('the tree, path and rows of 10,000 spans are made from columns that hold nothing but arrays', async t => {
  const columns = generated(10_000)
  const tree: Tree = treeOf(columns)
  t.equal(tree.nodes, 10_000)
  t.equal(rowsOf(tree, { collapsed: new Set(), matches: undefined, only: false }).length, 10_000)
  const sum = criticalPath(tree).own.reduce((all, each) => all + each, 0)
  t.ok(Math.abs(sum - 1_000_000) < 1e-3)
})

t.test('a span that is years away from the others does not make them invisible', async t => {
  const near = { id: 'root', from: 1e15, to: 1e15 + 100 }
  t.same(firstWindow(treeOf(columnsOf({ id: 'epoch', parent: 'root', from: 0, to: 5 }, near))), {
    from: 1e15 - 2,
    to: 1e15 + 100,
  })
  t.same(firstWindow(treeOf(columnsOf(...SHOP))), { from: 0, to: 100 })
})
