// `npm run bench`: measures the built sidecar beside its rivals, prints tables, and writes bench/results.md.
//
//   npm run bench                         all rows
//   npm run bench -- --rows intake,memory only rows whose names begin so; their tables replace those in the results
//   npm run bench -- --dry …              writes nothing
//   npm run bench -- --quick …            fewer and shorter rounds, without the long rows; writes nothing
//
// The unit is CPU seconds of the server process, including kernel time and garbage collection. Within a row the programs are
// measured in turn, and figures are medians over the rounds; ± is half the distance from the smallest to the largest.

import { execFileSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { commit, machine, Others } from './machine.ts'
import { budgetTable, type Measured, readResults, results, section } from './results.ts'
import { buildOtelcol, otelcolVersion } from './rivals/otelcol.ts'
import {
  decode,
  insight,
  labelSets,
  loop,
  merge,
  packages,
  probes,
  proc,
  rest,
  sampling,
  start,
  token,
} from './rows/alone.ts'
import { explaining } from './rows/explaining.ts'
import { exposition, waiting } from './rows/exposition.ts'
import { files } from './rows/files.ts'
import { flat } from './rows/flat.ts'
import { forward } from './rows/forward.ts'
import { dimensions, growth, grpc, http } from './rows/intake.ts'
import { limit } from './rows/limit.ts'
import { longest } from './rows/longest.ts'
import { memory } from './rows/memory.ts'
import { own } from './rows/own.ts'
import { push } from './rows/push.ts'
import { queue } from './rows/queue.ts'
import { tapRow } from './rows/tap.ts'
import { traces } from './rows/traces.ts'
import { type Row, Run } from './run.ts'

const BUILD = fileURLToPath(new URL('../scripts/build.ts', import.meta.url))

// The long row comes last, so that a run that is interrupted has the others.
const ALL: readonly Row[] = [
  http,
  grpc,
  forward,
  memory,
  own,
  exposition,
  waiting,
  push,
  files,
  tapRow,
  dimensions,
  start,
  rest,
  loop,
  longest,
  queue,
  limit,
  probes,
  decode,
  traces,
  merge,
  sampling,
  insight,
  explaining,
  proc,
  labelSets,
  token,
  packages,
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
// A full run starts with no results, so a run that is interrupted lacks the remaining rows.
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
  // After each row, so that a run that is interrupted keeps the rows that it has measured.
  if (writes) write()
}
console.log(budgetTable([...measured.values()].flatMap(({ budgets }) => budgets)))
console.log(`\n${rows.length} rows in ${((performance.now() - began) / 60_000).toFixed(1)} min`)
process.exit()

function write(): void {
  const order = ALL.map(row => row.name)
  writeFileSync(values.results, results([...measured.values()], order))
}

/** The tables that are kept, of rows that still exist. Figures of two machines must not be mixed. */
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
