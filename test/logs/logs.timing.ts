// Many log records in one request: how much CPU they take.

import t from 'tap'
import { logs } from '../../processors/logs.ts'
import { decoder } from '../otlp/protobufjs.ts'
import { world } from '../world.ts'
import { reader } from './read.ts'
import { INHERITED } from './send.ts'

t.test('a request of 50 000 records costs less than half a second of CPU, most of it compilation', async t => {
  const host = world('/proc')
  const running = logs.start({ enabled: true, keep: 1 << 20, limit: 500, ...INHERITED }, host)
  const type = decoder('logs')
  const request = (count: number): Buffer => {
    const logRecords = Array.from({ length: count }, (_, i) => ({ body: { stringValue: `line ${i}` } }))
    return Buffer.from(type.encode(type.fromObject({ resourceLogs: [{ scopeLogs: [{ logRecords }] }] })).finish())
  }
  const take = (count: number): void => {
    running.take({ signal: 'logs', received: 0, bytes: request(count), items: count })
  }
  take(1)
  const bytes = request(50_000)
  const begin = process.cpuUsage()
  running.take({ signal: 'logs', received: 0, bytes, items: 50_000 })
  const { user, system } = process.cpuUsage(begin)
  const ms = (user + system) / 1000
  t.comment(`${ms.toFixed(0)} ms of CPU`)
  t.ok(ms < 500, `${ms.toFixed(0)} ms of CPU`)
  t.equal((await (await reader(t, running)).records('?limit=1'))[0]?.body, 'line 49999')
})
