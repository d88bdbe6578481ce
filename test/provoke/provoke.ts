// `npm run provoke`: provokes every failure for real, and prints a table of failures, alerts and panels. Exit code 1 if
// something was not said, or the wrong thing.
//   --only NAME      only this failure; may be given again
//   --together N     so many at the same time (3)
//   --document FILE  write there the rows of failures that are told right, and keep its other rows
//   --patience N     how many times as long as it may take an alert is waited for (2)
// Needs prometheus and prometheus-alertmanager. SCALE=10 lets time pass 10 times as fast instead of 30, and DEADLINE=120 gives
// programs 120 s instead of 20 to start: for a machine that has much else to do.

import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { mkdtempDisposable } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { missing } from '../e2e/programs.ts'
import { FAILURES } from './failures.ts'
import { startJudge } from './judge.ts'
import { type Outcome, provoke } from './run.ts'
import { SCALE, seconds } from './scale.ts'
import { row, written } from './table.ts'

const { values } = parseArgs({
  options: {
    only: { type: 'string', multiple: true },
    together: { type: 'string', default: '3' },
    document: { type: 'string' },
    patience: { type: 'string', default: '2' },
  },
})
process.exitCode = await main()

function length({ before = '6m', watch, fires }: (typeof FAILURES)[number]): number {
  return seconds(before) + Math.max(seconds(watch), ...Object.values(fires).map(({ within }) => seconds(within)))
}

async function main(): Promise<number> {
  const needs = missing('prometheus', 'prometheus') || missing('prometheus-alertmanager', 'prometheus-alertmanager')
  if (needs) {
    console.error(needs)
    return 1
  }
  const names = values.only ?? FAILURES.map(({ name }) => name)
  const unknown = names.filter(name => !FAILURES.some(each => each.name === name))
  if (unknown.length > 0) {
    console.error(
      `there is no failure ${unknown.join(', ')}; there are: ${FAILURES.map(({ name }) => name).join(', ')}`,
    )
    return 64
  }
  await using folder = await mkdtempDisposable(join(tmpdir(), 'pillion-provoke-'))
  await using judge = await startJudge(folder.path, ['availability=99.9'])
  console.log(
    `${names.length} failures; one second stands for ${SCALE}, and times are given as they would be in life\n`,
  )
  // The longest first, so that none is waited for alone.
  const waiting = FAILURES.filter(({ name }) => names.includes(name)).sort((a, b) => length(b) - length(a))
  let failed = 0
  const told: Outcome[] = []
  const lane = async () => {
    for (let next = waiting.shift(); next; next = waiting.shift()) {
      const why = next.impossible?.()
      if (why) {
        console.log(`${next.name}: not here, ${why}\n`)
        continue
      }
      const setting = { judge, folder: folder.path, patience: Number(values.patience) }
      const outcome: Outcome | Error = await provoke(next, setting).catch((error: Error) => error)
      if (outcome instanceof Error || outcome.wrong.length > 0) failed += 1
      else told.push(outcome)
      console.log(outcome instanceof Error ? `${next.name}: ${outcome.stack}\n` : row(outcome))
    }
  }
  await Promise.all(Array.from({ length: Number(values.together) }, lane))
  if (values.document) {
    const before = existsSync(values.document) ? readFileSync(values.document, 'utf8') : ''
    writeFileSync(
      values.document,
      written(
        FAILURES.map(({ name }) => name),
        told,
        before,
      ),
    )
  }
  console.log(failed === 0 ? 'all is said as it must be' : `${failed} of ${names.length} failures are told wrong`)
  return failed === 0 ? 0 : 1
}
