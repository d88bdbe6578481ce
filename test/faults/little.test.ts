// A little of the labelled fault set: one real application, three faults that no other work on the machine can imitate.
// The assertion is the cause named for most of the slow requests; `npm run faults` has the whole.

import { join } from 'node:path'
import t from 'tap'
import { Stand } from './harness.ts'

// It goes on until it has seen enough, however busy the machine is.
t.setTimeout(300_000)

t.test('a real application that waits for a lock, for a dependency, or is stopped, is told so', async t => {
  await using stand = await Stand.start([process.execPath, join(import.meta.dirname, 'apps/node.mjs')])
  await stand.requests(60)
  for (const fault of ['lock', 'dependency', 'stopped'] as const) {
    const before = await stand.counts()
    let found: Record<string, number> = {}
    // On a busy machine other causes are true as well: it goes on until there is enough of this one.
    for (let tries = 0; tries < 12 && !((found[fault] ?? 0) >= 5); tries++) {
      await stand.requests(10, fault)
      const after = await stand.counts()
      found = Object.fromEntries(Object.entries(after).map(([cause, count]) => [cause, count - (before[cause] ?? 0)]))
    }
    t.ok((found[fault] ?? 0) >= 5, `${fault}: ${JSON.stringify(found)}`)
    const others = Object.entries(found).filter(([cause]) => !['waiting_for_cpu', 'unexplained', fault].includes(cause))
    t.ok(
      others.every(([, count]) => count <= (found[fault] ?? 0) / 2),
      `nothing else that was not there: ${JSON.stringify(found)}`,
    )
  }
  const episode = await stand.episode()
  t.match(episode?.sentence, /^GET \/work took up to .* instead of .*/)
  const { spans } = (await stand.json(`/api/insight/trace/${episode?.trace_id}`)) as { spans: unknown[] }
  t.ok(spans.length > 0, 'the slowest request has bands')
  t.match(
    await stand.page(),
    /^traces_critical_path_seconds_total\{service="shop",root_operation="GET \/work",operation="GET",/m,
  )
})
