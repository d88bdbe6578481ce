// For each alert on the application a case in which it fires and one in which it does not.

import * as health from '../../collectors/health.ts'
import { families as app, saturation, secondsToLimit } from '../../collectors/process.ts'
import { metricsUp } from '../../collectors/scrape.ts'
import { records } from '../../processors/logs.ts'
import { calls } from '../../processors/spans.ts'
import { bad, type Case, good, growing, type Line, line, onInstance, SERVICE, timed, traffic } from './case.ts'

const liveness = { probe: 'liveness' }
const DAY = 86_400
const MIB = 2 ** 20

/** Six probes a minute, of which so many fail, and the state that comes of it. */
function flaky(failed: number, up: string, probe = liveness): Line[] {
  return [
    line(health.probes, probe, growing(6, 40)),
    line(health.probeFailures, { ...probe, reason: 'status' }, growing(failed, 40)),
    line(health.healthUp, probe, up),
  ]
}

export const APP_CASES: readonly Case[] = [
  {
    alert: 'AppDown',
    labels: liveness,
    fires: {
      at: '5m',
      lines: [line(health.healthUp, liveness, '1x2 0x5'), line(health.firstSuccess, liveness, '3x7')],
    },
    // It was down for a moment; or it still starts, and has never been up.
    quiet: {
      at: '5m',
      lines: [
        line(health.healthUp, liveness, '1x3 0 1x5'),
        line(health.firstSuccess, liveness, '3x8'),
        line(health.healthUp, { probe: 'starting' }, '0x8'),
      ],
    },
  },
  {
    // The sidecar was started again while the application was down; or both were, and the application still starts.
    alert: 'AppDown',
    labels: liveness,
    fires: {
      at: '20m',
      lines: [
        line(health.healthUp, liveness, '1x5 0x5 _x1 0x10'),
        line(health.firstSuccess, liveness, '3x11 _x11'),
        line(app.startTime, {}, '1000x11 _x1 1000x10'),
      ],
    },
    quiet: {
      at: '20m',
      lines: [
        line(health.healthUp, liveness, '1x14 _x1 0x5'),
        line(health.firstSuccess, liveness, '3x14 _x6'),
        line(app.startTime, {}, '1000x14 _x1 1900x5'),
      ],
    },
  },
  {
    alert: 'AppNeverUp',
    labels: liveness,
    fires: { at: '15m', lines: [line(health.healthUp, liveness, '0x20')] },
    quiet: {
      at: '15m',
      lines: [line(health.healthUp, liveness, '0x7 1x3 0x10'), line(health.firstSuccess, liveness, '_x8 480x12')],
    },
  },
  {
    alert: 'AppHealthFlaky',
    labels: liveness,
    shown: '66.67%',
    fires: { at: '30m', lines: flaky(4, '1x40') },
    // One in ten fails; or it is down, which is another alert.
    quiet: { at: '30m', lines: [...flaky(0.6, '1x40'), ...flaky(6, '0x40', { probe: 'down' })] },
  },
  {
    alert: 'AppMetricsMissing',
    fires: { at: '15m', lines: [line(metricsUp, {}, '1x2 0x20')] },
    quiet: { at: '15m', lines: [line(metricsUp, {}, '1x2 0x5 1 0x20')] },
  },
  {
    alert: 'AppFlapping',
    labels: liveness,
    shown: '5',
    fires: { at: '20m', lines: [line(health.stateChanges, liveness, '0x6 1x1 2x1 3x1 4x1 5x30')] },
    quiet: { at: '20m', lines: [line(health.stateChanges, liveness, '0x6 1x1 2x1 3x1 4x30')] },
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
    // It came back in time; or nobody knows any more whether it runs, and then the series is absent.
    quiet: {
      at: '5m',
      lines: [
        line(app.up, {}, '1x3 0 1x5'),
        line({ ...app.up, labels: ['job'] }, { job: 'unseen' }, '1 0 stale'),
        line({ ...app.up, labels: ['job'] }, { job: 'late' }, '0x8'),
      ],
    },
  },
  {
    alert: 'AppProcessNotFound',
    fires: { at: '15m', lines: [line(app.up, {}, '0x20')] },
    quiet: { at: '15m', lines: [line(app.up, {}, '0x5 1x3 0x20')] },
  },
  {
    alert: 'AppRestarting',
    // Three within the window, which `increase` takes for a little more.
    shown: '3',
    fires: { at: '20m', lines: [line(app.restarts, {}, '0x6 1x3 2x3 3x30')] },
    quiet: { at: '20m', lines: [line(app.restarts, {}, '0x6 1x3 2x30')] },
  },
  {
    alert: 'AppOutOfMemory',
    fires: { at: '8m', lines: [line(app.cgroupOomKills, {}, '0x4 1x10')] },
    quiet: { at: '8m', lines: [line(app.cgroupOomKills, {}, '3x15')] },
  },
  {
    alert: 'AppHighErrorRatio',
    labels: SERVICE,
    without: ['instance'],
    shown: '10%',
    // Thirty instances, each with too few requests to be judged alone.
    fires: {
      at: '15m',
      lines: Array.from({ length: 30 }, (_, i) => [
        onInstance(`shop-${i}`, line(calls, good, growing(1.8, 20))),
        onInstance(`shop-${i}`, line(calls, bad, growing(0.2, 20))),
      ]).flat(),
    },
    quiet: { at: '15m', lines: traffic(growing(59, 20), growing(1, 20)) },
  },
  {
    alert: 'AppHighLatency',
    labels: SERVICE,
    without: ['instance'],
    shown: '4.076s',
    fires: { at: '20m', lines: timed(4.096, 30) },
    quiet: { at: '20m', lines: timed(1.024, 30) },
  },
  {
    alert: 'AppNoTraffic',
    labels: SERVICE,
    // It hangs in its first hour, and goes on hanging.
    fires: { at: '300m', lines: traffic('0+60x20 1200x300', '0x320') },
    // After 50 minutes a flood of names has filled the table of the sidecar, and all goes to the overflow of the
    // service; and another one is silent at this time every day.
    quiet: {
      at: '1530m',
      lines: [
        ...traffic('0+60x50 3000x1500', '0x1550'),
        line(calls, { ...good, span_name: 'overflow' }, `_x50 ${growing(60, 1500)}`),
        line(calls, { ...good, service: 'nightly' }, '0x20 0+60x60 3600x1500'),
      ],
    },
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
    alert: 'AppCpuNearQuota',
    shown: '95%',
    fires: {
      at: '25m',
      lines: [line(app.cgroupCpu, { mode: 'user' }, growing(28.5, 40)), line(app.cgroupCpuLimit, {}, '0.5x40')],
    },
    quiet: {
      at: '25m',
      lines: [line(app.cgroupCpu, { mode: 'user' }, growing(20, 40)), line(app.cgroupCpuLimit, {}, '0.5x40')],
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
    // A step, of which the last hour would make a leak; and growth that is far from the limit.
    quiet: {
      at: '120m',
      lines: [
        line(app.openFds, {}, '100x80 700x70'),
        line(app.maxFds, {}, '1024x150'),
        line({ ...app.openFds, labels: ['instance'] }, { instance: 'small' }, growing(1, 150)),
        line({ ...app.maxFds, labels: ['instance'] }, { instance: 'small' }, '300x150'),
      ],
    },
  },
  {
    alert: 'AppMemoryGrows',
    shown: '1.643',
    fires: {
      at: '800m',
      lines: [line(app.residentMemory, {}, `${200 * MIB}+${(400 * MIB) / 360}x900`), line(app.uptime, {}, '0+60x900')],
    },
    // It has grown in one step at its start; or it goes up and comes down again.
    quiet: {
      at: '800m',
      lines: [
        line(app.residentMemory, {}, `${100 * MIB}x10 ${900 * MIB}x900`),
        line(app.uptime, {}, '0+60x900'),
        line(
          { ...app.residentMemory, labels: ['instance'] },
          { instance: 'saw' },
          Array.from({ length: 30 }, () => `${100 * MIB}+${20 * MIB}x29`).join(' '),
        ),
        line({ ...app.uptime, labels: ['instance'] }, { instance: 'saw' }, '0+60x900'),
      ],
    },
  },
  {
    alert: 'AppRunsOut',
    labels: { resource: 'memory' },
    shown: '50m 0s',
    fires: {
      at: '20m',
      lines: [
        line(secondsToLimit, { resource: 'memory' }, '3000x30'),
        line(saturation, { resource: 'memory' }, '0.8x30'),
      ],
    },
    // Less than half is used; or it is far away.
    quiet: {
      at: '20m',
      lines: [
        line(secondsToLimit, { resource: 'memory' }, '3000x30'),
        line(saturation, { resource: 'memory' }, '0.4x30'),
        line(secondsToLimit, { resource: 'disk' }, '9000x30'),
        line(saturation, { resource: 'disk' }, '0.8x30'),
      ],
    },
  },
  {
    alert: 'AppNearLimit',
    labels: { resource: 'ports' },
    shown: '85%',
    fires: { at: '10m', lines: [line(saturation, { resource: 'ports' }, '0.85x20')] },
    quiet: {
      at: '10m',
      lines: [line(saturation, { resource: 'ports' }, '0.5x20'), line(saturation, { resource: 'disk' }, '0.9x20')],
    },
  },
  {
    alert: 'AppPidsNearLimit',
    shown: '95%',
    fires: { at: '10m', lines: [line(app.cgroupPids, {}, '95x20'), line(app.cgroupPidsLimit, {}, '100x20')] },
    quiet: { at: '10m', lines: [line(app.cgroupPids, {}, '50x20'), line(app.cgroupPidsLimit, {}, '100x20')] },
  },
  {
    alert: 'AppAcceptQueueGrows',
    shown: '129',
    fires: { at: '15m', lines: [line(app.acceptQueue, {}, '129x30')] },
    quiet: { at: '15m', lines: [line(app.acceptQueue, {}, '129x3 0 129x3 0 129x3 0 129x3 0 129x3 0x10')] },
  },
  {
    alert: 'AppErrorLogs',
    labels: SERVICE,
    shown: '2',
    fires: { at: '20m', lines: [line(records, { service: 'shop', severity: 'ERROR' }, growing(120, 30))] },
    quiet: {
      at: '20m',
      lines: [
        line(records, { service: 'shop', severity: 'ERROR' }, growing(5, 30)),
        line(records, { service: 'shop', severity: 'INFO' }, growing(6000, 30)),
      ],
    },
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
]
