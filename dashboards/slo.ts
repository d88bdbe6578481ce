// Service level objectives: which are kept, how much of each error budget is left, and how fast it goes. All of it is what the
// rules of `pillion rules --slo` record.

import { type Board, folded, OF_JOB, open, type Variable } from './board.ts'
import { CELL } from './links.ts'
import { lines, type Steps, stat, table } from './panels.ts'
import * as prometheus from './prometheus.ts'
import { binary, count, max, min, select } from './promql.ts'
import { now, series } from './query.ts'
import { budget, burnRate, missed5m, missed30d, OBJECTIVE, objective } from './recorded.ts'
import { SLO } from './rules/slo.ts'

/** Objectives are those of services, over all their instances. */
const ofJob = select({ where: { job: { re: '$job' }, namespace: { re: '$namespace' } }, window: '5m' })
const HERE = { service: { re: '$service' }, slo: { re: '$slo' } } as const

const SERVICE: Variable = { name: 'service', label: 'Service', family: objective, of: 'service', where: OF_JOB }
const KIND: Variable = {
  name: 'slo',
  label: 'Objective',
  family: objective,
  of: 'slo',
  where: `${OF_JOB}, service=~"$service"`,
}

const NO_OBJECTIVES = 'no objectives: load what `pillion rules --slo availability=99.9` prints'
const LEGEND = '{{service}} {{slo}} {{objective}}'
const BUDGET_STEPS: Steps = ['red', [0.0001, 'orange'], [0.25, 'yellow'], [0.5, 'green']]
const BURN_STEPS: Steps = ['green', [1, 'yellow'], [6, 'orange'], [14.4, 'red']]

export const slo: Board = {
  uid: 'pillion-slo',
  title: 'Pillion / Objectives',
  about: 'Service level objectives: which promises are kept, how much error budget is left, and how fast it goes.',
  ofServices: true,
  variables: [SERVICE, KIND],
  annotations: [],
  rows: [
    open(100, 'Are the promises kept?', [
      stat({
        id: 1,
        title: 'Least budget left',
        about: `Of all chosen objectives, the one with the least error budget of 30 days (${SLO.budget}). At 0 % nothing more may fail; below, the promise is broken.`,
        unit: 'percentunit',
        queries: [now(min(ofJob.value(budget, HERE)), 'Budget left')],
        empty: NO_OBJECTIVES,
        steps: BUDGET_STEPS,
        decimals: 1,
        mode: 'colour',
        width: 6,
      }),
      stat({
        id: 2,
        title: 'Fastest burn',
        about: `How many times as fast as it may the budget burned in the last hour (${SLO.burnRate}). At 1 it lasts exactly 30 days, at 14.4 two.`,
        unit: 'none',
        queries: [now(max(ofJob.value(burnRate, HERE)), 'Burn rate')],
        empty: NO_OBJECTIVES,
        steps: BURN_STEPS,
        decimals: 1,
        mode: 'colour',
        width: 6,
      }),
      stat({
        id: 3,
        title: 'Broken promises',
        about: `Objectives whose budget of 30 days is spent (${SLO.budget} below 0). Above 0 is bad.`,
        unit: 'none',
        queries: [now(count(binary(ofJob.value(budget, HERE), '<', '0')), 'Broken')],
        empty: 'none is broken',
        steps: ['green', [1, 'red']],
        width: 6,
      }),
      stat({
        id: 4,
        title: 'Objectives',
        about: `Objectives that are judged, one for each service that has requests (${SLO.objective}).`,
        unit: 'none',
        queries: [now(count(ofJob.value(objective, HERE)), 'Objectives')],
        empty: NO_OBJECTIVES,
        width: 6,
      }),
      table({
        id: 5,
        title: 'By objective',
        about:
          'One row for each service and objective; click a service for its requests. "Firing" counts the alerts SloBudgetBurns.',
        by: { service: 'Service', slo: 'Kind', objective: 'Objective' },
        leads: { service: CELL.service },
        columns: [
          {
            title: 'Budget left',
            query: now(min(ofJob.value(budget, HERE), OBJECTIVE), LEGEND),
            unit: 'percentunit',
            steps: BUDGET_STEPS,
            decimals: 1,
          },
          {
            title: 'Kept in 30 days',
            query: now(max(binary('1', '-', ofJob.value(missed30d, HERE)), OBJECTIVE), LEGEND),
            unit: 'percentunit',
            decimals: 3,
          },
          {
            title: 'Promised',
            query: now(max(ofJob.value(objective, HERE), OBJECTIVE), LEGEND),
            unit: 'percentunit',
            decimals: 3,
          },
          {
            title: 'Burn rate, 1 h',
            query: now(max(ofJob.value(burnRate, HERE), OBJECTIVE), LEGEND),
            steps: BURN_STEPS,
            decimals: 1,
          },
          {
            title: 'Firing',
            query: now(
              count(
                ofJob.value(prometheus.burning, { alertstate: 'firing', alertname: 'SloBudgetBurns', ...HERE }),
                OBJECTIVE,
              ),
              LEGEND,
            ),
            steps: ['text', [1, 'red']],
            decimals: 0,
          },
        ],
        empty: NO_OBJECTIVES,
        sorted: 'Budget left',
        lowest: true,
        height: 9,
      }),
    ]),
    open(200, 'How fast does it go?', [
      lines({
        id: 20,
        title: 'Budget left',
        about: `The part of the error budget of 30 days that is left (${SLO.budget}). A step down is an incident; below 0 the promise is broken.`,
        unit: 'percentunit',
        queries: [series(min(ofJob.value(budget, HERE), OBJECTIVE), LEGEND)],
        empty: NO_OBJECTIVES,
        negative: true,
        width: 12,
      }),
      lines({
        id: 21,
        title: 'Burn rate',
        about: `How many times as fast as it may the budget burned within an hour (${SLO.burnRate}). The dashed lines are where alerts look: 1, 6 and 14.4.`,
        unit: 'short',
        queries: [series(max(ofJob.value(burnRate, HERE), OBJECTIVE), LEGEND)],
        empty: NO_OBJECTIVES,
        steps: BURN_STEPS,
        width: 12,
      }),
    ]),
    folded(300, 'Closer', [
      lines({
        id: 30,
        title: 'Requests that missed the objective',
        about: `Share of the requests of five minutes that failed or took longer (${SLO.missed5m}).`,
        unit: 'percentunit',
        queries: [series(max(ofJob.value(missed5m, HERE), OBJECTIVE), LEGEND)],
        empty: NO_OBJECTIVES,
        width: 24,
      }),
    ]),
  ],
}
