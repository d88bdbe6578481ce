// Blame: why a request was slow. The spans say when, and what it waited for; the moments of the sampler say what the
// process did meanwhile. Nobody else sees both.

import { CounterColumn } from '../metrics/columns.ts'
import { counter } from '../metrics/family.ts'
import { duration, flag, integer, type Kind, section, shown, type Values } from '../options/kinds.ts'
import type { Host } from '../telemetry/host.ts'
import type { Episode } from '../telemetry/incident.ts'
import type { MomentsHost } from '../telemetry/moment.ts'
import type { Finding, Part, Running } from '../telemetry/part.ts'
import { routes } from './blame/api.ts'
import { Bands } from './blame/bands.ts'
import { Blamer, SKIPPED, type SlowOption } from './blame/blamer.ts'
import { Episodes } from './blame/episodes.ts'
import { Tally } from './blame/tally.ts'
import { troubled } from './blame/trouble.ts'
import type { Trees } from './trees.ts'

const LABELS = ['service', 'span_name', 'cause'] as const

export const blameSeconds = counter(
  'app_request_blame_seconds_total',
  'Seconds by which slow requests took longer than the usual request of their operation, by cause: own_cpu, waiting_for_cpu (other work had the cores), throttled (by the CPU quota), stopped, paging, disk, lock, gc, dependency:peer, unexplained.',
  LABELS,
)
export const slowRequests = counter(
  'app_slow_requests_total',
  'Slow requests by the one cause that explains most of the time beyond the usual; unexplained if none explains enough, or if the request is too short for the moments that were seen.',
  LABELS,
)
export const episodes = counter(
  'app_slow_episodes_total',
  'Times in which the application had many slow requests (at least 5 within 30 s), by their operation and cause when they began.',
  LABELS,
)
export const skipped = counter(
  'pillion_blame_skipped_requests_total',
  'Slow requests that were not looked at, by reason: no_moments = the sampler does not run, or their time is not within what it keeps (another clock, or too late), rate = more than 200 slow requests a second, operations = more than 500 operations.',
  ['reason'],
)

const time = duration('', { default: '1s', min: '1ms' })

const slow: Kind<SlowOption> = {
  kind: 'scalar',
  about:
    'Which requests are slow: those that take longer than 95 % of the last ones of their operation and half as long again as the usual one (p95), or those that take at least so long (a duration such as 500ms).',
  expects: 'p95, or a duration such as 500ms',
  json: { type: 'string' },
  default: 'p95',
  parse(value) {
    if (value === 'p95') return value
    try {
      return time.parse(value)
    } catch {
      throw new Error(`must be p95, or a duration such as 500ms, not ${shown(value)}`)
    }
  },
  write: value => (typeof value === 'number' ? time.write?.(value) : value),
}

export const options = section('Why requests were slow, by what the process did meanwhile.', {
  slow,
  limit: integer(
    'The largest number of label sets of service, operation and cause. Requests of additional ones are counted in one series with metric_overflow="true".',
    { default: 1000, min: 1, max: 100_000 },
  ),
  expiry: duration('Label sets that were not added to for this long are removed. 0 keeps them for ever.', {
    default: '1h',
    min: '0ms',
  }),
  log: flag(
    'Write a line to the log when an episode of slow requests with a known cause begins and ends, at most one a minute.',
    {
      default: true,
    },
  ),
})

export type BlameOptions = Values<typeof options>

export interface BlameHost extends Host, MomentsHost {
  /** Requests, put together from their spans. */
  trees(): Trees
}

/** The shortest time between two lines of the log. */
const LOG_MS = 60_000

export const blame = {
  name: 'blame',
  about: 'Why requests were slow: what the process did meanwhile, and what they waited for.',
  families: [blameSeconds, slowRequests, episodes, skipped],
  options,
  start(
    options: BlameOptions,
    host: Pick<BlameHost, 'metrics' | 'clock' | 'log' | 'trees' | 'moments'>,
  ): Running & Troubles & { episodes(): readonly Episode[] } {
    const { metrics, clock, log } = host
    const trees = host.trees()
    const table = metrics.table('app_request_blame', LABELS, options.limit, options.expiry)
    const columns = {
      seconds: new CounterColumn(table, blameSeconds),
      requests: new CounterColumn(table, slowRequests),
    }
    metrics.add(columns.seconds)
    metrics.add(columns.requests)
    const tally = new Tally(table, columns)
    const began = metrics.counter(episodes)
    const left = metrics.counter(skipped)
    // Counted once a scrape: to count each request in prom-client costs more than to look at it.
    const count = () => {
      for (const reason of SKIPPED) {
        left.inc({ reason }, blamer.skipped[reason])
        blamer.skipped[reason] = 0
      }
    }
    let logged = Number.NEGATIVE_INFINITY
    const told = new Episodes((episode, begins) => {
      const { service, operation, cause, sentence } = episode
      if (begins) began.inc({ service, span_name: operation, cause })
      const now = clock.monotonic()
      // A line that cannot say why would only be noise; the page and /api/insight have such episodes too.
      if (!options.log || cause === 'unexplained' || now - logged < LOG_MS) return
      logged = now
      log.info(begins ? 'slow requests' : 'slow requests have ended', { service, cause, why: sentence })
    })
    const bands = new Bands()
    const blamer = new Blamer(options.slow, {
      moments: () => host.moments(),
      now: () => clock.now(),
      operations: trees,
      bands,
      episodes: told,
      blamed: (operation, verdict) => tally.add(operation, verdict),
    })
    count()
    const findings = (): readonly Finding[] => {
      if (host.moments()) return []
      return [
        {
          level: 'info',
          text: 'slow requests stay unexplained: the sampler does not run; switch it on, or let the sidecar see the application’s /proc',
        },
      ]
    }
    return {
      consumes: { spans: trees.join(blamer) },
      routes: routes(told, bands, findings, () => clock.now()),
      episodes() {
        told.pass(clock.now())
        return told.all.toReversed()
      },
      troubled: (from, to) => told.troubled(from, to) || troubled(host.moments()?.ring, from, to),
      findings,
      recall: ({ since, most }) => ({
        episodes: told.all
          .filter(({ to }) => (to ?? Number.POSITIVE_INFINITY) >= since)
          .slice(-most)
          .toReversed()
          .map(({ from, to, cause, sentence }) => ({ from, to, cause, sentence })),
      }),
      collect() {
        table.sweep(clock.monotonic())
        told.pass(clock.now())
        count()
        trees.collect()
      },
      facts() {
        const open = told.all.findLast(each => each.to === null)
        return open ? [{ name: 'slow now', value: open.sentence }] : [{ name: 'episodes', value: told.all.length }]
      },
      async [Symbol.asyncDispose]() {
        trees.leave(blamer)
        count()
      },
    }
  },
} satisfies Part<BlameOptions, BlameHost>

/** The answer to sampling, which asks for each trace. */
export interface Troubles {
  /** Whether the application was in trouble at some time between two, in milliseconds since the epoch. */
  troubled(from: number, to: number): boolean
}
