// The page, as people see it.

import t from 'tap'
import { shown } from '../../exporter/web/page.ts'
import type { Status } from '../../telemetry/status.ts'
import { browser, CHROMIUM } from './browser.ts'
import { openServer } from './open.ts'

t.test('numbers are shown with their units as people write them', async t => {
  t.equal(shown({ name: 'memory', value: 141_557_760, unit: 'bytes' }), '135 MiB')
  t.equal(shown({ name: 'memory', value: 512, unit: 'bytes' }), '512 B')
  t.equal(shown({ name: 'memory', value: 1536, unit: 'bytes' }), '1.50 KiB')
  t.equal(shown({ name: 'disk', value: 2 ** 41, unit: 'bytes' }), '2.00 TiB')
  t.equal(shown({ name: 'nothing', value: 0, unit: 'bytes' }), '0 B')
  t.equal(shown({ name: 'took', value: 0.00123456, unit: 'seconds' }), '0.00123 s')
  t.equal(shown({ name: 'left', value: 3700, unit: 'seconds' }), '1 h 1 min')
  t.equal(shown({ name: 'used', value: 0.4567, unit: 'ratio' }), '45.7 %')
  t.equal(shown({ name: 'cpu', value: 1.5, unit: 'cores' }), '1.5 cores')
  t.equal(shown({ name: 'spans', value: 1_234_567 }), '1,234,567')
  t.equal(shown({ name: 'ready', value: 'up' }), 'up')
})

/** As wide as can be: long names without spaces, many refusals. */
const wide: Status = {
  version: '0.1.0',
  uptimeSeconds: 90_061,
  application: {
    name: `shop-${'x'.repeat(80)}`,
    command: 'node server.js',
    url: `http://127.0.0.1:8080/${'path/'.repeat(20)}`,
    pid: 4_194_303,
    port: 65_535,
  },
  parts: [
    {
      name: 'process',
      state: 'warning',
      facts: [{ name: 'memory', value: 141_557_760, unit: 'bytes' }],
      findings: [{ level: 'warning', text: `cannot read /proc/4711/${'deep/'.repeat(30)}io` }],
    },
  ],
  ledger: ['traces', 'metrics', 'logs'].map(signal => ({
    signal,
    received: 9_007_199_254_740_991,
    accepted: 9_007_199_254_740_991,
    refused: { too_many_items: 123_456_789, invalid_parent_span_id: 123_456_789, not_configured: 123_456_789 },
  })),
}

t.test('on a telephone nothing sticks out of the page', { skip: !CHROMIUM && 'no browser here' }, async t => {
  const { port } = await openServer(t, { host: { status: () => wide } })
  const { evaluate } = await browser(t)
  for (const path of ['/', '/dashboards/'])
    for (const width of [390, 320, 1280]) {
      const expression = '[document.documentElement.scrollWidth, document.body.scrollWidth, innerWidth]'
      const [root, body, screen] = (await evaluate(`http://127.0.0.1:${port}${path}`, width, expression)) as number[]
      t.same([root, body, screen], [width, width, width], `${path} at ${width} px`)
    }
})
