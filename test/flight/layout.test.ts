// The ring on disk: what is written is read back in order; what is torn, cut, foreign or of another version is said.

import { readdirSync, readFileSync, statSync } from 'node:fs'
import t from 'tap'
import { BLOCK, decode, RING_BYTES, ROWS, rowAt, SLOT, TEXTS, textAt } from '../../exporter/flight/layout.ts'
import { readRing, recordOf } from '../../exporter/flight/recover.ts'
import { COLUMNS, Ring } from '../../exporter/flight/ring.ts'
import { emptyRow, MomentRing } from '../../telemetry/moment.ts'
import fc from '../property.ts'

const ABOUT = { version: '1', made: 7, owner: undefined }
const HERE = { proc: '/none', clock: { now: () => 1e12, monotonic: () => 0, sleep: async () => {} }, version: '1' }

/** A ring with so many rows, one a second, and its bytes. */
async function written(dir: string, rows: number, texts: number): Promise<Buffer> {
  const ring = await Ring.create(dir, ABOUT)
  const moments = new MomentRing(16)
  for (let i = 1; i <= Math.max(rows, texts); i++) {
    moments.add(1e12 + i * 1000, i * 1000, { ...emptyRow(), process: 1, memory: i })
    if (i <= rows) ring.row(moments)
    if (i <= texts) ring.text({ at: 1e12 + i, kind: 'log INFO', text: `line ${i}` })
    if (i % 32 === 0) await ring.settled()
  }
  ring.state({ at: 1e12, application: { pid: 7, ticks: 8, child: true, since: 9 } })
  await ring.settled()
  t.equal(ring.failed, undefined)
  const bytes = readFileSync(ring.path)
  await ring.close()
  return bytes
}

t.test('the newest rows and texts are read back in order, however often the ring has gone round', async t => {
  const bytes = await written(t.testdir({}), ROWS + 100, TEXTS + 7)
  const { rows, texts, torn, state } = decode(bytes)
  t.equal(torn, 0)
  t.equal(rows.length, ROWS)
  const memory = COLUMNS.indexOf('memory') + 2
  t.same([rows[0]![memory], rows.at(-1)![memory]], [101, ROWS + 100])
  t.same([texts[0]!.text, texts.at(-1)!.text], ['line 8', `line ${TEXTS + 7}`])
  t.match(state, { application: { pid: 7 } })
})

t.test('its file has all its room from the beginning, is for its owner alone, and is removed with it', async t => {
  const dir = t.testdir({})
  const ring = await Ring.create(dir, ABOUT)
  const { size, mode, blocks } = statSync(ring.path)
  t.equal(size, RING_BYTES)
  t.equal(mode & 0o777, 0o600)
  t.ok(blocks * 512 >= RING_BYTES, 'no holes')
  await ring.close()
  t.same(readdirSync(dir), [])
})

t.test('a slot that is torn is left out and counted; all others are read', async t => {
  const bytes = await written(t.testdir({}), 10, 10)
  bytes[rowAt(5) + 40]! ^= 1
  bytes.fill(0xee, textAt(3) + 100, textAt(3) + SLOT)
  bytes[textAt(4)]! ^= 0x80
  bytes[BLOCK + 20]! ^= 1
  const { rows, texts, torn } = decode(bytes)
  t.equal(rows.length, 9)
  t.same(
    texts.map(({ text }) => text),
    [1, 2, 3, 5, 6, 7, 8, 9, 10].map(i => `line ${i}`),
    'bytes behind the end of a text are no part of it',
  )
  t.ok(torn >= 2)
  t.match(recordOf(readRing(bytes), HERE).missing[1], /\d pieces of the ring that were not whole/)
})

t.test('another version, another length, another file and a torn head are refused with the reason', async t => {
  const bytes = await written(t.testdir({}), 1, 1)
  const f = (change: (bytes: Buffer) => Buffer | undefined, expected: RegExp) => {
    const copy = Buffer.from(bytes)
    t.throws(() => readRing(change(copy) ?? copy), { message: expected })
  }
  f(copy => void copy.writeUInt32LE(2, 16), /it is of version 2; this version of pillion reads 1/)
  f(copy => copy.subarray(0, -1), /has \d+ bytes instead of/)
  f(copy => copy.subarray(0, 100), /no ring/)
  f(() => Buffer.alloc(0), /no ring/)
  f(() => Buffer.alloc(RING_BYTES), /no ring/)
  f(copy => void copy.writeUInt8(copy[30]! ^ 1, 30), /its head is torn/)
})

t.test('a ring with random damage gives a record or an error, never anything else', async t => {
  const bytes = await written(t.testdir({}), 50, 50)
  const damage = (end: number) => fc.array(fc.tuple(fc.nat(end - 1), fc.nat(255)), { minLength: 1, maxLength: 8 })
  const property = fc.property(fc.oneof(damage(3 * BLOCK), damage(bytes.length)), changes => {
    const copy = Buffer.from(bytes)
    for (const [at, value] of changes) copy[at] = value
    try {
      return recordOf(readRing(copy), HERE).samples.times.every(Number.isFinite)
    } catch (error) {
      return /^Error: it/.test(String(error))
    }
  })
  fc.assert(property, { numRuns: 200 })
})

t.test('when the clock is set while it is written, times are counted back from the last row', async t => {
  const ring = await Ring.create(t.testdir({}), ABOUT)
  const moments = new MomentRing(16)
  const row = { ...emptyRow(), process: 1, memory: 1 }
  for (const [wall, monotonic] of [
    [2e12, 1000],
    [2e12 + 1000, 2000],
    [1e12, 3000],
    [1e12 + 1000, 4000],
  ] as const) {
    moments.add(wall, monotonic, row)
    ring.row(moments)
  }
  ring.state({ at: 1e12 + 1000 })
  await ring.settled()
  const { samples, at } = recordOf(readRing(readFileSync(ring.path)), HERE)
  t.same(samples.times, [1e12 - 2000, 1e12 - 1000, 1e12, 1e12 + 1000])
  t.equal(at, 1e12 + 1000)
  await ring.close()
})

t.test('a text of any length and any characters fits into its slot', async t => {
  const ring = await Ring.create(t.testdir({}), ABOUT)
  for (const text of ['x'.repeat(100_000), '\u0000'.repeat(500), '😀'.repeat(300), '"\\'.repeat(400), ''])
    ring.text({ at: 1, kind: 'health', text })
  await ring.settled()
  const { texts, torn } = decode(readFileSync(ring.path))
  t.equal(torn, 0)
  t.equal(texts.length, 5)
  t.match(texts[0]!.text, /^x{300,}…$/)
  t.match(texts[2]!.text, /^(?:😀){50,}/u)
  await ring.close()
})

t.test('all that is written to a ring at once is in it, in order', async t => {
  const ring = await Ring.create(t.testdir({}), { version: '1', made: 1, owner: undefined })
  for (let i = 0; i < 300; i++) ring.text({ at: i, kind: 'health', text: `mark ${i}` })
  await ring.settled()
  t.equal(ring.failed, undefined)
  t.same(
    decode(readFileSync(ring.path)).texts.map(({ at }) => at),
    Array.from({ length: 300 }, (_, i) => i),
  )
  await ring.close()
})
