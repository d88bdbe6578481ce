// Where panels lead to: from the fleet to one instance, to a service, to an operation, and from there to the traces in
// Explore, asked for in TraceQL. The time shown and the choices go along; what is clicked becomes the choice.

import type { Link } from './panels.ts'
import { RUNBOOKS } from './rules/rule.ts'

const ALONG = `\${__url_time_range}&\${prometheus_datasource:queryparam}&\${job:queryparam}&\${namespace:queryparam}`

/** In a URL a name is encoded: operations have slashes and ampersands. */
const field = (title: string) => `\${__data.fields["${title}"]:percentencode}`
/** A label of the series that was clicked. */
const label = (name: string) => `\${__field.labels["${name}"]:percentencode}`

export type Uid =
  `pillion-${'overview' | 'application' | 'requests' | 'process' | 'health' | 'runtime' | 'slo' | 'sidecar'}`

const TITLES: Readonly<Record<Uid, string>> = {
  'pillion-overview': 'Overview',
  'pillion-application': 'Application',
  'pillion-requests': 'Requests',
  'pillion-process': 'Process',
  'pillion-health': 'Health',
  'pillion-runtime': 'Runtime',
  'pillion-slo': 'Objectives',
  'pillion-sidecar': 'Sidecar',
}

/** The next dashboard, with the same choices. */
export function to(uid: Uid): Link {
  const instances = uid === 'pillion-slo' ? '' : `&\${instance:queryparam}`
  return { title: `${TITLES[uid]} in depth`, url: `/d/${uid}?${ALONG}${instances}` }
}

/** The same for the instance whose series was clicked. */
export function ofInstance(uid: Uid): Link {
  return { title: `${TITLES[uid]} of this instance`, url: `/d/${uid}?var-instance=${label('instance')}&${ALONG}` }
}

/** The requests of the service whose series was clicked. */
export const OF_SERVICE: Link = {
  title: 'Requests of this service',
  url: `/d/pillion-requests?var-service=${label('service')}&${ALONG}`,
}

/** The objectives of the service whose series was clicked. */
export const OBJECTIVES: Link = {
  title: 'Objectives of this service',
  url: `/d/pillion-slo?var-service=${label('service')}&${ALONG}`,
}

/**
 * Traces in Explore, in the chosen data source of traces. `query` is TraceQL in which references stand for what is clicked;
 * a name with a quotation mark in it would end the text too early, and Explore says so.
 */
function explore(title: string, query: string): Link {
  const source = `\${tempo_datasource}`
  const asked = { refId: 'A', datasource: { type: 'tempo', uid: source }, queryType: 'traceql', limit: 20, query }
  const pane = {
    traces: { datasource: source, queries: [asked], range: { from: `\${__from}`, to: `\${__to}` } },
  }
  // Grafana fills in what stands in braces, already encoded; all else is encoded here.
  const panes = JSON.stringify(pane)
    .split(/(\$\{(?:[^}"]|\\"[^"\\]*\\")*\})/)
    .map((part, index) => (index % 2 === 1 ? part.replaceAll('\\"', '"') : encodeURIComponent(part)))
    .join('')
  return { title, url: `/explore?schemaVersion=1&orgId=1&panes=${panes}` }
}

const of = (service: string, ...more: string[]) =>
  `{ ${[`resource.service.name = "${service}"`, ...more].join(' && ')} }`

/** Traces of what a point of a panel shows, by the labels of its series. */
export const TRACES = {
  service: explore('Traces of this service', of(label('service'))),
  failed: explore('Failed traces of this service', of(label('service'), 'status = error')),
  operation: explore('Traces of this operation', of(label('service'), `name = "${label('span_name')}"`)),
  failedOperation: explore(
    'Failed traces of this operation',
    of(label('service'), `name = "${label('span_name')}"`, 'status = error'),
  ),
  edge: explore('Traces of calls by this service', of(label('client'), 'kind = client')),
  failedEdge: explore('Failed calls by this service', of(label('client'), 'kind = client', 'status = error')),
  version: explore(
    'Traces of this version',
    of(label('service'), `resource.service.version = "${label('service_version')}"`),
  ),
} as const

/** Where the cells of tables lead to. */
export const CELL = {
  alert: { title: 'What it means and what to do', url: `${RUNBOOKS}#${field('Alert')}` },
  instance: {
    title: 'Everything about this instance',
    url: `/d/pillion-application?var-instance=${field('Instance')}&${ALONG}`,
  },
  service: {
    title: 'The requests of this service',
    url: `/d/pillion-requests?var-service=${field('Service')}&${ALONG}`,
  },
  client: { title: 'The requests of this service', url: `/d/pillion-requests?var-service=${field('Client')}&${ALONG}` },
  server: { title: 'The requests of this service', url: `/d/pillion-requests?var-service=${field('Server')}&${ALONG}` },
  operation: {
    title: 'This operation only',
    url: `/d/pillion-requests?var-service=${field('Service')}&var-span_name=${field('Operation')}&${ALONG}&\${instance:queryparam}`,
  },
  traces: explore('Traces of this operation', of(field('Service'), `name = "${field('Operation')}"`)),
  failed: explore(
    'Failed traces of this operation',
    of(field('Service'), `name = "${field('Operation')}"`, 'status = error'),
  ),
  slow: explore(
    'Slow traces of this operation',
    of(field('Service'), `name = "${field('Operation')}"`, 'duration > 1s'),
  ),
  step: explore('Traces with this step', `{ name = "${field('Operation')}" }`),
  calls: explore('Traces of these calls', of(field('Service'), 'kind = client')),
  failedCalls: explore('Failed calls of this service', of(field('Service'), 'kind = client', 'status = error')),
  version: explore('Traces of this version', of(field('Service'), `resource.service.version = "${field('Version')}"`)),
} as const satisfies Readonly<Record<string, Link>>
