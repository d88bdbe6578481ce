// Names and ids made to fall on each other in the tables that they are looked up in. They must cost what others cost: a table
// that they fill in a row takes a thousand times as long, in one request.

import t, { type Test } from 'tap'
import { Seen } from '../../traceql/seen.ts'
import { cpuOf } from '../cpu.ts'
import { ld, number } from '../otlp/requests.ts'
import { Room } from '../spans/room.ts'
import { show } from '../spans/views.ts'

const BITS = 14
const MANY = 2 ** BITS
const SERVER = 2
const CLIENT = 3
/** The most CPU, in multiples of that of as many ordinary ones. With a hash that multiplies it was 30 and 170 times. */
const TIMES = 4

interface Ids {
  readonly trace?: Buffer
  readonly span?: Buffer
}

t.test('names whose differences cancel in hashes that multiply cost what other names cost', async t => {
  const honest = Array.from({ length: MANY }, (_, n) => name(bytes => bytes.writeUInt32LE((n * 0x9e3779b1) >>> 0, 100)))
  // The highest bit of a word stays where it is in any product, and a shift by 15 takes it to two places: the next word undoes both.
  const cancelling = Array.from({ length: MANY }, (_, n) =>
    name(bytes => {
      for (let bit = 0; bit < BITS; bit++)
        if ((n >> bit) & 1)
          for (const [at, flip] of [
            [3, 0x80],
            [6, 0x01],
            [7, 0x80],
          ] as const)
            bytes[8 * bit + at]! ^= flip
    }),
  )
  for (const [what, limit] of [
    ['all of which become series', 2 * MANY],
    ['most of which find no room', 2000],
  ] as const)
    await t.test(what, async t => {
      const take = (names: readonly Buffer[]) => {
        const room = new Room({ limit })
        return {
          room,
          cpu: cpu(
            room,
            names.map(each => span(SERVER, each)),
          ),
        }
      }
      const { room } = take(cancelling)
      t.equal(await room.total('traces_spanmetrics_calls_total'), MANY)
      compare(
        t,
        () => take(cancelling).cpu,
        () => take(honest).cpu,
      )
    })
})

t.test(
  'calls of as many traces that differ in the beginning of their ids only wait for their other half like others',
  async t => {
    const trace = (at: number) => (n: number) => {
      const id = Buffer.alloc(16, 1)
      id.writeUInt32LE((n * 0x9e3779b1) >>> 0, at)
      return { trace: id, span: Buffer.alloc(8, 1) }
    }
    const take = (ids: (n: number) => Ids) => {
      const room = new Room({ graph: { enabled: true, wait: 6000, pending: MANY, limit: 500 } })
      const spans = Array.from({ length: MANY }, (_, n) => span(CLIENT, Buffer.from('call'), ids(n)))
      return cpu(room, spans)
    }
    const random = (n: number) => ({
      ...trace(12)(n),
      span: Buffer.from((n * 0x9e3779b1).toString(16).padStart(16, '1'), 'hex'),
    })
    for (const at of [0, 4, 8])
      compare(
        t,
        () => take(trace(at)),
        () => take(random),
      )
  },
)

t.test('spans whose ids cancel in a hash that multiplies are counted by a query like others', async t => {
  const ids = (id: (n: number) => readonly [number, number]) =>
    Array.from({ length: 2 * MANY }, (_, n) => {
      const bytes = Buffer.alloc(8)
      const [low, high] = id(n)
      bytes.writeInt32LE(low | 0, 0)
      bytes.writeInt32LE(high | 0, 4)
      return bytes
    })
  const take = (spans: readonly Buffer[]) => {
    const seen = new Seen()
    let distinct = 0
    const ms = cpuOf(() => {
      for (const bytes of spans) if (seen.add({ bytes, spanId: 0, traceHash: 7, kind: SERVER })) distinct++
    })
    t.equal(distinct, spans.length)
    return ms
  }
  const cancelling = ids(n => [Math.imul(n, 0x9e3779b1), n])
  const random = ids(n => [Math.imul(n, 0x85ebca6b), Math.imul(n + 7, 0xc2b2ae35)])
  compare(
    t,
    () => take(cancelling),
    () => take(random),
  )
})

/** Milliseconds of CPU that one request with these spans takes. */
function cpu(room: Room, spans: readonly Buffer[]): number {
  const request = ld(1, ld(1), ld(2, ...spans))
  return cpuOf(() => show(room, request, spans.length))
}

/** The least of a few turns of each, since the machine may be busy with something else. */
function compare(t: Test, hostile: () => number, honest: () => number): void {
  const turns = Array.from({ length: 5 }, () => [hostile(), honest()] as const)
  const [worst, usual] = [Math.min(...turns.map(each => each[0])), Math.min(...turns.map(each => each[1]))]
  t.comment(`${worst.toFixed(1)} ms of CPU beside ${usual.toFixed(1)}`)
  t.ok(worst <= TIMES * usual, `${worst.toFixed(1)} ms of CPU beside ${usual.toFixed(1)}`)
}

function name(change: (bytes: Buffer) => void): Buffer {
  const bytes = Buffer.alloc(8 * BITS, 'a')
  change(bytes)
  return bytes
}

function span(kind: number, name: Buffer, ids: Ids = {}): Buffer {
  const { trace = Buffer.alloc(16, 1), span: own = Buffer.alloc(8, 1) } = ids
  return ld(2, ld(1, trace), ld(2, own), ld(5, name), number(6, kind))
}
