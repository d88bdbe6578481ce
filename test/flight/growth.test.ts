// The forecast of the last minute, simulated: what it says of shapes that come to nothing, and of leaks.

import t from 'tap'
import { Growth } from '../../exporter/flight/growth.ts'
import { numbers } from '../random.ts'

/** As the recorder looks. */
const EACH_MS = 500
/** Seconds between two reads: memory while requests are served and at rest, descriptors. */
const HELD = [0, 1, 5]
const RUNS = Number(process.env['RUNS'] ?? 15)

/** A share of the limit at a time in seconds; `some` is a number between two that differs from run to run. */
type Shape = (some: (low: number, high: number) => number) => (seconds: number) => number

interface Said {
  /** Seconds from the start to the first word. */
  readonly at: number
  /** Seconds that were said to be left. */
  readonly left: number
}

/** The first forecast in so many seconds of one run. `held`: use is read only every so many seconds. */
function simulate(shape: Shape, seed: number, seconds: number, held: number): Said | undefined {
  const next = numbers(seed)
  const use = shape((low, high) => low + (high - low) * next())
  const growth = new Growth()
  let share = 0
  let readAt = Number.NEGATIVE_INFINITY
  for (let ms = 0; ms < seconds * 1000; ms += EACH_MS * (0.8 + 0.4 * next())) {
    if (ms - readAt >= held * 1000) {
      readAt = ms
      // Descriptors, which are read seldom, are counted exactly.
      share = Math.min(1, use(ms / 1000) + (held < 5 ? 0.008 * (next() - 0.5) : 0))
    }
    const left = growth.add(ms, share)
    if (left !== undefined) return { at: ms / 1000, left: left / 1000 }
    if (share >= 1) return undefined
  }
  return undefined
}

const said = (shape: Shape, seconds: number, held = 1): (Said | undefined)[] =>
  Array.from({ length: RUNS }, (_, seed) => simulate(shape, seed, seconds, held))

const HARMLESS: Readonly<Record<string, Shape>> = {
  flat: some => {
    const level = some(0.3, 0.94)
    return () => level
  },
  'a saw-tooth': some => {
    const [low, high, period] = [some(0.3, 0.7), some(0.75, 0.95), some(2, 55)]
    return s => low + (high - low) * ((s % period) / period)
  },
  'a warm-up that levels off': some => {
    const [level, time] = [some(0.6, 0.93), some(5, 120)]
    return s => level * (1 - Math.exp(-s / time))
  },
  'a warm-up after some rest': some => {
    const [level, time] = [some(0.6, 0.9), some(5, 60)]
    return s => (s < 120 ? 0.3 : 0.3 + (level - 0.3) * (1 - Math.exp(-(s - 120) / time)))
  },
  'a start that fills its heap and stops': some => {
    const [level, time] = [some(0.6, 0.94), some(5, 55)]
    return s => level * Math.min(1, s / time)
  },
  steps: some => {
    const [level, every] = [some(0.3, 0.6), some(20, 60)]
    return s => Math.min(0.93, level + 0.08 * Math.floor(s / every))
  },
  spikes: some => {
    const [level, every] = [some(0.4, 0.8), some(3, 40)]
    return s => level + (s % every < 1 ? 0.14 : 0)
  },
  'a slow leak': some => {
    const [level, rate] = [some(0.5, 0.6), some(0.001, 0.02)]
    return s => level + (rate * s) / 60
  },
}

for (const [name, shape] of Object.entries(HARMLESS))
  t.test(`${name}: nothing runs out within a minute`, async t => {
    for (const held of HELD)
      t.same(
        said(shape, 400, held).filter(each => each !== undefined),
        [],
        `read every ${held} s`,
      )
  })

t.test('a leak is told of before the limit, and the time is about right', async t => {
  for (const held of HELD)
    for (const minutes of [1.5, 2, 4]) {
      // It begins after two minutes at half of the limit.
      const crossing = 120 + minutes * 60
      const shape: Shape = () => s => 0.5 + (0.5 * Math.max(0, s - 120)) / (minutes * 60)
      const all = said(shape, crossing, held)
      const found = all.filter(each => each !== undefined)
      t.equal(found.length, RUNS, `in ${minutes} minutes, read every ${held} s: all of them`)
      const lead = Math.min(...found.map(({ at }) => crossing - at))
      t.ok(lead > 15, `${lead.toFixed(1)} s before at the least`)
      const wrong = Math.max(...found.map(({ at, left }) => Math.abs(crossing - at - left)))
      t.ok(wrong < 30, `at most ${wrong.toFixed(1)} s wrong`)
    }
})

t.test('a process that was stopped, or is read too seldom, is not judged', async t => {
  const growth = new Growth()
  for (let ms = 0; ms < 300_000; ms += 12_000) t.equal(growth.add(ms, 0.5 + ms / 600_000), undefined)
  t.equal(new Growth().add(0, Number.NaN), undefined)
})
