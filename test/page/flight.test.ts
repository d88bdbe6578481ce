// Flight records on the page: listed where the sidecar is, each a file to save.

import { readFileSync } from 'node:fs'
import t from 'tap'
import { started } from '../flight/room.ts'
import { violations } from './axe.ts'
import { json, openRoom, skip } from './room.ts'

t.test('the records are listed, and a click saves one', { skip, timeout: 120_000 }, async t => {
  const { running } = await started(t.testdir({}))
  t.teardown(() => running[Symbol.asyncDispose]())
  const sidecar = json('/api/sidecar', () => ({
    now: 0,
    version: '1',
    uptimeSeconds: 1,
    parts: [{ name: 'flight', state: 'ok', facts: [], findings: [] }],
    ledger: [],
    limits: [],
    memory: { total: 1, used: 0, parts: [] },
    cost: { history: { times: [], cpu: [], memory: [] } },
    configuration: '',
  }))
  const room = await openRoom(t, { routes: [...(running.routes ?? []), sidecar] })
  const { page } = room
  await room.go('#/sidecar')
  await page.getByText('None yet: nothing has ended.').waitFor()
  const response = await fetch(`${room.url}/-/flight`, { method: 'POST' })
  t.equal(response.status, 201, await response.clone().text())
  const { name } = (await response.json()) as { name: string }
  await room.go('#/sidecar')
  const link = page.getByRole('link', { name })
  const [download] = await Promise.all([page.waitForEvent('download'), link.click()])
  t.equal(download.suggestedFilename(), name)
  t.match(readFileSync((await download.path())!, 'utf8'), /<p id="summary">/)
  t.same(await violations(page), [])
  t.same(await room.faults(), [])
})
