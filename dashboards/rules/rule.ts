// Recording rules and alerts, and how they are written as YAML for Prometheus.

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
  /** Keeps firing for so long after the condition has ended, for alerts that would come and go. */
  readonly keep?: Window
  readonly labels?: Readonly<Record<string, string>>
  /** One line for a phone; with the labels that `when` keeps. */
  summary(told: Told<Label>): string
  /** Its meaning, and what to look at first. */
  description(told: Told<Label>): string
  /** The dashboard to look at, and the labels that become its variables, so that it shows at once what this is about. */
  readonly board: string
  readonly at: readonly Label[]
}

/** The words of an annotation that are known only when it fires. */
export interface Told<Label extends string> {
  label(name: Label): string
  /** The label's value inside a URL. */
  link(name: Label): string
  /** The text, if the label is there: a namespace is so in Kubernetes only. */
  given(name: Label, text: string): string
  value(as?: 'whole' | 'humanize' | 'humanizePercentage' | 'humanizeDuration' | 'humanize1024'): string
}

export type Alert = Omit<AlertSpec<string>, 'when'> & { readonly when: Vector<string> }

/** An alert whose texts name only labels that it has. */
export function alert<Label extends string>(spec: AlertSpec<Label>): Alert {
  return {
    ...spec,
    // By the type of `spec` its texts ask only for labels of its own, so `told` need not know which these are.
    summary: told => spec.summary(told as Told<Label>),
    description: told => spec.description(told as Told<Label>),
  }
}

export type Rule = Recording | Alert

export interface Group {
  readonly name: string
  /** The interval of its evaluation, if it is not that of Prometheus. */
  readonly interval?: Window
  readonly rules: readonly Rule[]
}

/** Filled in by Prometheus when the alert fires. */
const TEMPLATE: Told<string> = {
  label: name => `{{ $labels.${name} }}`,
  link: name => `{{ $labels.${name} | urlquery }}`,
  given: (name, text) => `{{ if $labels.${name} }}${text}{{ end }}`,
  value: as => (as === 'whole' ? '{{ printf "%.0f" $value }}' : as ? `{{ $value | ${as} }}` : '{{ $value }}'),
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
  // The variable of the dashboards is called service, whatever the label is called.
  const variable = (label: string) => (label === 'service_name' ? 'service' : label)
  const chosen = (label: string) => {
    const choice = `&var-${variable(label)}=${told.link(label)}`
    return label === 'namespace' ? told.given(label, choice) : choice
  }
  return `from=now-6h${at.map(chosen).join('')}`
}

/** As the Prometheus operator takes rules (https://prometheus-operator.dev/docs/api-reference/api/#monitoring.coreos.com/v1.PrometheusRule). */
const PROMETHEUS_RULE = {
  apiVersion: 'monitoring.coreos.com/v1',
  kind: 'PrometheusRule',
  metadata: { name: 'pillion', labels: { 'app.kubernetes.io/name': 'pillion' } },
}

/** The groups as Prometheus, or its operator, reads them. */
export async function yaml(
  groups: readonly Group[],
  places: Places,
  head: string,
  format: 'prometheus' | 'kubernetes' = 'prometheus',
): Promise<string> {
  // Loaded here, since only the verb needs it: not worth its memory in a running sidecar.
  const { stringify } = await import('yaml')
  const spec = {
    groups: groups.map(({ name, interval, rules }) => ({
      name,
      ...(interval && { interval }),
      rules: rules.map(rule => plain(rule, places)),
    })),
  }
  const comment = head
    .split('\n')
    .map(line => `# ${line}`.trimEnd())
    .join('\n')
  const body = format === 'prometheus' ? spec : { ...PROMETHEUS_RULE, spec }
  return `${comment}\n${stringify(body, { lineWidth: 0, aliasDuplicateObjects: false })}`
}

function plain(rule: Rule, places: Places): Record<string, unknown> {
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
