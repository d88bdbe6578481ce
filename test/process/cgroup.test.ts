// The cgroup of the application: found by the right route, read alike in all versions, its counters kept.

import { mkdirSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { FileAccess, remedy } from '../../collectors/process/access.ts'
import { Cgroup } from '../../collectors/process/cgroup.ts'
import { locate } from '../../collectors/process/hierarchy.ts'
import { world } from '../world.ts'
import { type Files, plant } from './machine.ts'

const V2_MOUNT = '32 31 0:29 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw\n'
const PRESSURE =
  'some avg10=0.00 avg60=0.00 avg300=0.00 total=2000000\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=1000000\n'

function v2(pids: string, cpuSeconds = 10, more: Files = {}): Files {
  return {
    'cgroup.procs': pids,
    'cpu.max': '200000 100000\n',
    'cpu.stat': `usage_usec ${cpuSeconds * 1e6}\nuser_usec ${cpuSeconds * 1e6}\nsystem_usec 0\nnr_periods 40\nnr_throttled 4\nthrottled_usec 3000000\n`,
    'memory.max': 'max\n',
    'memory.current': '1000000\n',
    'memory.stat': 'anon 5\ninactive_file 300000\n',
    'memory.events': 'oom 5\noom_kill 2\n',
    'pids.current': '3\n',
    'pids.max': '50\n',
    'cpu.pressure': PRESSURE,
    ...more,
  }
}

/** A machine where the sidecar sees the whole tree. */
function host(t: Test, lines: string, tree: Files, mounts = V2_MOUNT): string {
  return t.testdir({
    7: { cgroup: lines, mountinfo: '' },
    self: { mountinfo: mounts, root: { sys: { fs: { cgroup: tree } } } },
  })
}

function looked(proc: string, nowMs = 0): Cgroup {
  const cgroup = new Cgroup(world(proc))
  cgroup.begin(7)
  cgroup.look(nowMs)
  return cgroup
}

t.test('v2 on a host: the limits are the lowest up the tree', async t => {
  const proc = host(t, '0::/system.slice/shop.service\n', {
    ...v2('1\n', 999, { 'cpu.max': '10 100000\n' }),
    'system.slice': {
      ...v2('', 99, { 'memory.max': '500000000\n', 'cpu.max': 'max 100000\n' }),
      'shop.service': v2('7\n8\n', 10, { 'memory.max': '900000000\n' }),
    },
  })
  const { place, gauges, totals } = looked(proc)
  t.equal(place?.version, 'v2')
  t.equal(place?.route, 'own_mount')
  t.match(gauges, {
    cpuLimitCores: 0.0001,
    memoryLimitBytes: 500_000_000,
    memoryBytes: 1_000_000,
    workingSetBytes: 700_000,
    pids: 3,
    pidsLimit: 50,
  })
  t.match(totals, {
    user: 10,
    system: 0,
    periods: 40,
    throttledPeriods: 4,
    throttled: 3,
    oomKills: 2,
    cpuWaiting: 2,
    cpuStalled: 1,
  })
  t.same(totals.memoryWaiting, Number.NaN, 'no memory.pressure here')
})

t.test('no limit is no number', async t => {
  const proc = host(t, '0::/a\n', { a: v2('7\n', 1, { 'cpu.max': 'max 100000\n', 'pids.max': 'max\n' }) })
  const { gauges } = looked(proc)
  t.same(gauges?.cpuLimitCores, Number.NaN)
  t.same(gauges?.memoryLimitBytes, Number.NaN)
  t.same(gauges?.pidsLimit, Number.NaN)
})

t.test('files that are missing or nonsense leave their own numbers out', async t => {
  const proc = host(t, '0::/a\n', {
    a: {
      'cgroup.procs': '7\n',
      'cpu.stat': 'nr_periods x\nnr_throttled 4\n',
      'memory.current': '-1\n',
      'memory.stat': 'inactive_file 5\n',
    },
  })
  const { gauges, totals } = looked(proc)
  t.same(gauges?.memoryBytes, Number.NaN)
  t.same(gauges?.workingSetBytes, Number.NaN)
  t.same(totals.periods, Number.NaN)
  t.equal(totals.throttledPeriods, 4)
  t.same(totals.oomKills, Number.NaN)
})

const V1_MOUNTS =
  '33 31 0:30 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n34 31 0:31 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n35 31 0:32 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n'

function v1(memoryLimit = '9223372036854771712\n'): Files {
  return {
    'cpu,cpuacct': {
      'cpu.cfs_quota_us': '-1\n',
      docker: {
        ab: {
          'cgroup.procs': '7\n',
          'cpu.cfs_quota_us': '50000\n',
          'cpu.cfs_period_us': '100000\n',
          'cpu.stat': 'nr_periods 10\nnr_throttled 3\nthrottled_time 2500000000\n',
          'cpuacct.stat': 'user 1234\nsystem 66\n',
        },
      },
    },
    memory: {
      docker: {
        ab: {
          'cgroup.procs': '7\n',
          'memory.limit_in_bytes': memoryLimit,
          'memory.usage_in_bytes': '8000000\n',
          'memory.stat':
            'cache 1\ninactive_file 7\nhierarchical_memory_limit 9223372036854771712\ntotal_inactive_file 3000000\n',
          'memory.oom_control': 'oom_kill_disable 0\nunder_oom 0\noom_kill 4\n',
        },
      },
    },
    pids: { docker: { ab: { 'cgroup.procs': '7\n', 'pids.current': '5\n', 'pids.max': 'max\n' } } },
  }
}
const V1_LINES = '9:name=systemd:/docker/ab\n5:pids:/docker/ab\n4:memory:/docker/ab\n2:cpu,cpuacct:/docker/ab\n'

t.test('v1 says the same in its own words and units', async t => {
  const { place, gauges, totals } = looked(host(t, V1_LINES, v1(), V1_MOUNTS))
  t.equal(place?.version, 'v1')
  t.equal(gauges?.cpuLimitCores, 0.5)
  t.same(gauges?.memoryLimitBytes, Number.NaN, 'the largest number of pages is no limit')
  t.equal(gauges?.memoryBytes, 8_000_000)
  t.equal(gauges?.workingSetBytes, 5_000_000)
  t.match(totals, { user: 12.34, system: 0.66, periods: 10, throttledPeriods: 3, throttled: 2.5, oomKills: 4 })
  t.same(totals.cpuWaiting, Number.NaN, 'v1 has no pressure')
})

t.test('v1 with a memory limit', async t => {
  t.equal(looked(host(t, V1_LINES, v1('268435456\n'), V1_MOUNTS)).gauges?.memoryLimitBytes, 268_435_456)
})

t.test('hybrid: controllers from v1, pressure from the unified tree', async t => {
  const proc = host(
    t,
    `${V1_LINES}0::/docker/ab\n`,
    { ...v1(), unified: { docker: { ab: { 'cgroup.procs': '7\n', 'cpu.pressure': PRESSURE } } } },
    `${V1_MOUNTS}41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n`,
  )
  const { place, totals } = looked(proc)
  t.equal(place?.version, 'hybrid')
  t.match(totals, { user: 12.34, cpuWaiting: 2, cpuStalled: 1, oomKills: 4 })
})

t.test('in another cgroup namespace the way leads through the root of the application', async t => {
  const proc = t.testdir({
    7: {
      cgroup: '0::/../app.scope\n',
      mountinfo: '704 700 0:30 /../app.scope /sys/fs/cgroup ro - cgroup2 cgroup rw\n',
      root: { sys: { fs: { cgroup: v2('7\n', 5) } } },
      ns: { cgroup: t.fixture('symlink', 'cgroup:[1]') },
    },
    self: {
      mountinfo: V2_MOUNT,
      // The sidecar's own cgroup, which must not be taken for the application's.
      root: { sys: { fs: { cgroup: v2('30\n', 500) } } },
      ns: { cgroup: t.fixture('symlink', 'cgroup:[2]') },
    },
  })
  const { place, totals } = looked(proc)
  t.equal(place?.route, 'application_root')
  t.equal(totals.user, 5)
})

t.test("without the host's namespace, docker's bind mount on v1 shows only the container's part", async t => {
  const proc = t.testdir({
    7: {
      cgroup: '4:memory:/docker/ab\n',
      mountinfo: '34 31 0:31 /docker/ab /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n',
      root: { sys: { fs: { cgroup: { memory: { 'cgroup.procs': '7\n', 'memory.usage_in_bytes': '55\n' } } } } },
    },
    self: { mountinfo: '', root: {} },
  })
  const { place, gauges } = looked(proc)
  t.equal(place?.route, 'application_root')
  t.equal(gauges?.memoryBytes, 55)
})

t.test('a folder that does not list the process is not its cgroup', async t => {
  t.equal(locate(host(t, '0::/a\n', { a: v2('70\n17\n') }), 7, '0::/a\n'), undefined)
  t.equal(locate(host(t, '0::/a\n', {}), 7, '0::/a\n'), undefined)
  t.equal(locate(host(t, '', {}, ''), 7, 'what'), undefined)
})

t.test('counters go on when a restart brings a new cgroup', async t => {
  const proc = host(t, '0::/a\n', { a: v2('7\n', 100) })
  const cgroup = looked(proc)
  t.equal(cgroup.totals.user, 100)
  const root = join(proc, 'self/root/sys/fs/cgroup')
  renameSync(join(root, 'a'), join(root, 'old'))
  plant(join(root, 'a'), v2('7\n', 2))
  cgroup.end(9000)
  cgroup.begin(7)
  cgroup.look(10_000)
  t.equal(cgroup.totals.user, 102)
  t.equal(cgroup.totals.oomKills, 4)
})

t.test('a cgroup that was there before the process is counted from now on', async t => {
  const tree = { a: v2('7\n', 100), b: v2('', 1000) }
  const proc = host(t, '0::/a\n', tree)
  const cgroup = looked(proc)
  writeFileSync(join(proc, '7/cgroup'), '0::/b\n')
  writeFileSync(join(proc, 'self/root/sys/fs/cgroup/b/cgroup.procs'), '7\n')
  cgroup.look(1000)
  t.equal(cgroup.totals.user, 100, 'moved by an operator')
  plant(join(proc, 'self/root/sys/fs/cgroup/b'), v2('7\n', 1003))
  cgroup.look(2000)
  t.equal(cgroup.totals.user, 103)
  // A restart into a cgroup whose CPU time cannot have been used since then.
  writeFileSync(join(proc, '7/cgroup'), '0::/a\n')
  cgroup.begin(7)
  cgroup.look(3000)
  t.equal(cgroup.totals.user, 103)
})

t.test('without a process its gauges are not known, and its counters stay', async t => {
  const cgroup = looked(host(t, '0::/a\n', { a: v2('7\n', 100) }))
  cgroup.end(1000)
  t.equal(cgroup.gauges, undefined)
  t.equal(cgroup.place, undefined)
  t.equal(cgroup.totals.user, 100)
})

t.test('the remedy is the cheapest one that helps', async t => {
  const of = (uid: number, gid: number, caps = 0n) => ({
    uids: [uid, uid, uid],
    gids: [gid, gid, gid],
    permitted: caps,
    effective: caps,
  })
  t.match(remedy(of(65534, 65534), of(1000, 1001)), /UID 1000 and GID 1001 .*SYS_PTRACE and DAC_READ_SEARCH/)
  t.match(remedy(of(1000, 0), of(1000, 1001)), /run the sidecar with GID 1001/)
  t.match(remedy(of(1000, 1001), of(1000, 1001, 1n << 10n)), /holds capabilities that the sidecar does not: drop them/)
  t.match(remedy(of(1000, 1001), of(1000, 1001)), /not dumpable/)
})

t.test('an unreadable file is logged once, and again only after a change', async t => {
  const proc = t.testdir({ 7: { status: 'no credentials' } })
  const host = world(proc)
  const access = new FileAccess(proc, host.log)
  for (let i = 0; i < 3; i++) access.note('io', false, 7)
  t.equal(host.logged.length, 1)
  t.match(host.logged[0], /cannot read .*\/7\/io \(bytes read and written\); run the sidecar with the UID and GID/)
  t.equal(access.findings().length, 1)
  access.note('io', true, 7)
  t.equal(access.findings().length, 0)
  t.same([...access.files], [['io', true]])
  access.note('cgroup', false, 7)
  t.match(access.findings()[0]?.text, /cannot read .*\/7\/root\/sys\/fs\/cgroup/)
  access.forget()
  mkdirSync(join(proc, '7/root'))
  access.note('cgroup', false, 7)
  t.match(access.findings()[0]?.text, /no mounted cgroup file system .* mount \/sys\/fs\/cgroup/)
})
