// Beside the Collector's probabilistic sampler, before and behind it: both stages decide by the same randomness, each reads
// the thresholds of the other, and neither finds a span of the other inconsistent.

import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import type { Request } from '../../telemetry/request.ts'
import { FOLDER } from '../deploy/judges.ts'
import type { Recorded } from '../otlp/recorder.ts'
import { numbers } from '../random.ts'
import { adjusted, id, PLAIN, randomIn, request, type Sent, Stage, spansOf, thresholdIn } from './stage.ts'

const JUDGE = join(FOLDER, 'bin/sampler')
const absent = existsSync(JUDGE) ? false : 'needs: .ci/judges'

/** The spans that the Collector leaves of requests. */
function collector(mode: 'equalizing' | 'proportional', percentage: number, requests: readonly Buffer[]): Recorded[] {
  const input = Buffer.concat(requests.flatMap(each => [length(each), each]))
  // Closed: what it finds inconsistent or cannot read is dropped.
  const { stdout, stderr, status } = spawnSync(JUDGE, [mode, String(percentage), 'closed'], {
    input,
    maxBuffer: 2 ** 30,
  })
  if (status !== 0) throw new Error(`cannot judge: ${stderr}`)
  const left: Recorded[] = []
  for (let at = 0; at < stdout.length; ) {
    const size = stdout.readUInt32BE(at)
    left.push(...spansOf(stdout.subarray(at + 4, at + 4 + size), 1_000_000))
    at += 4 + size
  }
  return left
}

function length(body: Buffer): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(body.length)
  return bytes
}

const STATES = [undefined, undefined, 'vendor=a:b', 'ot=rv:RANDOM', 'ot=rv:RANDOM;x:y,vendor=z', 'ot=p:8']

function spans(random: () => number, count: number): Sent[] {
  return Array.from({ length: count }, () => {
    const state = STATES[Math.floor(random() * STATES.length)]?.replace(
      'RANDOM',
      id(random, 8).toString('hex').slice(2),
    )
    return { trace: id(random), span: id(random, 8), ...(state === undefined ? {} : { state }) }
  })
}

async function sampled(ratio: number, requests: readonly Buffer[], items = 1000): Promise<readonly Request[]> {
  const stage = new Stage({ ...PLAIN, ratio })
  for (const each of requests) {
    stage.sendBytes(each, items)
    await stage.pass(1200)
  }
  return stage.passed
}

const bodies = (all: readonly Sent[]) =>
  Array.from({ length: Math.ceil(all.length / 1000) }, (_, i) => request(all.slice(1000 * i, 1000 * (i + 1))))
const of = (passed: readonly Request[]) => passed.flatMap(({ bytes, items }) => spansOf(bytes, items))
const ids = (spans: readonly Recorded[]) => spans.map(each => each.spanId).sort()

t.test('the Collector behind us takes all that we kept, with its thresholds', { skip: absent }, async t => {
  for (const ratio of [1, 0.3, 0.01]) {
    const passed = await sampled(ratio, bodies(spans(numbers(41), 20_000)))
    const ours = of(passed)
    const left = collector(
      'equalizing',
      100,
      passed.map(each => each.bytes),
    )
    t.same(ids(left), ids(ours), `${ours.length} of 20,000 at ${ratio}`)
    const states = new Map(left.map(each => [each.spanId, each.traceState]))
    t.ok(ours.every(each => thresholdIn(states.get(each.spanId)!) === thresholdIn(each.traceState)))
  }
})

t.test('the Collector behind us thins out further, and the sums stay right', { skip: absent }, async t => {
  const passed = await sampled(0.3, bodies(spans(numbers(42), 100_000)))
  for (const mode of ['equalizing', 'proportional'] as const) {
    const left = collector(
      mode,
      10,
      passed.map(each => each.bytes),
    )
    const ratio = mode === 'equalizing' ? 0.1 : 0.03
    const sum = left.reduce((sum, each) => sum + adjusted(each), 0)
    const sigma = Math.sqrt((100_000 * (1 - ratio)) / ratio)
    t.ok(Math.abs(sum - 100_000) < 4.5 * sigma, `${mode}: ${sum.toFixed(0)} from ${left.length}`)
    t.ok(left.every(each => randomIn(each) >= thresholdIn(each.traceState)!))
  }
})

t.test('behind the Collector we keep what its threshold and ours let pass', { skip: absent }, async t => {
  const all = spans(numbers(43), 50_000)
  for (const percentage of [50, 10]) {
    const before = collector('proportional', percentage, bodies(all))
    // Sent again one by one, as they came.
    const came = before.map(each => ({
      trace: Buffer.from(each.traceId, 'hex'),
      span: Buffer.from(each.spanId, 'hex'),
      state: each.traceState,
    }))
    const whole = came.slice(0, came.length - (came.length % 1000))
    const ours = of(await sampled(0.25, bodies(whole)))
    const kept = before.slice(0, whole.length).filter(each => randomIn(each) >= 0xcn << 52n)
    t.same(ids(ours), ids(kept), `${kept.length} of ${whole.length}`)
    const expected = Math.max(4, 100 / percentage)
    t.ok(ours.every(each => Math.abs(adjusted(each) - expected) < expected / 1000))
  }
})
