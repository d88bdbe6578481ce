import { readFileSync } from 'node:fs'
import t from 'tap'
import { Scrape } from '../../exporter/prometheus.ts'
import { Ring } from '../../processors/logs/ring.ts'
import { type LogsOptions, logs } from '../../processors/logs.ts'
import { decoder } from '../otlp/protobufjs.ts'
import { receiver } from '../otlp/receiver.ts'
import { ld, number } from '../otlp/requests.ts'
import { attributes, type Message } from '../points/otlp.ts'
import { world } from '../world.ts'
import { reader } from './read.ts'
import { INHERITED } from './send.ts'

const Request = decoder('logs')

function start(options: Partial<LogsOptions> = {}) {
  const host = world('/proc')
  const running = logs.start({ enabled: true, keep: 1 << 20, limit: 500, ...INHERITED, ...options }, host)
  const scrape = new Scrape(host.metrics, [{ name: 'logs', collect: signal => running.collect?.(signal) }])
  return {
    running,
    take(...resourceLogs: readonly Message[]) {
      const bytes = Buffer.from(Request.encode(Request.fromObject({ resourceLogs })).finish())
      running.take({ signal: 'logs', received: 0, bytes, items: 0 })
    },
    raw: (bytes: Buffer) => running.take({ signal: 'logs', received: 0, bytes, items: 0 }),
    /** Samples of a family, as "labels value". */
    async samples(family: string) {
      const text = Buffer.concat((await scrape.scrape(undefined, AbortSignal.timeout(5000))).chunks).toString()
      return text
        .split('\n')
        .filter(line => line.startsWith(family))
        .map(line => line.slice(family.length))
    },
  }
}

/** ResourceLogs of a service. */
function from(service: string, ...logRecords: readonly Message[]): Message {
  return { resource: { attributes: attributes({ 'service.name': service }) }, scopeLogs: [{ logRecords }] }
}

const TRACE = 'ab'.repeat(16)

function record(body: string, more: Message = {}): Message {
  return { severityNumber: 9, timeUnixNano: '1750000000500000000', body: { stringValue: body }, ...more }
}

t.test('records are counted by service and by the level of their severity', async t => {
  const { take, samples } = start()
  const at = (severityNumber: number) => record('x', { severityNumber })
  take(from('shop', ...[1, 4, 5, 8, 9, 12, 13, 16, 17, 20, 21, 24, 0, 25, -1].map(at)), from('cart', at(17)))
  take({ scopeLogs: [{ logRecords: [at(17)] }] })
  const f = (service: string, severity: string) => `{service="${service}",severity="${severity}"}`
  t.same((await samples('app_log_records_total')).sort(), [
    `${f('cart', 'ERROR')} 1`,
    ...['DEBUG', 'ERROR', 'FATAL', 'INFO', 'TRACE'].map(each => `${f('shop', each)} 2`),
    `${f('shop', 'UNSPECIFIED')} 3`,
    `${f('shop', 'WARN')} 2`,
    `${f('unknown_service', 'ERROR')} 1`,
  ])
})

t.test('the official example is counted and kept', async t => {
  const { running } = start()
  const { fetch, value } = await receiver(t, { spans: [], logs: [running] })
  const body = readFileSync(new URL('../fixtures/otlp/logs.json', import.meta.url))
  const answer = await fetch('/v1/logs', { type: 'application/json', body })
  t.equal(answer.status, 200)
  t.equal(answer.body.toString(), '{}')
  const { records } = await reader(t, running)
  t.same(await records(), [
    {
      number: 1,
      time: '2018-12-13T14:51:00.300Z',
      timeUnixNano: '1544712660300000000',
      severity: 'INFO',
      severityNumber: 10,
      service: 'my.service',
      traceId: '5b8efff798038103d269b633813fc60c',
      spanId: 'eee19b7ec3c1b174',
      body: 'Example log record',
    },
  ])
  t.equal(await value('pillion_otlp_accepted_items_total{signal="logs"}'), 1)
})

t.test('records of a trace are found, newest first', async t => {
  const { take, running } = start()
  const traced = (i: number) =>
    record(`traced ${i}`, { traceId: Buffer.from(TRACE, 'hex'), spanId: Buffer.alloc(8, i) })
  for (let i = 1; i <= 5; i++) take(from('shop', record(`other ${i}`), traced(i)))
  const { records, text } = await reader(t, running)
  const bodies = async (query: string) => (await records(query)).map(({ body }) => body)
  t.same(await bodies(`?trace=${TRACE}&limit=3`), ['traced 5', 'traced 4', 'traced 3'])
  t.same(await bodies(`?trace=${TRACE.toUpperCase()}&limit=1`), ['traced 5'])
  t.same(await bodies(`?trace=${TRACE}&span=${'03'.repeat(8)}`), ['traced 3'])
  t.same(await bodies('?limit=2'), ['traced 5', 'other 5'])
  t.same(await bodies(`?trace=${'cd'.repeat(16)}`), [])
  t.equal((await text('/api/logs?trace=not+an+id')).status, 400)
  t.equal((await records(`?trace=${TRACE}&limit=1`))[0]?.spanId, '05'.repeat(8))
})

t.test('bodies of every kind become text, and long ones are cut between two characters', async t => {
  const { take, running } = start()
  const { records } = await reader(t, running)
  const newest = async () => (await records('?limit=1'))[0]
  const f = async (more: Message, expected: string) => {
    take(from('shop', record('', more)))
    t.equal((await newest())?.body, expected)
  }
  await f({ body: { intValue: 5 } }, '5')
  await f({ body: attributes({ a: { msg: 'hi', n: [1, true] } })[0]?.['value'] }, '{"msg":"hi","n":[1,true]}')
  await f({ body: {} }, '')
  await f({ body: { stringValue: '' }, eventName: 'user.login' }, 'user.login')
  await f({ body: { stringValue: 'x'.repeat(5000) } }, 'x'.repeat(4096))
  await f({ body: { stringValue: `${'x'.repeat(4095)}é` } }, 'x'.repeat(4095))
  const deep = attributes({ a: { list: Array.from({ length: 5000 }, (_, i) => i) } })[0]?.['value']
  take(from('shop', record('', { body: deep })))
  t.equal((await newest())?.body.length, 4096)
})

t.test('ids of a wrong length and records without a time do no harm', async t => {
  const { take, running, raw } = start()
  const { records } = await reader(t, running)
  take(from('s', record('odd', { traceId: Buffer.alloc(5, 1), spanId: Buffer.alloc(16, 1), timeUnixNano: 0 })))
  t.strictSame(await records('?limit=1'), [
    { number: 1, severity: 'INFO', severityNumber: 9, service: 's', body: 'odd' },
  ])
  take(from('s', record('seen', { timeUnixNano: 0, observedTimeUnixNano: '1750000001000000000' })))
  t.match(await records('?limit=1'), [{ timeUnixNano: '1750000001000000000' }])
  // The resource after the records, in two pieces, and an empty record.
  raw(ld(1, ld(2, ld(2)), ld(1), ld(1, ld(1, ld(1, 'service.name'), ld(2, ld(1, 'late'))))))
  t.match(await records('?limit=1'), [{ service: 'late', body: '', severity: 'UNSPECIFIED' }])
  raw(ld(1, ld(2, ld(2, number(2, 2 ** 31)))))
  t.match(await records('?limit=1'), [{ service: 'unknown_service', severity: 'UNSPECIFIED' }])
})

t.test('kept log records stay within their bytes, and each is kept or counted as evicted', async t => {
  const { take, running, samples } = start({ keep: 64 * 1024 })
  let sent = 0
  for (let i = 0; i < 3000; i++) {
    take(from('shop', record(`${i} ${'x'.repeat((i * 7919) % 5000)}`)))
    sent++
  }
  const held = Number((await samples('pillion_logs_held_records '))[0])
  const bytes = Number((await samples('pillion_logs_held_bytes '))[0])
  const evicted = Number((await samples('pillion_logs_evicted_total '))[0])
  t.ok(bytes > 48 * 1024 && bytes <= 64 * 1024, `${bytes} bytes held`)
  t.equal(held + evicted, sent)
  const { records } = await reader(t, running)
  const numbers = (await records('?limit=1000')).map(({ body }) => Number(body.split(' ')[0]))
  t.equal(numbers.length, held)
  t.same(
    numbers,
    Array.from({ length: held }, (_, i) => 2999 - i),
  )
})

t.test('the ring agrees with a list, whatever the sizes', async t => {
  for (const capacity of [200, 1000, 4097]) {
    const ring = new Ring(capacity)
    const model: { body: string; size: number }[] = []
    let [seed, pushed] = [capacity, 0]
    for (let i = 0; i < 5000; i++) {
      seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0
      const body = `${i}${'.'.repeat((seed >>> 8) % (i % 3 === 0 ? 900 : 60))}`
      const bytes = Buffer.from(body)
      ring.push(
        { low: i, high: 0 },
        9,
        undefined,
        undefined,
        { bytes, start: 0, end: 0 },
        { bytes, start: 0, end: bytes.length },
      )
      pushed++
      if (48 + bytes.length <= capacity) model.unshift({ body, size: 48 + bytes.length })
      const found = []
      for (const cursor = ring.cursor(); cursor.next(); ) found.push(cursor.body)
      const expected = model.slice(0, found.length).map(each => each.body)
      if (found.join() !== expected.join()) t.same(found, expected, `after ${i} in ${capacity}`)
      model.length = found.length
      if (ring.records !== found.length || ring.records + ring.evicted !== pushed) t.fail(`account after ${i}`)
      if (ring.bytes !== model.reduce((sum, each) => sum + each.size, 0)) t.fail(`bytes after ${i}`)
    }
    t.ok(ring.records > 0)
  }
})

t.test('services beyond the limit are counted together, and the total stays exact', async t => {
  const { take, samples } = start({ limit: 20 })
  for (let i = 0; i < 5000; i++) take(from(`service ${i}`, record('x'), record('y', { severityNumber: 17 })))
  take(from('service 1', record('x')))
  const lines = await samples('app_log_records_total')
  t.equal(lines.length, 21)
  t.equal(
    lines.reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0),
    10_001,
  )
  t.match(lines[0], '{metric_overflow="true"} 9980')
})

t.test('with no memory for them records are only counted', async t => {
  const { take, running, samples } = start({ keep: 0 })
  take(from('shop', record('x')))
  t.same(await (await reader(t, running)).records(), [])
  t.same(await samples('pillion_logs_held'), [], 'absent, not 0')
  t.same(await samples('app_log_records_total'), ['{service="shop",severity="INFO"} 1'])
})
