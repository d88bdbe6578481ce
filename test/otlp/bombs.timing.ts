// Small requests with very many items: the time to check one, and the memory that is left.

import t from 'tap'
import { Check } from '../../otlp/check.ts'
import { transcode } from '../../otlp/json.ts'
import { KeySet } from '../../otlp/key-set.ts'
import { message } from '../../otlp/schema.ts'
import { Walk } from '../../otlp/walk.ts'
import { hex, ld } from './requests.ts'

const MANY = 2_000_000
const TRACES = message('TracesRequest')
const MIB = 1024 * 1024
const check = new Check()
const walk = new Walk(new KeySet(['http.route']))

t.test('bombs of a million items take milliseconds and no memory', async t => {
  const bomb = ld(1, ld(2, Buffer.alloc(2_000_000, hex('1200'))))
  check.run(bomb, TRACES)
  const heap = process.memoryUsage().heapUsed
  const best = fastest(() => check.run(bomb, TRACES))
  t.equal(check.items, 1_000_000)
  t.ok(best < 20, `${best.toFixed(1)} ms`)
  t.ok(process.memoryUsage().heapUsed - heap < 5 * MIB)
  const empty = Buffer.alloc(2_000_000, hex('0a00'))
  t.ok(fastest(() => check.run(empty, TRACES)) < 20)
})

t.test('bombs of a million spans take milliseconds and no memory', async t => {
  const bomb = (whole: Buffer) => {
    walk.run(whole, MANY)
    const heap = process.memoryUsage()
    const best = fastest(() => walk.run(whole, MANY))
    t.ok(best < 100, `${best.toFixed(1)} ms of CPU`)
    const after = process.memoryUsage()
    t.ok(after.heapUsed + after.arrayBuffers - heap.heapUsed - heap.arrayBuffers < 5 * MIB)
    t.equal(walk.tape.length, 0)
    return walk.items
  }
  t.equal(bomb(ld(1, ld(2, Buffer.alloc(2_000_000, hex('1200'))))), 1_000_000)
  t.equal(bomb(ld(1, Buffer.alloc(2_000_000, hex('1200')))), 0)
  t.equal(bomb(Buffer.alloc(2_000_000, hex('0a00'))), 0)
  t.equal(bomb(Buffer.alloc(2_000_000, hex('0a021200'))), 0)
  t.equal(bomb(ld(1, ld(2, Buffer.alloc(2_000_000, hex('12020a00'))))), 500_000)
})

t.test('JSON that is nested millions of times is refused in no time', async t => {
  const refused = (text: string) => {
    const bytes = Buffer.from(text)
    const best = fastest(() => t.notOk(transcode(bytes, TRACES, 16 * MIB).ok))
    t.ok(best < 50, `${best.toFixed(1)} ms of CPU`)
  }
  refused('['.repeat(5_000_000))
  refused(`{"x":${'['.repeat(4_000_000)}`)
  refused(`{"x":${'{"x":'.repeat(500_000)}`)
})

/** Milliseconds of CPU of the shortest of several runs: other programs can only make it longer. */
function fastest(run: () => void): number {
  let best = Number.POSITIVE_INFINITY
  for (let i = 0; i < 10; i++) {
    const start = process.cpuUsage()
    run()
    const { user, system } = process.cpuUsage(start)
    best = Math.min(best, (user + system) / 1000)
  }
  return best
}
