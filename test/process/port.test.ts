// The port that the application listens on, as it is found in its files.

import { symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { FileAccess } from '../../collectors/process/access.ts'
import { Rare } from '../../collectors/process/rare.ts'
import { Tracked } from '../../collectors/process/tracked.ts'
import { Tree } from '../../collectors/process/tree.ts'
import { type ProcessOptions, process as processCollector } from '../../collectors/process.ts'
import { world } from '../world.ts'
import { folder, machine, plant, stat, tcp } from './machine.ts'

const OPTIONS: ProcessOptions = {
  children: 'together',
  interval: 5000,
  processes_limit: 512,
  threads_limit: 256,
  tcp: false,
  smaps: false,
  smaps_limit: 0,
  exit_helper: 'off',
}

t.test('a port that opens late is found within the 2.5 s that leave health half a second of its 3', async t => {
  const proc = t.testdir(machine({ 7: { comm: 'shop' } }))
  const host = world(proc)
  const main = new Tracked(proc, 7, false)
  t.ok(main.look())
  using tree = new Tree(proc, main, false, { processes: 10, threads: 10 })
  const rare = new Rare(
    OPTIONS,
    host,
    new FileAccess(proc, host.log),
    async () => {},
    () => {},
    () => {},
  )
  plant(join(proc, '7/net'), { tcp: tcp() })
  // A turn of the background each second.
  const turn = async () => {
    await rare.look(tree)
    host.clock.skip(1000)
  }
  for (let n = 0; n < 40; n++) await turn()
  t.equal(host.app.port, undefined)
  plant(join(proc, '7/net'), { tcp: tcp(['0100007F', 8080, '0A', 0, 77]) })
  symlinkSync('socket:[77]', join(proc, '7/fd/9'))
  let waited = 0
  for (; host.app.port === undefined && waited < 30; waited++) await turn()
  t.equal(host.app.port, 8080)
  t.ok(waited <= 2, `${waited} turns`)
})

t.test('a port that a process opens which the command started after itself, as npm does, is found as soon', async t => {
  const proc = t.testdir({ ...machine({ 7: { comm: 'npm' } }), net: { tcp: tcp() } })
  const host = world(proc, { select: { pid: 7 } })
  await using running = await processCollector.start(OPTIONS, host)
  t.equal(host.app.pid, 7)
  await host.clock.pass(1500)
  plant(join(proc, '7/net'), { tcp: tcp(['0100007F', 8080, '0A', 0, 77]) })
  plant(join(proc, '8'), folder(8, { comm: 'node', ppid: 7 }))
  symlinkSync('socket:[77]', join(proc, '8/fd/9'))
  let waited = 0
  for (; host.app.port === undefined && waited < 30; waited++) {
    await host.clock.pass(500)
    // The table is read off the loop, which takes real time.
    for (let n = 0; host.app.port === undefined && n < 50; n++) await sleep(10)
  }
  t.equal(host.app.port, 8080)
  t.ok(waited <= 5, `${waited / 2} s`)
  t.ok(running)
})

t.test('the connections of a process that has just ended are not said to lack a permission', async t => {
  const proc = t.testdir(machine({ 7: { comm: 'shop' } }))
  const host = world(proc)
  const main = new Tracked(proc, 7, false)
  t.ok(main.look())
  using tree = new Tree(proc, main, false, { processes: 10, threads: 10 })
  const rare = () =>
    new Rare(
      { ...OPTIONS, tcp: true },
      host,
      new FileAccess(proc, host.log),
      async () => {},
      () => {},
      () => {},
    ).look(tree)
  plant(join(proc, '7'), { stat: stat(7, { comm: 'shop', state: 'Z' }) })
  await rare()
  t.same(host.logged, [])
  plant(join(proc, '7'), { stat: stat(7, { comm: 'shop' }) })
  await rare()
  t.match(host.logged, [/^warn cannot read .*\/7\/net\/tcp/])
})
