// The report of a soak in Markdown: each promise with the measured figure, and the figures behind them.

import { table } from '../figures.ts'
import type { Life } from './life.ts'
import { NAMES, type Name, type Soaked } from './soaked.ts'

export interface Promised {
  readonly what: string
  readonly promised: string
  readonly measured: string
  readonly holds: boolean
  /** Depends on the speed of the machine, or needs time to tell a slope from noise: judged only in a long run. */
  readonly judged: boolean
}

/** In a shorter run, slopes and latencies are printed but not judged. */
const LONG_MINUTES = 10
const RSS_MIB = 120
/** A step of 1 MiB, which V8 may take at any time, is a slope of 0.2 over seven minutes. */
const SLOPE_MIB = 0.3
/** More of them in the last third of a life than in the first. */
const MORE = { fds: 10, threads: 2 } as const
/** Each start of the application is an instance of its own, with a target_info of its own until that expires. */
const SERIES_PER_RESTART = 1
/** The latency of an application, compared with that of the one without a sidecar. */
const P50 = { times: 1.25, plusMs: 0.5 } as const
const P99 = { times: 1.5, plusMs: 5 } as const
/** The most deviations that are listed. */
const SHOWN = 20
/** The time that Kubernetes leaves a native sidecar in the worst case. */
const END_SECONDS = 2

const TITLES: Readonly<Record<Name, string>> = {
  alone: 'alone',
  beside: 'beside a sidecar that takes the spans',
  run: 'under `pillion run`',
}

export function promises(soaked: Soaked): Promised[] {
  const long = soaked.plan.minutes >= LONG_MINUTES
  const list: Promised[] = []
  const f = (what: string, promised: string, measured: string, holds: boolean, judged = true) =>
    list.push({ what, promised, measured, holds, judged })
  const { lives, customers, applications } = soaked
  const sum = (of: (life: Life) => number) => lives.reduce((total, life) => total + of(life), 0)
  const each = (of: (life: Life) => string) => lives.map(of).join(', ')

  const made = sum(life => life.exact.made)
  const held = sum(life => life.exact.held)
  f('quiet moments: the ledger is what was answered', 'all equal', `${held} of ${made}`, held === made && made > 0)
  const bounded = [sum(life => life.bounded.held), sum(life => life.bounded.made)] as const
  const all = bounded[0] === bounded[1] && bounded[1] > 0
  f('each scrape: acknowledged ≤ received ≤ offered', 'all', `${bounded[0]} of ${bounded[1]}`, all)
  const wrong = [...soaked.sender.wrong, ...lives.flatMap(life => life.wrong)]
  f('anything else that is not as it should be', 'none', String(wrong.length), wrong.length === 0)
  const seen = lives.every(({ restarts }) => restarts.made === restarts.seen)
  const restarts = each(life => `${life.restarts.seen} of ${life.restarts.made}`)
  f('restarts of the application, seen of made, by life', 'all', restarts, seen && sum(life => life.restarts.made) > 0)
  const reloads = `${sum(life => life.reloads.taken)} taken, ${sum(life => life.reloads.refused)} refused, ${sum(life => life.reloads.wrong)} otherwise`
  const reloaded = sum(life => life.reloads.wrong) === 0 && sum(life => life.reloads.taken) > 0
  f('reloads: good ones taken, bad ones refused', 'all', reloads, reloaded)

  const longest = lives.toSorted((a, b) => a.seconds - b.seconds).at(-1)!
  const growth = `${longest.rssSlope.toFixed(2)} MiB/min in the last ${(longest.seconds / 120).toFixed(1)} min`
  const flat = longest.rssSlope <= SLOPE_MIB
  f('growth of RSS, second half of the longest life', `≤ ${SLOPE_MIB} MiB/min`, growth, flat, long)
  const most = `${each(life => life.rssMost.toFixed(1))} MiB`
  const within = lives.every(life => life.rssMost <= RSS_MIB)
  f('most RSS, by life', `≤ ${RSS_MIB} MiB`, most, within, long)
  for (const [what, name, of] of [
    ['fds', 'open files', (life: Life) => life.thirds(sample => sample.fds)],
    ['threads', 'threads', (life: Life) => life.thirds(sample => sample.threads)],
  ] as const) {
    const level = lives.every(life => of(life)[1] - of(life)[0] <= MORE[what])
    const shown = each(life => of(life).join(' → '))
    f(`${name}, first → last third of a life`, `≤ ${MORE[what]} more`, shown, level, long)
  }
  const level = lives.every(
    ({ seriesThirds: [first, last], restarts }) => last - first <= SERIES_PER_RESTART * restarts.made,
  )
  const samples = each(life => life.seriesThirds.join(' → '))
  f('samples of a page, first → last third of a life', 'one more a restart', samples, level, long)
  const { end } = soaked
  const ended = `code ${end.code} after ${end.seconds.toFixed(2)} s`
  f('end on SIGTERM, under load', `code 0 within ${END_SECONDS} s`, ended, end.code === 0 && end.seconds <= END_SECONDS)

  for (const name of NAMES) {
    const { failed } = customers[name]!
    f(`failed requests of the application ${TITLES[name]}`, '0', String(failed), failed === 0)
  }
  const { alone } = customers
  for (const name of ['beside', 'run'] as const)
    for (const [what, bound] of [
      ['p50', P50],
      ['p99', P99],
    ] as const) {
      const limit = alone![what] * bound.times + bound.plusMs
      const measured = `${customers[name]![what].toFixed(2)} ms beside ${alone![what].toFixed(2)}`
      const promised = `≤ ${bound.times} × + ${bound.plusMs} ms`
      f(`${what} of the application ${TITLES[name]}`, promised, measured, customers[name]![what] <= limit, long)
    }
  const { run } = soaked
  const survived = `${run.survived} of ${run.killed}`
  f('applications that live on when `pillion run` is killed', 'all', survived, run.survived === run.killed)
  const codes = NAMES.flatMap(name => applications[name].wrong)
  f('ends of applications with another exit code than their own', '0', String(codes.length), codes.length === 0)
  return list
}

export function report(soaked: Soaked, list: readonly Promised[]): string {
  const { lives, customers, applications, run } = soaked
  const wrong = [
    ...soaked.sender.wrong,
    ...lives.flatMap(life => life.wrong.map(each => `life ${life.number}: ${each}`)),
    ...NAMES.flatMap(name => applications[name].wrong.map(each => `${name}: ${each}`)),
    ...NAMES.flatMap(name => customers[name]!.failures.map(each => `a customer of ${name}: ${each}`)),
  ]
  return [
    `${soaked.rate} spans a second in requests of 100, half over OTLP/HTTP and half over gRPC, half of them gzip, each with ids of its own; one in five holds a span with an invalid id, one in fifty is cut off. Two probes each second, a scrape each ${soaked.scrapeSeconds} s. Each ${soaked.periodSeconds.toFixed(0)} s every application is restarted, one after the other, the configuration is reloaded (every fourth time a bad one), and for a moment nothing is sent, so that the accounts must be equal. Both sidecars were killed by SIGKILL ${run.killed} times.`,
    '## Promises',
    table(
      ['', 'promised', 'measured', 'holds'],
      list.map(({ what, promised, measured, holds, judged }) => {
        const word = holds ? 'yes' : '**no**'
        return [what, promised, measured, judged ? word : `${word}, not judged in so short a run`]
      }),
    ),
    ...(wrong.length > 0 ? ['What was not as it should be:', bullets(wrong)] : []),
    '## The application, with and without a sidecar',
    `Three processes of the same program with the same SDK, each asked ${soaked.visits} times a second, open loop. What touched a restart is counted apart. Alone, its spans go to a server that answers and does nothing else.`,
    table(
      ['', 'requests', 'failed', 'p50 ms', 'p99 ms', 'most ms', 'starts', 'while restarting: answered, failed'],
      NAMES.map(name => {
        const { answered, failed, p50, p99, most, meanwhile } = customers[name]!
        return [
          TITLES[name],
          String(answered + failed),
          String(failed),
          ...[p50, p99, most].map(ms => ms.toFixed(2)),
          String(applications[name].starts),
          `${meanwhile.answered}, ${meanwhile.failed}`,
        ]
      }),
    ),
    `The sidecar of \`pillion run\` took ${(run.cpu * 100).toFixed(1)} % of a core and ${run.rssMost.toFixed(1)} MiB at most, for this application's own spans, two probes and its process.`,
    '## The lives of the sidecar',
    table(
      ['life', 'minutes', 'ended by', 'received', 'accepted', 'refused', 'acknowledged to senders', 'equal', 'within'],
      lives.map(life => [
        String(life.number),
        (life.seconds / 60).toFixed(1),
        life.end,
        ...[life.ledger?.received, life.ledger?.accepted, life.ledger?.refused, life.sent?.taken].map(String),
        `${life.exact.held} of ${life.exact.made}`,
        `${life.bounded.held} of ${life.bounded.made}`,
      ]),
    ),
    'The ledger is that of the last quiet moment of each life. "Equal" are the quiet moments, "within" the scrapes in full flow, at which the ledger must lie between what was acknowledged before and what was offered after.',
    table(
      [
        'life',
        'RSS at its middle, at its end, most',
        'MiB/min',
        'CPU',
        'files',
        'threads',
        'samples',
        'scrape ms, most',
      ],
      lives.map(life => [
        String(life.number),
        [life.secondHalf[0]?.rss, life.secondHalf.at(-1)?.rss, life.rssMost].map(mib => mib?.toFixed(1)).join(', '),
        life.rssSlope.toFixed(2),
        `${(life.cpu * 100).toFixed(1)} %`,
        life.thirds(sample => sample.fds).join(' → '),
        life.thirds(sample => sample.threads).join(' → '),
        life.seriesThirds.join(' → '),
        Math.max(...life.scrapeMs).toFixed(0),
      ]),
    ),
    'RSS each second, in MiB; its growth in the second half of a life, by least squares. Files, threads and samples: the most in the first and in the last third, after two minutes (a third of a short life).',
  ].join('\n\n')
}

function bullets(wrong: readonly string[]): string {
  const more = wrong.length - SHOWN
  return [...wrong.slice(0, SHOWN), ...(more > 0 ? [`and ${more} more`] : [])].map(each => `- ${each}`).join('\n')
}
