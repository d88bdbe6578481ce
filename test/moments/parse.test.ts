// The kernel's bytes as numbers: whole, cut and odd files.

import t from 'tap'
import { fields, keyed, number, pressure, TableField, word } from '../../collectors/moments/scan.ts'
import { kind, state } from '../../collectors/moments/state.ts'
import { STATE } from '../../telemetry/moment.ts'

const at = (text: string): readonly [Buffer, number] => [Buffer.from(text), Buffer.byteLength(text)]

t.test('a number that may have been cut is not a number', t => {
  t.equal(number(...numbers('123 '), 4), 123)
  t.ok(Number.isNaN(number(...numbers('123'), 3)))
  t.ok(Number.isNaN(number(...numbers('x'), 1)))
  t.ok(Number.isNaN(number(...numbers(' 1'), 2)))
  t.end()
})

function numbers(text: string): readonly [Buffer, number] {
  return [Buffer.from(text), 0]
}

t.test('fields of stat are found behind a name that looks like fields', t => {
  const [bytes, length] = at('12 (a) R 1 (b) S 7 8 9 10\n')
  const start = fields(bytes, length)
  t.equal(String.fromCharCode(bytes[start]!), 'S')
  t.equal(number(bytes, word(bytes, start, 2, length), length), 8)
  t.equal(word(bytes, start, 9, length), length, 'there is no such field')
  t.equal(fields(...at('12 (a')), 5)
  t.end()
})

t.test('keys are whole words at the beginning of a line', t => {
  const [bytes, length] = at('nr_periods_x 1\nnr_periods 22\nxnr_throttled 3\nnr_throttled 4\n')
  t.equal(keyed(bytes, length, Buffer.from('nr_periods ')), 22)
  t.equal(keyed(bytes, length, Buffer.from('nr_throttled ')), 4)
  t.ok(Number.isNaN(keyed(bytes, length, Buffer.from('absent '))))
  t.ok(Number.isNaN(keyed(bytes, 0, Buffer.from('nr_periods '))), 'a file that could not be read')
  t.end()
})

t.test('the total of a pressure file is that of its first line', t => {
  t.equal(
    pressure(...at('some avg10=0.00 avg60=0.00 avg300=0.00 total=1234\nfull avg10=0 avg60=0 avg300=0 total=5\n')),
    1234,
  )
  t.ok(Number.isNaN(pressure(...at('some avg10=0.00'))))
  t.ok(Number.isNaN(pressure(...at(''))))
  t.end()
})

t.test('columns of the tables of the network are found by name', t => {
  const table = at('Ip: A B\nIp: 1 2\nTcp: RtoMin RetransSegs InErrs\nTcp: 200 17 3\nUdp: A\nIp: 1\n')
  const tcp = new TableField('Tcp:', 'RetransSegs')
  t.equal(tcp.read(...table), 17)
  t.equal(tcp.read(...at('Tcp: RtoMin RetransSegs InErrs\nTcp: 200 18 3\n')), 18)
  t.ok(Number.isNaN(tcp.read(...at('Tcp: RtoMin RetransSegs InErrs\nTcp: 200 1'))), 'it may have been cut')
  t.ok(Number.isNaN(tcp.read(table[0], 0)), 'a file that could not be read')
  t.ok(Number.isNaN(new TableField('Tcp:', 'Absent').read(...table)))
  t.ok(Number.isNaN(new TableField('TcpExt:', 'ListenOverflows').read(...table)))
  t.ok(Number.isNaN(new TableField('Udp:', 'A').read(...table)), 'its second line is missing')
  t.end()
})

t.test('the state of a thread is told from its letter and what the kernel waits in', t => {
  const table: readonly (readonly [string, string, number])[] = [
    ['R', 'futex_do_wait', STATE.running],
    ['S', 'futex_do_wait', STATE.lock],
    ['S', 'futex_wait_queue', STATE.lock],
    ['S', 'do_epoll_wait', STATE.polling],
    ['S', 'ep_poll', STATE.polling],
    ['S', 'do_sys_poll', STATE.polling],
    ['S', 'hrtimer_nanosleep', STATE.timer],
    ['S', 'folio_wait_bit', STATE.disk],
    ['S', '0', STATE.sleeping],
    ['S', '', STATE.sleeping],
    ['D', '', STATE.disk],
    ['D', 'do_signal_stop', STATE.stopped],
    ['T', 'do_signal_stop', STATE.stopped],
    ['t', '', STATE.stopped],
  ]
  for (const [letter, wchan, expected] of table) t.equal(state(letter, wchan), expected, `${letter} ${wchan}`)
  t.ok(Number.isNaN(state('Z', '')))
  t.end()
})

t.test('threads of runtimes are known by the names that these give them', t => {
  for (const name of ['GC Thread#0', 'G1 Conc#0', 'VM Thread', 'V8Worker', 'ZDriverMinor', '.NET Server GC'])
    t.equal(kind(name), 'gc', name)
  for (const name of ['C2 CompilerThre', 'C1 CompilerThre', '.NET Tiered Com']) t.equal(kind(name), 'jit', name)
  for (const name of ['MainThread', 'libuv-worker', 'http-nio-8080-e', 'GC', '']) t.equal(kind(name), 'other', name)
  t.end()
})
