// Writing a threshold into a tracestate: what others have written survives, and what is written is read again.

import t from 'tap'
import { adjustedCount, Fields, withThreshold } from '../../otlp/trace-state.ts'
import { probabilityOf, thresholdOf } from '../../processors/sampling/strata.ts'
import { digits } from '../../processors/sampling/written.ts'
import fc from '../property.ts'
import { numbers } from '../random.ts'
import { adjusted, id, PLAIN, Stage, thresholdIn } from './stage.ts'

const write = (state: string, threshold: string | undefined) =>
  withThreshold(Buffer.from(`--${state}--`, 'latin1'), 2, 2 + state.length, threshold).toString('latin1')

t.test('another threshold is written into the member ot, which comes first', async t => {
  const f = (state: string, threshold: string | undefined, expected: string) =>
    t.equal(write(state, threshold), expected, state)
  f('', '8', 'ot=th:8')
  f('a=b', '8', 'ot=th:8,a=b')
  f('a=b,ot=th:4', '8', 'ot=th:8,a=b')
  f('ot=rv:6e6d1a75832a2f;th:4,a=b', '8', 'ot=th:8;rv:6e6d1a75832a2f,a=b')
  f('ot=p:8;r:62', 'c', 'ot=th:c;p:8;r:62')
  f(' a=b\t, ot=th:4 ,c@d=e f', '8', 'ot=th:8,a=b,c@d=e f')
  f('ot=th:4,ot=th:5,a=b', '8', 'ot=th:8,a=b')
  f('ot=th:4;th:5', '8', 'ot=th:8')
  f('ott=x,xot=y', '8', 'ot=th:8,ott=x,xot=y')
  f(',,nothing,,a=b', '8', 'ot=th:8,a=b')
  f('a=\xff\x80', '8', 'ot=th:8,a=\xff\x80')
})

t.test('a threshold is erased, with its member if nothing else is in it', async t => {
  const f = (state: string, expected: string) => t.equal(write(state, undefined), expected, state)
  f('ot=th:4', '')
  f('ot=th:4;rv:6e6d1a75832a2f', 'ot=rv:6e6d1a75832a2f')
  f('a=b,ot=th:4,c=d', 'a=b,c=d')
  f('a=b', 'a=b')
})

t.test('the value of ot stays within 256 characters, and what decides about sampling stays in it', async t => {
  const long = Array.from({ length: 40 }, (_, i) => `field${i}:value`).join(';')
  const value = write(`a=b,ot=${long};rv:6e6d1a75832a2f,c=d`, 'abcdef1')
  const [own, ...others] = value.split(',')
  t.ok(own!.length <= 3 + 256 && own!.length > 240, own!)
  t.ok(own!.startsWith('ot=th:abcdef1;field0:value;') && own!.includes('rv:6e6d1a75832a2f'))
  t.same(others, ['a=b', 'c=d'])
  t.equal(write(`ot=${'x'.repeat(300)}`, '8'), 'ot=th:8')
})

t.test('of 32 members the last one makes room, and a tracestate longer than any may be is replaced', async t => {
  const members = Array.from({ length: 32 }, (_, i) => `k${i}=v`)
  t.same(write(members.join(','), '8').split(','), ['ot=th:8', ...members.slice(0, 31)])
  t.same(write(['ot=th:4', ...members.slice(1)].join(','), '8').split(','), ['ot=th:8', ...members.slice(1)])
  t.equal(write(`a=${'b'.repeat(20_000)}`, '8'), 'ot=th:8')
})

/** Members as the grammar allows them, and what breaks it. */
const member = fc.oneof(
  fc.stringMatching(/^[a-z][a-z0-9_*/-]{0,8}=[ -+--<>-~]{0,12}$/),
  fc.stringMatching(/^ot=(th:[0-9a-f]{1,14}|rv:[0-9a-f]{14}|[a-z]{1,3}:[A-Za-z0-9._-]{0,6})(;th:[0-9a-f]{1,14})?$/),
  fc.string({ maxLength: 12 }),
)
const states = fc
  .array(member, { maxLength: 40 })
  .map(members => Buffer.from(members.join(','), 'latin1').toString('latin1'))

t.test(
  'whatever was there, the threshold is read again, and all members of others are there in their order',
  async t => {
    fc.assert(
      fc.property(states, fc.bigInt({ min: 0n, max: 2n ** 28n - 1n }), (state, threshold) => {
        const after = write(state, digits(Number(threshold)))
        const bytes = Buffer.from(after, 'latin1')
        const fields = new Fields().read(bytes, 0, bytes.length)
        t.equal(fields.thresholdHigh, Number(threshold))
        t.equal(fields.thresholdLow, 0)
        const others = (text: string) =>
          text
            .split(',')
            .map(each => each.replace(/^[ \t]+|[ \t]+$/g, ''))
            .filter(each => each.includes('=') && !each.startsWith('ot='))
        t.same(others(after), others(state).slice(0, 31))
        const before = Buffer.from(state, 'latin1')
        const random = new Fields().read(before, 0, before.length)
        t.same([fields.randomHigh, fields.randomLow], [random.randomHigh, random.randomLow])
        t.ok((/^ot=[^,]*/.exec(after)?.[0].length ?? 0) <= 259)
        t.equal(write(after, digits(Number(threshold))), after, 'writing it again changes nothing')
      }),
      { numRuns: 2000, seed: 21 },
    )
  },
)

t.test(
  'whatever the tracestate is, a kept span counts as often as its threshold says, and the application’s stands',
  async t => {
    const random = numbers(22)
    const stage = new Stage({ ...PLAIN, ratio: 0.5 })
    const sent = fc
      .sample(states, { numRuns: 3000, seed: 23 })
      .map(state => ({ trace: id(random), span: id(random, 8), state }))
    const valid = sent.filter(each => !/[\x80-\xff]/.test(each.state))
    stage.send(...valid)
    await stage.pass(1500)
    const byId = new Map(valid.map(each => [each.span.toString('hex'), each]))
    t.ok(stage.spans.length > 1000)
    for (const span of stage.spans) {
      const { state } = byId.get(span.spanId)!
      const before = Buffer.from(state)
      const came = new Fields().read(before, 0, before.length)
      const r = came.randomHigh >= 0 ? came : randomOf(span.traceId)
      const consistent =
        came.thresholdHigh < 0 ||
        BigInt(r.randomHigh) * 2n ** 28n + BigInt(r.randomLow) >=
          BigInt(came.thresholdHigh) * 2n ** 28n + BigInt(came.thresholdLow)
      const expected = !consistent ? 1 : Math.max(2, adjustedCount(before, 0, before.length))
      const after = Buffer.from(span.traceState)
      if (adjustedCount(after, 0, after.length) !== expected) t.fail(`${state} → ${span.traceState}`)
    }
  },
)

t.test('thresholds and probabilities are each other’s inverse, at 28 bits', async t => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 2 ** 28 - 1 }), threshold => {
      t.equal(thresholdOf(probabilityOf(threshold)), threshold)
      const state = `ot=th:${digits(threshold)}`
      t.equal(thresholdIn(state), BigInt(threshold) << 28n)
      t.ok(Math.abs(adjusted({ traceState: state }) * probabilityOf(threshold) - 1) < 1e-12)
    }),
  )
})

function randomOf(traceId: string) {
  const r = BigInt(`0x${traceId.slice(-14)}`)
  return { randomHigh: Number(r >> 28n), randomLow: Number(r & (2n ** 28n - 1n)) }
}
