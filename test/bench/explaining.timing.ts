// The cost of explaining stays in its budget: CPU of the sampler, and memory of all parts that explain.

import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { least, type Sampled, samplerCost, weight } from '../../bench/explaining.ts'
import { BUDGETS } from '../../bench/rows/explaining.ts'
import { Child } from '../e2e/child.ts'

const BUILD = fileURLToPath(new URL('../../scripts/build.ts', import.meta.url))

// Windows of several seconds, on a machine that may be busy.
t.setTimeout(180_000)

// A build of its own, since other tests make dist/.
const dist = join(t.testdir(), 'dist')
const main = join(dist, 'main.js')
t.before(async () => {
  await using build = await Child.start(process.execPath, [BUILD, '--out', dist])
  const { code } = await build.ended
  if (code !== 0) throw new Error(`cannot build:\n${build.stdout}${build.stderr}`)
})

t.test('beside eleven threads, the sampler keeps its share of a core, at rest and while spans come in', async t => {
  const { threads, rest, busy } = await samplerCost(4, 3.5, main)
  t.ok(threads >= 11, `${threads} threads`)
  const f = (name: string, { pairs, rate }: Sampled, most: number, slowest: number) => {
    const all = pairs.map(pair => `${pair.with.toFixed(2)} - ${pair.without.toFixed(2)}`).join(', ')
    t.comment(`${name}: ${all} % of a core; ${rate.toFixed(1)} moments a second`)
    t.ok(least(pairs) <= most, `${name} ${least(pairs).toFixed(2)} % of a core, at most ${most}`)
    // A busy machine delays it, but what it did was the work of this rate.
    t.ok(rate > slowest, `${name} ${rate.toFixed(1)} moments a second`)
  }
  f('at rest', rest, BUDGETS.rest, 6)
  // The bench judges the budget of 1.5 %. Here it was seen at 1.2 to 1.44 while others had the cores, and at 2.4 when names of
  // idle threads were read in every row.
  f('busy', busy, 2, 25)
})

t.test('all parts that explain together stay in their memory, with full tables and a whole ring', async t => {
  const mebibytes = (await weight(join(t.testdir(), 'flight'), main)) / 2 ** 20
  t.ok(mebibytes > 2, 'the ring alone has this')
  t.ok(mebibytes <= BUDGETS.mebibytes, `${mebibytes.toFixed(1)} MiB`)
})
