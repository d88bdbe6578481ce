// The house: imports run assembly → collectors → exporter, houses are entered by their doors, nothing imports the tests.

import { globSync, readFileSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import t from 'tap'

const ROOT = join(import.meta.dirname, '../..')

/** Floors from top to bottom. A file may import from its own floor and from those below it. */
const FLOORS = ['assembly', 'collectors', 'exporter', 'options', 'own'] as const

interface Import {
  readonly from: string
  readonly to: string
}

/** What must have been evaluated before the file: its imports and exports from others, without types. */
function needs(file: string, source: string): string[] {
  const found = source.matchAll(/^(?:import|export)\s+(?!type\b)([^'"]*?)\s*from\s*'(\.[^']+)'/gm)
  return [...found]
    .filter(([, names = '']) => !/^\{(\s*type [^,]+,?)*\s*\}$/.test(names))
    .map(([, , path = '']) => normalize(join(dirname(file), path)))
}

/** The first circle in a graph, as the files along it. */
function circle(graph: ReadonlyMap<string, readonly string[]>): readonly string[] | undefined {
  const done = new Set<string>()
  const walk = (file: string, path: readonly string[]): readonly string[] | undefined => {
    if (path.includes(file)) return [...path.slice(path.indexOf(file)), file]
    if (done.has(file)) return undefined
    done.add(file)
    for (const next of graph.get(file) ?? []) {
      const found = walk(next, [...path, file])
      if (found) return found
    }
    return undefined
  }
  for (const file of graph.keys()) {
    const found = walk(file, [])
    if (found) return found
  }
  return undefined
}

/** Every relative import of a file, type imports and dynamic ones included. */
function imports(file: string, source: string): Import[] {
  const found = source.matchAll(/(?:\bfrom\s*|\bimport\s*\(?\s*)['"](\.[^'"]+)['"]/g)
  return [...found].map(([, path]) => ({ from: file, to: normalize(join(dirname(file), path!)) }))
}

/** Folders that belong to the assembly; those with a file of their name at the root are houses, and it is their door. */
const ASSEMBLY = ['host', 'sidecar', 'supervise', 'verbs']

function floor(file: string): (typeof FLOORS)[number] | undefined {
  if (!file.includes('/') || ASSEMBLY.some(name => file.startsWith(`${name}/`))) return 'assembly'
  return FLOORS.find(name => file.startsWith(`${name}/`))
}

/** What is wrong with an import, or undefined. */
function fault({ from, to }: Import): string | undefined {
  if (to.startsWith('test/') && !from.startsWith('test/')) return 'nothing imports the tests'
  const [above, below] = [floor(from), floor(to)]
  if (above && below && FLOORS.indexOf(below) < FLOORS.indexOf(above)) return `${above} must not import ${below}`
  // collectors/process/procfs.ts is a room of the house collectors/process: others knock at collectors/process.ts.
  const house = /^((?:collectors|exporter)\/[^/]+)\//.exec(to)?.[1]
  // Tests and benches look into the rooms.
  const inside = /^(?:test|bench)\//.test(from) || from === `${house}.ts` || from.startsWith(`${house}/`)
  if (house && !inside) return `the house ${house} is entered by its door ${house}.ts`
  return undefined
}

t.test('no import runs upwards, and no house is entered past its door', async t => {
  const files = globSync('**/*.ts', { cwd: ROOT, exclude: ['**/node_modules/**', 'dist/**', 'examples/**'] })
  t.ok(files.length > 20, 'the files were found')
  for (const file of files)
    for (const each of imports(file, readFileSync(join(ROOT, file), 'utf8')))
      t.equal(fault(each), undefined, `${each.from} → ${each.to}`)
})

t.test('the rules refuse what they should', async t => {
  const f = (from: string, to: string, expected: string | undefined) => t.equal(fault({ from, to }), expected)
  f('exporter/web.ts', 'collectors/health.ts', 'exporter must not import collectors')
  f('collectors/health.ts', 'sidecar.ts', 'collectors must not import assembly')
  f(
    'collectors/health.ts',
    'collectors/process/procfs.ts',
    'the house collectors/process is entered by its door collectors/process.ts',
  )
  f('sidecar.ts', 'exporter/metrics/page.ts', 'the house exporter/metrics is entered by its door exporter/metrics.ts')
  f('collectors/health.ts', 'test/health/server.ts', 'nothing imports the tests')
  f('collectors/process/cgroup.ts', 'collectors/process/procfs.ts', undefined)
  f('collectors/health/http.ts', 'collectors/health.ts', undefined)
  f('collectors/health.ts', 'exporter/metrics.ts', undefined)
  f('sidecar.ts', 'collectors/health.ts', undefined)
})

t.test('imports are found in all their spellings', async t => {
  const source = `import a from './a.ts'\nimport type { B } from "../b.ts"\nexport { c } from './c.ts'\nawait import('./d.ts')\nimport './e.ts'`
  t.same(
    imports('x/y.ts', source).map(each => each.to),
    ['x/a.ts', 'b.ts', 'x/c.ts', 'x/d.ts', 'x/e.ts'],
  )
})

t.test('no file needs itself before it can be evaluated', async t => {
  const all = globSync('**/*.ts', { cwd: ROOT, exclude: ['**/node_modules/**', 'dist/**', 'examples/**', 'test/**'] })
  t.same(circle(new Map(all.map(file => [file, needs(file, readFileSync(join(ROOT, file), 'utf8'))]))), undefined)
  t.same(
    needs(
      'x/y.ts',
      `import {\n  type A,\n  b,\n} from './b.ts'\nimport { type C } from './c.ts'\nimport type D from './d.ts'`,
    ),
    ['x/b.ts'],
  )
  t.same(
    circle(
      new Map([
        ['a', ['b', 'c']],
        ['b', ['d']],
        ['c', []],
        ['d', ['b']],
      ]),
    ),
    ['b', 'd', 'b'],
  )
})
