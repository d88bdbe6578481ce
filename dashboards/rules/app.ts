// Alerts about the observed application. Few, and each with something to do about it.

import * as health from '../../collectors/health.ts'
import { families as app } from '../../collectors/process.ts'
import { memoryOfLimit, throttled } from '../measures.ts'
import { binary } from '../promql.ts'
import { all, kept } from './recording.ts'
import { alert, type Group } from './rule.ts'

const DAYS = 86_400

/** Days until a certificate expires, in seconds. */
const certificate = binary(all.value(health.certificateExpiry), '-', 'time()')

export const appAlerts: Group = {
  name: 'pillion-app',
  rules: [
    alert({
      name: 'AppDown',
      severity: 'critical',
      when: binary(all.value(health.healthUp), '==', '0'),
      for: '1m',
      summary: a => `${a.label('instance')} is down by its ${a.label('probe')} probe`,
      description: a =>
        `The probe ${a.label('probe')} of ${a.label('instance')} has failed as often as its threshold demands, for more than a minute. The Health dashboard names the reason.`,
      board: 'pillion-health',
      at: ['job', 'instance'],
    }),
    alert({
      name: 'AppFlapping',
      severity: 'warning',
      when: binary(all.increase(health.stateChanges, {}, '15m'), '>', '4'),
      for: '0m',
      keep: '15m',
      summary: a => `${a.label('instance')} keeps going up and down by its ${a.label('probe')} probe`,
      description: a =>
        `The probe ${a.label('probe')} of ${a.label('instance')} changed its state ${a.value('humanize')} times within 15 minutes. Callers see part of their requests fail.`,
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
      when: binary(all.value(app.up), '==', '0'),
      for: '1m',
      summary: a => `the application of ${a.label('instance')} does not run`,
      description: a =>
        `The sidecar ${a.label('instance')} has found no running main process of its application for more than a minute. It has ended, or it is looked for in the wrong place.`,
      board: 'pillion-process',
      at: ['job', 'instance'],
    }),
    alert({
      name: 'AppRestarting',
      severity: 'warning',
      when: binary(all.increase(app.restarts, {}, '15m'), '>', '2'),
      for: '0m',
      keep: '15m',
      summary: a => `the application of ${a.label('instance')} keeps restarting`,
      description: a =>
        `Its main process was replaced ${a.value('humanize')} times within 15 minutes. Look for kills for lack of memory and for its last log lines.`,
      board: 'pillion-application',
      at: ['job', 'instance'],
    }),
    alert({
      name: 'AppOutOfMemory',
      severity: 'critical',
      when: binary(all.increase(app.cgroupOomKills, {}, '10m'), '>', '0'),
      for: '0m',
      keep: '10m',
      summary: a => `a process of ${a.label('instance')} was killed for lack of memory`,
      description: () =>
        'The out-of-memory killer ended at least one process of the cgroup within ten minutes: its memory limit is too low, or it leaks.',
      board: 'pillion-process',
      at: ['job', 'instance'],
    }),
    alert({
      name: 'AppHighErrorRatio',
      severity: 'critical',
      when: binary(binary(kept('errors'), '>', '0.05'), 'and', binary(kept('requests'), '>', '0.1')),
      for: '5m',
      summary: a => `${a.label('service')} fails ${a.value('humanizePercentage')} of its requests`,
      description: a =>
        `More than 5 % of the requests that ${a.label('service')} serves have failed for five minutes (now ${a.value('humanizePercentage')}). The Requests dashboard shows which operations, with traces.`,
      board: 'pillion-requests',
      at: ['job', 'instance', 'service'],
    }),
    alert({
      name: 'AppHighLatency',
      severity: 'warning',
      when: binary(binary(kept('p99'), '>', '2'), 'and', binary(kept('requests'), '>', '0.1')),
      for: '10m',
      summary: a =>
        `${a.label('service')} is slow: one request in a hundred takes more than ${a.value('humanizeDuration')}`,
      description: a =>
        `The 99th percentile of ${a.label('service')} has been above two seconds for ten minutes. What you promise may be stricter: see pillion rules --slo.`,
      board: 'pillion-requests',
      at: ['job', 'instance', 'service'],
    }),
    alert({
      name: 'AppNoTraffic',
      severity: 'warning',
      when: binary(binary(kept('requests'), '==', '0'), 'and', binary(kept('requests', '1h'), '>', '0.1')),
      for: '10m',
      summary: a => `${a.label('service')} gets no requests any more`,
      description: a =>
        `${a.label('service')} served requests an hour ago and has served none for ten minutes. Something in front of it may have lost it.`,
      board: 'pillion-requests',
      at: ['job', 'instance', 'service'],
    }),
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
      name: 'AppMainThreadSaturated',
      severity: 'warning',
      when: binary(all.rate(app.mainThreadCpu), '>', '0.9'),
      for: '10m',
      summary: a => `the main thread of ${a.label('instance')} is busy ${a.value('humanizePercentage')} of the time`,
      description: () =>
        'A program with one event loop can do no more than this: further requests wait. Add instances, or find what computes on the main thread.',
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
        'The memory that cannot be dropped has been above 90 % of the limit of the cgroup for five minutes. At 100 % the kernel kills a process.',
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
        'At 100 % it can open no file and accept no connection. It leaks them, or the limit is too low.',
      board: 'pillion-process',
      at: ['job', 'instance'],
    }),
    alert({
      name: 'AppFilesRunningOut',
      severity: 'warning',
      when: binary(all.predict(app.openFds, 4 * 3600, '1h'), '>', all.value(app.maxFds)),
      for: '30m',
      summary: a => `${a.label('instance')} will run out of file descriptors within four hours`,
      description: a =>
        `If they go on growing as in the last hour, ${a.value('humanize')} will be open in four hours, which is beyond the limit. It probably leaks them.`,
      board: 'pillion-process',
      at: ['job', 'instance'],
    }),
    alert({
      name: 'AppCertificateExpiresSoon',
      severity: 'warning',
      when: binary(certificate, '<', `${21 * DAYS}`),
      for: '1h',
      summary: a => `the certificate of ${a.label('instance')} expires in ${a.value('humanizeDuration')}`,
      description: a =>
        `The first certificate that the probe ${a.label('probe')} was shown expires in less than 21 days. Whatever renews it has not done so.`,
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
        `The first certificate that the probe ${a.label('probe')} was shown expires in less than seven days, after which no client can connect.`,
      board: 'pillion-health',
      at: ['job', 'instance'],
    }),
  ],
}
