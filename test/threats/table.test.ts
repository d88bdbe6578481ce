// docs/security.md names the tests for each threat. The tests must exist, or the table would become wrong.

import { existsSync, readFileSync } from 'node:fs'
import t from 'tap'

const TESTS = new URL('../', import.meta.url)
const document = readFileSync(new URL('../docs/security.md', TESTS), 'utf8')

/** The titles of a file's tests, with … in place of each ${}. */
function titles(source: string): string[] {
  const found = source.matchAll(/\b\w*[tT]est\(\s*(?:'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)"|`((?:[^`\\]|\\.)*)`)/g)
  return [...found].map(([, single, double, template]) =>
    (single ?? double ?? template ?? '').replaceAll(/\$\{[^}]*\}/g, '…').replaceAll(/\\(.)/g, '$1'),
  )
}

t.test('every threat in the document names a test that exists', async t => {
  const rows = document.split('\n').filter(line => /^\| [ABC]\d+ /.test(line))
  t.ok(rows.length > 40, `${rows.length} threats`)
  for (const row of rows) {
    const [, id = '', threat = '', , tests = ''] = row.split(/\s*\|\s*/)
    const named = [...tests.matchAll(/`([\w/]+)` “([^”]+)”/g)]
    t.ok(named.length > 0 && tests.split('<br>').length === named.length, `${id} ${threat}`)
    for (const [, file, title = ''] of named) {
      const paths = ['test', 'timing']
        .map(kind => new URL(`${file}.${kind}.ts`, TESTS))
        .filter(path => existsSync(path))
      const there = paths.flatMap(path => titles(readFileSync(path, 'utf8')))
      t.ok(there.includes(title), `${id}: ${file} “${title}”`)
    }
  }
  const ids = rows.map(row => row.split(/\s*\|\s*/)[1])
  t.equal(new Set(ids).size, ids.length, 'each once')
})

t.test('titles are found in all their spellings', async t => {
  const source = `t.test('a b', x)\n  t.test(\n    "it's", { skip })\nt.test(\`\${N} of \${M.n}\`, y)\nt.test('it\\'s', z)`
  t.same(titles(source), ['a b', "it's", '… of …', "it's"])
})
