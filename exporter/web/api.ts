// The JSON behind the page, which is useful to scripts too (docs/api.md). Routes of traces and logs are those of their parts.

import { createHash } from 'node:crypto'
import type { Express, Request, Response } from 'express'
import type { Sample } from '../../metrics/registry.ts'
import type { Status } from '../../telemetry/status.ts'
import { say } from './answer.ts'
import { type Attention, attention, traceQuery } from './attention.ts'
import type { WebHost } from './host.ts'
import { READINGS } from './recent/machine.ts'
import { type Kept, Recent } from './recent/recent.ts'
import { entering, type Operation, quantile, STEPS_OF_HISTOGRAM } from './recent/requests.ts'
import { groups, STEPS, type Timeline } from './recent/timeline.ts'

type ApiHost = Pick<
  WebHost,
  'metrics' | 'clock' | 'memory' | 'log' | 'gather' | 'page' | 'configuration' | 'receiver' | 'ends' | 'episodes'
>

/** The figures that say "now" are those of the last minute: one second alone says little. */
const NOW_SECONDS = 60
/** Readings that are told as numbers over time; the others are facts of the process. */
const CHARTED = READINGS.filter(name => !['healthy', 'running', 'restarts', 'startedSeconds'].includes(name))
/** Points of a sparkline. */
const SPARKS = 30

export function addApi(app: Express, host: ApiHost, status: () => Promise<Status>): Recent {
  const recent = new Recent(host)

  app.get('/api/overview', async (request, response) => {
    const [kept, now] = [await recent.kept(), host.clock.now()]
    const ends = host.ends?.() ?? []
    const known = { status: await status(), kept, now, ends, episodes: host.episodes?.() ?? [] }
    const all = await attention(known)
    const head = { application: known.status.application, well: well(all, kept), receiver: host.receiver?.() }
    const query = queryOf(request)
    if (query.has('head')) return answer(request, response, head)
    const step = number(query, 'step', 1, 60, 5)
    answer(request, response, {
      ...head,
      now,
      version: known.status.version,
      uptimeSeconds: known.status.uptimeSeconds,
      attention: all,
      process: { ...processOf(kept), ends },
      requests: requestsOf(kept),
      readings: Object.fromEntries(
        CHARTED.map(name => [name, rounded(kept.machine.now(name, kept.timeline))]).filter(
          ([, value]) => value !== undefined,
        ),
      ),
      history: history(kept, step, query.get('service') ?? undefined),
    })
  })

  app.get('/api/operations', async (request, response) => {
    const kept = await recent.kept()
    const { timeline, requests } = kept
    const seconds = number(queryOf(request), 'window', 10, STEPS, 300)
    const from = timeline.since(seconds)
    answer(request, response, {
      now: host.clock.now(),
      windowSeconds: spanned(timeline, from),
      bounds: requests.bounds,
      leftOut: requests.leftOut,
      operations: requests.operations.map(operation => operationOf(operation, kept, from)),
    })
  })

  app.get('/api/metrics', async (request, response) => {
    const kept = await recent.kept()
    const family = queryOf(request).get('family')
    const isNew = family !== null && kept.families.series(family).series.length === 0
    if (family !== null) kept.families.follow(family)
    if (isNew || kept.families.list.length === 0 || family === null) await kept.readFamilies({ keep: isNew })
    const { list } = kept.families
    if (family === null) return answer(request, response, { families: list })
    const described = list.find(({ name }) => name === family)
    if (!described) return say(response, 404, `there is no family ${family} on /metrics now`)
    const { times, series, all } = kept.families.series(family)
    const first = times.findIndex((_, i) => series.some(({ values }) => values[i] !== null))
    const from = first < 0 ? times.length : first
    answer(request, response, {
      family: described,
      stepSeconds: 5,
      series: series.map(each => ({ ...each, values: each.values.slice(from) })),
      seriesInAll: all,
      times: times.slice(from).map(ms => ms / 1000),
    })
  })

  app.get('/api/sidecar', async (request, response) => {
    const kept = await recent.kept()
    const { version, uptimeSeconds, parts, ledger } = await status()
    const now = host.clock.now()
    const { timeline, machine } = kept
    const points = groups(timeline, 5)
    const column = (name: 'ownCpu' | 'ownMemory'): (number | null)[] =>
      points.map(({ from, to }) => rounded(machine.mean(name, from, to)) ?? null)
    answer(request, response, {
      now,
      version,
      uptimeSeconds,
      parts,
      ledger: await ledgerOf(host, ledger),
      limits: kept.limits.reached(now),
      memory: {
        total: host.memory.total,
        used: host.memory.used,
        parts: [...host.memory.parts].map(([name, { used, most, refused }]) => ({ name, used, most, refused })),
      },
      cost: {
        cpu: rounded(machine.mean('ownCpu', timeline.since(NOW_SECONDS), timeline.steps)),
        memory: machine.now('ownMemory', timeline),
        history: { times: points.map(({ time }) => time / 1000), cpu: column('ownCpu'), memory: column('ownMemory') },
      },
      configuration: (await host.configuration?.()) ?? '',
    })
  })
  return recent
}

/** Answers with JSON, or with 304 if the client has this very answer. */
function answer(request: Request, response: Response, value: unknown): void {
  const text = JSON.stringify(value)
  const tag = `"${createHash('sha1').update(text).digest('base64url')}"`
  response.set('ETag', tag)
  if (request.headers['if-none-match'] === tag) response.status(304).end()
  else response.type('json').send(text)
}

function queryOf({ originalUrl }: Request): URLSearchParams {
  const at = originalUrl.indexOf('?')
  return new URLSearchParams(at < 0 ? '' : originalUrl.slice(at + 1))
}

/** A whole number within bounds; what is none counts as absent. */
function number(query: URLSearchParams, name: string, min: number, max: number, otherwise: number): number {
  const text = query.get(name) ?? ''
  return /^\d{1,6}$/.test(text) ? Math.min(max, Math.max(min, Number(text))) : otherwise
}

function well(
  all: readonly Attention[],
  { machine, timeline }: Kept,
): { readonly state: string; readonly text: string } {
  const [worst] = all
  const healthy = machine.now('healthy', timeline)
  if (machine.now('running', timeline) === 0) return { state: 'failed', text: 'not running' }
  if (healthy === 0) return { state: 'failed', text: 'unhealthy' }
  if (worst?.level === 'failed') return { state: 'failed', text: 'failing' }
  if (worst?.level === 'warning') {
    const look = `${all.filter(({ level }) => level === 'warning').length} to look at`
    return { state: 'warning', text: healthy === 1 ? `healthy, ${look}` : look }
  }
  return healthy === 1 ? { state: 'ok', text: 'healthy' } : { state: 'unknown', text: 'no probe has decided yet' }
}

function processOf({ machine, timeline }: Kept): object {
  const health = machine.unchangedSince('healthy', timeline)
  return {
    running: flag(machine.now('running', timeline)),
    startedSeconds: machine.now('startedSeconds', timeline),
    restarts: machine.now('restarts', timeline),
    healthy: flag(machine.now('healthy', timeline)),
    ...(health !== undefined && { healthSince: timeline.time(health), healthLonger: health === timeline.first }),
  }
}

function flag(value: number | undefined): boolean | undefined {
  return value === undefined ? undefined : value === 1
}

/** Those that a request enters by; if there are none, all there are. */
function entries(kept: Kept, service: string | undefined): readonly Operation[] {
  const all = kept.requests.operations.filter(operation => service === undefined || operation.service === service)
  const served = all.filter(entering)
  return served.length > 0 ? served : all
}

function requestsOf(kept: Kept): object {
  const services = [...new Set(kept.requests.operations.map(({ service }) => service))].filter(Boolean).sort()
  const { timeline } = kept
  return {
    windowSeconds: spanned(timeline, timeline.since(NOW_SECONDS)),
    entered: kept.requests.entered,
    all: summary(entries(kept, undefined), kept, timeline.since(NOW_SECONDS)),
    services: services.map(service => ({
      service,
      ...summary(entries(kept, service), kept, timeline.since(NOW_SECONDS)),
    })),
  }
}

function summary(operations: readonly Operation[], { timeline, requests }: Kept, from: number): object {
  const { bounds } = requests
  const buckets = new Float64Array(bounds.length + 1)
  let [calls, errors] = [0, 0]
  for (const operation of operations) {
    calls += operation.calls(from, timeline.steps)
    errors += operation.errors(from, timeline.steps)
    operation.addBuckets(from, timeline.steps, buckets)
  }
  const seconds = spanned(timeline, from)
  return {
    calls,
    errors,
    perSecond: seconds > 0 ? rounded(calls / seconds) : 0,
    p50: rounded(quantile(0.5, buckets, bounds)),
    p95: rounded(quantile(0.95, buckets, bounds)),
    p99: rounded(quantile(0.99, buckets, bounds)),
  }
}

/** Seconds that the steps from `from` on took. */
function spanned(timeline: Timeline, from: number): number {
  let seconds = 0
  for (let step = from; step < timeline.steps; step++) seconds += timeline.seconds(step)
  return Math.round(seconds * 1000) / 1000
}

function history(kept: Kept, size: number, service: string | undefined): object {
  const { timeline, machine, requests } = kept
  const points = groups(timeline, size)
  const operations = entries(kept, service)
  const { bounds } = requests
  const wide = groups(timeline, Math.max(STEPS_OF_HISTOGRAM, Math.ceil(size / STEPS_OF_HISTOGRAM) * STEPS_OF_HISTOGRAM))
  const latency = wide.map(({ from, to }) => {
    const buckets = new Float64Array(bounds.length + 1)
    for (const operation of operations) operation.addBuckets(from, to, buckets)
    return [0.5, 0.95, 0.99].map(share => rounded(quantile(share, buckets, bounds)) ?? null)
  })
  const total = (of: 'calls' | 'errors'): number[] =>
    points.map(({ from, to, seconds }) => {
      let sum = 0
      for (const operation of operations) sum += operation[of](from, to)
      return rounded(sum / seconds) ?? 0
    })
  return {
    times: points.map(({ time }) => Math.round(time) / 1000),
    requests: total('calls'),
    errors: total('errors'),
    latency: {
      times: wide.map(({ time }) => Math.round(time) / 1000),
      p50: latency.map(([value]) => value),
      p95: latency.map(([, value]) => value),
      p99: latency.map(([, , value]) => value),
    },
    readings: Object.fromEntries(
      CHARTED.map(name => [name, points.map(({ from, to }) => rounded(machine.mean(name, from, to)) ?? null)]).filter(
        ([, values]) => (values as (number | null)[]).some(value => value !== null),
      ),
    ),
  }
}

function operationOf(operation: Operation, kept: Kept, from: number): object {
  const { timeline, requests } = kept
  const { service, name, kind } = operation
  const buckets = new Float64Array(requests.bounds.length + 1)
  operation.addBuckets(from, timeline.steps, buckets)
  const size = Math.max(1, Math.ceil((timeline.steps - from) / SPARKS))
  return {
    service,
    name,
    kind,
    ...summary([operation], kept, from),
    buckets: [...buckets],
    rates: groups(timeline, size, from).map(each => rounded(operation.calls(each.from, each.to) / each.seconds) ?? 0),
    query: traceQuery(operation, 'true').replace(' && true', ''),
  }
}

interface Consumed {
  readonly consumer: string
  readonly kept?: number
  readonly sent?: number
  readonly held?: number
  readonly dropped: Readonly<Record<string, number>>
}

/** The ledger with what became of the accepted items, by consumer, as the metrics say it. */
async function ledgerOf({ metrics }: Pick<ApiHost, 'metrics'>, rows: Status['ledger']): Promise<readonly object[]> {
  const read = async (name: string): Promise<readonly Sample[]> =>
    ((await metrics.registry.getSingleMetric(name)?.get())?.values ?? []) as readonly Sample[]
  const [dropped, sent, lost, held, spans] = await Promise.all(
    [
      'pillion_otlp_dropped_items_total',
      'pillion_forward_items_total',
      'pillion_forward_dropped_items_total',
      'pillion_forward_held_items',
      'pillion_traces_kept_spans',
    ].map(read),
  )
  return rows.map(row => {
    const of = (samples: readonly Sample[] = []): readonly Sample[] =>
      samples.filter(({ labels }) => labels['signal'] === row.signal)
    const consumers = new Map<string, Consumed>()
    const of1 = (consumer: string): Consumed => consumers.get(consumer) ?? { consumer, dropped: {} }
    const put = (consumer: string, more: Partial<Consumed>): void => {
      const before = of1(consumer)
      consumers.set(consumer, { ...before, ...more, dropped: { ...before.dropped, ...more.dropped } })
    }
    for (const { labels, value } of of(dropped))
      put(`${labels['consumer']}`, { dropped: { [`${labels['reason']}`]: value } })
    for (const { labels, value } of of(sent)) put(`forward to ${labels['upstream']}`, { sent: value })
    for (const { labels, value } of of(held)) put(`forward to ${labels['upstream']}`, { held: value })
    for (const { labels, value } of of(lost))
      put(`forward to ${labels['upstream']}`, { dropped: { [`${labels['reason']}`]: value } })
    if (row.signal === 'traces' && spans?.[0]) put('traces', { kept: spans[0].value })
    return { ...row, consumers: [...consumers.values()] }
  })
}

/** Four digits are more than a chart shows. */
function rounded(value: number | undefined): number | undefined {
  return value === undefined || !Number.isFinite(value) ? undefined : Number(value.toPrecision(4))
}
