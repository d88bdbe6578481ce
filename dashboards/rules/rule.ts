// What a recording rule and an alert are, and how they are written as YAML for Prometheus.

import type { Vector, Window } from '../promql.ts'

/** Where the sections of docs/runbooks.md can be read; `pillion rules --runbooks URL` names a copy of one's own. */
export const RUNBOOKS = 'https://pillion.example/docs/runbooks.md'

export interface Places {
  /** The address of docs/runbooks.md. */
  readonly runbooks: string
  /** The base URL of Grafana, without a slash at the end; empty makes links relative to it. */
  readonly grafana: string
}

export interface Recording {
  /** level:metric:operation (prometheus.io/docs/practices/rules). */
  readonly record: string
  readonly is: Vector<string>
  readonly labels?: Readonly<Record<string, string>>
}

export type Severity = 'critical' | 'warning' | 'info'

interface AlertSpec<Label extends string> {
  readonly name: string
  /** critical: somebody must come now. warning: somebody must look today. info: worth knowing. */
  readonly severity: Severity
  readonly when: Vector<Label>
  readonly for: Window
  /** Goes on firing that long after it was over, for alerts that would come and go. */
  readonly keep?: Window
  readonly labels?: Readonly<Record<string, string>>
  /** One line for a phone; with the labels that `when` keeps. */
  summary(told: Told<Label>): string
  /** What it means and what to look at first. */
  description(told: Told<Label>): string
  /** The dashboard to look at, and the labels that become its variables, so that it shows at once what this is about. */
  readonly board: string
  readonly at: readonly Label[]
}

/** The words of an annotation that are known only when it fires. */
export interface Told<Label extends string> {
  label(name: Label): string
  value(as?: 'humanize' | 'humanizePercentage' | 'humanizeDuration' | 'humanize1024'): string
}

export type Alert = Omit<AlertSpec<string>, 'when'> & { readonly when: Vector<string> }

/** An alert whose texts name only labels that it has. */
export function alert<Label extends string>(spec: AlertSpec<Label>): Alert {
  return {
    ...spec,
    // What is asked for a label is, by the type of `spec`, one of its own; whoever fills in the words need not know which.
    summary: told => spec.summary(told as Told<Label>),
    description: told => spec.description(told as Told<Label>),
  }
}

export interface Group {
  readonly name: string
  readonly rules: readonly (Recording | Alert)[]
}

/** Filled in by Prometheus when the alert fires. */
const TEMPLATE: Told<string> = {
  label: name => `{{ $labels.${name} }}`,
  value: as => (as ? `{{ $value | ${as} }}` : '{{ $value }}'),
}

/** The annotations of an alert, with the words of `told`. */
export function annotations(alert: Alert, places: Places, told: Told<string> = TEMPLATE): Record<string, string> {
  return {
    summary: alert.summary(told),
    description: alert.description(told),
    runbook_url: `${places.runbooks}#${alert.name.toLowerCase()}`,
    dashboard_url: `${places.grafana}/d/${alert.board}?${query(alert, told)}`,
  }
}

function query({ at }: Alert, told: Told<string>): string {
  return ['from=now-6h', ...at.map(label => `var-${label}=${told.label(label)}`)].join('&')
}

/** The groups as Prometheus reads them. */
export async function yaml(groups: readonly Group[], places: Places, head: string): Promise<string> {
  // A verb needs it now and then: not worth its memory in a sidecar that rides along.
  const { stringify } = await import('yaml')
  const body = { groups: groups.map(({ name, rules }) => ({ name, rules: rules.map(rule => plain(rule, places)) })) }
  const comment = head
    .split('\n')
    .map(line => `# ${line}`.trimEnd())
    .join('\n')
  return `${comment}\n${stringify(body, { lineWidth: 0 })}`
}

function plain(rule: Recording | Alert, places: Places): Record<string, unknown> {
  if ('record' in rule) {
    return { record: rule.record, expr: rule.is.text, ...(rule.labels ? { labels: rule.labels } : {}) }
  }
  return {
    alert: rule.name,
    expr: rule.when.text,
    for: rule.for,
    ...(rule.keep ? { keep_firing_for: rule.keep } : {}),
    labels: { severity: rule.severity, ...rule.labels },
    annotations: annotations(rule, places),
  }
}
