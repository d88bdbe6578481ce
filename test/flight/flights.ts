// `npm run flights`: ends an application a hundred times, and counts the flight records that are left. One in ten of
// them is enough for a look: npm run flights -- --share 0.1

import { parseArgs } from 'node:util'
import { ENDS, type End, type How, impossible, make, NotReady, type Outcome } from './ends.ts'

const { share, jobs } = parseArgs({
  options: { share: { type: 'string', default: '1' }, jobs: { type: 'string', default: '2' } },
}).values

const COUNTS: Readonly<Record<End, number>> = { kill: 40, oom: 20, segv: 20, exit: 10, both: 10 }
const NAMES: Readonly<Record<End, string>> = {
  kill: 'SIGKILL',
  oom: 'memory limit',
  segv: 'fault',
  exit: 'exit code',
  both: 'with the sidecar',
}
const WAYS: Readonly<Record<How, string>> = { run: '`run`', attach: 'attached' }
const CODES = [1, 2, 3, 42, 0]

const todo: { readonly end: End; readonly how: How; readonly code: number }[] = []
for (const end of ENDS) {
  const why = impossible(end)
  if (why) console.error(`${end}: ${why}`)
  else
    for (let i = 0; i < Math.ceil(COUNTS[end] * Number(share)); i++)
      todo.push({
        end,
        how: i % 2 === 0 || end === 'both' ? 'run' : 'attach',
        code: CODES[Math.floor(i / 2) % CODES.length]!,
      })
}
const done: Outcome[] = []
const one = async (): Promise<void> => {
  for (let next = todo.shift(); next; next = todo.shift()) {
    let outcome: Outcome
    try {
      outcome = await make(next.end, next.how, next.code)
    } catch (error) {
      // Nothing was ended: the machine was too busy to start what is to end.
      if (!(error instanceof NotReady)) throw error
      console.error(`not ready, so once more: ${error.message}`)
      todo.push(next)
      continue
    }
    done.push(outcome)
    if (outcome.verdict === 'wrong' || outcome.verdict === 'none' || outcome.age > 2)
      console.error(`${next.end} (${next.how}): ${outcome.verdict}, ${outcome.age} s\n${outcome.log}`)
  }
}
await Promise.all(Array.from({ length: Number(jobs) }, one))

console.log('| end | how | ends | records | reason right | unknown | wrong | last sample before the end, at most |')
console.log('| --- | --- | ---- | ------- | ------------ | ------- | ----- | ----------------------------------- |')
const row = (name: string, how: string, some: readonly Outcome[]): void => {
  if (some.length === 0) return
  const count = (verdict: Outcome['verdict']): number => some.filter(each => each.verdict === verdict).length
  const age = some.reduce((most, each) => (each.record ? Math.max(most, each.age) : most), 0)
  console.log(
    `| ${name} | ${how} | ${some.length} | ${some.length - count('none')} | ${count('right')} | ${count('unknown')} | ${count('wrong')} | ${age.toFixed(2)} s |`,
  )
}
for (const end of ENDS)
  for (const how of ['run', 'attach'] as const)
    row(
      NAMES[end],
      WAYS[how],
      done.filter(each => each.end === end && each.how === how),
    )
row('all', '', done)
const records = done.filter(({ record }) => record).length
const good =
  records >= 0.99 * done.length &&
  done.every(({ verdict, age, record }) => verdict !== 'wrong' && (!record || age <= 2))
process.exitCode = good ? 0 : 1
