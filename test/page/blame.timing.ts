// Why requests were slow, on the page: a real application that is really stopped, or held back by the quota of a real cgroup.

import { join } from 'node:path'
import t from 'tap'
import { canBe, Stand } from '../faults/harness.ts'
import { violations } from './axe.ts'
import { opener } from './live.ts'
import { skip } from './room.ts'

const APP = join(import.meta.dirname, '../faults/apps/node.mjs')

for (const [fault, says] of [
  ['stopped', 'stopped'],
  ['throttled', 'throttled by its quota'],
] as const)
  t.test(
    `an application that is ${fault} is told so on the overview, and above the spans of its slowest request`,
    {
      skip: skip || (!canBe('node', fault) && 'needs root and the first version of cgroups, whose quota can be set'),
      timeout: 280_000,
    },
    async t => {
      const stand = await Stand.start([process.execPath, APP])
      t.teardown(() => stand[Symbol.asyncDispose]())
      // The usual is that of the quietest forty of the first two hundred.
      await stand.requests(200)
      // On a busy machine other causes are true as well: it goes on until there is enough of this one.
      for (let tries = 0; tries < 12 && (await stand.episode())?.cause !== fault; tries++) {
        await stand.requests(10, fault)
        await stand.counts()
      }
      t.equal((await stand.episode())?.cause, fault)

      const { page, go, faults } = await (await opener(t, stand.web))()
      await go('#/overview')
      await page.getByText(/^shop: GET \/work took up to .* instead of .* more were (stopped|throttled)/).waitFor()
      await page.getByRole('link', { name: /^its slowest trace of shop: GET \/work took/ }).click()
      const bands = page.locator(`.row .band.${fault}`)
      await bands.first().waitFor()
      // Where other causes prevail in between there are several, and the first may be a sliver of some microseconds.
      const titles = await bands.evaluateAll(all => all.map(band => band.getAttribute('title') ?? ''))
      for (const title of titles) t.match(title, new RegExp(`^${says}: \\d+(\\.\\d+)?\\s(µs|ms|s)$`))
      t.ok(
        titles.some(title => /\s(ms|s)$/.test(title)),
        titles.join(', '),
      )
      const lane = page.getByRole('img', { name: /^Why it was slow: / })
      t.match(await lane.getAttribute('aria-label'), new RegExp(`${says} \\d+(\\.\\d+)?\\sms`))
      t.ok((await lane.locator(`.band.${fault}`).count()) > 0, 'the same above all spans, on their axis')
      await page.getByRole('img', { name: /^CPU used: at most / }).waitFor()
      await page.keyboard.press('ArrowDown')
      await page.locator('.panel dt', { hasText: says }).waitFor()
      t.same(await violations(page), [])
      if (process.env['PICTURE']) await page.screenshot({ path: `${process.env['PICTURE']}-${fault}.png` })
      t.same(await faults(), [])
    },
  )
