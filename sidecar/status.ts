// What the page and /api/status show: of each part the few numbers that a person wants first, and the ledger. All of it is
// read back from the metrics, so the page can say nothing that Prometheus would not be told.

import type { Application, Finding } from '../collectors/collector.ts'
import { healthUp, probeFailures } from '../collectors/health.ts'
import { held as heldRecords } from '../collectors/logs.ts'
import { accepted, received, refused } from '../collectors/otlp.ts'
import { families as processFamilies } from '../collectors/process.ts'
import { ownMemory } from '../collectors/self.ts'
import { calls, otelCalls } from '../collectors/spans.ts'
import { collectorSuccess, type Family, type Metrics, series } from '../exporter/metrics.ts'
import { type LedgerRow, type Part, type Status, shownCommand, shownUrl } from '../exporter/web.ts'

export interface Known {
  readonly version: string
  readonly uptimeSeconds: number
  readonly name: string | undefined
  readonly command: readonly string[] | undefined
  readonly app: Application
  readonly metrics: Metrics
  readonly parts: readonly { readonly name: string; readonly findings: readonly Finding[] }[]
}

export async function status(known: Known): Promise<Status> {
  const { app, command, metrics } = known
  const read = (family: Family): Promise<readonly Sample[]> => samples(metrics, family)
  const failed = new Set(
    (await read(collectorSuccess)).filter(each => each.value === 0).map(each => each.labels['collector']),
  )
  const facts = await factsByPart(read)
  return {
    version: known.version,
    uptimeSeconds: known.uptimeSeconds,
    application: {
      name: known.name,
      command: command && shownCommand(command),
      url: app.url === undefined ? undefined : shownUrl(app.url),
      pid: app.pid,
      port: app.port,
    },
    parts: [...known.parts]
      .sort((a, b) => place(a.name) - place(b.name))
      .map(({ name, findings }) => ({
        name,
        state: failed.has(name) ? 'failed' : findings.some(each => each.level === 'warning') ? 'warning' : 'ok',
        facts: facts[name] ?? [],
        findings,
      })),
    ledger: await ledger(read),
  }
}

/**
 * The ledger as fields of the last line of the log: what came in after the last scrape would otherwise be known to nobody.
 * Signals of which nothing came are left out.
 */
export async function totals(metrics: Metrics): Promise<Readonly<Record<string, number>>> {
  const rows = await ledger(family => samples(metrics, family))
  const fields = rows
    .filter(row => row.received > 0)
    .flatMap(({ signal, received, accepted }) => [
      [`${signal}_accepted`, accepted] as const,
      [`${signal}_refused`, received - accepted] as const,
    ])
  return Object.fromEntries(fields)
}

/** The application first, the sidecar itself last. */
function place(part: string): number {
  return ['health', 'process', 'spans', 'metrics', 'logs', 'otlp', 'self'].indexOf(part)
}

interface Sample {
  readonly labels: Readonly<Partial<Record<string, string | number>>>
  readonly value: number
}

type Read = (family: Family) => Promise<readonly Sample[]>

async function samples({ registry }: Metrics, { name }: Family): Promise<readonly Sample[]> {
  const metric = registry.getSingleMetric(name)
  return metric ? (await metric.get()).values : []
}

async function factsByPart(read: Read): Promise<Readonly<Record<string, Part['facts']>>> {
  const { residentMemory, threads, restarts } = processFamilies
  const failures = await read(probeFailures)
  const failuresOf = (probe: string | number | undefined): number =>
    failures.filter(each => each.labels['probe'] === probe).reduce((sum, each) => sum + each.value, 0)
  const tables = await read(series)
  const held = (...names: readonly string[]): NonNullable<Part['facts']> =>
    tables
      .filter(({ labels }) => names.includes(String(labels['family'])))
      .map(({ value }) => ({ name: 'label sets', value }))
  const spanCount = [...(await read(calls)), ...(await read(otelCalls))].reduce((sum, each) => sum + each.value, 0)
  return {
    health: (await read(healthUp)).map(({ labels, value }) => ({
      name: String(labels['probe']),
      value: `${value === 1 ? 'up' : 'down'}, failed ${failuresOf(labels['probe'])}×`,
    })),
    process: [
      ...(await read(residentMemory)).map(({ value }) => ({
        name: 'memory',
        value: mebibytes(value),
      })),
      ...(await read(threads)).map(({ value }) => ({ name: 'threads', value })),
      ...(await read(restarts)).map(({ value }) => ({ name: 'restarts', value })),
    ],
    spans: [{ name: 'spans counted', value: spanCount }, ...held('traces_spanmetrics', 'traces_span_metrics')],
    metrics: held('otlp_metrics'),
    logs: [
      ...(await read(heldRecords)).map(({ value }) => ({ name: 'records kept', value })),
      ...held('app_log_records'),
    ],
    self: (await read(ownMemory)).map(({ value }) => ({ name: 'memory', value: mebibytes(value) })),
  }
}

function mebibytes(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(0)} MiB`
}

async function ledger(read: Read): Promise<readonly LedgerRow[]> {
  const [taken, kept, turnedAway] = await Promise.all([read(received), read(accepted), read(refused)])
  const of = (all: readonly Sample[], signal: string | number | undefined): readonly Sample[] =>
    all.filter(each => each.labels['signal'] === signal)
  return taken.map(({ labels: { signal }, value }) => ({
    signal: String(signal),
    received: value,
    accepted: of(kept, signal)[0]?.value ?? 0,
    refused: Object.fromEntries(of(turnedAway, signal).map(each => [String(each.labels['reason']), each.value])),
  }))
}
