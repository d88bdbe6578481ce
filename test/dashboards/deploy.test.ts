// The provisioning of Grafana: data sources that link to each other, and a folder for the dashboards.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { parseAllDocuments, parse as parseYaml } from 'yaml'
import { dataSources } from '../../dashboards/datasources.ts'
import { bundled, printDashboards } from '../../dashboards/print.ts'
import { calls, latency } from '../../processors/spans.ts'
import { absent, judge } from '../deploy/judges.ts'
import { reader } from '../logs/read.ts'
import { startLogs } from '../logs/send.ts'
import { parse, ROOT } from './files.ts'

const read = (file: string): string => readFileSync(join(ROOT, 'deploy/grafana', file), 'utf8')

interface ConfigMap {
  readonly kind: string
  readonly metadata: { readonly name: string; readonly labels: Readonly<Record<string, string>> }
  readonly data: Readonly<Record<string, string>>
}

interface Source {
  readonly uid: string
  readonly name: string
  readonly type: string
  readonly url: string
  readonly secureJsonData?: { readonly httpHeaderValue1: string }
  readonly jsonData: {
    readonly httpHeaderName1?: string
    readonly timeInterval?: string
    readonly exemplarTraceIdDestinations?: readonly { readonly name: string; readonly datasourceUid: string }[]
    readonly tracesToLogsV2?: { readonly datasourceUid: string; readonly query: string }
    readonly derivedFields?: readonly { readonly datasourceUid: string }[]
    readonly serviceMap?: { readonly datasourceUid: string }
    readonly streamingEnabled?: { readonly search: boolean }
    readonly tracesToMetrics?: {
      readonly datasourceUid: string
      readonly queries: readonly { readonly query: string }[]
    }
  }
}

function sources(text: string): readonly Source[] {
  const { apiVersion, datasources } = parseYaml(text) as { apiVersion: number; datasources: Source[] }
  t.equal(apiVersion, 1)
  return datasources
}

/** Every data source that another one leads to is there. */
function linked(t: Test, all: readonly Source[]): void {
  const uids = new Set(all.map(({ uid }) => uid))
  t.equal(uids.size, all.length)
  for (const { uid, jsonData } of all) {
    t.match(uid, /^[a-zA-Z0-9-]{1,40}$/)
    const leads = [
      ...(jsonData.exemplarTraceIdDestinations ?? []),
      ...(jsonData.derivedFields ?? []),
      ...[jsonData.tracesToLogsV2, jsonData.tracesToMetrics, jsonData.serviceMap].filter(each => each !== undefined),
    ]
    for (const { datasourceUid } of leads) t.ok(uids.has(datasourceUid), `${uid} → ${datasourceUid}`)
  }
}

t.test('the data sources of one sidecar lead to each other', async t => {
  const all = sources(read('provisioning/datasources/pillion.yaml'))
  t.same(
    all.map(({ type, url }) => [type, url]),
    [
      ['prometheus', '$PROMETHEUS_URL'],
      ['tempo', '$PILLION_URL/tempo'],
      ['loki', '$PILLION_URL'],
    ],
  )
  linked(t, all)
  const [prometheus, traces, logs] = all
  t.match(prometheus!.jsonData.timeInterval, /^\d+s$/)
  // The label has the same name as in the sidecar's exemplars.
  t.same(prometheus!.jsonData.exemplarTraceIdDestinations, [
    { name: 'trace_id', datasourceUid: traces!.uid, urlDisplayLabel: 'Open the trace' },
  ])
  t.equal(traces!.jsonData.streamingEnabled?.search, false)
  t.equal(traces!.jsonData.serviceMap?.datasourceUid, prometheus!.uid)
  t.equal(logs!.jsonData.derivedFields?.[0]?.datasourceUid, traces!.uid)
  for (const { jsonData, secureJsonData } of [traces!, logs!]) {
    t.equal(jsonData.httpHeaderName1, 'Authorization')
    t.equal(secureJsonData?.httpHeaderValue1, 'Bearer $PILLION_TOKEN', 'kept by Grafana, not sent to the browser')
  }
})

t.test('from a span Grafana asks the sidecar for logs in words that it answers', async t => {
  const [, traces] = sources(read('provisioning/datasources/pillion.yaml'))
  const { query } = traces!.jsonData.tracesToLogsV2!
  const trace = 'ab'.repeat(16)
  const asked = query.replace('$${__tags}', 'service_name="shop"').replace('$${__trace.traceId}', trace)
  t.notMatch(asked, '$')
  const { running, log } = startLogs()
  log('shop', 'of this trace', { trace })
  log('shop', 'of no trace')
  const { json } = await reader(t, running)
  t.match(await json(`/loki/api/v1/query_range?query=${encodeURIComponent(asked)}&start=0`), {
    data: { result: [{ values: [[/^\d+$/, 'of this trace']] }] },
  })
})

t.test('from a trace Grafana asks for metrics that exist', async t => {
  const known = [calls.name, `${latency.name}_bucket`]
  for (const file of ['provisioning/datasources/pillion.yaml', 'with-tempo/pillion.yaml']) {
    const traces = sources(read(file)).find(({ type }) => type === 'tempo')
    for (const { query } of traces!.jsonData.tracesToMetrics!.queries) {
      // Grafana expands variables of its environment in these files, so that a dollar is written twice.
      t.match(query, '$$__rate_interval')
      const asked = parse(query.replaceAll('$$__tags', 'service="shop"').replaceAll('$$__rate_interval', '1m'))
      t.ok(asked?.length && asked.every(({ metric }) => known.includes(metric)), query)
    }
  }
})

t.test('where there is a Tempo it holds the traces, and the sidecar the logs', async t => {
  const all = sources(read('with-tempo/pillion.yaml'))
  linked(t, all)
  t.same(
    all.map(({ type, url }) => [type, url]),
    [
      ['prometheus', '$PROMETHEUS_URL'],
      ['tempo', '$TEMPO_URL'],
      ['loki', '$PILLION_URL'],
    ],
  )
  t.equal(all[1]!.secureJsonData, undefined, 'the token is the sidecar’s, and not for others')
})

t.test('many sidecars have data sources of their own, and each exemplar leads to all of them', async t => {
  const sidecars = ['http://shop:19464', 'http://cart:19464/', 'http://localhost:19465', 'http://shop:19464']
  const all = sources(dataSources({ sidecars, prometheus: 'https://prometheus.example/p' }))
  linked(t, all)
  t.same(
    all.map(({ name, url }) => [name, url]),
    [
      ['Prometheus (Pillion)', 'https://prometheus.example/p'],
      ['Traces (Pillion shop:19464)', 'http://shop:19464/tempo'],
      ['Logs (Pillion shop:19464)', 'http://shop:19464'],
      ['Traces (Pillion cart:19464)', 'http://cart:19464/tempo'],
      ['Logs (Pillion cart:19464)', 'http://cart:19464'],
      ['Traces (Pillion localhost:19465)', 'http://localhost:19465/tempo'],
      ['Logs (Pillion localhost:19465)', 'http://localhost:19465'],
    ],
  )
  t.equal(all[0]!.jsonData.exemplarTraceIdDestinations?.length, 3)
  t.equal(all.at(-1)!.secureJsonData, undefined, 'this host needs no token')
  for (const wrong of ['shop:19464', 'ftp://shop', 'http://user:secret@shop', 'http://shop?x=1', ''])
    t.throws(() => dataSources({ sidecars: [wrong] }), { message: 'not an address such as' })
})

t.test('in Kubernetes each dashboard is a ConfigMap that kubectl can apply', async t => {
  const objects = await printDashboards({ kubernetes: true })
  const maps = parseAllDocuments(objects).map(each => each.toJS() as ConfigMap)
  const all = await bundled()
  t.same(
    maps.map(({ metadata }) => metadata.name),
    all.map(({ uid }) => uid),
  )
  for (const [index, { kind, metadata, data }] of maps.entries()) {
    const { file, text } = all[index]!
    t.same({ kind, label: metadata.labels['grafana_dashboard'] }, { kind: 'ConfigMap', label: '1' })
    t.same(Object.keys(data), [file])
    t.same(JSON.parse(data[file]!), JSON.parse(text))
    // kubectl writes it into an annotation of the object; some of the room is left, as dashboards grow.
    t.ok(Buffer.byteLength(JSON.stringify(maps[index])) < 0.75 * 262_144, `${file} is small enough`)
  }
})

t.test('Kubernetes takes the dashboards', { skip: absent }, async t => {
  const folder = t.testdir({ 'boards.yaml': await printDashboards({ kubernetes: true }) })
  const { code, stdout, stderr } = await judge('kubernetes-validate', ['--strict', `${folder}/boards.yaml`])
  t.equal(code, 0, stdout + stderr)
  t.equal(stdout.match(/ passed for resource /g)?.length, (await bundled()).length)
})

t.test('dashboards come from a folder and cannot be changed there', async t => {
  const { providers } = parseYaml(read('provisioning/dashboards/pillion.yaml')) as {
    providers: Record<string, unknown>[]
  }
  t.match(providers, [{ type: 'file', folderUid: 'pillion', allowUiUpdates: false, options: { path: /^\/var\/lib/ } }])
})

t.test('the document names what there is', async t => {
  const text = readFileSync(join(ROOT, 'docs/dashboards.md'), 'utf8')
  for (const name of ['Overview', 'Application', 'Requests', 'Runtime', 'Process', 'Health', 'Objectives', 'Sidecar'])
    t.match(text, `| ${name} |`)
  for (const [path] of text.matchAll(/dashboards\/rules\/[\w-]+\.yml/g)) t.ok(readFileSync(join(ROOT, path)))
})
