// Costs of the sampler: tracestates of the largest size, and ten million traces in bounded memory.

import t from 'tap'
import { Fields, withThreshold } from '../../otlp/trace-state.ts'
import { SpanVisitor } from '../../otlp/visit.ts'
import { cpuOf } from '../cpu.ts'
import { PLAIN, request, Stage } from './stage.ts'

const write = (state: string, threshold: string | undefined) =>
  withThreshold(Buffer.from(state), 0, state.length, threshold)

t.test('a tracestate of the largest size takes no time', async t => {
  const f = (state: string) => {
    const times = Array.from({ length: 3 }, () =>
      cpuOf(() => {
        write(state, '8')
        write(state, undefined)
        const bytes = Buffer.from(state)
        new Fields().read(bytes, 0, bytes.length)
      }),
    )
    const shown = `${state.slice(0, 10)} × ${state.length}: ${times.map(ms => ms.toFixed(1)).join(', ')} ms of CPU`
    t.comment(shown)
    // Compilation and garbage may fall into one of them.
    t.ok(Math.min(...times) < 50, shown)
  }
  f(','.repeat(1_500_000))
  f(`ot=${';'.repeat(16_000)}`)
  f(`ot=${'a;'.repeat(8000)}`)
  f(`a=${' '.repeat(16_000)}b`)
  f('ot=th:1,'.repeat(2000))
})

t.test(
  'ten million trace ids stay within the memory of the sampler, and the loop is not held',
  { timeout: 300_000 },
  async t => {
    const stage = new Stage({ ...PLAIN, ratio: 0.001, memory: 8 * 2 ** 20 })
    // The ids are changed in the bytes of one request of a thousand spans.
    const trace = Buffer.alloc(16, 0xa7)
    const bytes = request(Array.from({ length: 1000 }, () => ({ trace })))
    const places: number[] = []
    for (let at = bytes.indexOf(trace); at >= 0; at = bytes.indexOf(trace, at + 16)) places.push(at)
    const visitor = new SpanVisitor(stage.keys, [stage.sampler])
    let longest = 0
    let most = 0
    let rss = 0
    let next = 1
    for (let i = 0; i < 10_000; i++) {
      for (const at of places) {
        bytes.writeUInt32BE(next, at + 4)
        bytes.writeUInt32BE(Math.imul(next++, 0x9e3779b1) >>> 0, at + 9)
      }
      const begun = process.threadCpuUsage()
      visitor.visit({ signal: 'traces', bytes, items: 1000, received: 0 })
      const { user, system } = process.threadCpuUsage(begun)
      longest = Math.max(longest, (user + system) / 1000)
      stage.taken += 1000
      most = Math.max(most, stage.memory.used)
      if (i === 500) rss = process.memoryUsage().rss
      if (i % 100 === 0) await stage.clock.pass(10)
    }
    t.equal(stage.balance(), 'ok')
    t.ok(most <= 8 * 2 ** 20, `${most} bytes at most`)
    t.ok(stage.count().early.memory > 0)
    const growth = process.memoryUsage().rss - rss
    t.ok(growth < 64 * 2 ** 20, `grew by ${growth} bytes`)
    t.ok(longest < 50, `${longest} ms`)
    t.comment(`${most} bytes, ${longest.toFixed(1)} ms at most, grew by ${(growth / 2 ** 20).toFixed(1)} MiB`)
  },
)
