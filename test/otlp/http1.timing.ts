import t from 'tap'
import { HeadReader } from '../../collectors/otlp/http1/head.ts'
import { cpuOf } from '../cpu.ts'

const HEAD = 'POST /v1/traces HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-protobuf\r\n'

t.test('a head at the limits of its size is read in no time', t => {
  for (const filling of [' ', '\t', 'x', ': ', '\t\x80'])
    for (const bytes of [`${HEAD}X:${filling.repeat(8000)}\x80\r\n\r\n`, `${HEAD}${filling.repeat(8000)}`]) {
      const head = Buffer.from(bytes, 'latin1')
      const times = Array.from({ length: 3 }, () => cpuOf(() => t.notOk(new HeadReader().read(head))))
      // Compilation and garbage may fall into one of them.
      t.ok(Math.min(...times) < 50, `${times.join(', ')} ms of CPU`)
    }
  t.end()
})
