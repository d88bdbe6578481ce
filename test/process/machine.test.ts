// The collector on machines that are folders: what it tells of them, through restarts, vanished files and refusals.

import { readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { families, type ProcessOptions, process as processCollector } from '../../collectors/process.ts'
import { Scrape } from '../../exporter/prometheus.ts'
import type { Application } from '../../telemetry/host.ts'
import type { Running } from '../../telemetry/part.ts'
import { type World, world } from '../world.ts'
import { end, type Facts, type Files, folder, limits, machine, plant, sample, stat, status, tcp } from './machine.ts'

const FIXTURE = join(import.meta.dirname, '../fixtures/proc/pod')
const V2_MOUNT = '32 31 0:29 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n'
const DEFAULTS: ProcessOptions = {
  children: 'together',
  interval: 5000,
  processes_limit: 512,
  threads_limit: 256,
  tcp: true,
  smaps: false,
  smaps_limit: 2 ** 30,
  exit_helper: 'off',
}

interface Ride {
  readonly host: World
  readonly running: Running
  /** One scrape: the lines about the application. */
  scrape(): Promise<string>
  /** Moves the clock until the background has done what is waited for. */
  until(done: () => boolean | Promise<boolean>): Promise<void>
}

async function ride(
  t: Test,
  proc: string,
  app: Partial<Application>,
  options: Partial<ProcessOptions> = {},
): Promise<Ride> {
  const host = world(proc, app)
  const running = await processCollector.start({ ...DEFAULTS, ...options }, host)
  const scrape = new Scrape(host.metrics, [])
  t.teardown(() => running[Symbol.asyncDispose]())
  return {
    host,
    running,
    async scrape() {
      await running.collect?.(new AbortController().signal)
      const { chunks } = await scrape.scrape(undefined, AbortSignal.timeout(5000))
      return Buffer.concat(chunks)
        .toString()
        .split('\n')
        .filter(line => /^(app|pillion_process)_/.test(line))
        .join('\n')
    },
    async until(done) {
      for (let i = 0; i < 400; i++) {
        if (await done()) return
        await host.clock.pass(250)
        await new Promise(resolve => setTimeout(resolve, 1))
      }
      t.fail('the awaited event happened')
    },
  }
}

t.test('an application in a pod, as a whole', async t => {
  const { scrape, running, host } = await ride(t, FIXTURE, { url: 'http://127.0.0.1:8080' })
  const text = await scrape()
  const expected = join(FIXTURE, '../pod.expected.txt')
  if (globalThis.process.env['UPDATE']) writeFileSync(expected, `${text}\n`)
  t.equal(`${text}\n`, readFileSync(expected, 'utf8'))
  t.equal(host.app.pid, 7)
  t.equal(host.app.port, 8080)
  t.same(running.findings?.(), [{ level: 'info', text: 'process 7 (shop) R 1), found by url, listening on port 8080' }])
})

t.test('descendants apart', async t => {
  const { scrape } = await ride(t, FIXTURE, { select: { pid: 7 } }, { children: 'apart' })
  const text = await scrape()
  const f = (series: string, expected: number | undefined) => t.equal(sample(text, series), expected, series)
  f('app_processes', 2)
  f('app_process_cpu_seconds_total{mode="user"}', 12.34)
  // The worker's 1.00, the zombie's 0.03, and 0.40 of children that were waited for.
  f('app_process_children_cpu_seconds_total{mode="user"}', 1.43)
  f('app_process_zombies', 1)
  f('app_process_resident_memory_bytes', 51200 * 1024)
  f('app_process_children_resident_memory_bytes', 20480 * 1024)
  f('app_process_open_fds', 4)
  f('app_process_children_open_fds', 3)
  f('app_process_threads', 3)
  f('app_process_children_threads', 1)
  f('app_process_io_read_bytes_total', 1048576)
  f('app_process_children_io_read_bytes_total', 4096)
  f('app_process_children_page_faults_total{type="minor"}', 110)
  f('app_process_children_context_switches_total{type="voluntary"}', 30)
})

t.test('every family that is published is declared, and the other way round', async t => {
  const host = world(FIXTURE)
  await using _ = await processCollector.start(DEFAULTS, host)
  const registered = host.metrics.registry.getMetricsAsArray().map(metric => metric.name)
  for (const family of processCollector.families) t.ok(registered.includes(family.name), family.name)
  t.equal(new Set(processCollector.families.map(each => each.name)).size, processCollector.families.length)
  t.equal(families.cpu.name, 'app_process_cpu_seconds_total')
})

t.test('each way to name the application leads to it, never to the sidecar or its probe', async t => {
  const f = async (select: Application['select'], app: Partial<Application>, foundBy: string) => {
    const { host, scrape } = await ride(t, FIXTURE, { select, ...app })
    t.equal(host.app.pid, 7, foundBy)
    t.equal(sample(await scrape(), `app_process_info{name="shop) R 1",found_by="${foundBy}"}`), 1)
  }
  const pidFile = t.testdir({ 'shop.pid': '7\n' })
  await f({ pid: 7 }, {}, 'pid')
  await f({ pid_file: join(pidFile, 'shop.pid') }, {}, 'pid_file')
  await f({ match: 'shop' }, {}, 'match')
  await f({ match: '^shop --port \\d+$' }, {}, 'match')
  await f({ port: 8080 }, {}, 'port')
  await f({}, { url: 'http://localhost:8080/base' }, 'url')
  await f({}, { child: 7, url: 'http://localhost:1' }, 'child')
})

t.test('a process is found by its cgroup', async t => {
  const proc = t.testdir({
    ...machine({ 5: { comm: 'other', start: 10 }, 40: { comm: 'master', start: 500 }, 41: { ppid: 40, start: 501 } }),
    self: {
      mountinfo: '32 31 0:29 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n',
      root: {
        sys: {
          fs: {
            cgroup: { 'system.slice': { 'shop.service': { 'cgroup.procs': '', sub: { 'cgroup.procs': '41\n40\n' } } } },
          },
        },
      },
    },
  })
  for (const cgroup of [
    '/system.slice/shop.service',
    '/sys/fs/cgroup/system.slice/shop.service/',
    'system.slice/shop.service',
  ]) {
    const { host } = await ride(t, proc, { select: { cgroup } })
    t.equal(host.app.pid, 40, cgroup)
  }
})

t.test(
  'an application that was not found is reported once, with what to do; it is down only if it is known not to run',
  async t => {
    const f = async (app: Partial<Application>, expected: RegExp, up: 0 | undefined) => {
      const { host, running, scrape, until } = await ride(t, FIXTURE, app)
      await until(() => host.logged.some(line => expected.test(line)))
      await host.clock.pass(3000)
      t.match(running.findings?.()[0]?.text, expected)
      t.equal(host.logged.filter(line => expected.test(line)).length, 1, 'logged once')
      const text = await scrape()
      const presence = ['app_process_up', 'app_processes', 'app_process_restarts_total']
      for (const series of presence) t.equal(sample(text, series), up, `${series} for ${expected.source}`)
      t.equal(sample(text, 'app_process_state{state="stopped"}'), up)
      t.equal(sample(text, 'app_process_open_fds'), undefined)
    }
    const files = t.testdir({ words: 'not a pid', ended: '23\n', empty: '', folder: {} })
    await f({}, /set app\.url, app\.port, app\.pid/, undefined)
    await f({ select: { pid: 30 } }, /that is the sidecar itself/, undefined)
    await f({ select: { pid: 999 } }, /no process for app\.pid 999/, 0)
    await f({ child: 999 }, /the child 999 has ended/, 0)
    await f({ select: { pid_file: join(files, 'none') } }, /there is no app\.pid_file .*none/, 0)
    await f({ select: { pid_file: join(files, 'folder') } }, /cannot read app\.pid_file .*folder/, undefined)
    await f({ select: { pid_file: join(files, 'words') } }, /begin with a process number: "not a pid"/, undefined)
    await f({ select: { pid_file: join(files, 'empty') } }, /begin with a process number: ""/, undefined)
    await f({ select: { pid_file: join(files, 'ended') } }, /is a zombie/, 0)
    await f({ select: { match: 'nothing-like-it' } }, /no process matches app\.match "nothing-like-it"/, 0)
    await f({ select: { cgroup: '/nowhere' } }, /no process in the cgroup \/nowhere/, 0)
    await f({ select: { port: 8081 } }, /nothing listens on app\.port 8081 yet/, 0)
    await f({ url: 'http://127.0.0.1:8081' }, /nothing listens on port 8081 of app\.url yet/, 0)
    await f({ url: 'http://shop.internal:8081' }, /shop\.internal may be another machine/, undefined)
    // Its socket is in the table, but no process has it.
    await f(
      { select: { port: 9090 } },
      /something listens on app\.port 9090, but no visible process owns it/,
      undefined,
    )
  },
)

t.test(
  'a cgroup without processes is known not to run, one whose processes are of another namespace is not',
  async t => {
    const f = async (procs: string, up: 0 | undefined, mountinfo = V2_MOUNT) => {
      const proc = t.testdir({
        ...machine({ 5: {} }),
        self: {
          mountinfo,
          root: { sys: { fs: { cgroup: { shop: { 'cgroup.procs': procs } } } } },
        },
      })
      const { scrape } = await ride(t, proc, { select: { cgroup: '/shop' } })
      t.equal(sample(await scrape(), 'app_process_up'), up)
    }
    await f('', 0)
    await f('0\n', undefined)
    await f('', undefined, '')
  },
)

t.test('in a PID namespace of its own the sidecar cannot know that nothing else runs', async t => {
  const self = t.fixture('symlink', '50')
  const f = async (processes: Record<number, Facts>, app: Partial<Application>, up: 0 | 1 | undefined) => {
    const { scrape } = await ride(t, t.testdir({ ...machine(processes), self, net: { tcp: tcp() } }), app)
    t.equal(sample(await scrape(), 'app_process_up'), up)
  }
  const own = { 1: { ppid: 0, comm: 'tini' }, 50: { ppid: 1 }, 51: { ppid: 50, comm: 'probe' } }
  const shared = { ...own, 7: { ppid: 0, comm: 'pause' } }
  for (const select of [{ pid: 9 }, { match: 'shop' }]) {
    await f(own, { select }, undefined)
    await f(shared, { select }, 0)
  }
  // Its own child is always visible, and a port is one of the network namespace.
  await f(own, { child: 60 }, 0)
  await f(own, { select: { port: 80 } }, 0)
})

t.test('a process that hidepid hides is not known to be down, unless it was seen before', async t => {
  const hiding = (options: string, caps = '0000000000000000') => ({
    mounts: `/dev/vda / ext4 rw 0 0\nproc /proc proc rw,nosuid,${options} 0 0\n`,
    status: `Uid:\t9\t9\t9\t9\nGid:\t8\t8\t8\t8\nGroups:\t8 1000 \nCapPrm:\t${caps}\nCapEff:\t${caps}\n`,
  })
  const f = async (self: Files, up: 0 | undefined) => {
    const { scrape, running } = await ride(t, t.testdir({ ...machine({ 7: {} }), self }), { select: { match: 'shop' } })
    t.equal(sample(await scrape(), 'app_process_up'), up)
    if (up === undefined) t.match(running.findings?.()[0]?.text, /hides the processes of other users \(hidepid=/)
  }
  await f(hiding('hidepid=2'), undefined)
  await f(hiding('relatime,hidepid=invisible,gid=4'), undefined)
  await f(hiding('hidepid=ptraceable,gid=1000'), undefined)
  await f(hiding('hidepid=off'), 0)
  await f(hiding('hidepid=2,gid=1000'), 0)
  await f(hiding('gid=8,hidepid=1'), 0)
  await f(hiding('hidepid=2', '0000000000080000'), 0)

  const proc = t.testdir({ ...machine({ 7: { comm: 'shop' } }), self: hiding('hidepid=2') })
  const { host, scrape, until } = await ride(t, proc, { select: { match: 'shop' } })
  t.equal(sample(await scrape(), 'app_process_up'), 1)
  end(join(proc, '7'))
  await until(() => host.app.pid === undefined)
  await host.clock.pass(3000)
  t.equal(sample(await scrape(), 'app_process_up'), 0)
})

t.test('somebody who listens in another network namespace is not forgotten between the looks that see it', async t => {
  const link = (to: string) => t.fixture('symlink', to)
  const proc = t.testdir({
    ...machine({}),
    7: { ...folder(7), ns: { net: link('net:[2]') }, net: { tcp: tcp(['0100007F', 80, '0A', 0, 77]) } },
    self: { ns: { net: link('net:[1]') } },
    net: { tcp: tcp() },
  })
  const { host, scrape, running } = await ride(t, proc, { select: { port: 80 } })
  for (let seconds = 0; seconds < 100; seconds += 5) {
    t.equal(sample(await scrape(), 'app_process_up'), undefined)
    t.match(running.findings?.()[0]?.text, /something listens on app\.port 80, but no visible process owns it/)
    await host.clock.pass(5000)
  }
})

t.test(
  'app.match takes the application, not what started the sidecar, nor another sidecar, nor a kernel thread',
  async t => {
    const proc = t.testdir({
      ...machine({
        1: { ppid: 0, comm: 'init' },
        2: { ppid: 0, comm: 'kthreadd', kernel: true, cmdline: '' },
        3: { ppid: 2, comm: 'kworker/shop', kernel: true, cmdline: '', start: 1 },
        10: { ppid: 1, comm: 'timeout', cmdline: 'timeout\x0060\0pillion\0--app.match\0shop\0', start: 2 },
        11: { ppid: 10, comm: 'sh', cmdline: 'sh\0-c\0PILLION_APP_MATCH=shop pillion\0', start: 3 },
        50: { ppid: 11, comm: 'pillion', cmdline: 'node\0pillion\0--app.match\0shop\0', start: 4 },
        60: { ppid: 1, comm: 'pillion', cmdline: 'node\0pillion\0--app.match=shop\0', start: 5 },
      }),
      self: t.fixture('symlink', '50'),
    })
    const { host, scrape, running, until } = await ride(t, proc, { select: { match: 'shop' } })
    t.equal(sample(await scrape(), 'app_process_up'), 0)
    t.match(running.findings?.()[0]?.text, /except 1\d, which started the sidecar; if that is it, set app\.pid/)
    plant(proc, machine({ 70: { ppid: 1, comm: 'node', cmdline: 'node\0shop.js\0', start: 6 } }))
    await until(() => host.app.pid === 70)
  },
)

t.test('systemd, which holds the socket of a service, is not the application', async t => {
  const net = { tcp: tcp(['0100007F', 80, '0A', 0, 77]) }
  const socket = { 3: t.fixture('symlink', 'socket:[77]') }
  const proc = t.testdir({ ...machine({}), net, 1: { ...folder(1, { ppid: 0, comm: 'systemd' }), fd: socket } })
  const { host, scrape, running, until } = await ride(t, proc, { select: { port: 80 } })
  t.equal(sample(await scrape(), 'app_process_up'), 0)
  t.match(running.findings?.()[0]?.text, /systemd listens on app\.port 80, and has not started the service yet/)
  plant(proc, machine({ 7: { ppid: 1 } }))
  symlinkSync('socket:[77]', join(proc, '7/fd/9'))
  await until(() => host.app.pid === 7)
})

t.test('a stopped process says so, and a finding tells how to go on', async t => {
  const proc = t.testdir(machine({ 7: { state: 'T' }, 8: { ppid: 7, state: 'R' }, 9: { ppid: 7, state: 'Z' } }))
  const { scrape, running } = await ride(t, proc, { child: 7 })
  const text = await scrape()
  const f = (state: string, expected: number) => t.equal(sample(text, `app_process_state{state="${state}"}`), expected)
  t.equal(sample(text, 'app_process_up'), 1)
  f('stopped', 1)
  f('running', 1)
  f('zombie', 1)
  f('sleeping', 0)
  t.match(running.findings?.()[1]?.text, /process 7 is stopped .* until SIGCONT/)
})

t.test('a process that takes another name by exec is called by that at the next scrape', async t => {
  const proc = t.testdir(machine({ 7: { comm: 'sh' } }))
  const { scrape, running } = await ride(t, proc, { child: 7 })
  t.equal(sample(await scrape(), 'app_process_info{name="sh",found_by="child"}'), 1)
  writeFileSync(join(proc, '7/stat'), stat(7, { comm: 'shop' }))
  const text = await scrape()
  t.equal(sample(text, 'app_process_info{name="shop",found_by="child"}'), 1)
  t.equal(sample(text, 'app_process_info{name="sh",found_by="child"}'), undefined)
  t.match(running.findings?.()[0]?.text, /process 7 \(shop\)/)
})

t.test('counters go on through a restart, gauges pause, and the new start time is told', async t => {
  const proc = t.testdir(machine({ 7: { user: 500, start: 2000, voluntary: 50 } }))
  const { host, scrape, until } = await ride(t, proc, { select: { pid: 7 } })
  let text = await scrape()
  t.equal(sample(text, 'app_process_cpu_seconds_total{mode="user"}'), 5)
  t.equal(sample(text, 'app_process_start_time_seconds'), 1_750_000_000 - 1000 + 20)

  end(join(proc, '7'))
  await host.clock.pass(2000)
  await until(() => host.app.pid === undefined)
  text = await scrape()
  t.equal(sample(text, 'app_process_up'), 0)
  t.equal(sample(text, 'app_process_cpu_seconds_total{mode="user"}'), 5)
  t.equal(sample(text, 'app_process_resident_memory_bytes'), undefined)
  t.equal(sample(text, 'app_process_start_time_seconds'), undefined)

  // The same number, another process.
  plant(proc, machine({ 7: { user: 30, start: 99_000, voluntary: 4 } }))
  await until(() => host.app.pid === 7)
  text = await scrape()
  t.equal(sample(text, 'app_process_up'), 1)
  t.equal(sample(text, 'app_process_restarts_total'), 1)
  t.equal(sample(text, 'app_process_cpu_seconds_total{mode="user"}'), 5.3)
  t.equal(sample(text, 'app_process_context_switches_total{type="voluntary"}'), 54)
})

t.test('a process that turns into another one under the same files is not the same process', async t => {
  const proc = t.testdir(machine({ 7: { user: 500, start: 2000 } }))
  const { scrape, until } = await ride(t, proc, { select: { pid: 7 } })
  await scrape()
  writeFileSync(join(proc, '7/stat'), stat(7, { user: 20, start: 3000 }))
  await until(async () => sample(await scrape(), 'app_process_restarts_total') === 1)
  const text = await scrape()
  t.equal(sample(text, 'app_process_cpu_seconds_total{mode="user"}'), 5.2)
})

t.test('a start time does not move when the wall clock is set', async t => {
  const proc = t.testdir(machine({ 7: { start: 2000 } }))
  const { host, scrape } = await ride(t, proc, { select: { pid: 7 } })
  const before = sample(await scrape(), 'app_process_start_time_seconds')
  writeFileSync(join(proc, 'uptime'), '7000.00 1.00\n')
  await host.clock.pass(70_000)
  const text = await scrape()
  t.equal(sample(text, 'app_process_start_time_seconds'), before)
  t.equal(sample(text, 'app_process_uptime_seconds'), 980 + 70)
})

t.test(
  "a container's own uptime beside the machine's start times gives no start time rather than a wrong one",
  async t => {
    const proc = t.testdir({ ...machine({ 7: { start: 500_000 } }), uptime: '12.00 1.00\n' })
    const { scrape } = await ride(t, proc, { select: { pid: 7 } })
    const text = await scrape()
    t.equal(sample(text, 'app_process_up'), 1)
    t.equal(sample(text, 'app_process_start_time_seconds'), undefined)
    t.equal(sample(text, 'app_process_uptime_seconds'), undefined)
  },
)

t.test('a zombie is not up, but what it used to its end is counted', async t => {
  const proc = t.testdir(machine({ 7: { user: 100 } }))
  const { scrape } = await ride(t, proc, { child: 7 })
  await scrape()
  writeFileSync(join(proc, '7/stat'), stat(7, { user: 190, state: 'Z' }))
  writeFileSync(join(proc, '7/status'), status({ state: 'Z' }))
  const text = await scrape()
  t.equal(sample(text, 'app_process_up'), 0)
  t.equal(sample(text, 'app_process_cpu_seconds_total{mode="user"}'), 1.9)
})

t.test('files that are missing or nonsense leave their own numbers out, and no others', async t => {
  const f = async (change: (folder: Files) => void, absent: string[], present: string[]) => {
    const files = folder(7, { start: 2000 })
    change(files)
    const proc = t.testdir({ uptime: '1000.00 1.00\n', 7: files })
    const { scrape } = await ride(t, proc, { child: 7 })
    const text = await scrape()
    for (const series of absent) t.equal(sample(text, series), undefined, `${series} is absent`)
    for (const series of present) t.type(sample(text, series), 'number', `${series} is there`)
  }
  const cpu = 'app_process_cpu_seconds_total{mode="user"}'
  const rss = 'app_process_resident_memory_bytes'
  const read = 'app_process_io_read_bytes_total'
  const wait = 'app_process_run_queue_wait_seconds_total'
  await f(files => delete files['io'], [read], [cpu, rss, wait])
  await f(files => delete files['status'], [rss], [cpu, read, wait])
  await f(files => delete files['schedstat'], [wait], [cpu, rss, read])
  await f(
    files => delete files['limits'],
    ['app_process_max_fds', 'app_process_worst_fd_ratio'],
    [cpu, 'app_process_open_fds'],
  )
  await f(files => delete files['fd'], ['app_process_open_fds'], [cpu, 'app_process_max_fds'])
  await f(
    files => Object.assign(files, { io: 'read_bytes', status: '\0\0', schedstat: 'x', limits: '' }),
    [read, rss, wait],
    [cpu],
  )
  await f(
    files => Object.assign(files, { schedstat: '0 0 0\n', task: { 7: { stat: stat(7, { user: 30, system: 12 }) } } }),
    [wait],
    ['app_process_main_thread_cpu_seconds_total'],
  )
})

t.test('a main process whose stat makes no sense is not up', async t => {
  const proc = t.testdir({ uptime: '1000.00 1.00\n', 7: { ...folder(7), stat: '7 (app) R 1 2 3' } })
  const { scrape } = await ride(t, proc, { child: 7 })
  t.equal(sample(await scrape(), 'app_process_up'), 0)
})

t.test('a counter of a 32-bit kernel goes on when it begins anew', async t => {
  const proc = t.testdir(machine({ 7: { minor: 2 ** 32 - 100, voluntary: 2 ** 32 - 10 } }))
  const { scrape } = await ride(t, proc, { child: 7 })
  await scrape()
  writeFileSync(join(proc, '7/stat'), stat(7, { minor: 50 }))
  writeFileSync(join(proc, '7/status'), status({ voluntary: 5 }))
  const text = await scrape()
  t.equal(sample(text, 'app_process_page_faults_total{type="minor"}'), 2 ** 32 + 50)
  t.equal(sample(text, 'app_process_context_switches_total{type="voluntary"}'), 2 ** 32 + 5)
})

t.test('the end of a thread or of a child takes nothing away', async t => {
  const proc = t.testdir({
    uptime: '1000.00 1.00\n',
    7: {
      ...folder(7, { threads: 2, voluntary: 10, user: 100 }),
      task: { 7: {}, 8: { status: status({ voluntary: 1000 }), schedstat: '1 3000000000 1\n' } },
    },
    9: folder(9, { ppid: 7, user: 40, voluntary: 5 }),
  })
  const { host, scrape } = await ride(t, proc, { child: 7 })
  let text = await scrape()
  t.equal(sample(text, 'app_processes'), 2)
  t.equal(sample(text, 'app_process_context_switches_total{type="voluntary"}'), 1015)
  t.equal(sample(text, 'app_process_run_queue_wait_seconds_total'), 4)
  t.equal(sample(text, 'app_process_cpu_seconds_total{mode="user"}'), 1.4)
  end(join(proc, '9'))
  end(join(proc, '7/task/8'))
  writeFileSync(join(proc, '7/stat'), stat(7, { user: 100, childUser: 45 }))
  await host.clock.pass(6000)
  text = await scrape()
  t.equal(sample(text, 'app_processes'), 1)
  t.equal(sample(text, 'app_process_context_switches_total{type="voluntary"}'), 1015)
  t.equal(sample(text, 'app_process_run_queue_wait_seconds_total'), 4)
  t.equal(sample(text, 'app_process_cpu_seconds_total{mode="user"}'), 1.45)
})

t.test('an orphan of the application stays its own while the main process lives', async t => {
  const proc = t.testdir(machine({ 7: {}, 8: { ppid: 7 }, 9: { ppid: 8, user: 50 } }))
  const { host, scrape } = await ride(t, proc, { child: 7 })
  t.equal(sample(await scrape(), 'app_processes'), 3)
  end(join(proc, '8'))
  writeFileSync(join(proc, '9/stat'), stat(9, { ppid: 1, user: 60 }))
  await host.clock.pass(6000)
  const text = await scrape()
  t.equal(sample(text, 'app_processes'), 2)
  t.equal(sample(text, 'app_process_cpu_seconds_total{mode="user"}'), 0.6)
})

t.test('parents that form a circle do not hang anything', async t => {
  const proc = t.testdir({ ...machine({ 7: { ppid: 9 }, 8: { ppid: 7 }, 9: { ppid: 8 } }), net: { tcp: tcp() } })
  const { scrape } = await ride(t, proc, { select: { match: 'app' } })
  t.ok([0, 1].includes(sample(await scrape(), 'app_process_up') ?? -1))
})

t.test('bounds leave out what is beyond them, and count it', async t => {
  const many = Object.fromEntries(Array.from({ length: 20 }, (_, i) => [100 + i, { ppid: 7 }]))
  const proc = t.testdir(machine({ 7: {}, ...many }))
  const { scrape } = await ride(t, proc, { child: 7 }, { processes_limit: 5 })
  const text = await scrape()
  t.equal(sample(text, 'app_processes'), 5)
  t.ok(sample(text, 'pillion_process_over_limit_total{what="processes"}')! > 0)
})

t.test('a sidecar that may open few files reads fewer processes, and counts that', async t => {
  const many = Object.fromEntries(Array.from({ length: 20 }, (_, i) => [100 + i, { ppid: 7 }]))
  const proc = t.testdir({ ...machine({ 7: {}, ...many }), self: { limits: limits({ maxFds: 64 }) } })
  const { scrape } = await ride(t, proc, { child: 7 })
  const text = await scrape()
  t.equal(sample(text, 'app_processes'), 6)
  t.equal(sample(text, 'app_process_open_fds'), 18)
  t.ok(sample(text, 'pillion_process_over_limit_total{what="processes"}')! > 0)
})

t.test('the sidecar below the application is not counted', async t => {
  const proc = t.testdir({
    ...machine({ 7: {}, 8: { ppid: 7 }, 50: { ppid: 7, comm: 'pillion' }, 51: { ppid: 50, comm: 'probe' } }),
    self: t.fixture('symlink', '50'),
  })
  const { scrape } = await ride(t, proc, { select: { pid: 7 } })
  t.equal(sample(await scrape(), 'app_processes'), 2)
})

t.test('connections are counted again after a while, not at each scrape', async t => {
  const proc = t.testdir({ ...machine({}), 7: { ...folder(7), net: { tcp: tcp(['0100007F', 80, '01', 0, 1]) } } })
  const { host, scrape, until } = await ride(t, proc, { child: 7 })
  const established = async () => sample(await scrape(), 'app_process_tcp_connections{state="established"}')
  t.equal(await established(), 1)
  writeFileSync(join(proc, '7/net/tcp'), tcp(['0100007F', 80, '01', 0, 1], ['0100007F', 80, '01', 0, 2]))
  await host.clock.pass(3000)
  t.equal(await established(), 1)
  await host.clock.pass(13_000)
  await until(async () => (await established()) === 2)
})

t.test('proportional memory only on request, and not of a large process', async t => {
  const rollup = 'x\nPss: 312 kB\nPrivate_Clean: 4 kB\nPrivate_Dirty: 140 kB\nSwapPss: 8 kB\n'
  const proc = t.testdir({ ...machine({}), 7: { ...folder(7, { resident: 4096 }), smaps_rollup: rollup } })
  const f = async (options: Partial<ProcessOptions>, expected: number | undefined, counted: number) => {
    const { scrape } = await ride(t, proc, { child: 7 }, options)
    const text = await scrape()
    t.equal(sample(text, 'app_process_proportional_memory_bytes'), expected)
    t.equal(sample(text, 'pillion_process_over_limit_total{what="smaps"}'), counted)
  }
  await f({}, undefined, 0)
  await f({ smaps: true }, 312 * 1024, 0)
  await f({ smaps: true, smaps_limit: 1024 ** 2 }, undefined, 1)
})

t.test('where there is no /proc, pidusage gives CPU time, memory and start', async t => {
  const { pid } = globalThis.process
  const { scrape, running } = await ride(t, join(t.testdir({}), 'none'), { child: pid })
  const text = await scrape()
  t.equal(sample(text, 'app_process_up'), 1)
  t.ok(sample(text, 'app_process_cpu_seconds_total{mode="all"}')! > 0)
  t.ok(sample(text, 'app_process_resident_memory_bytes')! > 1e6)
  t.match(running.findings?.()[0]?.text, /only CPU time, memory and start/)
  const f = async (app: Partial<Application>, up: 0 | undefined) => {
    const { scrape } = await ride(t, join(t.testdir({}), 'none'), app)
    const text = await scrape()
    for (const series of ['app_process_up', 'app_processes', 'app_process_restarts_total'])
      t.equal(sample(text, series), up, series)
  }
  await f({}, undefined)
  await f({ url: 'http://127.0.0.1:80' }, undefined)
  await f({ select: { pid: 4_194_304 } }, 0)
})

t.test('a folder that is no /proc at all', async t => {
  const proc = t.testdir({ 7: 'a file', 8: {}, '0x9': {}, uptime: '' })
  symlinkSync('nowhere', join(proc, 'self'))
  const { scrape } = await ride(t, proc, { select: { pid: 7 }, url: 'http://127.0.0.1:80' })
  t.equal(sample(await scrape(), 'app_process_up'), 0)
})
