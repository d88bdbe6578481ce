// What Grafana is provisioned with: data sources that lead to each other, and a folder for the dashboards.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { parse as parseYaml } from 'yaml'
import { calls, latency } from '../../collectors/spans.ts'
import { parse, ROOT } from './files.ts'

const read = (file: string): string => readFileSync(join(ROOT, 'deploy/grafana', file), 'utf8')

interface Source {
  readonly uid: string
  readonly type: string
  readonly url: string
  readonly jsonData: {
    readonly timeInterval?: string
    readonly exemplarTraceIdDestinations?: readonly { readonly name: string; readonly datasourceUid: string }[]
    readonly tracesToMetrics?: {
      readonly datasourceUid: string
      readonly queries: readonly { readonly query: string }[]
    }
  }
}

t.test('without a Tempo there is Prometheus alone, and nothing leads elsewhere', async t => {
  const { datasources } = parseYaml(read('provisioning/datasources/pillion.yaml')) as { datasources: Source[] }
  t.same(
    datasources.map(({ type, url }) => [type, url]),
    [['prometheus', '$PROMETHEUS_URL']],
  )
  t.equal(datasources[0]?.jsonData.exemplarTraceIdDestinations, undefined)
})

t.test('with a Tempo exemplars lead to the traces, and traces to the metrics', async t => {
  const { apiVersion, datasources } = parseYaml(read('with-tempo/pillion.yaml')) as {
    apiVersion: number
    datasources: Source[]
  }
  t.equal(apiVersion, 1)
  const [prometheus, traces] = ['prometheus', 'tempo'].map(type => datasources.find(each => each.type === type)!)
  t.match(prometheus!.jsonData.timeInterval, /^\d+s$/)
  // The name of the label is the one that the sidecar gives its exemplars.
  t.same(
    prometheus!.jsonData.exemplarTraceIdDestinations?.map(({ name, datasourceUid }) => [name, datasourceUid]),
    [['trace_id', traces!.uid]],
  )
  const { datasourceUid, queries } = traces!.jsonData.tracesToMetrics!
  t.equal(datasourceUid, prometheus!.uid)
  const known = [calls.name, `${latency.name}_bucket`]
  for (const { query } of queries) {
    // Grafana expands variables of its environment in these files, so that a dollar is written twice.
    t.match(query, '$$__rate_interval')
    const asked = parse(query.replaceAll('$$__tags', 'service="shop"').replaceAll('$$__rate_interval', '1m'))
    t.ok(asked?.length && asked.every(({ metric }) => known.includes(metric)), query)
  }
})

t.test('dashboards come from a folder and cannot be changed there', async t => {
  const { providers } = parseYaml(read('provisioning/dashboards/pillion.yaml')) as {
    providers: Record<string, unknown>[]
  }
  t.match(providers, [{ type: 'file', folderUid: 'pillion', allowUiUpdates: false, options: { path: /^\/var\/lib/ } }])
})

t.test('the document names what there is', async t => {
  const text = readFileSync(join(ROOT, 'docs/dashboards.md'), 'utf8')
  for (const name of ['Overview', 'Application', 'Requests', 'Process', 'Health', 'Sidecar'])
    t.match(text, `| ${name} |`)
  for (const [path] of text.matchAll(/dashboards\/rules\/[\w-]+\.yml/g)) t.ok(readFileSync(join(ROOT, path)))
})
