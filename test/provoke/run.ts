// One failure: everything runs well, something goes wrong, and what alerts and panels say about it is compared with what
// they must say.

import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { until } from '../e2e/child.ts'
import type { Condition, Failure } from './failures.ts'
import { inLife, type Judge } from './judge.ts'
import { SCALE, seconds } from './scale.ts'
import { startTrio } from './trio.ts'

export interface Fired {
  readonly after: number
  /** One alert may fire for several instances. */
  readonly summaries: ReadonlySet<string>
}

export interface Outcome {
  readonly failure: Failure
  /** The alerts that fired, and after how many seconds of life. */
  readonly fired: ReadonlyMap<string, Fired>
  readonly sent: readonly string[]
  /** The value of each panel, as text. */
  readonly panels: ReadonlyMap<string, string>
  /** Differences from the expected; none is well. */
  readonly wrong: readonly string[]
}

/** These tell of the machine that the failures are provoked on: it has other work to do. */
const OF_THE_MACHINE = ['SidecarEventLoopLag', 'SidecarScrapeSlow', 'AppHighLatency']

export interface Setting {
  readonly judge: Judge
  readonly folder: string
  /** The factor by which an alert is waited for longer than it may take; more than 1 on a busy machine. */
  readonly patience: number
}

export async function provoke(failure: Failure, { judge, folder, patience }: Setting): Promise<Outcome> {
  await using open = new AsyncDisposableStack()
  const job = failure.name.replaceAll(' ', '-')
  const trio = open.use(await startTrio(join(folder, job), failure.wish ?? {}))
  const instances = trio.pairs.map(each => each.instance)
  judge.know(job, instances)
  open.defer(() => judge.know(job, []))
  await well(judge, job, failure.wish?.started === false ? instances.length - 1 : instances.length)
  await sleep((seconds(failure.before ?? '6m') * 1000) / SCALE)

  const fired = new Map<string, { after: number; summaries: Set<string> }>()
  const wrong: string[] = []
  const atFirst = new Set((await judge.firing(job)).map(({ name }) => name))
  for (const name of atFirst) if (!known(failure, name)) wrong.push(`${name} fired before anything was wrong`)

  const began = performance.now()
  const look = async () => {
    for (const { name, summary } of await judge.firing(job)) {
      const known = fired.get(name)
      if (known) known.summaries.add(summary)
      else fired.set(name, { after: inLife(performance.now() - began), summaries: new Set([summary]) })
    }
  }
  let done = false
  const watching = (async () => {
    while (!done) {
      await look()
      await sleep(100)
    }
  })()
  try {
    await failure.provoke({ trio, judge, job, open })
    const provoked = performance.now()
    const since = () => inLife(performance.now() - provoked)
    const latest = Math.max(0, ...Object.values(failure.fires).map(({ within }) => seconds(within)))
    const all = () =>
      Object.entries(failure.fires).every(([name, { says }]) =>
        [...(fired.get(name)?.summaries ?? [])].some(each => says.test(each)),
      )
    while (since() < seconds(failure.watch) || (!all() && since() < latest * patience)) await sleep(100)
  } finally {
    done = true
    await watching
  }

  for (const [name, { within, says }] of Object.entries(failure.fires)) {
    const found = fired.get(name)
    if (!found) wrong.push(`${name} did not fire within ${within}`)
    else if (![...found.summaries].some(each => says.test(each)))
      wrong.push(`${name} says “${[...found.summaries].join('”, “')}” instead of ${says}`)
  }
  for (const [name, { after, summaries }] of fired)
    if (!known(failure, name)) wrong.push(`${name} fired after ${after} s: “${[...summaries].join('”, “')}”`)

  const sent = await settled(failure, judge, job, 5000 * patience)
  const expected = [...failure.sent].sort()
  const surplus = sent.filter(name => !expected.includes(name) && !(failure.may ?? []).includes(name))
  const missed = expected.filter(name => !sent.includes(name))
  if (surplus.length > 0) wrong.push(`${surplus.join(', ')} is sent too`)
  if (missed.length > 0) wrong.push(`${missed.join(', ')} is not sent`)
  const pages = new Set(
    (await judge.sent(job)).filter(({ severity }) => severity === 'critical').map(({ name }) => name),
  )
  if (pages.size > 1) wrong.push(`one fault is ${pages.size} pages: ${[...pages].join(', ')}`)

  const panels = new Map<string, string>()
  for (const [place, wanted] of Object.entries(failure.panels)) {
    const shown = await shows(judge, job, place, wanted, trio.shop.instance, 5000 * patience)
    panels.set(place, shown)
    if (!meets(shown, wanted)) wrong.push(`${place} shows ${shown} instead of ${wanted}`)
  }
  const listed = new Set(
    (await judge.panel({ uid: 'pillion-overview', title: 'Firing alerts', job, instance: '.+' })).map(
      ({ metric }) => metric['alertname']!,
    ),
  )
  for (const { name } of await judge.firing(job))
    if (!listed.has(name) && fired.has(name)) wrong.push(`Overview: Firing alerts does not list ${name}`)
  return { failure, fired, sent, panels, wrong }
}

function known({ fires, may = [] }: Failure, name: string): boolean {
  return name in fires || may.includes(name) || OF_THE_MACHINE.includes(name)
}

/** Until the sidecars are scraped, those of started services up, and requests are counted. */
async function well(judge: Judge, job: string, up: number): Promise<void> {
  await until(`${up} healthy applications of ${job}`, async () => {
    const [found] = await judge.ask(`count(app_health_up{job="${job}"} == 1)`)
    return Number(found?.value[1]) === up || undefined
  })
}

/** The alerts that are sent after inhibition, when it is as expected, or after a while. */
async function settled(failure: Failure, judge: Judge, job: string, ms: number): Promise<string[]> {
  const end = performance.now() + ms
  for (;;) {
    const sent = [...new Set((await judge.sent(job)).map(({ name }) => name))]
      .filter(name => !OF_THE_MACHINE.includes(name))
      .sort()
    const wanted = failure.sent.every(name => sent.includes(name))
    const surplus = sent.some(name => !failure.sent.includes(name) && !(failure.may ?? []).includes(name))
    if ((wanted && !surplus) || performance.now() > end) return sent
    await sleep(200)
  }
}

/** The value of a panel, when it is as expected, or after a while. */
async function shows(
  judge: Judge,
  job: string,
  place: string,
  wanted: number | Condition,
  shop: string,
  ms: number,
): Promise<string> {
  const [board = '', title = ''] = place.split(': ')
  const uid = `pillion-${board.toLowerCase()}`
  const instance = board === 'Overview' ? '.+' : shop.replaceAll('.', '\\.')
  const end = performance.now() + ms
  for (;;) {
    const found = await judge.panel({ uid, title, job, instance: instance.replaceAll('\\', '\\\\') })
    const shown = found[0]?.value[1] ?? 'nothing'
    if (meets(shown, wanted) || performance.now() > end) return shown
    await sleep(200)
  }
}

function meets(shown: string, wanted: number | Condition): boolean {
  if (typeof wanted === 'number') return Number(shown) === wanted
  if (wanted === 'nothing') return shown === wanted
  const [operator, bound] = wanted.split(' ')
  return operator === '>' ? Number(shown) > Number(bound) : Number(shown) < Number(bound)
}
