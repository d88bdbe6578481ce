// `npm run bench`: measures the built sidecar beside its rivals, prints tables, and writes bench/results.md.
//
//   npm run bench                         all rows
//   npm run bench -- --rows intake,memory only those that begin so, and their tables replace the ones in the results
//   npm run bench -- --dry …              writes nothing
//   npm run bench -- --quick …            fewer and shorter turns, and no long rows; writes nothing
//
// The unit is CPU seconds of the server process, kernel time and garbage collection included. Those who are compared take
// turns within each row, and figures are medians over the turns; ± is half the distance from the least to the greatest.

import { execFileSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { commit, machine, Others } from './machine.ts'
import { budgetTable, type Measured, readResults, results, section } from './results.ts'
import { buildOtelcol, otelcolVersion } from './rivals/otelcol.ts'
import { decode, loop, probes, proc, rest, start } from './rows/alone.ts'
import { exposition, waiting } from './rows/exposition.ts'
import { flat } from './rows/flat.ts'
import { dimensions, growth, grpc, http } from './rows/intake.ts'
import { longest } from './rows/longest.ts'
import { memory } from './rows/memory.ts'
import { own } from './rows/own.ts'
import { type Row, Run } from './run.ts'

const BUILD = fileURLToPath(new URL('../scripts/build.ts', import.meta.url))

// The long one comes last: a run that is broken off has the others.
const ALL: readonly Row[] = [
  http,
  grpc,
  memory,
  own,
  exposition,
  waiting,
  dimensions,
  start,
  rest,
  loop,
  longest,
  probes,
  decode,
  proc,
  growth,
  flat,
]

const { values } = parseArgs({
  options: {
    rows: { type: 'string' },
    quick: { type: 'boolean', default: false },
    dry: { type: 'boolean', default: false },
    results: { type: 'string', default: fileURLToPath(new URL('results.md', import.meta.url)) },
  },
})
const wanted = values.rows?.split(',')
const rows = ALL.filter(row => wanted?.some(name => row.name.startsWith(name)) ?? !(values.quick && row.long))
const unknown = wanted?.filter(name => !ALL.some(row => row.name.startsWith(name))) ?? []
if (unknown.length > 0) {
  console.error(`cannot measure ${unknown.join(', ')}; there are ${ALL.map(row => row.name).join(', ')}`)
  process.exit(64)
}
const writes = !values.quick && !values.dry
// A full run begins anew; what it could not measure for being broken off is not there.
const measured = new Map<string, Measured>()
if (writes && wanted) for (const each of kept()) measured.set(each.name, each)

execFileSync(process.execPath, [BUILD], { stdio: 'ignore' })
const collector = buildOtelcol()
const folder = mkdtempSync(join(tmpdir(), 'pillion-bench-'))
process.on('exit', () => rmSync(folder, { recursive: true, force: true }))

const run = new Run(folder, values.quick, collector)
const about = {
  machine: machine(),
  commit: commit(),
  node: process.versions.node,
  collector: collector ? otelcolVersion().trim() : 'no Go, so no Collector',
}
const began = performance.now()
for (const row of rows) {
  const begin = performance.now()
  const others = new Others()
  const text = await row.measure(run)
  const seconds = Math.round((performance.now() - begin) / 1000)
  const at = new Date().toISOString().slice(0, 16)
  const stamp = { ...about, at, seconds, ...others.seen() }
  const each = { name: row.name, title: row.title, text, stamp, budgets: run.takeBudgets() }
  measured.set(row.name, each)
  console.log(section(each).replace(/<!-- .* -->\n/, ''))
  // After each row, so that a run that is broken off leaves what it has measured.
  if (writes) write()
}
console.log(budgetTable([...measured.values()].flatMap(({ budgets }) => budgets)))
console.log(`\n${rows.length} rows in ${((performance.now() - began) / 60_000).toFixed(1)} min`)
process.exit()

function write(): void {
  const order = ALL.map(row => row.name)
  writeFileSync(values.results, results([...measured.values()], order))
}

/** The tables that stay, of rows that are still there. Figures of two machines must not stand side by side. */
function kept(): readonly Measured[] {
  if (!existsSync(values.results)) return []
  try {
    const all = readResults(readFileSync(values.results, 'utf8'))
    const other = all.find(({ stamp }) => stamp.machine !== machine())
    if (other) throw new Error(`${other.name} was measured on ${other.stamp.machine}; make a full run`)
    return all.filter(each => ALL.some(row => row.name === each.name))
  } catch (error) {
    console.error(
      `cannot merge into ${values.results} (--dry writes nothing): ${error instanceof Error ? error.message : error}`,
    )
    process.exit(1)
  }
}
