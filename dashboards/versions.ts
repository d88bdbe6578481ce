// Requests by the version of the service: is the new one slower, or does it fail more often? The version is an attribute of
// the resource (service.version), so it is joined to the figures from traces_target_info.

import { calls, latency } from '../processors/spans.ts'
import { chosen, folded, type Row, weekBefore } from './board.ts'
import { TRACES } from './links.ts'
import { duration, errors, FAILED, PER_INSTANCE, requests, SERVED } from './measures.ts'
import { lines } from './panels.ts'
import { binary, count, enriched, quantile, share, sum, type Vector } from './promql.ts'
import { series } from './query.ts'
import { targetsOf, VERSION } from './targets.ts'
import { ERROR_STEPS, LATENCY_STEPS, NO_SPANS } from './terms.ts'

const SENDER = [...PER_INSTANCE, 'service'] as const
const KNOWN = { service: { re: '$service' }, service_version: { not: '' } } as const
const HERE = { service: { re: '$service' } } as const

const versions = targetsOf('service', 'service_version')
const shown = count(chosen.value(versions, KNOWN), [...SENDER, 'service_version'])
const several = (v: typeof shown) => binary(count(v, SENDER), '>', '1')

/** The resource of the version before goes on being shown for a quarter of an hour; nobody sends spans for it any more. */
const before = binary(
  count(chosen.value(versions, KNOWN, '15m'), [...SENDER, 'service_version']),
  'and',
  several(shown),
  SENDER,
)
const newest = binary(shown, 'unless', before)
/** 1 for the version of each service on each instance; nothing where that is not known for sure. */
const running = binary(binary(newest, 'unless', several(newest), SENDER), '*', '0')

/** Counts of senders, by version instead. */
function byVersion<L extends string>(
  v: Vector<L | (typeof SENDER)[number]>,
): Vector<L | (typeof SENDER)[number] | 'service_version'> {
  return enriched(v, binary(running, '+', '1'), SENDER, ['service_version'])
}
const served = byVersion(sum(chosen.rate(calls, { ...SERVED, ...HERE }), SENDER))
const failed = byVersion(sum(chosen.rate(calls, { ...FAILED, ...HERE }), SENDER))
const buckets = byVersion<'le'>(sum(chosen.buckets(latency, { ...SERVED, ...HERE }), ['le', ...SENDER]))

const NAME = '{{service}} {{service_version}}'
const NO_VERSION = 'no service says its version (resource attribute service.version)'
const links = [TRACES.version]

export const versionRow: Row = folded(700, 'Is it the new version?', [
  lines({
    id: 72,
    title: 'Requests by version',
    about:
      'Requests served per second, by service.version (traces_spanmetrics_calls_total with traces_target_info). Where one sidecar sees several versions at the same time for long, it belongs to none.',
    unit: 'reqps',
    queries: [series(sum(served, VERSION), NAME)],
    links,
    empty: NO_VERSION,
  }),
  lines({
    id: 73,
    title: 'Errors by version',
    about: 'Share of the served requests that failed, by service.version. The new one fails more: roll back.',
    unit: 'percentunit',
    queries: [series(share(sum(failed, VERSION), sum(served, VERSION)), NAME)],
    links,
    empty: NO_VERSION,
    steps: ERROR_STEPS,
  }),
  lines({
    id: 74,
    title: 'Latency p95 by version',
    about: '95 of 100 served requests took at most this long, by service.version (traces_spanmetrics_latency).',
    unit: 's',
    queries: [series(quantile(0.95, sum(buckets, ['le', ...VERSION])), NAME)],
    links,
    empty: NO_VERSION,
    steps: LATENCY_STEPS,
  }),
])

const DAYS_BEFORE = 'nothing is known of a week before'

export const weekRow: Row = folded(750, 'Is it like a week before?', [
  lines({
    id: 75,
    title: 'Requests, and a week before',
    about:
      'Requests served per second, and the same seven days earlier as a dashed line (offset 1w). Prometheus must keep more than a week.',
    unit: 'reqps',
    queries: [
      series(requests(chosen, ['service'], HERE), '{{service}}'),
      series(requests(weekBefore, ['service'], HERE), '{{service}} a week before'),
    ],
    empty: NO_SPANS,
    dashed: '.* a week before',
  }),
  lines({
    id: 76,
    title: 'Errors, and a week before',
    about: 'Share of the served requests that failed, and the same seven days earlier (offset 1w).',
    unit: 'percentunit',
    queries: [
      series(errors(chosen, ['service'], HERE), '{{service}}'),
      series(errors(weekBefore, ['service'], HERE), '{{service}} a week before'),
    ],
    empty: DAYS_BEFORE,
    dashed: '.* a week before',
  }),
  lines({
    id: 77,
    title: 'Latency p95, and a week before',
    about: '95 of 100 served requests took at most this long, and the same seven days earlier (offset 1w).',
    unit: 's',
    queries: [
      series(duration(chosen, 0.95, ['service'], HERE), '{{service}}'),
      series(duration(weekBefore, 0.95, ['service'], HERE), '{{service}} a week before'),
    ],
    empty: DAYS_BEFORE,
    dashed: '.* a week before',
  }),
])
