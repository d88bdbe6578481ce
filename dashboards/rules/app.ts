// Alerts about the observed application: few, each with something to do about it.

import * as health from '../../collectors/health.ts'
import { families as app, saturation, secondsToLimit } from '../../collectors/process.ts'
import { metricsUp } from '../../collectors/scrape.ts'
import { records } from '../../processors/logs.ts'
import { cpuOfLimit, memoryOfLimit, PER_INSTANCE, throttled } from '../measures.ts'
import { binary, highest, share, sum } from '../promql.ts'
import { all, kept, keptOfService, type Requests, SLOW, tellsSlow } from './recording.ts'
import { type Alert, alert, type Group } from './rule.ts'

const DAYS = 86_400

/** Days until a certificate expires, in seconds. */
const certificate = binary(all.value(health.certificateExpiry), '-', 'time()')

/** Connections that may wait to be accepted: a loop that is blocked for a moment lets some tens gather. */
const WAITING = 50

/** The least memory within an hour. */
const lowest = all.over('min', app.residentMemory, {}, '1h')
const lowestBefore = all.over('min', app.residentMemory, {}, '1h', '6h')

/** The alerts about applications; `from` are the request metrics that they ask for, undefined if there are none. */
export function appAlerts(from: Requests | undefined): Group {
  return { name: 'pillion-app', rules: [...healthAlerts, ...(from ? requestAlerts(from) : []), ...resourceAlerts] }
}

/**
 * Probes that have succeeded before: since the sidecar started, or, when only the sidecar was started again, within the last
 * day. If the application is new as well, it may still be starting.
 */
const seenUp = binary(
  all.value(health.firstSuccess),
  'or',
  binary(
    binary(all.over('max', health.healthUp, {}, '1d'), '==', '1'),
    'unless',
    binary(all.changes(app.startTime, {}, '10m'), '>', '0'),
    PER_INSTANCE,
  ),
)

const healthAlerts: readonly Alert[] = [
  alert({
    name: 'AppDown',
    severity: 'critical',
    // An application that still starts has never answered; AppNeverUp is for one that never does.
    when: binary(binary(all.value(health.healthUp), '==', '0'), 'and', seenUp),
    for: '1m',
    summary: a => `${a.label('instance')} is down by its ${a.label('probe')} probe`,
    description: a =>
      `The probe ${a.label('probe')} of ${a.label('instance')} has been failing beyond its threshold for more than a minute. The Health dashboard names the reason.`,
    board: 'pillion-health',
    at: ['job', 'instance'],
  }),
  alert({
    name: 'AppNeverUp',
    severity: 'critical',
    when: binary(binary(all.value(health.healthUp), '==', '0'), 'unless', seenUp),
    for: '10m',
    summary: a => `${a.label('instance')} has never been up by its ${a.label('probe')} probe`,
    description: a =>
      `The probe ${a.label('probe')} of ${a.label('instance')} has not succeeded once since the sidecar started, for more than ten minutes. The application does not get ready, or the probe asks the wrong thing.`,
    board: 'pillion-health',
    at: ['job', 'instance'],
  }),
  alert({
    name: 'AppHealthFlaky',
    severity: 'warning',
    // Probes come more often while they fail, so the share of failed ones is an upper bound of the share of time.
    when: binary(
      binary(
        share(
          sum(all.rate(health.probeFailures, { reason: { not: 'local' } }, '15m'), [...PER_INSTANCE, 'probe']),
          sum(all.rate(health.probes, {}, '15m'), [...PER_INSTANCE, 'probe']),
        ),
        '>',
        '0.25',
      ),
      'and',
      sum(binary(all.value(health.healthUp), '==', '1'), [...PER_INSTANCE, 'probe']),
    ),
    for: '10m',
    summary: a => `${a.value('humanizePercentage')} of the ${a.label('probe')} probes of ${a.label('instance')} fail`,
    description: a =>
      `More than a quarter of the ${a.label('probe')} probes of ${a.label('instance')} have failed for ten minutes, but never enough in a row to say that it is down. Callers see part of their requests fail.`,
    board: 'pillion-health',
    at: ['job', 'instance'],
  }),
  alert({
    name: 'AppFlapping',
    severity: 'warning',
    when: binary(all.increase(health.stateChanges, {}, '15m'), '>', '4.5'),
    for: '0m',
    keep: '15m',
    summary: a => `${a.label('instance')} keeps going up and down by its ${a.label('probe')} probe`,
    description: a =>
      `The probe ${a.label('probe')} of ${a.label('instance')} changed its state ${a.value('whole')} times within 15 minutes. Callers see part of their requests fail.`,
    board: 'pillion-health',
    at: ['job', 'instance'],
  }),
  alert({
    name: 'AppComponentDown',
    severity: 'warning',
    when: binary(all.value(health.componentUp), '==', '0'),
    for: '5m',
    summary: a => `${a.label('component')} of ${a.label('instance')} is down`,
    description: a =>
      `The health document that ${a.label('instance')} gives to the probe ${a.label('probe')} says that ${a.label('component')} has been down for five minutes.`,
    board: 'pillion-health',
    at: ['job', 'instance'],
  }),
  alert({
    name: 'AppProcessGone',
    severity: 'critical',
    // One that is only late is not gone: it must have run before.
    when: binary(binary(all.value(app.up), '==', '0'), 'and', binary(all.over('max', app.up, {}, '1d'), '==', '1')),
    for: '1m',
    summary: a => `the application of ${a.label('instance')} does not run`,
    description: a =>
      `The sidecar ${a.label('instance')} has found no running main process of its application for more than a minute. It ran before, so it has ended.`,
    board: 'pillion-process',
    at: ['job', 'instance'],
  }),
  alert({
    name: 'AppProcessNotFound',
    severity: 'warning',
    when: binary(binary(all.value(app.up), '==', '0'), 'unless', binary(all.over('max', app.up, {}, '1d'), '==', '1')),
    for: '10m',
    summary: a => `the sidecar ${a.label('instance')} has never found its application’s process`,
    description: a =>
      `The sidecar ${a.label('instance')} has looked for the main process of its application for more than ten minutes. The application has not started, or is looked for in the wrong place.`,
    board: 'pillion-process',
    at: ['job', 'instance'],
  }),
  alert({
    name: 'AppRestarting',
    severity: 'warning',
    when: binary(all.increase(app.restarts, {}, '15m'), '>', '2.5'),
    for: '0m',
    keep: '15m',
    summary: a => `the application of ${a.label('instance')} keeps restarting`,
    description: a =>
      `Its main process was replaced ${a.value('whole')} times within 15 minutes. Look for out-of-memory kills and at its last log lines.`,
    board: 'pillion-application',
    at: ['job', 'instance'],
  }),
  alert({
    name: 'AppMetricsMissing',
    severity: 'warning',
    when: binary(all.value(metricsUp), '==', '0'),
    for: '10m',
    summary: a => `the own /metrics of the application of ${a.label('instance')} cannot be read`,
    description: a =>
      `For ten minutes the sidecar ${a.label('instance')} has not been able to read the /metrics of its application, so its series are missing. The Sidecar dashboard names the reason.`,
    board: 'pillion-sidecar',
    at: ['job', 'instance'],
  }),
  alert({
    name: 'AppOutOfMemory',
    severity: 'critical',
    when: binary(all.increase(app.cgroupOomKills, {}, '10m'), '>', '0'),
    for: '0m',
    keep: '10m',
    summary: a => `a process of ${a.label('instance')} was killed because memory ran out`,
    description: () =>
      'The out-of-memory killer ended at least one process of the cgroup within ten minutes: the memory limit is too low, or the application leaks.',
    board: 'pillion-process',
    at: ['job', 'instance'],
  }),
]

function requestAlerts(from: Requests): Alert[] {
  return [
    alert({
      name: 'AppHighErrorRatio',
      severity: 'critical',
      // Of all instances together: a few errors on each of many are as bad, and one page for the service is enough.
      when: binary(
        binary(keptOfService('errors', from), '>', '0.05'),
        'and',
        binary(keptOfService('requests', from), '>', '0.1'),
      ),
      for: '5m',
      summary: a => `${a.label(from.service)} fails ${a.value('humanizePercentage')} of its requests`,
      description: a =>
        `More than 5 % of the requests that ${a.label(from.service)} serves have failed for five minutes (now ${a.value('humanizePercentage')}). The Requests dashboard shows which operations, with traces, and the Overview whether it is one instance.`,
      board: 'pillion-requests',
      at: ['job', 'namespace', from.service],
    }),
    ...(tellsSlow(from) ? [slowAlert(from)] : []),
    alert({
      name: 'AppNoTraffic',
      severity: 'warning',
      // It had traffic today. Where yesterday at this time there was none either, the silence is usual.
      when: binary(
        binary(
          binary(kept('requests', from), '==', '0'),
          'and',
          binary(highest(kept('requests', from), '1d'), '>', '0.1'),
        ),
        'unless',
        binary(kept('requests', from, '1d'), '<', '0.01'),
      ),
      for: '10m',
      summary: a => `${a.label(from.service)} no longer gets requests`,
      description: a =>
        `${a.label(from.service)} has served requests within the last day, and none for ten minutes. A load balancer or name server in front of it may have lost it.`,
      board: 'pillion-requests',
      at: ['job', 'instance', from.service],
    }),
  ]
}

function slowAlert(from: Requests): Alert {
  // The percentile of durations beyond the last bucket is the bound of that bucket.
  const beyond = from.latency.buckets.at(-1)! > SLOW ? '>' : '>='
  return alert({
    name: 'AppHighLatency',
    severity: 'warning',
    when: binary(
      binary(keptOfService('p99', from), beyond, `${SLOW}`),
      'and',
      binary(keptOfService('requests', from), '>', '0.1'),
    ),
    for: '10m',
    summary: a =>
      `${a.label(from.service)} is slow: one request in a hundred takes more than ${a.value('humanizeDuration')}`,
    description: a =>
      `The 99th percentile of ${a.label(from.service)} has been above two seconds for ten minutes. For a stricter objective see pillion rules --slo.`,
    board: 'pillion-requests',
    at: ['job', 'namespace', from.service],
  })
}

const resourceAlerts: readonly Alert[] = [
  alert({
    name: 'AppCpuThrottled',
    severity: 'warning',
    when: binary(throttled(all), '>', '0.25'),
    for: '15m',
    summary: a => `${a.label('instance')} is throttled in ${a.value('humanizePercentage')} of its CPU periods`,
    description: a =>
      `The CPU quota of the application of ${a.label('instance')} has stopped it in more than a quarter of the periods for 15 minutes: its requests wait although the machine may be idle.`,
    board: 'pillion-application',
    at: ['job', 'instance'],
  }),
  alert({
    name: 'AppCpuNearQuota',
    severity: 'warning',
    when: binary(cpuOfLimit(all), '>', '0.9'),
    for: '15m',
    summary: a => `${a.label('instance')} uses ${a.value('humanizePercentage')} of its CPU quota`,
    description: () =>
      'The cgroup of the application has used more than 90 % of its CPU quota for 15 minutes. With a little more load it is throttled, and its requests wait.',
    board: 'pillion-application',
    at: ['job', 'instance'],
  }),
  alert({
    name: 'AppMainThreadSaturated',
    severity: 'warning',
    when: binary(all.rate(app.mainThreadCpu), '>', '0.9'),
    for: '10m',
    summary: a => `the main thread of ${a.label('instance')} is busy ${a.value('humanizePercentage')} of the time`,
    description: () =>
      'A program with one event loop can do no more: further requests wait. Add instances, or find what computes on the main thread.',
    board: 'pillion-application',
    at: ['job', 'instance'],
  }),
  alert({
    name: 'AppMemoryNearLimit',
    severity: 'warning',
    when: binary(memoryOfLimit(all), '>', '0.9'),
    for: '5m',
    summary: a => `${a.label('instance')} uses ${a.value('humanizePercentage')} of its memory limit`,
    description: () =>
      'The memory that the kernel cannot reclaim has been above 90 % of the cgroup’s limit for five minutes. At 100 % the kernel kills a process.',
    board: 'pillion-application',
    at: ['job', 'instance'],
  }),
  alert({
    name: 'AppFilesNearLimit',
    severity: 'warning',
    when: binary(all.value(app.worstFdRatio), '>', '0.8'),
    for: '5m',
    summary: a => `a process of ${a.label('instance')} uses ${a.value('humanizePercentage')} of its file descriptors`,
    description: () =>
      'At 100 % it can open no file and accept no connection. It leaks descriptors, or the limit is too low.',
    board: 'pillion-process',
    at: ['job', 'instance'],
  }),
  alert({
    name: 'AppFilesRunningOut',
    severity: 'warning',
    // A step is no leak: half of the limit is open, and the last quarter of an hour grows like the last hour.
    when: binary(
      binary(
        binary(all.predict(app.openFds, 4 * 3600, '1h'), '>', all.value(app.maxFds)),
        'and',
        binary(all.predict(app.openFds, 4 * 3600, '15m'), '>', all.value(app.maxFds)),
      ),
      'and',
      binary(binary(all.value(app.openFds), '/', all.value(app.maxFds)), '>', '0.5'),
    ),
    for: '30m',
    summary: a => `${a.label('instance')} will run out of file descriptors within four hours`,
    description: a =>
      `At the growth of the last hour, ${a.value('humanize')} will be open in four hours, which is beyond the limit. The application probably leaks them.`,
    board: 'pillion-process',
    at: ['job', 'instance'],
  }),
  alert({
    name: 'AppMemoryGrows',
    severity: 'warning',
    // The lowest of an hour, so that peaks do not count, and only of one process: a restart begins anew.
    when: binary(
      binary(binary(lowest, '/', lowestBefore), '>', '1.5'),
      'and',
      binary(
        binary(binary(lowest, '-', lowestBefore), '>', `${100 * 2 ** 20}`),
        'and',
        binary(all.value(app.uptime), '>', `${7 * 3600}`),
      ),
    ),
    for: '1h',
    summary: a => `the memory of ${a.label('instance')} is ${a.value('humanize')} times what it was six hours ago`,
    description: () =>
      'The lowest memory of the last hour is more than 1.5 times, and 100 MiB above, that of six hours before, without a restart. Without a limit of the cgroup nothing ends such growth but the machine.',
    board: 'pillion-application',
    at: ['job', 'instance'],
  }),
  alert({
    name: 'AppRunsOut',
    severity: 'warning',
    // The forecast is the slow end of the slope. A resource that is half free can wait until tomorrow.
    when: binary(
      binary(all.value(secondsToLimit), '<', `${75 * 60}`),
      'and',
      binary(all.value(saturation), '>', '0.5'),
    ),
    for: '10m',
    keep: '10m',
    summary: a => `${a.label('resource')} of ${a.label('instance')} runs out in about ${a.value('humanizeDuration')}`,
    description: a =>
      `At the growth of the last hour ${a.label('resource')} reaches its limit in about ${a.value('humanizeDuration')}. Saw-teeth, spikes and steps are left out of that growth, so it is probably a leak.`,
    board: 'pillion-process',
    at: ['job', 'instance'],
  }),
  alert({
    name: 'AppNearLimit',
    severity: 'warning',
    when: binary(
      binary(all.value(saturation, { resource: { re: 'ports|accept_queue' } }), '>', '0.8'),
      'or',
      binary(all.value(saturation, { resource: 'disk' }), '>', '0.95'),
    ),
    for: '2m',
    summary: a => `${a.label('instance')} uses ${a.value('humanizePercentage')} of its ${a.label('resource')}`,
    description: () =>
      'At 100 % of disk its writes fail; of ports no further connection to the busiest destination can be opened; of accept_queue clients time out.',
    board: 'pillion-process',
    at: ['job', 'instance'],
  }),
  alert({
    name: 'AppPidsNearLimit',
    severity: 'warning',
    when: binary(binary(all.value(app.cgroupPids), '/', all.value(app.cgroupPidsLimit)), '>', '0.9'),
    for: '5m',
    summary: a => `${a.label('instance')} uses ${a.value('humanizePercentage')} of its processes and threads`,
    description: () =>
      'The cgroup of the application has used more than 90 % of its limit of processes and threads for five minutes. At 100 % it can start neither.',
    board: 'pillion-process',
    at: ['job', 'instance'],
  }),
  alert({
    name: 'AppAcceptQueueGrows',
    severity: 'warning',
    when: binary(all.over('min', app.acceptQueue, {}, '5m'), '>', `${WAITING}`),
    for: '5m',
    summary: a => `${a.label('instance')} does not accept its connections: ${a.value('whole')} wait`,
    description: () =>
      `More than ${WAITING} connections have waited to be accepted for ten minutes. When the queue is full (often at 128, 511 or 4096) clients time out.`,
    board: 'pillion-application',
    at: ['job', 'instance'],
  }),
  alert({
    name: 'AppErrorLogs',
    severity: 'warning',
    when: binary(sum(all.rate(records, { severity: { re: 'ERROR|FATAL' } }), [...PER_INSTANCE, 'service']), '>', '1'),
    for: '10m',
    summary: a => `${a.label('service')} logs ${a.value('humanize')} errors a second`,
    description: a =>
      `${a.label('service')} has logged more than one record of severity ERROR or FATAL a second for ten minutes. The records are at /api/logs of ${a.label('instance')}.`,
    board: 'pillion-application',
    at: ['job', 'instance'],
  }),
  alert({
    name: 'AppCertificateExpiresSoon',
    severity: 'warning',
    when: binary(certificate, '<', `${21 * DAYS}`),
    for: '1h',
    summary: a => `the certificate of ${a.label('instance')} expires in ${a.value('humanizeDuration')}`,
    description: a =>
      `The certificate that the application presents to the probe ${a.label('probe')} expires in less than 21 days. It has not been renewed.`,
    board: 'pillion-health',
    at: ['job', 'instance'],
  }),
  alert({
    name: 'AppCertificateExpiresNow',
    severity: 'critical',
    when: binary(certificate, '<', `${7 * DAYS}`),
    for: '10m',
    summary: a => `the certificate of ${a.label('instance')} expires in ${a.value('humanizeDuration')}`,
    description: a =>
      `The certificate that the application presents to the probe ${a.label('probe')} expires in less than seven days, after which no client can connect.`,
    board: 'pillion-health',
    at: ['job', 'instance'],
  }),
]
