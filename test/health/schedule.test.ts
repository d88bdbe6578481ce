// Time and thresholds, with a clock that the test moves.

import t from 'tap'
import { withDeadline } from '../../collectors/health/deadline.ts'
import { schedule } from '../../collectors/health/schedule.ts'
import { State } from '../../collectors/health/state.ts'
import { FakeClock } from './machine.ts'

interface Plan {
  interval?: number
  failingInterval?: number
  initialDelay?: number
}

/** A schedule whose turns take `takes(n)` ms and succeed by `well(n)`; the times at which they began. */
function running(
  clock: FakeClock,
  plan: Plan,
  takes: (n: number) => number,
  well: (n: number) => boolean = () => true,
) {
  const begun: number[] = []
  const stop = new AbortController()
  const { interval = 10_000, failingInterval = 2_000, initialDelay = 0 } = plan
  const turn = async () => {
    const n = begun.push(clock.monotonic() / 1000)
    if (takes(n) > 0) await clock.sleep(takes(n), stop.signal)
    return { well: well(n) }
  }
  const done = schedule({ interval, failingInterval, initialDelay }, turn, clock, stop.signal)
  return { begun, stop: () => stop.abort(), done }
}

t.test('probes start at once, or after the initial delay, and come each interval', async t => {
  const clock = new FakeClock()
  const now = running(clock, {}, () => 100)
  const later = running(clock, { initialDelay: 25_000 }, () => 100)
  await clock.advance(40_000)
  t.same(now.begun, [0, 10, 20, 30, 40])
  t.same(later.begun, [25, 35])
})

t.test('while failing they come sooner', async t => {
  const clock = new FakeClock()
  const { begun } = running(
    clock,
    {},
    () => 0,
    n => n !== 2 && n !== 3,
  )
  await clock.advance(40_000)
  t.same(begun, [0, 10, 12, 14, 24, 34])
})

t.test('an application that hangs is asked by one probe at a time, on the grid, without catching up', async t => {
  const clock = new FakeClock()
  const { begun } = running(clock, { interval: 1000, failingInterval: 1000 }, n => (n === 2 ? 60_300 : 0))
  await clock.advance(64_000)
  t.same(begun, [0, 1, 62, 63, 64])
})

t.test('after the sidecar itself was held up there is one probe, not a burst', async t => {
  const clock = new FakeClock()
  const { begun } = running(clock, { interval: 1000 }, () => 0)
  await clock.advance(1000)
  clock.freeze(30_500)
  await clock.advance(2000)
  t.same(begun, [0, 1, 31.5, 32.5, 33.5])
})

t.test('stopping ends the schedule, between probes and during one', async t => {
  const clock = new FakeClock()
  const between = running(clock, {}, () => 0)
  const during = running(clock, {}, () => 5000)
  await clock.advance(1000)
  between.stop()
  during.stop()
  await Promise.all([between.done, during.done])
  await clock.advance(100_000)
  t.equal(between.begun.length, 1)
  t.equal(during.begun.length, 1)
})

t.test('the state follows the thresholds as in Kubernetes', async t => {
  const f = (successThreshold: number, failureThreshold: number, verdicts: string, expected: string) => {
    const state = new State({ successThreshold, failureThreshold })
    const states = [...verdicts].map(each => {
      state.take(each === '+')
      return state.up === undefined ? '?' : state.up ? 'U' : 'D'
    })
    t.equal(states.join(''), expected, `${successThreshold}/${failureThreshold} ${verdicts}`)
  }
  f(1, 3, '+++', 'UUU')
  f(1, 3, '--+', '??U')
  f(1, 3, '---+', '??DU')
  f(1, 3, '+--+--+---+', 'UUUUUUUUUDU')
  f(2, 1, '+-++-+-++', '?DDUDDDDU')
  f(3, 2, '++-++--', '?????'.concat('?D'))
})

t.test('changes are told apart from the first decision', async t => {
  const state = new State({ successThreshold: 1, failureThreshold: 2 })
  t.same(
    [...'+--+'].map(each => state.take(each === '+')),
    ['decided', 'same', 'changed', 'changed'],
  )
  t.equal(state.consecutiveFailures, 0)
})

t.test('the deadline aborts the work', async t => {
  const clock = new FakeClock()
  let aborted = -1
  const work = (signal: AbortSignal) =>
    new Promise<string>(resolve => {
      signal.addEventListener('abort', () => {
        aborted = clock.monotonic()
        resolve('late')
      })
    })
  const result = withDeadline(clock, 2000, new AbortController().signal, work)
  await clock.advance(10_000)
  t.same(await result, { result: 'late', loopDelayMs: 0 })
  t.equal(aborted, 2000)
})

t.test('time in which the sidecar was held up is given back before the deadline, once', async t => {
  const f = async (heldMs: number, abortedAt: number) => {
    const clock = new FakeClock()
    let aborted = -1
    const work = (signal: AbortSignal) =>
      new Promise<void>(resolve => {
        signal.addEventListener('abort', () => {
          aborted = clock.monotonic()
          resolve()
        })
      })
    const result = withDeadline(clock, 2000, new AbortController().signal, work)
    await clock.advance(1000)
    clock.freeze(heldMs)
    await clock.advance(20_000)
    const { loopDelayMs } = await result
    t.ok(Math.abs(loopDelayMs - heldMs) <= 20, `${loopDelayMs} of ${heldMs}`)
    t.ok(Math.abs(aborted - abortedAt) <= 20, `aborted at ${aborted}`)
  }
  await f(500, 2500)
  await f(5000, 8000)
})

t.test('an ordinary lateness of timers is not a delay', async t => {
  const clock = new FakeClock()
  const stop = new AbortController().signal
  const result = withDeadline(clock, 2000, stop, signal => clock.sleep(1000, signal))
  await clock.advance(500)
  clock.freeze(4)
  await clock.advance(1000)
  t.equal((await result).loopDelayMs, 0)
})

t.test('stopping aborts the work at once', async t => {
  const clock = new FakeClock()
  const stop = new AbortController()
  const result = withDeadline(clock, 2000, stop.signal, async signal => {
    await clock.sleep(60_000, signal).catch(() => {})
    return signal.aborted
  })
  stop.abort()
  t.equal((await result).result, true)
  t.equal(clock.monotonic(), 0)
})
