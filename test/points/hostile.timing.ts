// Metrics made to be slow or large: how much CPU one request takes.

import t from 'tap'
import { ld, varint } from '../otlp/requests.ts'
import { encoded, from, gauge, point, SHOP, sidecar } from './otlp.ts'

t.test('requests that are made to be slow or large cost a bounded time', async t => {
  const { take, samples } = sidecar(t)
  const repeated = (bytes: Buffer, length: number) =>
    Buffer.alloc(Math.floor(length / bytes.length) * bytes.length, bytes)
  const size = 4 << 20
  const name = ld(1, 'm')
  const metric = (...body: readonly Buffer[]) => ld(1, ld(2, ld(2, name, ...body)))
  const f = (what: string, bytes: Buffer) => {
    const begin = process.cpuUsage()
    take(bytes)
    const { user, system } = process.cpuUsage(begin)
    const ms = (user + system) / 1000
    t.comment(`${what}: ${ms.toFixed(0)} ms of CPU for ${bytes.length} bytes`)
    t.ok(ms < 1000, what)
  }
  f('attributes of one point', metric(ld(5, ld(1, repeated(ld(7), size)))))
  f('exemplars of one point', metric(ld(7, ld(1, repeated(ld(5), size)), varint(2 * 8), varint(2))))
  f('bounds of one point', metric(ld(9, ld(1, ld(7, Buffer.alloc(size))), varint(2 * 8), varint(2))))
  f('buckets of one point', metric(ld(10, ld(1, ld(8, ld(2, Buffer.alloc(size, 1)))), varint(2 * 8), varint(2))))
  f('quantiles of one point', metric(ld(11, ld(1, repeated(ld(6), size)))))
  f('pieces of a metric', metric(repeated(Buffer.concat([ld(5), ld(7)]), size)))
  f('pieces of a resource', ld(1, repeated(ld(1), size), ld(2, ld(2, name, ld(5, ld(1))))))
  f('attributes of a resource', ld(1, ld(1, repeated(ld(1), size)), ld(2, ld(2, name))))
  f('a long name', ld(1, ld(2, ld(2, ld(1, Buffer.alloc(size, '.')), ld(5, ld(1))))))
  f('a long unit', metric(ld(3, Buffer.alloc(size, '/')), ld(5, ld(1))))
  f('a long value', encoded(from(SHOP, gauge('m', point(1, { a: 'x'.repeat(size) })))))
  t.same(await samples(), [])
})
