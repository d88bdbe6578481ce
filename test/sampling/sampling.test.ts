// Promises about single traces: which are kept, when, with which bytes, and that nothing is lost on the way.

import t from 'tap'
import { PROBE_TRACESTATE } from '../../telemetry/probe.ts'
import { attribute, ld, number } from '../otlp/requests.ts'
import { numbers } from '../random.ts'
import { encoded, id, PLAIN, request, Stage, thresholdIn, withRandom } from './stage.ts'

const HIGH = withRandom('ffffffffffffff')
const LOW = withRandom('00000000000001')
const PARENT = Buffer.alloc(8, 7)

t.test(
  'a trace is kept if its randomness is not below the threshold of the ratio, which is written into it',
  async t => {
    const f = async (ratio: number, random: string, kept: string | undefined) => {
      const stage = new Stage({ ...PLAIN, ratio })
      stage.send({ trace: withRandom(random) })
      await stage.pass(1200)
      t.equal(stage.spans[0]?.traceState, kept, `${ratio} ${random}`)
      t.equal(stage.balance(), 'ok')
    }
    await f(1, '0', 'ot=th:0')
    await f(0.5, '8', 'ot=th:8')
    await f(0.5, '7fffffffffffff', undefined)
    await f(0.25, 'c', 'ot=th:c')
    await f(0.25, 'bfffffffffffff', undefined)
    await f(0.01, 'fd70a40', 'ot=th:fd70a3d')
    await f(0.01, 'fd70a3c', undefined)
    await f(0, 'ffffffffffffff', undefined)
  },
)

t.test('a trace waits for its local root and a moment more, and is decided as a whole', async t => {
  const stage = new Stage({ ...PLAIN, errors: true, ratio: 0 })
  stage.send({ trace: LOW, parent: PARENT, kind: 3, name: 'query' })
  await stage.pass(5000)
  t.equal(stage.sampler.heldSpans, 1, 'its root has not come')
  stage.send({ trace: LOW, parent: PARENT })
  await stage.pass(800)
  t.equal(stage.sampler.heldSpans, 2)
  stage.send({ trace: LOW, parent: PARENT, kind: 1, name: 'after the answer', status: 2 })
  t.equal(stage.balance(), 'ok')
  await stage.pass(400)
  t.same(
    stage.spans.map(each => each.name),
    ['query', 'GET /', 'after the answer'],
  )
  t.same(stage.count().kept, { error: 1, slow: 0, rare: 0, ordinary: 0 })
})

t.test('a span is the local root if it has no parent, or one in another process', async t => {
  const f = async (span: { parent?: Buffer; kind?: number; flags?: number }, root: boolean) => {
    const stage = new Stage(PLAIN)
    stage.send({ trace: LOW, ...span })
    await stage.pass(1200)
    t.equal(stage.sampler.heldSpans === 0, root, JSON.stringify(span))
  }
  await f({ kind: 1 }, true)
  await f({ parent: PARENT, kind: 1 }, false)
  await f({ parent: PARENT, kind: 2 }, true)
  await f({ parent: PARENT, kind: 5 }, true)
  await f({ parent: PARENT, kind: 3 }, false)
  await f({ parent: PARENT, kind: 1, flags: 0x301 }, true)
  await f({ parent: PARENT, kind: 2, flags: 0x101 }, false)
})

t.test('a trace whose local root does not come is decided after 30 s and marked as partial', async t => {
  const stage = new Stage({ ...PLAIN, mark: true })
  stage.send({ trace: LOW, parent: PARENT, kind: 3 })
  await stage.pass(29_900)
  t.equal(stage.sampler.heldSpans, 1)
  await stage.pass(300)
  t.same(stage.spans[0]?.attributes, { 'pillion.kept_because': 'ordinary', 'pillion.sampling': 'partial' })
  t.equal(stage.count().early.timeout, 1)
})

t.test('late spans follow the decision, and one with an error is kept in any case', async t => {
  const stage = new Stage({ ...PLAIN, errors: true, ratio: 0.5 })
  stage.send({ trace: HIGH }, { trace: LOW })
  await stage.pass(1200)
  stage.send({ trace: HIGH, name: 'late' }, { trace: LOW, name: 'late' })
  stage.send({ trace: LOW, name: 'failed', status: 2 }, { trace: LOW, name: 'after it' })
  await stage.pass(200)
  t.same(
    stage.spans.map(each => `${each.name} ${each.traceState}`),
    ['GET / ot=th:8', 'late ot=th:8', 'failed ot=th:0', 'after it ot=th:0'],
  )
  t.same(stage.count().late, { kept: 3, dropped: 1 })
  t.equal(stage.balance(), 'ok')
})

t.test('the newest 64 Ki decisions are remembered, in fixed memory', async t => {
  const stage = new Stage({ ...PLAIN, ratio: 0.5 })
  const before = stage.memory.parts.get('sampling')!.used
  const random = numbers(1)
  const traces = Array.from({ length: 60_000 }, () => [{ trace: id(random) }])
  await stage.sendAll(traces, 1200, 20_000)
  const kept = new Set(stage.spans.map(each => each.traceId))
  const sent = stage.passed.length
  await stage.sendAll(
    traces.slice(20_000).map(([span]) => [{ ...span!, name: 'late' }]),
    200,
    10_000,
  )
  t.ok(stage.count().late.kept + stage.count().late.dropped > 39_000, 'nearly all are known')
  await stage.pass(2000)
  const late = stage.passed.slice(sent).flatMap(({ items }) => items)
  t.ok(late.reduce((sum, each) => sum + each, 0) > 0)
  const wrong = stage.spans.filter(each => each.name === 'late' && !kept.has(each.traceId))
  t.equal(wrong.length, 0)
  t.equal(stage.balance(), 'ok')
  t.ok(stage.memory.parts.get('sampling')!.used < before + 12 * 2 ** 20)
})

t.test('errors, slow traces and rare operations are kept, and say so if asked', async t => {
  const stage = new Stage({ ratio: 0, slow: 500, rare: 2, mark: true })
  const random = numbers(2)
  const send = (more: object) => stage.send({ trace: id(random), ...more })
  send({})
  send({})
  send({})
  send({ status: 2 })
  send({ seconds: 0.6 })
  send({ name: 'GET /never' })
  await stage.pass(1200)
  t.same(
    stage.spans.map(each => `${each.name} ${each.attributes['pillion.kept_because']} ${each.traceState}`),
    [
      'GET / rare ot=th:0',
      'GET / rare ot=th:0',
      'GET / error ot=th:0',
      'GET / slow ot=th:0',
      'GET /never rare ot=th:0',
    ],
  )
  t.same(stage.count().dropped, { ratio: 1, rate_limit: 0, guard: 0 })
})

t.test('an operation is rare again after ten minutes without it', async t => {
  const stage = new Stage({ ratio: 0, rare: 1, slow: 'off' })
  const random = numbers(3)
  const kept = async (ms: number) => {
    stage.send({ trace: id(random) })
    await stage.pass(1200)
    stage.clock.skip(ms)
    return stage.passed.length
  }
  t.equal(await kept(0), 1)
  t.equal(await kept(1_300_000), 1)
  t.equal(await kept(0), 2)
})

t.test('an application that puts ids into span names does not make all its traces rare', async t => {
  const stage = new Stage({ ratio: 0, slow: 'off' })
  const random = numbers(4)
  await stage.sendAll(
    Array.from({ length: 5000 }, (_, i) => [{ trace: id(random), name: `GET /${i}` }]),
    1200,
    5000,
  )
  t.equal(stage.count().kept.rare, 2000)
})

t.test('one trace in a hundred of an operation is slow, whatever its durations are', async t => {
  const f = async (name: string, duration: (random: () => number) => number) => {
    const stage = new Stage({ ratio: 0, rare: 0 })
    const random = numbers(5)
    const traces = Array.from({ length: 40_000 }, () => [{ trace: id(random), seconds: duration(random) }])
    await stage.sendAll(traces, 1200, 10_000)
    const share = stage.count().kept.slow / 40_000
    t.ok(share > 0.007 && share < 0.013, `${name}: ${share}`)
  }
  await f('uniform', random => random())
  await f('exponential', random => -0.05 * Math.log(1 - random()))
  await f('bimodal', random => (random() < 0.9 ? 0.002 : 1))
  await f('constant', () => 0.25)
})

t.test('spans of own probes are never kept as slow or rare, but for their errors', async t => {
  const stage = new Stage({ ratio: 0, slow: 1 })
  stage.send({ trace: LOW, state: PROBE_TRACESTATE, seconds: 5 })
  stage.send({ trace: HIGH, state: PROBE_TRACESTATE, status: 2 })
  await stage.pass(1200)
  t.same(
    stage.spans.map(each => each.status),
    [2],
  )
})

t.test('but for its tracestate a kept span has the bytes that came, and all that stands around it', async t => {
  const unknown = ld(99, 'what nobody here knows')
  const resource = (name: string) =>
    Buffer.concat([ld(1, attribute(1, 'service.name', name)), ld(3, 'schema'), unknown])
  const scope = (name: string) => Buffer.concat([ld(1, ld(1, name)), number(77, 300)])
  const spans = Array.from({ length: 6 }, (_, i) => encoded({ trace: HIGH, name: `span ${i}`, more: unknown }))
  const body = Buffer.concat([
    ld(
      1,
      resource('a'),
      ld(2, scope('x'), ld(2, spans[0]!), ld(2, spans[1]!), ld(3, 'after')),
      ld(2, scope('y'), ld(2, spans[2]!)),
    ),
    ld(1, resource('b'), ld(2, scope('x'), ld(2, spans[3]!))),
    ld(1, ld(2, ld(2, spans[4]!), scope('x'), ld(3, 'after')), resource('a')),
    ld(1, resource('a'), ld(2, scope('x'), ld(3, 'after'), ld(2, spans[5]!))),
  ])
  const stage = new Stage({ ...PLAIN, ratio: 0.5 })
  stage.sendBytes(body, 6)
  await stage.pass(1200)
  const tail = ld(3, 'ot=th:8')
  const kept = (i: number) => ld(2, spans[i]!, tail)
  // The fields around spans are in their order, so spans of the same surroundings are together.
  t.equal(
    stage.passed[0]!.bytes.toString('hex'),
    Buffer.concat([
      ld(
        1,
        resource('a'),
        ld(2, scope('x'), ld(3, 'after'), kept(0), kept(1), kept(4), kept(5)),
        ld(2, scope('y'), kept(2)),
      ),
      ld(1, resource('b'), ld(2, scope('x'), kept(3))),
    ]).toString('hex'),
  )
})

t.test('a tracestate that is there is replaced in its place, written as it may be', async t => {
  const f = async (field: Buffer, expected: string, bytes?: Buffer) => {
    const ids = Buffer.concat([ld(1, HIGH), ld(2, PARENT)])
    const span = Buffer.concat([ids, field, ld(5, 'name'), number(6, 2)])
    const stage = new Stage({ ...PLAIN, ratio: 0.5 })
    stage.sendBytes(ld(1, ld(2, ld(2, span))), 1)
    await stage.pass(1200)
    t.equal(stage.spans[0]?.traceState, expected)
    if (bytes) t.same(stage.passed[0]!.bytes, ld(1, ld(2, ld(2, ids, bytes, ld(5, 'name'), number(6, 2)))))
  }
  await f(ld(3, 'a=b'), 'ot=th:8,a=b', ld(3, 'ot=th:8,a=b'))
  await f(ld(3, 'ot=th:c'), 'ot=th:c', ld(3, 'ot=th:c'))
  await f(ld(3, 'ot=th:4;x:y,a=b'), 'ot=th:8;x:y,a=b')
  await f(ld(3, `a=${'b'.repeat(200)}`), `ot=th:8,a=${'b'.repeat(200)}`, ld(3, `ot=th:8,a=${'b'.repeat(200)}`))
  // A tag or a length in more bytes than it needs, an empty field, and the field twice.
  await f(Buffer.from([0x9a, 0, 3, 0x61, 0x3d, 0x62]), 'ot=th:8,a=b')
  await f(Buffer.from([0x1a, 0x83, 0, 0x61, 0x3d, 0x62]), 'ot=th:8,a=b')
  await f(ld(3), 'ot=th:8')
  await f(Buffer.concat([ld(3, 'a=b'), ld(3)]), 'ot=th:8')
  await f(Buffer.concat([ld(3, 'ot=th:f'), ld(3, 'c=d')]), 'ot=th:8,c=d')
})

t.test('a span that its own threshold denies loses the threshold, and is still sampled', async t => {
  const stage = new Stage({ ...PLAIN, ratio: 0.5 })
  stage.send({ trace: withRandom('9'), state: 'ot=th:a,x=y' }, { trace: withRandom('9'), state: 'ot=th:a' })
  stage.send({ trace: LOW, state: 'ot=th:a' })
  await stage.pass(1200)
  t.same(
    stage.spans.map(each => each.traceState),
    ['x=y', ''],
  )
  t.equal(stage.count().inconsistent, 3)
  t.equal(stage.count().unthresholded, 2)
})

t.test('a random value in the tracestate counts instead of the trace id', async t => {
  const stage = new Stage({ ...PLAIN, ratio: 0.5 })
  stage.send({ trace: LOW, state: 'ot=rv:80000000000000' }, { trace: HIGH, state: 'ot=rv:7fffffffffffff' })
  await stage.pass(1200)
  t.same(
    stage.spans.map(each => `${each.traceId.slice(-14)} ${each.traceState}`),
    ['00000000000001 ot=th:8;rv:80000000000000'],
  )
})

t.test('spans held, sent on and left out are those taken, at every moment', async t => {
  const stage = new Stage({ ratio: 0.3, max_spans_per_second: 200, memory: 8 * 2 ** 20 })
  const random = numbers(6)
  for (let i = 0; i < 300; i++) {
    const spans = Array.from({ length: Math.ceil(random() * 40) }, () => {
      const trace = id(random)
      if (random() < 0.5) trace.fill(1 + Math.floor(random() * 50))
      return { trace, ...(random() < 0.3 ? { parent: PARENT, kind: 3 } : {}), ...(random() < 0.1 ? { status: 2 } : {}) }
    })
    stage.send(...spans)
    if (stage.balance() !== 'ok') t.fail(stage.balance())
    await stage.pass(Math.floor(random() * 400))
    if (stage.balance() !== 'ok') t.fail(stage.balance())
  }
  stage.sampler.flush()
  t.equal(stage.sampler.heldSpans, 0)
  t.equal(stage.balance(), 'ok')
})

t.test('at its end the sampler decides what it holds, and gives back its memory', async t => {
  const stage = new Stage()
  stage.send({ trace: LOW }, { trace: HIGH, parent: PARENT, kind: 3 })
  stage.sampler.flush()
  t.equal(stage.spans.length, 2)
  t.equal(stage.count().early.end, 2)
  await stage.sampler[Symbol.asyncDispose]()
  t.equal(stage.memory.used, 0)
})

t.test('a span that comes twice is sent on twice, as without sampling', async t => {
  const stage = new Stage({ ...PLAIN, ratio: 0.5 })
  const bytes = request([{ trace: HIGH }])
  stage.sendBytes(bytes, 1)
  stage.sendBytes(bytes, 1)
  await stage.pass(1200)
  stage.sendBytes(bytes, 1)
  await stage.pass(1200)
  t.same(
    stage.spans.map(each => thresholdIn(each.traceState)),
    Array(3).fill(2n ** 55n),
  )
})

t.test('requests that are sent on stay below 256 KiB, but for one span that is larger', async t => {
  const stage = new Stage(PLAIN)
  const random = numbers(7)
  const more = ld(98, Buffer.alloc(1000))
  for (let i = 0; i < 5; i++) stage.send(...Array.from({ length: 200 }, () => ({ trace: id(random), more })))
  stage.send({ trace: id(random), more: ld(98, Buffer.alloc(600_000)) })
  await stage.pass(1200)
  t.equal(stage.spans.length, 1001)
  const sizes = stage.passed.map(each => each.bytes.length).sort((a, b) => b - a)
  t.ok(sizes[0]! > 600_000 && sizes[0]! < 900_000, `${sizes[0]}`)
  t.ok(sizes[1]! < 264 * 1024, `${sizes[1]}`)
})

t.test('traces of a time in which the application was in trouble are kept, if asked', async t => {
  const random = numbers(11)
  for (const troubled of [true, false]) {
    const stage = new Stage({ ...PLAIN, ratio: 0, troubled })
    const asked: number[] = []
    stage.trouble = (from, to) => {
      asked.push(to - from)
      return to - from > 50
    }
    stage.send({ trace: id(random), seconds: 0.2 }, { trace: id(random), seconds: 0.01 })
    await stage.pass(1500)
    t.same(stage.count().kept, { error: 0, slow: troubled ? 1 : 0, rare: 0, ordinary: 0 })
    t.equal(asked.length, troubled ? 2 : 0, 'it is asked for local roots, and only then')
  }
})
