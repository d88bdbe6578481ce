// The sampler's bounds: whatever is sent, its memory is what it was given, and all spans are accounted for.

import t from 'tap'
import { attribute, ld } from '../otlp/requests.ts'
import { numbers } from '../random.ts'
import { encoded, id, PLAIN, Stage } from './stage.ts'

const MiB = 2 ** 20
const PARENT = Buffer.alloc(8, 7)

t.test('when its memory is used up, the traces whose root has ended are decided first, then the oldest', async t => {
  const stage = new Stage({ ...PLAIN, ratio: 0.5, memory: 8 * MiB })
  const random = numbers(31)
  const more = ld(98, Buffer.alloc(2000))
  let most = 0
  for (let i = 0; i < 200; i++) {
    const waiting = { trace: id(random), parent: PARENT, kind: 3, more }
    stage.send(...Array.from({ length: 20 }, () => ({ trace: id(random), more })), waiting)
    most = Math.max(most, stage.memory.used)
  }
  // Nothing was due: no time has passed.
  const { early, kept, dropped } = stage.count()
  t.ok(early.memory > 500)
  t.equal(early.memory, kept.ordinary + dropped.ratio)
  t.ok(most <= 8 * MiB, `${most}`)
  t.equal(stage.balance(), 'ok')
  t.ok(stage.memory.parts.get('sampling')!.refused > 0)
})

t.test('when others have used up the budget, at most one request is held beyond it', async t => {
  const stage = new Stage(PLAIN, 8 * MiB)
  stage.memory.allot('others').add(8 * MiB)
  const random = numbers(32)
  for (let i = 0; i < 50; i++) {
    stage.send(...Array.from({ length: 100 }, () => ({ trace: id(random), parent: PARENT, kind: 3 })))
    t.ok(stage.sampler.heldSpans <= 5000)
  }
  t.equal(stage.balance(), 'ok')
  t.ok(stage.memory.parts.get('sampling')!.used < 4 * MiB)
})

t.test('a few long traces do not keep the memory of the many short ones that came with them', async t => {
  const stage = new Stage(PLAIN)
  const random = numbers(33)
  const long: Buffer[] = []
  const more = ld(98, Buffer.alloc(300))
  for (let i = 0; i < 200; i++) {
    const trace = id(random)
    long.push(trace)
    stage.send(
      { trace, parent: PARENT, kind: 3, more },
      ...Array.from({ length: 300 }, () => ({ trace: id(random), more })),
    )
    await stage.pass(100)
  }
  await stage.pass(1500)
  t.equal(stage.sampler.heldSpans, 200)
  // 20 MB have passed; what is left is moved together.
  t.ok(stage.memory.used < 7 * MiB, `${stage.memory.used}`)
  const before = stage.spans.length
  stage.send(...long.map(trace => ({ trace })))
  await stage.pass(1200)
  t.equal(stage.spans.length, before + 400)
  t.ok(stage.spans.slice(before).every(each => long.some(trace => trace.toString('hex') === each.traceId)))
  t.equal(stage.balance(), 'ok')
})

t.test('a new resource and scope with every span are held as long as their spans', async t => {
  const stage = new Stage({ ...PLAIN, ratio: 0.5, memory: 8 * MiB })
  const random = numbers(34)
  for (let i = 0; i < 500; i++) {
    const around = (each: number) => ld(1, attribute(1, 'service.instance.id', `${i}-${each}-${'x'.repeat(1000)}`))
    const body = Array.from({ length: 20 }, (_, each) =>
      ld(1, around(each), ld(2, ld(1, ld(1, `${i} ${each}`)), ld(2, encoded({ trace: id(random) })))),
    )
    stage.sendBytes(Buffer.concat(body), 20)
    if (stage.memory.used > 8 * MiB) t.fail(`${stage.memory.used}`)
    if (i % 50 === 0) await stage.pass(1200)
  }
  await stage.pass(1500)
  t.equal(stage.sampler.heldSpans, 0)
  const resources = new Set(stage.spans.map(each => each.scope))
  t.equal(resources.size, stage.spans.length, 'each has its own surroundings')
  const idle = stage.memory.used
  await stage.sampler[Symbol.asyncDispose]()
  t.equal(stage.memory.used, 0)
  t.ok(idle < 8 * MiB, `${idle}`)
})

t.test('a trace of very many spans is decided in pieces, by one threshold', async t => {
  const stage = new Stage({ ...PLAIN, ratio: 0.5, memory: 64 * MiB })
  const trace = Buffer.alloc(16, 0xf0)
  for (let i = 0; i < 50; i++) stage.send(...Array.from({ length: 1000 }, () => ({ trace, parent: PARENT, kind: 3 })))
  await stage.pass(200)
  t.equal(stage.count().early.large, 1)
  t.equal(stage.count().late.kept, 30_000)
  t.equal(stage.spans.length, 50_000)
  t.ok(stage.spans.every(each => each.traceState === 'ot=th:8'))
})

t.test('a wall clock that jumps changes no decision', async t => {
  const stage = new Stage({ ...PLAIN, ratio: 0.5 })
  let wall = 1e12
  stage.clock.now = () => wall
  stage.send({ trace: Buffer.alloc(16, 0xff) })
  wall = 5e11
  await stage.pass(900)
  t.equal(stage.sampler.heldSpans, 1)
  wall = 2e12
  await stage.pass(300)
  t.equal(stage.spans.length, 1)
  t.ok(stage.passed[0]!.received <= 2e12 && stage.passed[0]!.received > 2e12 - 2000, 'the age of what is sent is right')
})

t.test('claims of weights from outside do not move the limits', async t => {
  const random = numbers(35)
  const share = async (state: string | undefined) => {
    const stage = new Stage({ ...PLAIN, max_spans_per_second: 200 })
    for (let i = 0; i < 60; i++) {
      // Callers claim that each of their spans stands for 2^56.
      const claims = Array.from({ length: 10 }, () => ({ trace: id(random), ...(state && { state }) }))
      stage.send(...claims, ...Array.from({ length: 500 }, () => ({ trace: id(random) })))
      await stage.pass(1000)
    }
    const { kept } = stage.count()
    return kept.ordinary / (60 * 510)
  }
  const plain = await share(undefined)
  const claimed = await share('ot=th:ffffffffffffff;rv:ffffffffffffff')
  t.ok(claimed > plain * 0.85, `${claimed} and ${plain}`)
})

t.test('callers that choose their randomness so that all their traces are kept cannot pass the limit', async t => {
  const stage = new Stage({ ...PLAIN, max_spans_per_second: 200 })
  const random = numbers(36)
  const perSecond: number[] = []
  for (let i = 0; i < 90; i++) {
    const chosen = Array.from({ length: 1000 }, (_, each) => {
      const trace = id(random).fill(0xff, 9)
      return each % 2 === 0 ? { trace } : { trace: id(random), state: 'ot=rv:ffffffffffffff' }
    })
    stage.send(...chosen, ...Array.from({ length: 100 }, () => ({ trace: id(random) })))
    const before = stage.passed.length
    await stage.pass(1000)
    perSecond.push(stage.passed.slice(before).reduce((sum, each) => sum + each.items, 0))
  }
  const mean = perSecond.slice(30).reduce((sum, each) => sum + each, 0) / 60
  t.ok(mean < 210, `${mean} spans a second`)
  t.ok(stage.count().dropped.guard > 0)
  t.equal(stage.balance(), 'ok')
})
