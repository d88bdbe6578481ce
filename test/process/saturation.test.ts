// The used share of limited resources: of a made-up machine, and of real connections.

import { once } from 'node:events'
import { mkdirSync, rmSync, symlinkSync } from 'node:fs'
import { createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { ratio, Saturation, secondsToLimit, type Use } from '../../collectors/process/saturation.ts'
import { emptyRow, MomentRing } from '../../telemetry/moment.ts'
import { world } from '../world.ts'
import { sample } from './machine.ts'
import { program, ride } from './real.ts'

const NONE: Use = [Number.NaN, Number.NaN]

function watched(proc: string, ring?: MomentRing) {
  const host = world(proc, { pid: 7 })
  const saturation = new Saturation({
    ...host,
    moments: () => ({ ring, marks: [], ended: undefined, note() {}, wake() {} }),
  })
  const values = async (of: typeof ratio) => {
    saturation.publish()
    const samples = await host.metrics.samples(of)
    return Object.fromEntries(samples.map(({ labels, value }) => [labels['resource'], value]))
  }
  return { host, saturation, ratios: () => values(ratio), seconds: () => values(secondsToLimit) }
}

t.test('a resource that has no limit, or cannot be read, is absent', async t => {
  const { saturation, ratios } = watched(t.testdir({}))
  saturation.look({ memory: NONE, descriptors: [5, Number.NaN], threads: [3, Number.POSITIVE_INFINITY] })
  saturation.connections(undefined, undefined)
  t.same(await ratios(), {})
  saturation.look({ memory: [50, 200], descriptors: [5, 20], threads: [0, 10] })
  t.same(await ratios(), { memory: 0.25, descriptors: 0.25, threads: 0 })
  saturation.look({ memory: NONE, descriptors: [6, 20], threads: [0, 0] })
  t.same(await ratios(), { descriptors: 0.3 })
  saturation.forget()
  t.same(await ratios(), {})
})

t.test('a steady leak has a time, and none after the process was replaced', async t => {
  const { host, saturation, seconds } = watched(t.testdir({}))
  for (let minute = 0; minute <= 90; minute++) {
    saturation.look({ memory: [500 + minute, 1000], descriptors: [50, 100], threads: NONE })
    host.clock.skip(60_000)
  }
  const { memory, ...others } = await seconds()
  t.ok(Math.abs(memory! - 410 * 60) < 180, `${memory} s`)
  t.same(others, {})
  saturation.forget()
  t.same(await seconds(), {})
})

t.test('the accept queue is measured by somaxconn, and after an overflow by what was seen then', async t => {
  const proc = t.testdir({
    sys: { net: { core: { somaxconn: '4096\n' }, ipv4: { ip_local_port_range: '1000\t1999\n' } } },
  })
  const ring = new MomentRing(8)
  const overflows = (count: number) =>
    ring.add(ring.next, ring.next, { ...emptyRow(), listenOverflows: count, process: 1 })
  const { saturation, ratios } = watched(proc, ring)
  overflows(3)
  saturation.connections(250, 512)
  t.same(await ratios(), { ports: 0.25, accept_queue: 0.125 })
  overflows(4)
  saturation.connections(250, 512)
  t.same(await ratios(), { ports: 0.25, accept_queue: 1 })
  overflows(4)
  saturation.connections(0, 128)
  t.same(await ratios(), { ports: 0, accept_queue: 0.25 })
})

t.test('the disk is that of the working directory, and one that is gone is absent', async t => {
  const proc = t.testdir({ 7: {} })
  const { host, saturation, ratios } = watched(proc)
  const until = async (done: (disk: number | undefined) => boolean) => {
    for (const deadline = performance.now() + 60_000; !done((await ratios())['disk']); await sleep(10))
      if (performance.now() > deadline) throw new Error('not so within a minute')
  }
  mkdirSync(join(proc, 'real'))
  symlinkSync(join(proc, 'real'), join(proc, '7/cwd'))
  saturation.lookAtDisk(7)
  await until(disk => disk !== undefined && disk > 0 && disk <= 1)
  rmSync(join(proc, '7/cwd'))
  saturation.lookAtDisk(7)
  t.ok((await ratios())['disk'], 'not asked again at once')
  host.clock.skip(15_000)
  saturation.lookAtDisk(7)
  await until(disk => disk === undefined)
  t.pass()
})

t.test('connections of a real application to one destination are counted against the ports', async t => {
  const held: Socket[] = []
  const server = createServer(socket => held.push(socket)).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    for (const socket of held) socket.destroy()
    server.close()
  })
  const { port } = server.address() as { port: number }
  const script = `const net = process.getBuiltinModule('node:net')
    for (let i = 0; i < 200; i++) net.connect(${port}, '127.0.0.1').on('error', () => {})
    process.stdin.resume(); console.log('up')`
  using app = program(process.execPath, ['-e', script])
  await app.line()
  while (held.length < 200) await sleep(10)
  await using ridden = await ride({ select: { pid: app.pid } })
  const text = await ridden.until(text => (sample(text, 'app_saturation_ratio{resource="ports"}') ?? 0) > 0)
  const share = sample(text, 'app_saturation_ratio{resource="ports"}')!
  t.ok(share >= 200 / 65_536 && share < 0.1, `${share}`)
  t.ok((sample(text, 'app_saturation_ratio{resource="descriptors"}') ?? 0) > 0)
})
