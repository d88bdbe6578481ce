// traces_target_info: which labels a resource gives, and what bounds it.

import t from 'tap'
import { attribute, ld, number } from '../otlp/requests.ts'
import { DEFAULTS, Room } from './room.ts'
import { encoded, type Sent, show } from './views.ts'

const NAME = 'traces_target_info'

function from(service: string, resource: Sent['resource'] = {}): Sent {
  return { service, name: 'n', kind: 1, resource }
}

t.test('a resource is one series with job, instance and its other attributes', async t => {
  const room = new Room()
  room.send(
    from('cart', {
      'service.namespace': 'shop',
      'service.instance.id': 'a-1',
      'telemetry.sdk.language': 'nodejs',
      'process.pid': 7,
      '2nd': 'x',
    }),
  )
  room.send(from('cart', { 'service.namespace': 'shop', 'service.instance.id': 'a-1' }))
  room.send(from('mail'))
  t.same(await room.samples(NAME), [
    '{service="cart",job="shop/cart",instance="a-1",telemetry_sdk_language="nodejs",process_pid="7",_2nd="x"} 1',
    '{service="cart",job="shop/cart",instance="a-1"} 1',
    '{service="mail",job="mail"} 1',
  ])
})

t.test('the same resource in many requests stays one series, in whatever order its attributes come', async t => {
  const room = new Room()
  for (let i = 0; i < 3; i++) room.send(from('cart', { a: '1', b: '2' }), from('cart', { b: '2', a: '1' }))
  t.equal((await room.samples(NAME)).length, 1)
})

t.test('a resource without service and instance is not shown, since nothing could be joined to it', async t => {
  const room = new Room()
  room.send({ name: 'n', kind: 1, resource: { host: 'x' } })
  t.same(await room.samples(NAME), [])
  room.send({ name: 'n', kind: 1, resource: { host: 'x', 'service.instance.id': 'i' } })
  t.same(await room.samples(NAME), ['{instance="i",host="x"} 1'])
})

t.test('attributes cannot take the place of labels that mean something', async t => {
  const room = new Room()
  room.send(
    from('cart', { job: 'j', instance: 'i', service: 's', __name__: 'up', le: '1', 'a.b': 'first', a_b: 'second' }),
  )
  t.same(await room.samples(NAME), [
    '{service="cart",job="cart",attribute_job="j",attribute_instance="i",attribute_service="s",attribute___name__="up",attribute_le="1",a_b="first"} 1',
  ])
})

t.test('values are cut between characters, and lines cannot be forged', async t => {
  const room = new Room()
  room.send(from('cart', { long: `${'x'.repeat(255)}ä`, forged: 'a"} 1\nup 1' }))
  const [sample = ''] = await room.samples(NAME)
  t.match(sample, `long="${'x'.repeat(255)}"`)
  t.match(sample, String.raw`forged="a\"} 1\nup 1"`)
  t.same(await room.lines('up'), [])
})

t.test('at most 64 labels are shown, and a resource with more is counted', async t => {
  const room = new Room()
  room.send(from('cart', Object.fromEntries(Array.from({ length: 100 }, (_, i) => [`k${i}`, 'v']))))
  t.equal((await room.samples(NAME))[0]?.match(/="/g)?.length, 64)
  t.ok(
    (await room.lines('pillion_spans_target_info')).includes(
      'pillion_spans_target_info_dropped_total{reason="labels"} 1',
    ),
  )
})

t.test('resources beyond the limit, and huge ones, are counted and not shown', async t => {
  const room = new Room({ target_info: { ...DEFAULTS.target_info, limit: 3 } })
  for (let i = 0; i < 10; i++) room.send(from(`s${i}`))
  room.send(from('s0'), from('huge', { text: 'x'.repeat(20_000) }))
  t.equal((await room.samples(NAME)).length, 3)
  t.same(
    (await room.lines('pillion_spans_target_info')).filter(line => !line.endsWith(' 0')),
    [
      'pillion_spans_target_info_dropped_total{reason="full"} 7',
      'pillion_spans_target_info_dropped_total{reason="large"} 1',
    ],
  )
  t.equal(await room.total('traces_spanmetrics_calls_total'), 12, 'their spans are counted all the same')
})

t.test('a resource that sends nothing for the expiry is forgotten, and makes room', async t => {
  const room = new Room({ target_info: { limit: 2, expiry: 60_000 } })
  room.send(from('busy'), from('idle'))
  await room.clock.pass(40_000)
  room.send(from('busy'))
  await room.clock.pass(20_000)
  room.send(from('new'), from('late'))
  t.same(await room.samples(NAME), ['{service="busy",job="busy"} 1', '{service="new",job="new"} 1'])
  await room.clock.pass(60_000)
  t.same(await room.samples(NAME), [])
  room.send(from('busy'))
  t.equal((await room.samples(NAME)).length, 1)
})

t.test('a limit of 0 turns it off', async t => {
  const room = new Room({ target_info: { ...DEFAULTS.target_info, limit: 0 } })
  room.send(from('cart'))
  t.same(await room.lines(NAME), [])
})

t.test('a resource in several pieces, after its spans, is one resource', async t => {
  const room = new Room()
  const span = encoded(from('x'))
  const piece = (key: string, value: string) => ld(1, attribute(1, key, value))
  const bytes = ld(1, piece('service.name', 'cart'), ld(2, ld(2, span)), piece('host', 'h'))
  show(room, bytes, 1)
  t.same(await room.samples(NAME), ['{service="cart",job="cart",host="h"} 1'])
})

t.test('the first value of a key that occurs twice holds, and the last piece of a value in pieces', async t => {
  const room = new Room()
  const pieces = ld(1, ld(1, 'p'), ld(2, ld(1, 'text')), ld(2, number(3, 5)))
  const resource = ld(1, attribute(1, 'service.name', 'cart'), attribute(1, 'k', '1'), attribute(1, 'k', '2'), pieces)
  show(room, ld(1, resource, ld(2, ld(2, encoded(from('x'))))), 1)
  t.same(await room.samples(NAME), ['{service="cart",job="cart",k="1",p="5"} 1'])
})
