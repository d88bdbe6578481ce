// The cost of the page: nothing while nobody looks, and little while somebody does.

import t from 'tap'
import { openLive } from './live.ts'
import { skip } from './room.ts'

const cpu = (text: string): number =>
  [...text.matchAll(/^pillion_process_cpu_seconds_total\{.*\} (\S+)$/gm)].reduce(
    (sum, [, value]) => sum + Number(value),
    0,
  )
/** The share of the memory budget that the page holds; undefined until it is first asked for. */
const held = (text: string): string | undefined => /^pillion_memory_used_bytes\{part="page"\} (\S+)$/m.exec(text)?.[1]

t.test('with one page open the sidecar uses at most 1 % of a core more', { skip, timeout: 280_000 }, async t => {
  const { ride, open } = await openLive(t)
  const measured = async (seconds: number): Promise<number> => {
    const [before, begun] = [cpu(await ride.scrape()), performance.now()]
    await new Promise(resolve => setTimeout(resolve, seconds * 1000))
    return (cpu(await ride.scrape()) - before) / ((performance.now() - begun) / 1000)
  }
  const idle = await measured(20)
  t.equal(held(await ride.scrape()), undefined, 'while nobody looks, the page is not loaded and nothing is kept for it')
  const { page, go } = await open()
  await go('#/overview')
  await page.getByRole('heading', { name: 'Memory' }).waitFor()
  // The first half minute compiles what it runs.
  await page.waitForTimeout(30_000)
  const watched = await measured(60)
  t.comment(`idle ${(idle * 100).toFixed(2)} %, with a page ${(watched * 100).toFixed(2)} %`)
  t.ok(watched - idle <= 0.01, `${((watched - idle) * 100).toFixed(2)} % of a core more`)
  t.ok(Number(held(await ride.scrape())) > 0)
})
