// Grafana's data sources for sidecars, as a file for its provisioning: Prometheus, whose exemplars lead to the traces, and for
// each sidecar its traces (as Tempo) and its logs (as Loki), which lead to each other and to the metrics.
// https://grafana.com/docs/grafana/latest/administration/provisioning/#data-sources

import { stringify } from 'yaml'

export interface DataSourceOptions {
  /** Addresses of the web servers of sidecars, or names of variables of Grafana's environment ("$PILLION_URL"). */
  readonly sidecars: readonly string[]
  /** The address of a Tempo that the sidecars forward to; it then holds the traces instead of them. */
  readonly tempo?: string | undefined
  /** The address of Prometheus. By default it comes from Grafana's environment. */
  readonly prometheus?: string | undefined
}

/** Thrown for what cannot be an address. */
export class AddressError extends Error {}

const PROMETHEUS = 'pillion-prometheus'
const TRACES = 'pillion-traces'
const LOGS = 'pillion-logs'

/** The text of the file. Throws `AddressError`. */
export function dataSources({ sidecars, tempo, prometheus = '$PROMETHEUS_URL' }: DataSourceOptions): string {
  const named = name([...new Set(sidecars)])
  const traces = tempo === undefined ? named.map(({ suffix }) => `${TRACES}${suffix}`) : [TRACES]
  const sources = [
    prometheusSource(checked(prometheus), traces),
    ...(tempo === undefined ? [] : [tempoSource({ title: '', suffix: '', url: checked(tempo) }, undefined)]),
    ...named.flatMap(sidecar => [
      ...(tempo === undefined ? [tempoSource(sidecar, `${LOGS}${sidecar.suffix}`)] : []),
      lokiSource(sidecar, tempo === undefined ? `${TRACES}${sidecar.suffix}` : TRACES),
    ]),
  ]
  return `${HEAD}${stringify({ apiVersion: 1, datasources: sources }, { lineWidth: 0 })}`
}

const HEAD = `# Grafana's data sources, as "pillion dashboards --sidecar URL" prints them: copy the file to
# /etc/grafana/provisioning/datasources/. Words that begin with a dollar come from Grafana's environment.
`

interface Sidecar {
  /** For people: " shop:19464", or nothing if there is only one. */
  readonly title: string
  /** For the uid: "-shop-19464". */
  readonly suffix: string
  readonly url: string
}

function name(urls: readonly string[]): readonly Sidecar[] {
  return urls.map(url => {
    const address = checked(url)
    if (urls.length === 1) return { title: '', suffix: '', url: address }
    const host = url.startsWith('$') ? url.slice(1) : new URL(url).host
    // A uid has at most 40 characters.
    return { title: ` ${host}`, suffix: `-${host.replace(/[^a-zA-Z0-9]+/g, '-').slice(0, 24)}`, url: address }
  })
}

/** An address without a slash at the end. */
function checked(url: string): string {
  if (/^\$\{?\w+\}?$/.test(url)) return url
  const parsed = URL.parse(url)
  if (!parsed || !/^https?:$/.test(parsed.protocol) || parsed.username || parsed.search || parsed.hash)
    throw new AddressError(`${url}: not an address such as http://shop:19464, or a variable such as $PILLION_URL`)
  return url.replace(/\/+$/, '')
}

/** The interval at which Prometheus scrapes the sidecars: $__rate_interval is at least four times this. */
const INTERVAL = '15s'

function prometheusSource(url: string, traces: readonly string[]): object {
  return {
    name: 'Prometheus (Pillion)',
    uid: PROMETHEUS,
    type: 'prometheus',
    access: 'proxy',
    url,
    jsonData: {
      httpMethod: 'POST',
      prometheusType: 'Prometheus',
      timeInterval: INTERVAL,
      // The points in the latency panels: a click on one opens its trace.
      exemplarTraceIdDestinations: traces.map(uid => ({
        name: 'trace_id',
        datasourceUid: uid,
        urlDisplayLabel: traces.length === 1 ? 'Open the trace' : `Open the trace in ${uid.slice(TRACES.length + 1)}`,
      })),
    },
  }
}

/** Grafana expands variables of its environment in these files, so its own are written with two dollars. */
const TAGS = [{ key: 'service.name', value: 'service' }]

function tempoSource({ title, suffix, url }: Sidecar, logs: string | undefined): object {
  return {
    name: `Traces (Pillion${title})`,
    uid: `${TRACES}${suffix}`,
    type: 'tempo',
    access: 'proxy',
    url: logs === undefined ? url : `${url}/tempo`,
    ...(logs !== undefined && token(url)),
    jsonData: {
      ...(logs !== undefined && header(url)),
      // Answers over HTTP are complete; gRPC is not spoken on this port.
      streamingEnabled: { search: false, metrics: false },
      nodeGraph: { enabled: true },
      serviceMap: { datasourceUid: PROMETHEUS },
      ...(logs !== undefined && {
        tracesToLogsV2: {
          datasourceUid: logs,
          spanStartTimeShift: '-5m',
          spanEndTimeShift: '5m',
          tags: [{ key: 'service.name', value: 'service_name' }],
          customQuery: true,
          query: '{$${__tags}} | trace_id="$${__trace.traceId}"',
        },
      }),
      tracesToMetrics: {
        datasourceUid: PROMETHEUS,
        spanStartTimeShift: '-5m',
        spanEndTimeShift: '5m',
        tags: TAGS,
        queries: [
          {
            name: 'Requests per second',
            query: 'sum by (span_name) (rate(traces_spanmetrics_calls_total{$$__tags}[$$__rate_interval]))',
          },
          {
            name: 'p95',
            query:
              'histogram_quantile(0.95, sum by (le) (rate(traces_spanmetrics_latency_bucket{$$__tags}[$$__rate_interval])))',
          },
        ],
      },
    },
  }
}

function lokiSource({ title, suffix, url }: Sidecar, traces: string): object {
  return {
    name: `Logs (Pillion${title})`,
    uid: `${LOGS}${suffix}`,
    type: 'loki',
    access: 'proxy',
    url,
    ...token(url),
    jsonData: {
      ...header(url),
      maxLines: 1000,
      derivedFields: [
        {
          name: 'trace_id',
          matcherType: 'label',
          matcherRegex: 'trace_id',
          datasourceUid: traces,
          url: '$${__value.raw}',
          urlDisplayLabel: 'Open the trace',
        },
      ],
    },
  }
}

/** Other hosts read traces and logs with the sidecar's token only; Grafana keeps it out of the browser. */
function token(url: string): object {
  return isLocal(url) ? {} : { secureJsonData: { httpHeaderValue1: 'Bearer $PILLION_TOKEN' } }
}

function header(url: string): object {
  return isLocal(url) ? {} : { httpHeaderName1: 'Authorization' }
}

function isLocal(url: string): boolean {
  return /^https?:\/\/(?:localhost|127(?:\.\d+){3}|\[::1\])(?::\d+)?(?:\/|$)/i.test(url)
}
