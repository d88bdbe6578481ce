// An application that exports to a back end by OpenTelemetry's variables is started by `pillion run`: the back end gets what it
// would have got without it, from the SDKs of four languages.

import t from 'tap'
import { Child, until } from '../e2e/child.ts'
import { startSidecar } from '../e2e/ride.ts'
import { type Arrived, upstream } from '../forward/upstream.ts'
import { decoder } from '../otlp/protobufjs.ts'
import { CLIENTS, SENT } from './clients.ts'
import { INSTALLING_MS } from './programs.ts'

t.setTimeout(4 * INSTALLING_MS)

const EXPORTERS = { OTEL_TRACES_EXPORTER: 'otlp', OTEL_METRICS_EXPORTER: 'otlp', OTEL_LOGS_EXPORTER: 'otlp' }
/** Attributes that are another process's own. */
const OWN = /^(?:process\.(?:pid|parent_pid|command.*|owner|executable.*)|service\.instance\.id|host\..*)$/

for (const { language, skip, install } of CLIENTS)
  t.test(`the SDK of ${language}: its back end gets the same resource and the same items`, { skip }, async t => {
    const [command, ...args] = await install()
    const [direct, behind] = [await upstream(t), await upstream(t)]
    const env = (url: string) => ({
      ...EXPORTERS,
      OTEL_EXPORTER_OTLP_ENDPOINT: url,
      OTEL_EXPORTER_OTLP_PROTOCOL: 'http/protobuf',
      OTEL_EXPORTER_OTLP_HEADERS: 'api-key=secret',
    })
    await using alone = await Child.start(command, args, env(direct.url))
    t.equal((await alone.ended).code, 0, alone.stderr)
    await using ride = await startSidecar({
      command: [command, ...args],
      env: env(behind.url),
      flags: ['--run.linger', '5m'],
    })
    for (const [signal, items] of Object.entries(SENT))
      await until(`${items} ${signal}`, () => count(behind.arrived, signal) >= items || undefined)
    t.same(summary(behind.arrived), summary(direct.arrived))
    for (const { headers } of behind.arrived) t.equal(headers['api-key'], 'secret')
    for (const signal of ['traces', 'logs'] as const)
      t.equal(await ride.value('pillion_otlp_accepted_items_total', { signal }), SENT[signal])
  })

function count(arrived: readonly Arrived[], signal: string): number {
  return arrived.filter(each => each.signal === signal).reduce((sum, { items }) => sum + items, 0)
}

/** The part that is the same in each run: items of traces and logs, and the resources of each signal. */
function summary(arrived: readonly Arrived[]): object {
  const resources = (signal: Arrived['signal']) => {
    const texts = arrived
      .filter(each => each.signal === signal)
      .flatMap(({ bytes }) => {
        const type = decoder(signal)
        const request = type.toObject(type.decode(bytes), { bytes: String, longs: String })
        const lists: unknown = Object.values(request)[0]
        return Array.isArray(lists) ? lists : []
      })
      .map(each => {
        const attributes: readonly { readonly key: string }[] = each.resource?.attributes ?? []
        const kept = attributes.filter(({ key }) => !OWN.test(key))
        return JSON.stringify(kept.toSorted((a, b) => (a.key < b.key ? -1 : 1)))
      })
    return [...new Set(texts)].sort()
  }
  return {
    spans: count(arrived, 'traces'),
    records: count(arrived, 'logs'),
    resources: { traces: resources('traces'), metrics: resources('metrics'), logs: resources('logs') },
  }
}
