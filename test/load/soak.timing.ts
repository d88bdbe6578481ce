// A short soak: the same applications, load, reloads, restarts and kills in half a minute, a minute in CI or with SOAK=1. Figures
// that need more time or a quiet machine are printed but not judged; the accounts must be exact.

import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { Child, until } from '../e2e/child.ts'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const MINUTES = Number(process.env['SOAK'] ?? (process.env['CI'] ? 1 : 0.5))

t.setTimeout((MINUTES + 4) * 60_000)

// A build of its own: `npm run build`, which empties dist/, may run in another test at the same time.
const dist = join(t.testdir(), 'dist')
t.before(async () => {
  await using build = await Child.start(process.execPath, [join(ROOT, 'scripts/build.ts'), '--out', dist], {}, ROOT)
  const { code } = await build.ended
  if (code !== 0) throw new Error(`cannot build:\n${build.stdout}${build.stderr}`)
})

t.test(
  'load, reloads, restarts and sudden deaths: the ledger is exact, and no request of the application fails',
  async t => {
    const main = join(dist, 'main.js')
    const program = join(ROOT, 'bench/soak.ts')
    await using soak = await Child.start(process.execPath, [program, '--minutes', String(MINUTES), '--main', main])
    const { code } = await soak.ended
    t.comment(soak.stdout)
    t.equal(code, 0, soak.stderr)
    const held = /ledger is what was answered \| all equal \| (\d+) of (\d+) \| yes/.exec(soak.stdout)
    t.ok(Number(held?.[1]) >= 3, 'the accounts were compared at a quiet moment of each life')
    t.equal(held?.[1], held?.[2])
    t.match(soak.stdout, /\| 3 \|[^|]+\| SIGTERM \|/, 'there was a third life')
  },
)

t.test('everything that a soak has started ends with it', async t => {
  const main = join(dist, 'main.js')
  const program = join(ROOT, 'bench/soak.ts')
  await using soak = await Child.start(process.execPath, [program, '--minutes', '0.3', '--main', main])
  await soak.says(/life 1, moment 1/)
  const started = processesUnder(soak.pid)
  t.ok(started.length >= 6, `${started.length} processes`)
  soak.kill('SIGTERM')
  const { code } = await soak.ended
  t.equal(code, 1)
  await until('the end of all of them', () => !started.some(runs) || undefined)
})

/** Its children and theirs. */
function processesUnder(pid: number): number[] {
  const parents = readdirSync('/proc')
    .filter(name => /^\d+$/.test(name))
    .map(name => [Number(name), statOf(Number(name))?.parent] as const)
  const under = (parent: number): number[] =>
    parents.filter(([, of]) => of === parent).flatMap(([child]) => [child, ...under(child)])
  return under(pid)
}

function runs(pid: number): boolean {
  const stat = statOf(pid)
  return stat !== undefined && stat.state !== 'Z'
}

/** proc_pid_stat(5): the state and the parent stand after the name, which ends with the last parenthesis. */
function statOf(pid: number): { readonly state: string; readonly parent: number } | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
    const [state = '', parent] = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return { state, parent: Number(parent) }
  } catch {
    return undefined
  }
}
