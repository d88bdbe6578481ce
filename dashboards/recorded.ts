// Series that our own rules record, declared as if they were metrics, for the dashboards that read them.

import { gauge } from '../metrics/family.ts'
import { SLO } from './rules/slo.ts'

/** The labels of an objective; by the connector's naming its service is `service_name`. */
export const OBJECTIVE = ['service', 'slo', 'objective'] as const

const recorded = (name: string, help: string) => gauge(name, help, OBJECTIVE)

export const objective = recorded(SLO.objective, 'The share of the requests that is promised.')
export const missed5m = recorded(SLO.missed5m, 'The part of the requests of five minutes that missed the objective.')
export const missed30d = recorded(SLO.missed30d, 'The part of the requests of 30 days that missed the objective.')
export const budget = recorded(SLO.budget, 'The part of the error budget of 30 days that is left.')
export const burnRate = recorded(SLO.burnRate, 'How many times as fast as it may the budget burned in the last hour.')
