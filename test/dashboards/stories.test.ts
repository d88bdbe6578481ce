// Queries of panels that reason about time, told to promtool as stories: which version requests belong to, what the week before
// was, and when a version is new.

import { spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { missing } from '../e2e/programs.ts'
import { dashboards, expand, panels } from './files.ts'

const skip = missing('promtool', 'prometheus')

/** The n-th query of a panel of the Requests dashboard, by its title. */
function query(title: string, n = 0): string {
  const board = dashboards().find(({ uid }) => uid === 'pillion-requests')!
  const { targets } = panels(board).find(panel => panel.title === title)!
  return expand(targets![n]!.expr, { __rate_interval: '5m' })
}

interface Step {
  readonly at: string
  readonly expr: string
  /** Labels in braces → value. */
  readonly gives: Readonly<Record<string, number>>
}

function holds(t: Test, series: Readonly<Record<string, string>>, steps: readonly Step[], interval = '1m'): void {
  const file = join(t.testdir({}), 'story.yml')
  const test = {
    interval,
    input_series: Object.entries(series).map(([series, values]) => ({ series, values })),
    promql_expr_test: steps.map(({ at, expr, gives }) => ({
      expr,
      eval_time: at,
      exp_samples: Object.entries(gives).map(([labels, value]) => ({ labels, value })),
    })),
  }
  writeFileSync(file, JSON.stringify({ evaluation_interval: interval, tests: [test] }))
  const { status, stdout, stderr } = spawnSync('promtool', ['test', 'rules', file], { encoding: 'utf8' })
  t.equal(status, 0, stdout + stderr)
}

const AT = 'job="a", instance="b"'
const calls = (code = 'UNSET', at = AT) =>
  `traces_spanmetrics_calls_total{${at}, service="shop", span_name="GET /", span_kind="SPAN_KIND_SERVER", status_code="STATUS_CODE_${code}"}`
const target = (version: string, at = AT) =>
  `traces_target_info{${at}, service="shop", service_version="${version}", host_name="${version}"}`

t.test(
  'after a start with a new version requests belong to that, although the old one is still known',
  { skip },
  async t => {
    const expr = query('Requests by version')
    const v = (version: string) => `{service="shop", service_version="${version}"}`
    holds(
      t,
      {
        [calls()]: '0+60x100',
        // The sidecar forgets a resource after a quarter of an hour.
        [target('1')]: '1x44 stale',
        [target('2')]: '_x30 1x70',
      },
      [
        { at: '20m', expr, gives: { [v('1')]: 1 } },
        { at: '35m', expr, gives: { [v('2')]: 1 } },
        { at: '44m', expr, gives: { [v('2')]: 1 } },
        { at: '60m', expr, gives: { [v('2')]: 1 } },
      ],
    )
  },
)

t.test('versions of several instances stand beside each other, each with its own errors', { skip }, async t => {
  const other = 'job="a", instance="c"'
  const errors = query('Errors by version')
  holds(
    t,
    {
      ...{ [calls()]: '0+60x40', [calls('ERROR')]: '0x40', [target('1')]: '1x40' },
      ...{ [calls('UNSET', other)]: '0+30x40', [calls('ERROR', other)]: '0+30x40', [target('2', other)]: '1x40' },
    },
    [
      {
        at: '30m',
        expr: errors,
        gives: { '{service="shop", service_version="1"}': 0, '{service="shop", service_version="2"}': 0.5 },
      },
    ],
  )
})

t.test('where one sidecar sees two versions for long, requests belong to none', { skip }, async t => {
  holds(t, { [calls()]: '0+60x60', [target('1')]: '1x60', [target('2')]: '1x60' }, [
    { at: '40m', expr: query('Requests by version'), gives: {} },
  ])
})

t.test('a version has its mark when nobody had it for an hour', { skip }, async t => {
  const board = dashboards().find(({ uid }) => uid === 'pillion-requests')!
  const { expr = '' } = board.annotations.list.find(({ name }) => name === 'Versions')!
  const mark = expand(expr, { __interval: '1m' })
  const v = (version: string) => `{service="shop", service_version="${version}"}`
  holds(t, { [target('1')]: '1x200', [target('2')]: '_x100 1x20 _x30 1x50' }, [
    { at: '99m', expr: mark, gives: {} },
    { at: '100m', expr: mark, gives: { [v('2')]: 1 } },
    { at: '101m', expr: mark, gives: {} },
    // Half an hour away.
    { at: '152m', expr: mark, gives: {} },
  ])
})

t.test('slow requests have their mark and their point from the first episode on, each once', { skip }, async t => {
  const board = dashboards().find(({ uid }) => uid === 'pillion-requests')!
  const { expr = '' } = board.annotations.list.find(({ name }) => name === 'Slow requests')!
  const panel = panels(board).find(({ title }) => title === 'Episodes of slow requests')!
  const labels = `{cause="gc", ${AT}, service="shop", span_name="GET /"}`
  // The series begins with the first episode, 1; there is another one at 30 min; at 50 min the sidecar is started again.
  const series = { [`app_slow_episodes_total${labels}`]: '_x10 1x19 2x19 _x5 1x20' }
  const sees = (query: string, gives: string) => {
    // The size of an increase depends on the version of Prometheus.
    const step = `(${expand(query, { __interval: '5m' })}) > bool 0`
    holds(t, series, [
      { at: '9m', expr: step, gives: {} },
      { at: '10m', expr: step, gives: { [gives]: 1 } },
      { at: '15m', expr: step, gives: {} },
      { at: '30m', expr: step, gives: { [gives]: 1 } },
      { at: '40m', expr: step, gives: {} },
      { at: '60m', expr: step, gives: {} },
    ])
  }
  sees(expr, labels)
  sees(panel.targets![0]!.expr, '{cause="gc", span_name="GET /"}')
})

t.test('without requests a latency is absent, and not painted as if all were well', { skip }, async t => {
  const stat = query('Latency p95')
  const bucket = (le: string) =>
    `traces_spanmetrics_latency_bucket{${AT}, service="shop", span_name="GET /", span_kind="SPAN_KIND_SERVER", status_code="STATUS_CODE_UNSET", le="${le}"}`
  holds(t, { [bucket('0.1')]: '0+60x20 1200x40', [bucket('+Inf')]: '0+60x20 1200x40' }, [
    { at: '15m', expr: stat, gives: { '{}': 0.095 } },
    { at: '40m', expr: stat, gives: {} },
  ])
})

t.test('the week before is that of the same time', { skip }, async t => {
  const title = 'Requests, and a week before'
  holds(
    t,
    { [calls()]: '0+3600x169 608400+7200x20' },
    [
      { at: '168h', expr: query(title, 0), gives: {} },
      { at: '175h', expr: query(title, 0).replaceAll('[5m]', '[3h]'), gives: { '{service="shop"}': 2 } },
      { at: '175h', expr: query(title, 1).replaceAll('[5m]', '[3h]'), gives: { '{service="shop"}': 1 } },
    ],
    '1h',
  )
})

t.test('the figures of HTTP are those of whichever convention the application has', { skip }, async t => {
  const board = dashboards().find(({ uid }) => uid === 'pillion-runtime')!
  const of = (title: string) => {
    const { targets } = panels(board).find(panel => panel.title === title)!
    return expand(targets![0]!.expr, { __rate_interval: '5m' })
  }
  const bucket = (name: string, labels: string, le: string) => `${name}_bucket{${AT}, ${labels}, le="${le}"}`
  const f = (name: string, route: string, status: string, unit: number) =>
    holds(
      t,
      {
        [`${name}_count{${AT}, ${route}="/a", ${status}="200"}`]: '0+45x20',
        [`${name}_count{${AT}, ${route}="/a", ${status}="503"}`]: '0+15x20',
        [bucket(name, `${route}="/a", ${status}="200"`, `${0.1 * unit}`)]: '0+60x20',
        [bucket(name, `${route}="/a", ${status}="200"`, '+Inf')]: '0+60x20',
      },
      [
        { at: '15m', expr: of('Requests'), gives: { '{}': 1 } },
        { at: '15m', expr: of('Errors'), gives: { '{}': 0.25 } },
        { at: '15m', expr: of('Latency p95'), gives: { '{}': 0.095 } },
        {
          at: '15m',
          expr: of('Requests by status'),
          gives: { '{http_response_status_code="200"}': 0.75, '{http_response_status_code="503"}': 0.25 },
        },
      ],
    )
  f('http_server_request_duration_seconds', 'http_route', 'http_response_status_code', 1)
  f('http_server_duration_milliseconds', 'http_route', 'http_status_code', 1000)
  f('http_server_requests_seconds', 'uri', 'status', 1)
})
