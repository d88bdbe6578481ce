// A story: the payment of the shop begins to fail. From the page alone, in at most three clicks, the failing span, its
// exception and its log line are on the screen.

import t from 'tap'
import { startShop } from '../shop/services.ts'
import { openLive } from './live.ts'
import { skip } from './room.ts'

t.test('the bank closes, and three clicks show why', { skip, timeout: 280_000 }, async t => {
  const { ride, open } = await openLive(t)
  await using shop = await startShop(ride.otlp, 0, { OTEL_LOGS_EXPORTER: 'otlp', OTEL_BLRP_SCHEDULE_DELAY: '100' })
  const buy = async (): Promise<number> => (await fetch(`${shop.url}/checkout`, { method: 'POST' })).status
  const { page, go, faults } = await open()
  await go('#/overview')
  for (let i = 0; i < 3; i++) t.equal(await buy(), 200)
  await page.getByRole('rowheader', { name: 'payment' }).waitFor()
  t.equal(await page.getByText(/POST .* fails/).count(), 0)

  const [, payment] = await shop.payment.says(/listening on (\S+)/)
  await fetch(`${payment}/bank`, { method: 'PUT', body: '{"open": false}' })
  for (let i = 0; i < 4; i++) t.equal(await buy(), 502)

  let clicks = 0
  await page
    .getByText(/^payment: POST \/charge fails, \d+ of \d+ requests$/)
    .first()
    .waitFor()
  await page.getByRole('link', { name: /^newest failing trace of payment: POST \/charge/ }).click()
  clicks++
  const panel = page.locator('.panel')
  await panel.getByRole('heading', { name: 'POST /charge' }).waitFor()
  // The event of the span, with its exception, and the log record that names the span.
  await panel
    .getByText(/POST \/charge failed: the bank is closed, so charge \d+ was not made/)
    .first()
    .waitFor()
  await panel.getByRole('heading', { name: 'Its log line' }).waitFor()
  await panel
    .getByText(/Error: the bank is closed/)
    .first()
    .waitFor()
  t.match(
    await panel.innerText(),
    /Error: the bank is closed[\s\S]*at POST \/charge \(.*payment\.js/,
    'the exception with its stack',
  )
  t.ok(clicks <= 3, `${clicks} clicks`)
  // A part that does not run has no answer about the time of the trace.
  t.same(
    (await faults()).filter(fault => !/404/.test(fault)),
    [],
  )
})
