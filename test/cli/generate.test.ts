// Generated files are up to date.

import t from 'tap'
import { section, text } from '../../options/kinds.ts'
import { flagOf, Names, variableOf } from '../../options/names.ts'
import { families, firstOptions, parts, settings } from '../../parts.ts'
import { between, stale } from '../../scripts/generate.ts'
import type { Description } from '../../telemetry/part.ts'
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

t.test('each option has a name of its own in every spelling', async t => {
  const names = new Names(settings)
  const paths = names.paths()
  t.ok(paths.length > 80, `${paths.length} options`)
  for (const path of paths) {
    const written = path.replaceAll('[]', '[0]')
    t.equal(names.flag(flagOf(path).slice(2))?.path, written, `${flagOf(path)} names ${written}`)
    t.equal(names.variable(variableOf(path))?.path, written, `${variableOf(path)} names ${written}`)
  }
  const twins = section('Two that are one variable.', { a_b: text('One.'), a: section('Another.', { b: text('It.') }) })
  t.throws(() => new Names(twins), { message: 'cannot name a.b: PILLION_A_B is already a_b; rename one of them' })
})

t.test('the options that help shows first are ten, and exist', async t => {
  const paths = new Names(settings).paths()
  t.equal(firstOptions.length, 10)
  t.same(
    firstOptions.filter(each => !paths.includes(each)),
    [],
  )
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
  const part: Description = { name: 'one', about: 'Reads a | b.', families: [], options: undefined }
  t.equal(
    partsTable({ one: part }),
    [
      '| part                       | description   | metrics |',
      '| -------------------------- | ------------- | ------- |',
      '| [one](docs/metrics.md#one) | Reads a \\| b. | 0       |',
    ].join('\n'),
  )
  t.match(partsTable(parts), '| [self](docs/metrics.md#self)')
})
