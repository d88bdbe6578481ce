// The house keeps its rules, and the rules find what breaks them.

import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { circle, faults, imports } from './rules.ts'

const ROOT = join(import.meta.dirname, '../..')

t.test('no import runs upwards, passes an entry file by or goes round in a circle, types included', async t => {
  const files = globSync('**/*.{ts,tsx}', { cwd: ROOT, exclude: ['**/node_modules/**', 'dist/**'] })
  t.ok(files.length > 200, 'the files were found')
  t.same(faults(new Map(files.map(file => [file, readFileSync(join(ROOT, file), 'utf8')]))), [])
})

t.test('a house that breaks the rules is told where', async t => {
  const f = (files: Readonly<Record<string, string>>, expected: string[]): void => {
    t.same(faults(new Map(Object.entries(files))), expected)
  }
  const to = (path: string): string => `import type { It } from '${path}'`
  f({ 'collectors/a.ts': to('../telemetry/part.ts'), 'sidecar.ts': to('./collectors/a.ts') }, [])
  f({ 'collectors/a.ts': to('../processors/b.ts') }, [
    'collectors/a.ts → processors/b.ts: stages do not import each other',
  ])
  f({ 'exporter/a.ts': to('../collectors/b.ts') }, ['exporter/a.ts → collectors/b.ts: stages do not import each other'])
  f({ 'telemetry/a.ts': to('../exporter/b.ts') }, [
    'telemetry/a.ts → exporter/b.ts: telemetry must not import exporter',
  ])
  f({ 'collectors/a.ts': to('../sidecar.ts') }, ['collectors/a.ts → sidecar.ts: collectors must not import assembly'])
  f({ 'metrics/a.ts': to('../otlp/wire.ts') }, ['metrics/a.ts → otlp/wire.ts: metrics must not import otlp'])
  f({ 'sidecar.ts': to('./collectors/process/stat.ts') }, [
    'sidecar.ts → collectors/process/stat.ts: the part collectors/process is used by its entry file collectors/process.ts',
  ])
  f({ 'collectors/a.ts': to('../test/world.ts') }, ['collectors/a.ts → test/world.ts: only benches import the tests'])
  f({ 'test/otlp/a.ts': to('../../bench/b.ts') }, ['test/otlp/a.ts → bench/b.ts: only tests of the bench import it'])
  f({ 'test/bench/a.ts': to('../../bench/b.ts'), 'bench/b.ts': to('../test/otlp/oracle.ts') }, [])
  f({ 'collectors/process/a.ts': to('./b.ts'), 'collectors/process.ts': to('./process/a.ts') }, [])
  f({ 'otlp/a.ts': to('./b.ts'), 'otlp/b.ts': to('./a.ts') }, ['circle: otlp/a.ts → otlp/b.ts → otlp/a.ts'])
  f({ 'collectors/a.ts': "export type * from '../telemetry/consumer.ts'\nexport interface SpanConsumer {}" }, [
    'collectors/a.ts: ../telemetry/consumer.ts is imported from telemetry/, not passed on by an entry file',
    'collectors/a.ts: the contract SpanConsumer belongs into telemetry/',
  ])
  f({ 'collectors/a.ts': "export * as all from '../telemetry/route.ts'\nexport type WebRequest = object" }, [
    'collectors/a.ts: ../telemetry/route.ts is imported from telemetry/, not passed on by an entry file',
    'collectors/a.ts: the contract WebRequest belongs into telemetry/',
  ])
})

t.test('a rule is broken by each way to import', async t => {
  const f = (statement: string, expected = true): void => {
    const found = faults(new Map([['metrics/a.ts', statement]]))
    t.same(found, expected ? ['metrics/a.ts → otlp/wire.ts: metrics must not import otlp'] : [], statement)
  }
  f("import { Reader } from '../otlp/wire.ts'")
  f("import type { Reader } from '../otlp/wire.ts'")
  f("import { type Reader } from '../otlp/wire.ts'")
  f("import * as wire from '../otlp/wire.ts'")
  f("import '../otlp/wire.ts'")
  f("export * from '../otlp/wire.ts'")
  f("export * as wire from '../otlp/wire.ts'")
  f("export type * from '../otlp/wire.ts'")
  f("export { Reader } from '../otlp/wire.ts'")
  f("const { Reader } = await import('../otlp/wire.ts')")
  f("let reader: import('../otlp/wire.ts').Reader | undefined")
  f("import {\n  field,\n  type Reader,\n} from '../otlp/wire.ts'")
  f("import { text } from './format.ts'", false)
})

t.test('a circle is found whatever its imports are made of', async t => {
  const f = (there: string, back: string): void => {
    t.same(faults(new Map(Object.entries({ 'otlp/a.ts': there, 'otlp/b.ts': back }))), [
      'circle: otlp/a.ts → otlp/b.ts → otlp/a.ts',
    ])
  }
  f("import type { B } from './b.ts'", "import type { A } from './a.ts'")
  f("export * from './b.ts'", "let a: import('./a.ts').A | undefined")
  f("await import('./b.ts')", "export type * from './a.ts'")
})

t.test('rooms of one floor do not import each other, and nothing escapes the floors', async t => {
  const f = (file: string, source: string, expected: string): void => {
    t.same(faults(new Map([[file, source]])), [expected])
  }
  f('own/a.ts', "import '../protobuf/b.ts'", 'own/a.ts → protobuf/b.ts: own must not import protobuf')
  f('protobuf/a.ts', "import '../options/b.ts'", 'protobuf/a.ts → options/b.ts: protobuf must not import options')
  f('client/a.ts', "import '../otlp/b.ts'", 'client/a.ts → otlp/b.ts: client must not import otlp')
  f('utils/a.ts', '', 'utils/a.ts: utils/ is on no floor; give it one in test/house/rules.ts')
  f('main.ts', "import './scripts/b.ts'", 'main.ts → scripts/b.ts: assembly is the program, and scripts is not')
  f(
    'dashboards/a.ts',
    "import '../sidecar/b.ts'",
    'dashboards/a.ts → sidecar/b.ts: only the files at the root import sidecar/',
  )
  f('own/a.ts', 'await import(path)', 'own/a.ts: the path of a dynamic import must be a string that stands there')
})

t.test('imports are found in all their spellings', async t => {
  const source = `import a from './a.ts'\nimport type { B } from "../b.ts"\nexport { c } from './c.ts'\nawait import('./d.ts')\nimport './e.ts'`
  t.same(imports('x/y.ts', source), ['x/a.ts', 'b.ts', 'x/c.ts', 'x/d.ts', 'x/e.ts'])
})

t.test('a circle is found behind a tail and beside a leaf', async t => {
  const graph = { a: ['b', 'c'], b: ['d'], c: [], d: ['b'] }
  t.same(circle(new Map(Object.entries(graph))), ['b', 'd', 'b'])
})
