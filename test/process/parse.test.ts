// The parsers of kernel texts: right for what kernels write, absent for anything else, never an exception.

import t from 'tap'
import { parseCpuMax, parseKeyed, parseNumber, parsePressure } from '../../collectors/process/controllers.ts'
import { parseCgroup, parseMounts } from '../../collectors/process/hierarchy.ts'
import {
  parseCredentials,
  parseIo,
  parseMaxFds,
  parseSchedstat,
  parseSmaps,
  parseStatus,
  parseUptime,
  printable,
  Stat,
} from '../../collectors/process/parse.ts'
import { accepts, parseRow, type Row } from '../../collectors/process/sockets.ts'
import fc from '../property.ts'
import { io, limits, schedstat, stat, status, tcp } from './machine.ts'

function parsedStat(text: string): Stat | undefined {
  const into = new Stat()
  const bytes = Buffer.from(text, 'latin1')
  return into.parse(bytes, bytes.length) ? into : undefined
}
const emptyStatus = () => ({ residentBytes: 0, virtualBytes: 0, swapBytes: 0, voluntary: 0, involuntary: 0 })

t.test('a command name may look like the fields that follow it', async t => {
  const f = (comm: string) => {
    const parsed = parsedStat(stat(985, { comm, ppid: 974, user: 12, system: 3, start: 777, threads: 4 }))
    t.ok(parsed, JSON.stringify(comm))
    t.same([parsed?.state, parsed?.ppid, parsed?.threads, parsed?.startTicks], ['S', 974, 4, 777])
    t.same([parsed?.field[14], parsed?.field[15]], [12, 3])
  }
  f('node')
  f('a) R 1\n(x')
  f('a) R 1 (\n x')
  f(') Z 1 1 1 1')
  f('((((((')
  f('')
  f('\xff\xfe)')
})

t.test('a stat record that is cut, even inside its last number, is no record', async t => {
  const whole = stat(7)
  // The 24th field ends 22 bytes before the address limit that follows it.
  const end = whole.indexOf(' 18446744073709551615')
  for (let length = 0; length <= end; length++)
    t.equal(parsedStat(whole.slice(0, length)), undefined, `${length} bytes`)
  t.ok(parsedStat(whole.slice(0, end + 1)))
})

t.test('a zombie has ended, unless only its main thread has', async t => {
  t.equal(parsedStat(stat(7, { state: 'Z' }))?.ended, true)
  t.equal(parsedStat(stat(7, { state: 'Z', threads: 5 }))?.ended, false)
  t.equal(parsedStat(stat(7, { state: 'X' }))?.ended, true)
  t.equal(parsedStat(stat(7, { state: 'D' }))?.ended, false)
  t.equal(parsedStat(stat(7, { state: '?' })), undefined)
})

t.test('status gives memory in bytes, and nothing for a zombie', async t => {
  const into = emptyStatus()
  parseStatus(status({ resident: 2048, voluntary: 319, involuntary: 7 }), into)
  t.same(into, {
    residentBytes: 2048 * 1024,
    virtualBytes: 8000 * 1024,
    swapBytes: 4096,
    voluntary: 319,
    involuntary: 7,
  })
  parseStatus(status({ state: 'Z', voluntary: 3 }), into)
  t.same(into, {
    residentBytes: Number.NaN,
    virtualBytes: Number.NaN,
    swapBytes: Number.NaN,
    voluntary: 3,
    involuntary: 1,
  })
})

t.test('a name cannot forge a line of status', async t => {
  const into = emptyStatus()
  parseStatus(status({ comm: 'x\nVmRSS: 1 kB', resident: 5 }), into)
  t.equal(into.residentBytes, 5120)
})

t.test('a number without its unit or line end is absent', async t => {
  const into = emptyStatus()
  parseStatus('Name:\tx\nVmRSS:\t 12', into)
  t.same(into.residentBytes, Number.NaN)
  parseStatus('Name:\tx\nVmRSS:\t 12 MB\n', into)
  t.same(into.residentBytes, Number.NaN)
  parseStatus('Name:\tx\nVmRSS:\t kB\n', into)
  t.same(into.residentBytes, Number.NaN)
})

t.test('io gives what reached storage', async t => {
  const into = { readBytes: 0, writtenBytes: 0 }
  parseIo(io({ read: 15_400_000, written: 9 }), into)
  t.same(into, { readBytes: 15_400_000, writtenBytes: 9 })
  parseIo('rchar: 1\n', into)
  t.same(into, { readBytes: Number.NaN, writtenBytes: Number.NaN })
})

t.test('schedstat of a kernel that does not keep it is absent, not 0', async t => {
  const into = { runSeconds: 0, waitSeconds: 0 }
  parseSchedstat(schedstat({ run: 4_010_000_000, wait: 130_000_000 }), into)
  t.same(into, { runSeconds: 4.01, waitSeconds: 0.13 })
  parseSchedstat('0 0 0\n', into)
  t.same(into, { runSeconds: Number.NaN, waitSeconds: Number.NaN })
  parseSchedstat('12 34', into)
  t.same(into, { runSeconds: Number.NaN, waitSeconds: Number.NaN })
})

t.test('an unlimited number of open files is no limit', async t => {
  t.equal(parseMaxFds(limits({ maxFds: 20_000 })), 20_000)
  t.same(parseMaxFds(limits({ maxFds: 'unlimited' })), Number.NaN)
  t.same(parseMaxFds(''), Number.NaN)
})

t.test('smaps_rollup, uptime and credentials', async t => {
  const rollup =
    '55d0-7ffe ---p 00000000 00:00 0    [rollup]\nRss:     1760 kB\nPss:      312 kB\nPss_Dirty: 140 kB\nPrivate_Clean: 4 kB\nPrivate_Dirty: 140 kB\nSwap: 0 kB\nSwapPss: 8 kB\n'
  t.same(parseSmaps(rollup), { proportionalBytes: 312 * 1024, proportionalSwapBytes: 8192, privateBytes: 144 * 1024 })
  t.equal(parseUptime('4321.09 8000.00\n'), 4321.09)
  t.same(parseUptime('soon'), Number.NaN)
  t.same(parseCredentials(status()), {
    uids: [1000, 1000, 1000],
    gids: [1000, 1000, 1000],
    permitted: 0n,
    effective: 0n,
  })
  t.equal(parseCredentials('Uid:\t0'), undefined)
})

t.test('control characters of a name do not reach a label', async t => {
  t.equal(printable('a\nb\x1b[31m"c'), 'a?b?[31m"c')
  t.equal(printable('x'.repeat(100)).length, 64)
})

t.test('a row of the TCP table', async t => {
  const row: Row = { address: '', port: 0, remote: '', state: 'close', receiveQueue: 0, inode: 0 }
  const [head, ...lines] = tcp(['0100007F', 8080, '0A', 3, 12345], ['0'.repeat(32), 443, '0C', 0, 9]).split('\n')
  t.equal(parseRow(head!, row), false)
  t.equal(parseRow(lines[0]!, row), true)
  t.same(row, {
    address: '0100007F',
    port: 8080,
    remote: '00000000:0000',
    state: 'listen',
    receiveQueue: 3,
    inode: 12345,
  })
  t.equal(parseRow(lines[1]!, row), true)
  t.equal(row.state, 'syn_recv')
  t.equal(parseRow(lines[0]!.replace(' 0A ', ' 0F '), row), false)
})

t.test('a listening address accepts what is sent to it', async t => {
  const f = (address: string, host: string | undefined, expected: boolean) =>
    t.equal(accepts(address, host), expected, `${address} ${host}`)
  f('00000000', 'localhost', true)
  f('0'.repeat(32), '127.0.0.1', true)
  f('0100007F', '127.0.0.1', true)
  f('0100007F', 'localhost', true)
  f('00000000000000000000000001000000', '::1', true)
  f('0000000000000000FFFF00000100007F', '127.0.0.1', true)
  f('0A00000A', 'localhost', false)
  f('0A00000A', '10.0.0.10', true)
  f('0100007F', '10.0.0.10', false)
  f('0100007F', undefined, true)
})

t.test('cgroup files: limits, keys, pressure', async t => {
  t.equal(parseCpuMax('150000 100000\n'), 1.5)
  t.same(parseCpuMax('max 100000\n'), Number.NaN)
  t.same(parseCpuMax('100000 0\n'), Number.NaN)
  t.same(parseNumber('max\n'), Number.NaN)
  t.equal(parseNumber('268435456\n'), 268435456)
  t.equal(parseKeyed('oom 9\noom_kill 2\noom_group_kill 1\n', 'oom_kill'), 2)
  t.equal(parseKeyed('oom_kill 2\n', 'oom_kill'), 2)
  t.same(parseKeyed('xoom_kill 2\n', 'oom_kill'), Number.NaN)
  t.same(parseKeyed('oom_kill 2', 'oom_kill'), Number.NaN)
  t.same(
    parsePressure(
      'some avg10=0.00 avg60=0.00 avg300=0.00 total=1500000\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=7\n',
    ),
    {
      some: 1.5,
      full: 0.000007,
    },
  )
  t.same(parsePressure('full avg10=0.00 avg60=0.00 avg300=0.00 total=7\n'), { some: Number.NaN, full: 0.000007 })
})

t.test('memberships and mounts of all versions', async t => {
  t.same([...parseCgroup('0::/../exp_a\n')], [['', '/../exp_a']])
  t.same(
    [...parseCgroup('9:name=systemd:/\n4:memory:/a:b\n2:cpu,cpuacct:/c\n0::/\n')],
    [
      ['name=systemd', '/'],
      ['memory', '/a:b'],
      ['cpu', '/c'],
      ['cpuacct', '/c'],
      ['', '/'],
    ],
  )
  const mountinfo =
    '22 27 0:21 / /proc rw,relatime - proc proc rw\n32 31 0:29 /docker/ab /sys/fs/cgroup/cpu\\040here rw shared:9 master:2 - cgroup cgroup rw,cpu,cpuacct\n41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw,nsdelegate\n'
  t.same(
    [...parseMounts(mountinfo)],
    [
      ['cpu', { root: '/docker/ab', point: '/sys/fs/cgroup/cpu here' }],
      ['cpuacct', { root: '/docker/ab', point: '/sys/fs/cgroup/cpu here' }],
      ['', { root: '/', point: '/sys/fs/cgroup/unified' }],
    ],
  )
})

/** A text with some of its bytes removed, doubled, replaced or moved. */
const mutated = (original: string) =>
  fc
    .array(
      fc.record({
        at: fc.nat(original.length),
        remove: fc.nat(40),
        insert: fc.oneof(
          fc.string({ unit: 'binary', maxLength: 6 }),
          fc.constantFrom(')', '\n', ' ', '-', '\0', '99999999999999999999999'),
        ),
      }),
      { minLength: 1, maxLength: 6 },
    )
    .map(edits =>
      edits.reduce((text, { at, remove, insert }) => text.slice(0, at) + insert + text.slice(at + remove), original),
    )

t.test('10 000 mutated texts give numbers or nothing, never an exception', async t => {
  const sane = (...values: (number | undefined)[]) =>
    values.every(value => value === undefined || Number.isNaN(value) || (value >= 0 && Number.isFinite(value)))
  const f = (original: string, numbers: (text: string) => (number | undefined)[]) =>
    t.doesNotThrow(() =>
      fc.assert(
        fc.property(mutated(original), text => sane(...numbers(text))),
        { numRuns: 1100 },
      ),
    )
  f(stat(985, { comm: 'a) R 1\n(x', threads: 3 }), text => {
    const parsed = parsedStat(text)
    return parsed ? [...parsed.field.slice(10, 18)] : []
  })
  f(status(), text => {
    const into = emptyStatus()
    parseStatus(text, into)
    return Object.values(into)
  })
  f(io(), text => {
    const into = { readBytes: 0, writtenBytes: 0 }
    parseIo(text, into)
    return Object.values(into)
  })
  f(schedstat(), text => {
    const into = { runSeconds: 0, waitSeconds: 0 }
    parseSchedstat(text, into)
    return Object.values(into)
  })
  f('x\nPss: 312 kB\nPrivate_Clean: 4 kB\nPrivate_Dirty: 140 kB\nSwapPss: 8 kB\n', text =>
    Object.values(parseSmaps(text)),
  )
  f(limits(), text => [parseMaxFds(text)])
  f(status(), text => parseCredentials(text)?.uids.slice() ?? [])
  f(tcp(['0100007F', 8080, '0A', 3, 12345]), text => {
    const row: Row = { address: '', port: 0, remote: '', state: 'close', receiveQueue: 0, inode: 0 }
    return text.split('\n').flatMap(line => (parseRow(line, row) ? [row.port, row.receiveQueue, row.inode] : []))
  })
  f('some avg10=0.00 avg60=0.00 avg300=0.00 total=1500000\nnr_periods 5\nthrottled_usec 7\n', text => [
    ...Object.values(parsePressure(text)),
    parseKeyed(text, 'nr_periods'),
    parseCpuMax(text),
    parseNumber(text),
  ])
  f('0::/../a\n22 27 0:21 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n', text => [
    parseCgroup(text).size,
    parseMounts(text).size,
  ])
})
