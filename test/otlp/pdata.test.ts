// Our reading of OTLP beside that of the Collector's pdata, over generated and mutated requests of all three signals.
//
// Known differences:
// - a field of another wire type than its own, and a whole group: protobuf passes over both, pdata refuses the request;
// - a group that is cut off or ends twice, or a tag of more than 32 bits: pdata may take the request, we refuse it;
// - data of a metric in pieces: protobuf merges them, pdata keeps the last piece;
// - a metric with data of two kinds: the last kind holds in both, and we count the points of the first as refused;
// - an id of a wrong length: we refuse the span that has it, or pass over the id; pdata refuses the request.

import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import t, { type Test } from 'tap'
import { Check } from '../../otlp/check.ts'
import { withoutBadSpans } from '../../otlp/reject.ts'
import { SpanVisitor } from '../../otlp/visit.ts'
import { FOLDER } from '../deploy/judges.ts'
import { reader } from '../logs/read.ts'
import { startLogs } from '../logs/send.ts'
import { sidecar } from '../points/otlp.ts'
import { comparable } from './compare.ts'
import { generate, mutate, Random, REQUEST, type Signal } from './generate.ts'
import { decoder } from './protobufjs.ts'
import { Recorder } from './recorder.ts'

const JUDGE = join(FOLDER, 'bin/pdata')
const skip = existsSync(JUDGE) ? false : 'needs pdata: .ci/judges'
const RUNS = 12_000
const MANY = 100_000
/** Requests that one part takes before what it shows is compared. */
const TOGETHER = 1000
const seed = Number(process.env['SEED'] ?? 1)
const SIGNALS = ['traces', 'metrics', 'logs'] as const

t.setTimeout(120_000)

interface Case {
  readonly signal: Signal
  readonly bytes: Buffer
}

/** The request as pdata writes it again, or why it does not. */
type Judged = { readonly ok: true; readonly bytes: Buffer } | { readonly ok: false; readonly why: string }

function judge(cases: readonly Case[]): Judged[] {
  const input = Buffer.concat(
    cases.flatMap(({ signal, bytes }) => {
      const head = Buffer.from([signal.charCodeAt(0), 0, 0, 0, 0])
      head.writeUInt32BE(bytes.length, 1)
      return [head, bytes]
    }),
  )
  const { stdout, stderr, status } = spawnSync(JUDGE, { input, maxBuffer: 1 << 30 })
  if (status !== 0) throw new Error(`the judge ended with ${status}: ${stderr}`)
  const all: Judged[] = []
  for (let at = 0; at < stdout.length; ) {
    const end = at + 5 + stdout.readUInt32BE(at + 1)
    const bytes = stdout.subarray(at + 5, end)
    all.push(stdout[at] === 1 ? { ok: true, bytes } : { ok: false, why: bytes.toString() })
    at = end
  }
  return all
}

const check = new Check()
const takes = ({ signal, bytes }: Case): boolean => check.run(bytes, REQUEST[signal])

/** As protobufjs writes it again: without what it passes over. */
function plain({ signal, bytes }: Case): Case {
  const Message = decoder(signal)
  return { signal, bytes: Buffer.from(Message.encode(Message.decode(bytes)).finish()) }
}

function cases(): Case[] {
  const random = new Random(seed)
  return Array.from({ length: RUNS }, () => {
    const signal = random.pick(SIGNALS)
    const whole = generate(random, signal)
    return { signal, bytes: random.once(2) ? mutate(random, whole) : whole }
  })
}

t.test(
  `pdata refuses what we refuse, and takes what we take but for known differences (SEED=${seed})`,
  { skip },
  async t => {
    const all = cases()
    const judged = judge(all)
    t.equal(judged.length, all.length)
    const counts = { taken: 0, refused: 0, groups: 0, passedOver: 0, ids: 0 }
    /** A body that pdata refuses and we take, as protobufjs writes it again: without the fields that it passes over. */
    const others: Case[] = []
    for (const [place, each] of all.entries()) {
      const theirs = judged[place]!
      const ours = takes(each)
      if (ours && theirs.ok) counts.taken++
      else if (!ours && !theirs.ok) counts.refused++
      else if (!ours && /group|longer than 32 bits/.test(check.why)) counts.groups++
      else if (!ours) {
        t.fail(`pdata takes what we refuse (${check.why}): ${each.signal} ${each.bytes.toString('hex')}`)
        return
      } else others.push(plain(each))
    }
    for (const [place, theirs] of judge(others).entries()) {
      if (theirs.ok) counts.passedOver++
      else if (/invalid (TraceID|SpanID|ProfileID) length/.test(theirs.why)) counts.ids++
      else {
        const { signal, bytes } = others[place]!
        t.fail(`pdata refuses what we take: ${theirs.why}: ${signal} ${bytes.toString('hex')}`)
        return
      }
    }
    t.comment(JSON.stringify(counts))
    t.ok(counts.taken > RUNS / 2 && counts.refused > RUNS / 20, 'both verdicts came up')
    t.ok(counts.passedOver > 0 && counts.ids > 0, 'and both differences')
  },
)

/** A body that both take: as it was sent, and as pdata writes it again. */
function both(signal: Signal, pieces = true): { readonly sent: Buffer; readonly again: Buffer }[] {
  const random = new Random(seed)
  const taken = Array.from({ length: RUNS }, () => ({ signal, bytes: generate(random, signal, pieces) })).filter(takes)
  // As it is, and without what pdata refuses.
  const all = [...taken, ...taken.map(plain)]
  return judge(all).flatMap((theirs, place) => (theirs.ok ? [{ sent: all[place]!.bytes, again: theirs.bytes }] : []))
}

t.test(`spans are the same in what pdata has read and written again (SEED=${seed})`, { skip }, async t => {
  const recorder = new Recorder(['http.route', 'http.response.status_code', 'k', ''], ['service.name', 'k'])
  const visitor = new SpanVisitor(recorder.keys, [recorder])
  const spans = (bytes: Buffer) => {
    visitor.walk.run(bytes, MANY)
    const { badTraceIds, badSpanIds, badParentIds } = visitor.walk
    const good = badTraceIds + badSpanIds + badParentIds === 0 ? bytes : withoutBadSpans(bytes)
    check.run(good, REQUEST.traces)
    recorder.spans = []
    visitor.visit({ signal: 'traces', bytes: good, items: check.items, received: 0 })
    return recorder.spans.map(comparable)
  }
  let count = 0
  for (const { sent, again } of both('traces')) {
    const [ours, theirs] = [spans(sent), spans(again)]
    count += ours.length
    if (isDeepStrictEqual(ours, theirs)) continue
    t.same(ours, theirs, sent.toString('hex'))
    return
  }
  t.ok(count > 1000, `${count} spans`)
})

t.test(`metrics are the same in what pdata has read and written again (SEED=${seed})`, { skip }, async t => {
  const page = async (t: Test, requests: readonly Buffer[]) => {
    const one = sidecar(t, { limit: 100_000 })
    const refused = requests.map(each => one.take(each))
    const lines = (await one.page()).toString().split('\n')
    return { refused, lines: lines.filter(line => !line.startsWith('pillion_collector_duration')) }
  }
  const judging = sidecar(t)
  const twoKinds = (bytes: Buffer) => judging.take(bytes).some(({ reason }) => reason === 'invalid_point')
  const all = both('metrics', false).filter(({ sent }) => !twoKinds(sent))
  let [samples, refused] = [0, 0]
  for (let at = 0; at < all.length; at += TOGETHER) {
    const some = all.slice(at, at + TOGETHER)
    const ours = await page(
      t,
      some.map(each => each.sent),
    )
    refused += ours.refused.flat().reduce((sum, { items }) => sum + items, 0)
    samples += ours.lines.filter(line => line !== '' && !/^(#|pillion_)/.test(line)).length
    const theirs = await page(
      t,
      some.map(each => each.again),
    )
    if (isDeepStrictEqual(ours, theirs)) continue
    t.same(ours, theirs, `requests ${at} to ${at + TOGETHER}`)
    return
  }
  t.ok(samples > 20 && refused > 300, `${samples} samples and ${refused} refused points of ${all.length} requests`)
})

t.test(`log records are the same in what pdata has read and written again (SEED=${seed})`, { skip }, async t => {
  const read = async (t: Test, requests: readonly Buffer[]) => {
    const { running } = startLogs()
    const dropped = requests.map(bytes => {
      check.run(bytes, REQUEST.logs)
      return running.take({ signal: 'logs', bytes, items: check.items, received: 0 })
    })
    const { records } = await reader(t, running)
    return { dropped, records: await records('?limit=1000') }
  }
  const all = both('logs')
  let count = 0
  for (let at = 0; at < all.length; at += TOGETHER) {
    const some = all.slice(at, at + TOGETHER)
    const ours = await read(
      t,
      some.map(each => each.sent),
    )
    const theirs = await read(
      t,
      some.map(each => each.again),
    )
    count += ours.records.length
    if (isDeepStrictEqual(ours, theirs)) continue
    t.same(ours, theirs, `requests ${at} to ${at + TOGETHER}`)
    return
  }
  t.ok(count > 1000, `${count} records`)
})
