// For each alert on the sidecar a case in which it fires and one in which it does not.

import * as files from '../../collectors/files.ts'
import { memoryRefused } from '../../collectors/memory.ts'
import * as otlp from '../../collectors/otlp.ts'
import { families as app } from '../../collectors/process.ts'
import { buildInfo, loopDelay, borrowed as ours, uncaughtExceptions } from '../../collectors/self.ts'
import * as tap from '../../collectors/tap.ts'
import * as flight from '../../exporter/flight.ts'
import * as forward from '../../exporter/forward.ts'
import { collectorDuration, collectorSuccess } from '../../exporter/prometheus.ts'
import { pushFailing } from '../../exporter/push.ts'
import { seriesOverflow } from '../../metrics/registry.ts'
import * as reload from '../../telemetry/reload.ts'
import { up } from '../prometheus.ts'
import { type Case, growing, type Line, line, onInstance, reach } from './case.ts'

const ROAD = { upstream: 'collector:4318', signal: 'traces' }

export const SIDECAR_CASES: readonly Case[] = [
  {
    alert: 'SidecarDown',
    fires: { at: '10m', lines: [line(up, {}, '1x4 0x10'), line(buildInfo, { version: '1', node: '24' }, '1x4')] },
    // A target that never was a sidecar does not count.
    quiet: { at: '10m', lines: [line(up, {}, '1x4 0x10')] },
  },
  {
    alert: 'SidecarAbsent',
    without: ['job', 'instance'],
    fires: { at: '30m', lines: [line(up, {}, '1x60')] },
    quiet: { at: '30m', lines: [line(buildInfo, { version: '1', node: '24' }, '1x60')] },
  },
  {
    alert: 'SidecarsFewer',
    without: ['instance'],
    shown: '2',
    fires: {
      at: '100m',
      lines: ['1x120', '1x120', '1x60'].map((values, i) =>
        onInstance(`shop-${i}`, line(buildInfo, { version: '1', node: '24' }, values)),
      ),
    },
    // A new version has other labels, and other pods.
    quiet: {
      at: '100m',
      lines: [
        onInstance('old', line(buildInfo, { version: '1', node: '24' }, '1x60')),
        onInstance('new', line(buildInfo, { version: '2', node: '24' }, '_x60 1x60')),
      ],
    },
  },
  {
    alert: 'SidecarConfigRefused',
    fires: { at: '10m', lines: [line(reload.successful, {}, '1x2 0x20')] },
    quiet: { at: '10m', lines: [line(reload.successful, {}, '1x2 0x3 1x20')] },
  },
  {
    alert: 'SidecarMemoryRefused',
    labels: { part: 'otlp' },
    fires: { at: '25m', lines: [line(memoryRefused, { part: 'otlp' }, growing(3, 40))] },
    quiet: { at: '25m', lines: [line(memoryRefused, { part: 'otlp' }, '0x5 3x40')] },
  },
  {
    alert: 'SidecarLogsDropped',
    labels: { source: 'app', reason: 'rate' },
    shown: '2',
    fires: { at: '25m', lines: [line(files.dropped, { source: 'app', reason: 'rate' }, growing(120, 40))] },
    quiet: { at: '25m', lines: [line(files.dropped, { source: 'app', reason: 'sampled' }, growing(120, 40))] },
  },
  {
    alert: 'SidecarLogsBehind',
    labels: { source: 'app' },
    shown: '100Mi',
    fires: { at: '25m', lines: [line(files.behind, { source: 'app' }, '104857600x40')] },
    quiet: { at: '25m', lines: [line(files.behind, { source: 'app' }, '104857600x12 0x2 104857600x40')] },
  },
  {
    alert: 'SidecarLogsTruncated',
    labels: { source: 'app' },
    fires: { at: '25m', lines: [line(files.truncations, { source: 'app' }, '0x5 1x40')] },
    quiet: { at: '25m', lines: [line(files.truncations, { source: 'app' }, '3x40')] },
  },
  {
    alert: 'SidecarLogsUnread',
    labels: { source: 'app' },
    shown: '2',
    fires: { at: '25m', lines: [line(files.unfollowed, { source: 'app' }, '2x40')] },
    quiet: { at: '25m', lines: [line(files.unfollowed, { source: 'app' }, '2x4 0x40')] },
  },
  {
    alert: 'SidecarFlightFails',
    labels: { what: 'ring' },
    fires: { at: '35m', lines: [line(flight.failures, { what: 'ring' }, '0x2 1+1x40')] },
    quiet: { at: '25m', lines: [line(flight.failures, { what: 'ring' }, '0x5 1x40')] },
  },
  {
    alert: 'TapDown',
    fires: { at: '10m', lines: [line(tap.up, {}, '1x2 0x20')] },
    quiet: { at: '10m', lines: [line(tap.up, {}, '1x2 0x1 1x20')] },
  },
  {
    alert: 'TapRefusesConnections',
    shown: '2',
    fires: { at: '25m', lines: [line(tap.refusedConnections, { reason: 'limit' }, growing(120, 40))] },
    quiet: { at: '25m', lines: [line(tap.refusedConnections, { reason: 'limit' }, '0x5 3x40')] },
  },
  {
    alert: 'TapSpansDropped',
    labels: { reason: 'full' },
    shown: '2',
    fires: { at: '25m', lines: [line(tap.droppedSpans, { reason: 'full' }, growing(120, 40))] },
    quiet: { at: '25m', lines: [line(tap.droppedSpans, { reason: 'full' }, '3x40')] },
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
    alert: 'SidecarForwardingDrops',
    labels: { ...ROAD, reason: 'queue_full' },
    shown: '1',
    fires: { at: '15m', lines: [line(forward.dropped, { ...ROAD, reason: 'queue_full' }, growing(60, 20))] },
    quiet: { at: '15m', lines: [line(forward.dropped, { ...ROAD, reason: 'queue_full' }, '0x3 60x20')] },
  },
  {
    alert: 'SidecarUpstreamDown',
    labels: ROAD,
    fires: { at: '20m', lines: [line(forward.open, ROAD, '0x3 1x20')] },
    // It comes and goes.
    quiet: { at: '20m', lines: [line(forward.open, ROAD, '0x3 1x3 0 1x4 0 1x3 0 1x10')] },
  },
  {
    alert: 'SidecarQueueGrowing',
    labels: ROAD,
    shown: '15m 0s',
    fires: { at: '25m', lines: [line(forward.oldestSeconds, ROAD, '0+60x30')] },
    // It was away, and is being worked off.
    quiet: { at: '25m', lines: [line(forward.oldestSeconds, ROAD, '0+60x10 600-30x20')] },
  },
  {
    alert: 'SidecarQueueNotOnDisk',
    labels: { upstream: 'collector:4318' },
    fires: { at: '15m', lines: [line(forward.diskUsable, { upstream: 'collector:4318' }, '1x3 0x15')] },
    // It could not be written for a moment; and one that has no queue on disk has no such metric.
    quiet: { at: '15m', lines: [line(forward.diskUsable, { upstream: 'collector:4318' }, '1x3 0x2 1x12')] },
  },
  {
    alert: 'SidecarQueuePoisoned',
    labels: { upstream: 'collector:4318' },
    fires: { at: '30m', lines: [line(forward.poisoned, { upstream: 'collector:4318' }, '0x9 1x30')] },
    quiet: { at: '30m', lines: [line(forward.poisoned, { upstream: 'collector:4318' }, '2x40')] },
  },
  {
    alert: 'SidecarSeriesOverflow',
    labels: { family: 'traces_spanmetrics' },
    fires: { at: '20m', lines: [line(seriesOverflow, { family: 'traces_spanmetrics' }, growing(1, 30))] },
    quiet: { at: '20m', lines: [line(seriesOverflow, { family: 'traces_spanmetrics' }, '0x30')] },
  },
  {
    alert: 'SidecarPushFailing',
    fires: { at: '10m', lines: [line(pushFailing, {}, '1x30')] },
    quiet: { at: '10m', lines: [line(pushFailing, {}, '1x3 0x30')] },
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
