// For each alert a story in which it fires and one in which it does not, told to `promtool test rules`.

import * as health from '../../collectors/health.ts'
import * as otlp from '../../collectors/otlp.ts'
import { families as app } from '../../collectors/process.ts'
import { buildInfo, loopDelay, borrowed as ours, uncaughtExceptions } from '../../collectors/self.ts'
import { calls, latency } from '../../collectors/spans.ts'
import { collectorDuration, collectorSuccess, type Family, seriesOverflow } from '../../exporter/metrics.ts'
import { up } from '../prometheus.ts'

/** A series and its values, one a minute: "1x3 0x10" is 1 four times, then 0 eleven times. */
export type Line = readonly [series: string, values: string]

export interface Case {
  readonly alert: string
  /** Labels of the alert that fires, beside job, instance and severity. */
  readonly labels?: Readonly<Record<string, string>>
  /** Labels that the alert has lost, of job and instance. */
  readonly without?: readonly string[]
  /** The value as the texts show it, if they do. */
  readonly shown?: string
  readonly fires: Story
  readonly quiet: Story
}

export interface Story {
  readonly at: `${number}m`
  readonly lines: readonly Line[]
}

export const TARGET = { job: 'pillion', instance: 'shop:19464' } as const

function line<L extends string>(f: Family<L>, labels: Readonly<Record<L, string>>, values: string, suffix = ''): Line {
  const all = { ...TARGET, ...labels }
  const text = Object.entries(all).map(([name, value]) => `${name}="${value}"`)
  return [`${f.name}${suffix}{${text.join(', ')}}`, values]
}

/** A counter that grows by `step` a minute, for so many minutes. */
const growing = (step: number, minutes: number) => `0+${step}x${minutes}`

const SPAN = { service: 'shop', span_name: 'GET /', span_kind: 'SPAN_KIND_SERVER' } as const
const good = { ...SPAN, status_code: 'STATUS_CODE_UNSET' }
const bad = { ...SPAN, status_code: 'STATUS_CODE_ERROR' }
const SERVICE = { service: 'shop' }

const traffic = (ok: string, failed: string): Line[] => [line(calls, good, ok), line(calls, bad, failed)]

/** Requests of which all take less than `slowest` and none less than half of it, in the buckets that matter. */
function timed(slowest: number, minutes: number): Line[] {
  const bounds = [...latency.buckets.map(String), '+Inf']
  const grows = growing(60, minutes)
  return [
    line(calls, good, grows),
    ...bounds.map(le =>
      line({ ...latency, labels: [] }, { ...good, le }, reach(le) >= slowest ? grows : growing(0, minutes), '_bucket'),
    ),
  ]
}

/** The upper bound of a bucket. */
const reach = (le: string) => (le === '+Inf' ? Number.POSITIVE_INFINITY : Number(le))

const liveness = { probe: 'liveness' }
const DAY = 86_400

export const CASES: readonly Case[] = [
  {
    alert: 'AppDown',
    labels: liveness,
    fires: { at: '5m', lines: [line(health.healthUp, liveness, '1x2 0x5')] },
    quiet: { at: '5m', lines: [line(health.healthUp, liveness, '1x3 0 1x5')] },
  },
  {
    alert: 'AppFlapping',
    labels: liveness,
    shown: '15',
    fires: { at: '20m', lines: [line(health.stateChanges, liveness, growing(1, 30))] },
    quiet: { at: '20m', lines: [line(health.stateChanges, liveness, '0x5 2x30')] },
  },
  {
    alert: 'AppComponentDown',
    labels: { ...liveness, component: 'database' },
    fires: { at: '8m', lines: [line(health.componentUp, { ...liveness, component: 'database' }, '1x1 0x10')] },
    quiet: { at: '8m', lines: [line(health.componentUp, { ...liveness, component: 'database' }, '1x1 0x3 1x10')] },
  },
  {
    alert: 'AppProcessGone',
    fires: { at: '5m', lines: [line(app.up, {}, '1x2 0x5')] },
    quiet: { at: '5m', lines: [line(app.up, {}, '1x3 0 1x5')] },
  },
  {
    alert: 'AppRestarting',
    shown: '5',
    fires: { at: '20m', lines: [line(app.restarts, {}, '0x6 5x30')] },
    quiet: { at: '20m', lines: [line(app.restarts, {}, '0x6 1x30')] },
  },
  {
    alert: 'AppOutOfMemory',
    fires: { at: '8m', lines: [line(app.cgroupOomKills, {}, '0x4 1x10')] },
    quiet: { at: '8m', lines: [line(app.cgroupOomKills, {}, '3x15')] },
  },
  {
    alert: 'AppHighErrorRatio',
    labels: SERVICE,
    shown: '10%',
    fires: { at: '15m', lines: traffic(growing(54, 20), growing(6, 20)) },
    quiet: { at: '15m', lines: traffic(growing(59, 20), growing(1, 20)) },
  },
  {
    alert: 'AppHighLatency',
    labels: SERVICE,
    shown: '4.076s',
    fires: { at: '20m', lines: timed(4.096, 30) },
    quiet: { at: '20m', lines: timed(1.024, 30) },
  },
  {
    alert: 'AppNoTraffic',
    labels: SERVICE,
    fires: { at: '80m', lines: traffic('0+60x50 3000x50', '0x100') },
    quiet: { at: '80m', lines: traffic(growing(60, 100), '0x100') },
  },
  {
    alert: 'AppCpuThrottled',
    shown: '50%',
    fires: {
      at: '25m',
      lines: [line(app.cgroupPeriods, {}, growing(600, 40)), line(app.cgroupThrottledPeriods, {}, growing(300, 40))],
    },
    quiet: {
      at: '25m',
      lines: [line(app.cgroupPeriods, {}, growing(600, 40)), line(app.cgroupThrottledPeriods, {}, growing(60, 40))],
    },
  },
  {
    alert: 'AppMainThreadSaturated',
    shown: '95%',
    fires: { at: '20m', lines: [line(app.mainThreadCpu, {}, growing(57, 30))] },
    quiet: { at: '20m', lines: [line(app.mainThreadCpu, {}, growing(30, 30))] },
  },
  {
    alert: 'AppMemoryNearLimit',
    shown: '95%',
    fires: {
      at: '10m',
      lines: [line(app.cgroupWorkingSet, {}, '950x20'), line(app.cgroupMemoryLimit, {}, '1000x20')],
    },
    quiet: {
      at: '10m',
      lines: [line(app.cgroupWorkingSet, {}, '500x20'), line(app.cgroupMemoryLimit, {}, '1000x20')],
    },
  },
  {
    alert: 'AppFilesNearLimit',
    shown: '85%',
    fires: { at: '10m', lines: [line(app.worstFdRatio, {}, '0.85x20')] },
    quiet: { at: '10m', lines: [line(app.worstFdRatio, {}, '0.5x20')] },
  },
  {
    alert: 'AppFilesRunningOut',
    shown: '3.6k',
    fires: { at: '120m', lines: [line(app.openFds, {}, growing(10, 150)), line(app.maxFds, {}, '1024x150')] },
    quiet: { at: '120m', lines: [line(app.openFds, {}, '100x150'), line(app.maxFds, {}, '1024x150')] },
  },
  {
    alert: 'AppCertificateExpiresSoon',
    labels: liveness,
    shown: '9d 22h 0m 0s',
    fires: { at: '120m', lines: [line(health.certificateExpiry, liveness, `${10 * DAY}x150`)] },
    quiet: { at: '120m', lines: [line(health.certificateExpiry, liveness, `${60 * DAY}x150`)] },
  },
  {
    alert: 'AppCertificateExpiresNow',
    labels: liveness,
    shown: '2d 23h 0m 0s',
    fires: { at: '60m', lines: [line(health.certificateExpiry, liveness, `${3 * DAY}x90`)] },
    quiet: { at: '60m', lines: [line(health.certificateExpiry, liveness, `${10 * DAY}x90`)] },
  },
  {
    alert: 'SidecarDown',
    fires: { at: '10m', lines: [line(up, {}, '1x4 0x10'), line(buildInfo, { version: '1', node: '24' }, '1x4')] },
    // A target that never was a sidecar is none of our business.
    quiet: { at: '10m', lines: [line(up, {}, '1x4 0x10')] },
  },
  {
    alert: 'SidecarAbsent',
    without: ['job', 'instance'],
    fires: { at: '30m', lines: [line(up, {}, '1x60')] },
    quiet: { at: '30m', lines: [line(buildInfo, { version: '1', node: '24' }, '1x60')] },
  },
  {
    alert: 'SidecarRestarting',
    shown: '4',
    fires: { at: '25m', lines: [line(ours.startTime, {}, '1x4 2x4 3x4 4x4 5x20')] },
    quiet: { at: '25m', lines: [line(ours.startTime, {}, '1x10 2x30')] },
  },
  {
    alert: 'SidecarCollectorFailing',
    labels: { collector: 'process' },
    fires: { at: '10m', lines: [line(collectorSuccess, { collector: 'process' }, '1x2 0x20')] },
    quiet: { at: '10m', lines: [line(collectorSuccess, { collector: 'process' }, '1x2 0x2 1x20')] },
  },
  {
    alert: 'SidecarCannotRead',
    labels: { file: 'io' },
    fires: { at: '20m', lines: [line(app.readable, { file: 'io' }, '0x30')] },
    quiet: { at: '20m', lines: [line(app.readable, { file: 'io' }, '1x30')] },
  },
  {
    alert: 'SidecarScrapeSlow',
    shown: '3s',
    fires: {
      at: '15m',
      lines: [
        line(collectorDuration, { collector: 'process' }, '2.5x30'),
        line(collectorDuration, { collector: 'spans' }, '0.5x30'),
      ],
    },
    quiet: { at: '15m', lines: [line(collectorDuration, { collector: 'process' }, '0.01x30')] },
  },
  {
    alert: 'SidecarItemsRefused',
    labels: { signal: 'traces', reason: 'invalid_trace_id' },
    shown: '2',
    fires: {
      at: '15m',
      lines: [line(otlp.refused, { signal: 'traces', reason: 'invalid_trace_id' }, growing(120, 30))],
    },
    quiet: { at: '15m', lines: [line(otlp.refused, { signal: 'logs', reason: 'not_configured' }, growing(120, 30))] },
  },
  {
    alert: 'SidecarRequestsRefused',
    labels: { signal: 'traces', transport: 'http', code: '503' },
    shown: '1',
    fires: {
      at: '20m',
      lines: [line(otlp.requests, { signal: 'traces', transport: 'http', code: '503' }, growing(60, 30))],
    },
    quiet: {
      at: '20m',
      lines: [line(otlp.requests, { signal: 'traces', transport: 'http', code: '200' }, growing(60, 30))],
    },
  },
  {
    alert: 'SidecarSeriesOverflow',
    labels: { family: 'traces_spanmetrics' },
    fires: { at: '20m', lines: [line(seriesOverflow, { family: 'traces_spanmetrics' }, growing(1, 30))] },
    quiet: { at: '20m', lines: [line(seriesOverflow, { family: 'traces_spanmetrics' }, '0x30')] },
  },
  {
    alert: 'SidecarEventLoopLag',
    shown: '248.5ms',
    fires: { at: '20m', lines: delayed(0.25) },
    quiet: { at: '20m', lines: delayed(0.01) },
  },
  {
    alert: 'SidecarMemoryHigh',
    shown: '256Mi',
    fires: { at: '20m', lines: [line(ours.residentMemory, {}, `${256 * 2 ** 20}x30`)] },
    quiet: { at: '20m', lines: [line(ours.residentMemory, {}, `${80 * 2 ** 20}x30`)] },
  },
  {
    alert: 'SidecarBug',
    fires: { at: '10m', lines: [line(uncaughtExceptions, {}, '0x5 1x30')] },
    quiet: { at: '10m', lines: [line(uncaughtExceptions, {}, '0x30')] },
  },
]

/** Timers that all run as late as the bucket that ends at `bound` says. */
function delayed(bound: number): Line[] {
  return [...loopDelay.buckets.map(String), '+Inf'].map(le =>
    line({ ...loopDelay, labels: [] }, { le }, reach(le) >= bound ? growing(120, 30) : growing(0, 30), '_bucket'),
  )
}

export interface SloCase {
  readonly slo: 'availability' | 'latency'
  /** Per cent of the requests that miss the objective, all the time. */
  readonly missed: number
  readonly at: `${number}m`
  /** The long window of the one alert that fires by then. */
  readonly fires?: '1h' | '6h' | '1d' | '3d'
}

/** The objectives of the example: 0.1 % may fail, 1 % may take longer than 300 ms. */
export const SLO_CASES: readonly SloCase[] = [
  { slo: 'availability', missed: 2, at: '10m', fires: '1h' },
  { slo: 'availability', missed: 0.8, at: '40m', fires: '6h' },
  { slo: 'availability', missed: 0.4, at: '90m', fires: '1d' },
  { slo: 'availability', missed: 0.2, at: '240m', fires: '3d' },
  { slo: 'availability', missed: 0.05, at: '240m' },
  { slo: 'latency', missed: 20, at: '10m', fires: '1h' },
  { slo: 'latency', missed: 8, at: '40m', fires: '6h' },
  { slo: 'latency', missed: 4, at: '90m', fires: '1d' },
  { slo: 'latency', missed: 2, at: '240m', fires: '3d' },
  { slo: 'latency', missed: 0.5, at: '240m' },
]

/** Ten thousand requests a minute of which so many per cent fail, or take between 512 ms and one second. */
export function sloLines({ slo, missed }: SloCase): Line[] {
  const part = missed * 100
  if (slo === 'availability') return traffic(growing(10_000 - part, 300), growing(part, 300))
  const buckets = [...latency.buckets.map(String), '+Inf'].map(le => {
    const within = reach(le) >= 1.024 ? 10_000 : reach(le) >= 0.256 ? 10_000 - part : 0
    return line({ ...latency, labels: [] }, { ...good, le }, growing(within, 300), '_bucket')
  })
  return [...buckets, line(latency, good, growing(10_000, 300), '_count')]
}
