// The names of metrics and labels beside those of github.com/prometheus/otlptranslator, which Prometheus and the Collector
// use and dashboards are written for. Its answers are stored in fixtures/otlp/names.tsv, one row for each kind, name and
// unit; where `.ci/judges` has built the judge, it is asked again. After a new row or a new version:
// `.ci/judges && UPDATE=1 npx tap test/points/names.test.ts` writes the last column anew.

import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { labelName, metricName } from '../../processors/points/names.ts'
import { FOLDER } from '../deploy/judges.ts'

const TABLE = join(import.meta.dirname, '../fixtures/otlp/names.tsv')
const JUDGE = join(FOLDER, 'bin/otlptranslator')
const absent = existsSync(JUDGE) ? false : 'needs: .ci/judges'

interface Row {
  readonly kind: string
  readonly name: string
  readonly unit: string
  /** "" if there is no name. */
  readonly expected: string
}

function rows(): Row[] {
  const lines = readFileSync(TABLE, 'utf8').trimEnd().split('\n')
  return lines.map(line => {
    const [kind = '', name = '', unit = '', expected = ''] = line.split('\t')
    return { kind, name, unit, expected }
  })
}

function judged(all: readonly Row[]): string[] {
  const input = all.map(({ kind, name, unit }) => `${kind}\t${name}\t${unit}\n`).join('')
  return execFileSync(JUDGE, { input, encoding: 'utf8' }).split('\n').slice(0, -1)
}

if (process.env['UPDATE'] && absent === false) {
  const all = rows()
  const names = judged(all)
  const lines = all.map(({ kind, name, unit }, i) => `${[kind, name, unit, names[i]].join('\t')}\n`)
  writeFileSync(TABLE, lines.join(''))
}

t.test('each metric and label has the name that Prometheus’ own translator gives it', async t => {
  const all = rows()
  const ours = ({ kind, name, unit }: Row): string =>
    kind === 'label'
      ? labelName(name)
      : metricName(name, unit, kind === 'gauge' || kind === 'counter' ? kind : 'other').name
  t.ok(all.length > 500, `${all.length} rows`)
  t.same(
    all.filter(row => ours(row) !== row.expected).map(row => ({ ...row, ours: ours(row) })),
    [],
  )
})

t.test('the stored names are those of otlptranslator 1.0', { skip: absent }, async t => {
  const all = rows()
  t.same(
    judged(all),
    all.map(row => row.expected),
  )
})

t.test('a unit is told in the words that the name ends with', async t => {
  const f = (unit: string, expected: string) => t.equal(metricName('a', unit, 'other').unit, expected, unit)
  f('s', 'seconds')
  f('By/s', 'bytes_per_second')
  f('1', '')
  f('1/s', 'per_second')
  f('{request}', '')
  f('x_', 'x')
})

t.test('attribute keys become label names that nothing can be forged with', async t => {
  const f = (key: string, expected: string) => t.equal(labelName(key), expected, JSON.stringify(key))
  // otlptranslator leaves __name__ as it is, and has no name for é.
  f('__name__', 'key_name_')
  f('__proto__', 'key_proto_')
  f('é', 'key_')
  f('a"} 1\nevil{x="', 'a_1_evil_x_')
})
