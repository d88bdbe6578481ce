// What is generated is as fresh as what it is generated from.

import t from 'tap'
import { Names } from '../../options/names.ts'
import { families, type Part, parts, settings } from '../../parts.ts'
import { between, stale } from '../../scripts/generate.ts'
import { partsTable } from '../../verbs/metrics.ts'

t.test(
  'docs/options.md, the JSON Schema, docs/metrics.md and the README are as `npm run generate` writes them',
  async t => {
    t.same(await stale(), [], 'run npm run generate')
  },
)

t.test('each metric is declared by one part', async t => {
  const names = families.map(family => family.name)
  t.same(names.toSorted(), [...new Set(names)].sort())
})

t.test('each option has a name of its own in every spelling', async () => {
  new Names(settings)
})

t.test('a table goes between its markers, and only there', async t => {
  const f = (document: string, expected: string | undefined) => t.equal(between(document, 'table'), expected)
  f(
    'a\n<!-- collectors:begin -->\nold\n<!-- collectors:end -->\nb',
    'a\n<!-- collectors:begin -->\n\ntable\n\n<!-- collectors:end -->\nb',
  )
  f('no markers', undefined)
  f('<!-- collectors:end --> <!-- collectors:begin -->', undefined)
})

t.test('a part is a row of the table', async t => {
  const part: Part = { about: 'Reads a | b.', families: [], options: undefined }
  t.equal(
    partsTable({ one: part }),
    [
      '| part                       | what it brings | metrics |',
      '| -------------------------- | -------------- | ------- |',
      '| [one](docs/metrics.md#one) | Reads a \\| b.  | 0       |',
    ].join('\n'),
  )
  t.match(partsTable(parts), '| [self](docs/metrics.md#self)')
})
