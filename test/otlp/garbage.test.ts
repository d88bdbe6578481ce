import { runInNewContext } from 'node:vm'
import t from 'tap'
import { Garbage } from '../../collectors/otlp/garbage.ts'

const MIB = 1024 * 1024

/** The most bytes outside of the heap while 100 MiB of bodies come and go. */
function most(done: (bytes: number) => void): number {
  const before = process.memoryUsage().arrayBuffers
  let most = 0
  for (let i = 0; i < 400; i++) {
    done(Buffer.alloc(MIB / 4).length)
    most = Math.max(most, process.memoryUsage().arrayBuffers - before)
  }
  return most
}

t.test('large bodies that have been dealt with do not gather', async t => {
  const left = most(() => {})
  const garbage = new Garbage()
  const collected = most(bytes => garbage.add(bytes))
  t.comment(`${(left / MIB).toFixed(0)} MiB left alone, ${(collected / MIB).toFixed(0)} MiB collected`)
  t.ok(collected < 16 * MIB)
})

t.test('the collector is not left to the rest of the program', async t => {
  new Garbage().add(16 * MIB)
  t.equal(runInNewContext('typeof gc'), 'undefined')
})
