// The duration of the start with a large queue, which is counted and not loaded.

import t from 'tap'
import { numbered, open, root } from './folder.ts'

t.test('a queue of 512 MiB in small requests is opened within 2 s of CPU, without its content in memory', async t => {
  const folder = root(t)
  const most = 600 << 20
  const { queue } = await open(t, folder, { most })
  const count = Math.floor((512 << 20) / 6500)
  for (let i = 0; i < count; i++) {
    queue.append(numbered(i, 6500))
    if (i % 100 === 0) await queue.sync()
  }
  await queue[Symbol.asyncDispose]()
  const [first, second] = [await opening(), await opening()]
  t.equal(first.recovered, count)
  t.equal(second.recovered, count)
  t.comment(`${first.cpuMs} and ${second.cpuMs} ms of CPU, ${first.bytes >> 20} and ${second.bytes >> 20} MiB more`)
  t.ok(Math.min(first.cpuMs, second.cpuMs) < 2000)
  // Garbage of what was written before may still be there at the first.
  t.ok(Math.min(first.bytes, second.bytes) < 64 << 20)

  async function opening(): Promise<{ readonly recovered: number; readonly cpuMs: number; readonly bytes: number }> {
    const before = process.memoryUsage().rss
    const cpu = process.cpuUsage()
    const { queue } = await open(t, folder, { most })
    const { user, system } = process.cpuUsage(cpu)
    const bytes = process.memoryUsage().rss - before
    const recovered = queue.recovered('traces')
    await queue[Symbol.asyncDispose]()
    return { recovered, cpuMs: Math.round((user + system) / 1000), bytes }
  }
})
