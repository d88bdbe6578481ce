// The Prometheus and the Alertmanager that judge the failures: which alerts fire, which of them are sent, and the answers
// that panels of the generated dashboards get.

import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { inhibitRules } from '../../dashboards/rules/inhibit.ts'
import { dashboards, expand, questions } from '../dashboards/files.ts'
import { Child, freePort } from '../e2e/child.ts'
import { SCALE, scaled, scaledRules } from './scale.ts'

/** 15 s in life. */
const SCRAPE = scaled('15s')

export interface Firing {
  readonly name: string
  readonly severity: string
  readonly summary: string
}

export interface Judge extends AsyncDisposable {
  /** Makes these targets, and no others, known under a job. */
  know(job: string, targets: readonly string[]): void
  ask(promql: string): Promise<Sample[]>
  /** The alerts of a job that fire now. */
  firing(job: string): Promise<Firing[]>
  /** The names of those that Alertmanager would send now, after inhibition. */
  sent(job: string): Promise<Firing[]>
  /** The values of a panel: the first query of the panel with this title, for the instances that match. */
  panel(place: Place): Promise<Sample[]>
}

export interface Place {
  /** "pillion-overview" */
  readonly uid: string
  readonly title: string
  readonly job: string
  /** A regular expression. */
  readonly instance: string
}

export interface Sample {
  readonly metric: Readonly<Record<string, string>>
  readonly value: readonly [at: number, value: string]
}

/** Starts both with the rules as shipped, in fast time. */
export async function startJudge(folder: string, slo: readonly string[]): Promise<Judge> {
  await using open = new AsyncDisposableStack()
  const [port, alerting] = [await freePort(), await freePort()]
  const file = (name: string, text: string) => {
    writeFileSync(join(folder, name), text)
    return join(folder, name)
  }
  const manager = open.use(
    await Child.start('prometheus-alertmanager', [
      `--config.file=${file('alertmanager.yml', `route: { receiver: nobody }\nreceivers: [{ name: nobody }]\n${await inhibitRules()}`)}`,
      `--storage.path=${join(folder, 'alerts')}`,
      `--web.listen-address=127.0.0.1:${alerting}`,
      '--cluster.listen-address=',
    ]),
  )
  await manager.says(/Listening on/)
  file('rules.yml', await scaledRules(slo))
  const config = {
    global: { scrape_interval: SCRAPE, scrape_timeout: SCRAPE, evaluation_interval: SCRAPE },
    rule_files: [join(folder, 'rules.yml')],
    alerting: { alertmanagers: [{ static_configs: [{ targets: [`127.0.0.1:${alerting}`] }] }] },
    scrape_configs: [{ job_name: 'sidecars', file_sd_configs: [{ files: [join(folder, 'targets-*.json')] }] }],
  }
  const prometheus = open.use(
    await Child.start('prometheus', [
      // JSON is YAML.
      `--config.file=${file('prometheus.yml', JSON.stringify(config))}`,
      `--storage.tsdb.path=${join(folder, 'data')}`,
      `--web.listen-address=127.0.0.1:${port}`,
      `--query.lookback-delta=${scaled('5m')}`,
      '--rules.alert.resend-delay=2s',
    ]),
  )
  await prometheus.says(/Server is ready/)
  const get = async (path: string): Promise<unknown> => {
    const response = await fetch(`http://127.0.0.1:${port}/api/v1/${path}`)
    const text = await response.text()
    if (!response.ok) throw new Error(`Prometheus says ${text}`)
    return (JSON.parse(text) as { data: unknown }).data
  }
  const ask = async (query: string): Promise<Sample[]> =>
    ((await get(`query?${new URLSearchParams({ query })}`)) as { result: Sample[] }).result
  const all = open.move()
  return {
    ask,
    know(job, targets) {
      const path = join(folder, `targets-${job}.json`)
      if (targets.length === 0) rmSync(path)
      else writeFileSync(path, JSON.stringify([{ targets, labels: { job } }]))
    },
    async firing(job) {
      const { alerts } = (await get('alerts')) as { alerts: PrometheusAlert[] }
      return alerts.filter(each => each.state === 'firing' && each.labels['job'] === job).map(plain)
    },
    async sent(job) {
      const filter = new URLSearchParams({ filter: `job="${job}"`, active: 'true', inhibited: 'false' })
      const response = await fetch(`http://127.0.0.1:${alerting}/api/v2/alerts?${filter}`)
      if (!response.ok) throw new Error(`Alertmanager says ${await response.text()}`)
      return ((await response.json()) as PrometheusAlert[]).map(plain)
    },
    async panel({ uid, title, job, instance }) {
      const board = dashboards().find(each => each.uid === uid)
      const found = board && questions(board).find(({ panel }) => panel.title === title)
      if (!found) throw new Error(`cannot find a panel ${title} on ${uid}`)
      const values = { job, instance, __range: scaled('1h'), __rate_interval: scaled('1m') }
      // Windows that a panel has of its own are of life.
      const promql = expand(
        found.target.expr.replace(/\[(\d+[smhd])\]/g, (_, range: string) => `[${scaled(range)}]`),
        values,
      )
      return ask(promql)
    },
    [Symbol.asyncDispose]: () => all.disposeAsync(),
  }
}

interface PrometheusAlert {
  readonly labels: Readonly<Record<string, string>>
  readonly annotations: Readonly<Record<string, string>>
  readonly state?: string
}

function plain({ labels, annotations }: PrometheusAlert): Firing {
  return {
    name: labels['alertname'] ?? '',
    severity: labels['severity'] ?? '',
    summary: annotations['summary'] ?? '',
  }
}

/** In seconds of life. */
export function inLife(milliseconds: number): number {
  return Math.round((milliseconds / 1000) * SCALE)
}
