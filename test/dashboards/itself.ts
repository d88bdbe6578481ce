// Asks grafana/dashboard-linter itself about the dashboards: node test/dashboards/itself.ts. No registry has it, so it is no
// test: docs/decisions/0028-the-linter-of-dashboards.md.

import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { missing } from '../e2e/programs.ts'
import { dashboards, questions, ROOT } from './files.ts'

const FOLDER = join(ROOT, 'dashboards/grafana')

if (missing('dashboard-linter', '')) {
  console.error(
    'needs dashboard-linter: go build -o ~/.local/bin/ . in a clone of https://github.com/grafana/dashboard-linter at 1be3836',
  )
  process.exit(69)
}

const lint = (file: string) =>
  spawnSync('dashboard-linter', ['lint', '--strict', '--config', join(FOLDER, '.lint'), file], { encoding: 'utf8' })

for (const { uid } of dashboards()) {
  const { status, stdout } = lint(join(FOLDER, `${uid}.json`))
  console.log(`${status === 0 ? 'ok' : 'FAULTS'} ${uid}${status === 0 ? '' : `\n${stdout}`}`)
  if (status !== 0) process.exitCode = 1
}

// It must find a fault where there is one.
const spoiled = dashboards().find(({ uid }) => uid === 'pillion-process')!
Object.assign(questions(spoiled)[0]!.target, { expr: 'app_process_up{job=~"$job"}' })
const folder = mkdtempSync(join(tmpdir(), 'lint-'))
try {
  const file = join(folder, 'spoiled.json')
  writeFileSync(file, JSON.stringify(spoiled))
  if (lint(file).status !== 1) {
    console.log('FAULTS a spoiled dashboard was taken for a good one')
    process.exitCode = 1
  }
} finally {
  rmSync(folder, { recursive: true, force: true })
}
