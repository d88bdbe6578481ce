// `npm run bench [-- ROW…] [--quick]`: measures the built sidecar beside its rivals, prints tables, and writes
// bench/results.md when no row was left out. A row is run when its name begins with one of the arguments.
//
// The unit is CPU seconds of the server process, kernel time and garbage collection included. Those who are compared take
// turns within each row, and figures are medians over the turns; ± is half the distance from the least to the greatest.

import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { loadavg, tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { table } from './figures.ts'
import { commit, machine } from './machine.ts'
import { buildOtelcol, otelcolVersion } from './rivals/otelcol.ts'
import { decode, loop, probes, proc, rest, start } from './rows/alone.ts'
import { exposition, waiting } from './rows/exposition.ts'
import { dimensions, growth, grpc, http } from './rows/intake.ts'
import { memory } from './rows/memory.ts'
import { type Row, Run } from './run.ts'

const RESULTS = fileURLToPath(new URL('results.md', import.meta.url))
const BUILD = fileURLToPath(new URL('../scripts/build.ts', import.meta.url))

const ALL: readonly Row[] = [
  http,
  grpc,
  memory,
  exposition,
  waiting,
  dimensions,
  start,
  rest,
  loop,
  probes,
  decode,
  proc,
  growth,
]

const { values, positionals } = parseArgs({ options: { quick: { type: 'boolean' } }, allowPositionals: true })
const rows = ALL.filter(row => positionals.length === 0 || positionals.some(name => row.name.startsWith(name)))
if (rows.length === 0) {
  console.error(`there is no such row; there are ${ALL.map(row => row.name).join(', ')}`)
  process.exit(64)
}

execFileSync(process.execPath, [BUILD], { stdio: 'ignore' })
const collector = buildOtelcol()
const folder = mkdtempSync(join(tmpdir(), 'pillion-bench-'))
process.on('exit', () => rmSync(folder, { recursive: true, force: true }))

const run = new Run(folder, values.quick ?? false, collector)
const revision = commit()
const began = performance.now()
const parts: string[] = []
for (const row of rows) {
  const begin = performance.now()
  const part = `## ${row.title}\n\n${await row.measure(run)}\n`
  parts.push(part)
  console.log(`${part}\n(${row.name}: ${((performance.now() - begin) / 1000).toFixed(0)} s)\n`)
  // After each row, so that a run that is broken off leaves what it has measured.
  if (rows.length === ALL.length) writeFileSync(RESULTS, results())
}
console.log(budgets())
process.exit()

function budgets(): string {
  const lines = run.budgets.map(({ what, budget, measured, holds }) => [
    what,
    budget,
    measured,
    holds ? 'yes' : '**no**',
  ])
  return table(['budget', 'promised', 'measured', 'holds'], lines)
}

function results(): string {
  const minutes = ((performance.now() - began) / 60_000).toFixed(0)
  const missing = rows.slice(parts.length).map(row => row.name)
  return `# What it costs, beside its rivals

<!-- Written by \`npm run bench\`. -->

- ${machine()}, shared with other work (load ${loadavg()[1]!.toFixed(1)}): ratios hold, absolute figures are this machine's on this day
- Node ${process.versions.node}; ${collector ? otelcolVersion() : 'no Go here, so no Collector'}
- commit ${revision}, ${new Date().toISOString().slice(0, 10)}, ${values.quick ? 'a quick run' : 'a full run'} of ${minutes} min${missing.length > 0 ? `, broken off before ${missing.join(', ')}` : ''}
- what each row means and why it is as it is: [docs/performance.md](../docs/performance.md)

## Budgets

${budgets()}

${parts.join('\n')}`
}
