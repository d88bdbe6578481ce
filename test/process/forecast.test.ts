// The forecast, simulated: eight shapes of use over six hours, many runs each, a value every 15 seconds.

import t from 'tap'
import { Forecast } from '../../collectors/process/saturation/forecast.ts'
import { numbers, SEED } from '../random.ts'

/** As the alert does: within 75 minutes, half of the limit used, for ten minutes. */
const SOON_S = 4500
const FLOOR = 0.5
const FOR_MINUTES = 10
const RUNS = Number(process.env['RUNS'] ?? 8)
const LIMIT = 100

interface Shape {
  readonly saw?: boolean
  readonly spikes?: boolean
  readonly step?: boolean
  readonly warmUp?: boolean
  /** Begins after two hours, 40 points in three. */
  readonly leak?: boolean
}

/** Minutes in alarm before the limit is crossed, and how long before that the last alarm that held began. */
function simulate(shape: Shape, seed: number): { alarms: number; lead: number } {
  const next = numbers(seed)
  const normal = () => Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next())
  const amplitude = 8 + 10 * next()
  const period = 300 + 600 * next()
  const stepAt = 7200 + 7200 * next()
  const forecast = new Forecast()
  let alarms = 0
  let since = Number.NaN
  let fired = Number.NaN
  let quiet = 0
  const crossing = 7200 + ((LIMIT - 55) / 40) * 3 * 3600
  for (let s = 0; s < 6 * 3600 && !(shape.leak && s > crossing); s += 15) {
    let value = 55 + 0.4 * normal()
    if (shape.saw) value += amplitude * ((s % period) / period)
    if (shape.spikes && next() < 0.02) value += 15
    if (shape.step && s > stepAt) value += 18
    if (shape.warmUp) value -= 40 * Math.exp(-s / 900)
    if (shape.leak && s > 7200) value += (40 * (s - 7200)) / (3 * 3600)
    forecast.add(s * 1000, value, LIMIT)
    const seconds = forecast.secondsTo(LIMIT)
    const soon = seconds !== undefined && seconds < SOON_S && value / LIMIT > FLOOR
    if (!soon) {
      since = Number.NaN
      // Alerts keep firing through a gap of some minutes.
      quiet += 15
      if (quiet > 600) fired = Number.NaN
      continue
    }
    quiet = 0
    if (Number.isNaN(since)) since = s
    if (s - since < FOR_MINUTES * 60) continue
    alarms++
    if (Number.isNaN(fired)) fired = s
  }
  return { alarms, lead: (crossing - fired) / 60 }
}

const runs = (shape: Shape) => Array.from({ length: RUNS }, (_, run) => simulate(shape, SEED * 1000 + run))

t.test('no alarm where nothing runs out', async t => {
  const f = (name: string, shape: Shape) => {
    const alarms = runs(shape).filter(run => run.alarms > 0).length
    t.equal(alarms, 0, `${name}: ${alarms} of ${RUNS} runs were in alarm`)
  }
  f('flat', {})
  f('saw-tooth', { saw: true })
  f('spikes', { spikes: true })
  f('one step', { step: true })
  f('warm-up to a plateau', { warmUp: true })
  f('saw-tooth, spikes and a step', { saw: true, spikes: true, step: true })
})

t.test('a leak is told of at least 45 minutes before it reaches the limit', async t => {
  const f = (name: string, shape: Shape) => {
    const leads = runs(shape).map(run => run.lead)
    const worst = leads.reduce((least, lead) => (lead >= least ? least : lead), Number.POSITIVE_INFINITY)
    t.ok(worst >= 45, `${name}: at the worst ${worst.toFixed(0)} minutes ahead`)
    t.ok(worst <= 90, 'and not long before it is true')
  }
  f('leak', { leak: true })
  f('leak under a saw-tooth', { leak: true, saw: true })
})

t.test('a slope that is missing, flat, or far away has no forecast', async t => {
  const f = (value: (minute: number) => number, limit = LIMIT) => {
    const forecast = new Forecast()
    for (let minute = 0; minute < 200; minute++) forecast.add(minute * 60_000, value(minute), limit)
    return forecast.secondsTo(limit)
  }
  t.equal(
    f(() => 60),
    undefined,
  )
  t.equal(
    f(() => Number.NaN),
    undefined,
  )
  t.equal(
    f(minute => 90 - minute / 10),
    undefined,
  )
  t.equal(
    f(minute => minute / 1e4),
    undefined,
    'in more than a week',
  )
  t.equal(
    f(minute => minute / 10, Number.NaN),
    undefined,
    'no limit',
  )
  const ten = f(minute => 50 + minute / 10)
  t.ok(Math.abs(ten! / 60 - 301) < 3, `${ten} s`)
  const gaps = f(minute => (minute % 3 === 0 ? Number.NaN : 50 + minute / 10))
  t.ok(Math.abs(gaps! / 60 - 301) < 3, 'through gaps')
  const forecast = new Forecast()
  for (let minute = 0; minute < 70; minute++) forecast.add(minute * 60_000, 50 + minute / 10, LIMIT)
  t.ok(forecast.secondsTo(LIMIT))
  forecast.add(70 * 60_000 + 7_200_000, 60, LIMIT)
  t.equal(forecast.secondsTo(LIMIT), undefined, 'after a long gap it is learnt anew')
})
