// Whether the time that the web server takes to refuse a token reveals how much of it was right. The digests are compared in
// constant time; this measures everything, including the header, as an attacker on the same machine could at best.
//
//   node bench/token.ts [tries of each]

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Token } from '../exporter/web/token.ts'

const tries = Number(process.argv[2] ?? 20_000)
const right = 'a'.repeat(64)
const guesses = {
  'nothing right': 'b'.repeat(64),
  'half of it right': 'a'.repeat(32) + 'b'.repeat(32),
  'all but the last letter': `${'a'.repeat(63)}b`,
  'the right one': right,
}

const dir = mkdtempSync(join(tmpdir(), 'pillion-'))
try {
  writeFileSync(join(dir, 'token'), right, { mode: 0o600 })
  const token = await Token.open(join(dir, 'token'), { monotonic: () => 0 }, { info() {}, warn() {}, error() {} })
  const times = new Map(Object.keys(guesses).map(name => [name, new Float64Array(tries)]))
  for (const guess of Object.values(guesses)) for (let i = 0; i < 2000; i++) await token.matches(`Bearer ${guess}`)
  // In turns, so that other load on the machine affects all of them alike.
  for (let i = 0; i < tries; i++)
    for (const [name, guess] of Object.entries(guesses)) {
      const begun = process.hrtime.bigint()
      await token.matches(`Bearer ${guess}`)
      times.get(name)![i] = Number(process.hrtime.bigint() - begun) / 1000
    }
  const medians = [...times].map(([name, each]) => ({ name, median: each.sort()[tries >> 1]! }))
  for (const { name, median } of medians) console.log(`${name.padEnd(24)} p50 ${median.toFixed(2)} µs`)
  const all = medians.map(each => each.median)
  const apart = Math.max(...all) - Math.min(...all)
  console.log(`${apart.toFixed(2)} µs apart, of ${tries} tries each`)
} finally {
  rmSync(dir, { recursive: true })
}
