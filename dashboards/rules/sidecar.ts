// Alerts about the sidecars themselves: numbers that are missing or wrong, and limits that were reached.

import * as otlp from '../../collectors/otlp.ts'
import { families as app } from '../../collectors/process.ts'
import { buildInfo, loopDelay, borrowed as ours, uncaughtExceptions } from '../../collectors/self.ts'
import { collectorDuration, collectorSuccess, seriesOverflow } from '../../exporter/metrics.ts'
import { PER_INSTANCE } from '../measures.ts'
import { up } from '../prometheus.ts'
import { absent, binary, quantile, sum } from '../promql.ts'
import { all } from './recording.ts'
import { alert, type Group } from './rule.ts'

export const sidecarAlerts: Group = {
  name: 'pillion-sidecar',
  rules: [
    alert({
      name: 'SidecarDown',
      severity: 'critical',
      // Targets that were sidecars within the last day, so that no name of a job need be known.
      when: binary(binary(all.value(up), '==', '0'), 'and', all.over('count', buildInfo, {}, '1d'), PER_INSTANCE),
      for: '2m',
      summary: a => `the sidecar ${a.label('instance')} cannot be scraped`,
      description: a =>
        `Prometheus has not reached ${a.label('instance')} for two minutes. Nothing is known about its application meanwhile, which may be well.`,
      board: 'pillion-sidecar',
      at: ['job', 'instance'],
    }),
    alert({
      name: 'SidecarAbsent',
      severity: 'critical',
      when: absent(all.value(buildInfo)),
      for: '15m',
      summary: () => 'Prometheus knows no sidecar',
      description: () =>
        'No target has exposed pillion_build_info for 15 minutes: the scrape configuration has lost them all, or none runs.',
      board: 'pillion-sidecar',
      at: [],
    }),
    alert({
      name: 'SidecarRestarting',
      severity: 'warning',
      when: binary(all.changes(ours.startTime, {}, '30m'), '>', '2'),
      for: '0m',
      keep: '15m',
      summary: a => `the sidecar ${a.label('instance')} keeps restarting`,
      description: a => `It started anew ${a.value('humanize')} times within 30 minutes. Its last log lines say why.`,
      board: 'pillion-sidecar',
      at: ['job', 'instance'],
    }),
    alert({
      name: 'SidecarCollectorFailing',
      severity: 'warning',
      when: binary(all.value(collectorSuccess), '==', '0'),
      for: '5m',
      summary: a => `the collector ${a.label('collector')} of ${a.label('instance')} fails`,
      description: a =>
        `The numbers of the collector ${a.label('collector')} have been old or absent for five minutes. The log of the sidecar says why.`,
      board: 'pillion-sidecar',
      at: ['job', 'instance'],
    }),
    alert({
      name: 'SidecarCannotRead',
      severity: 'info',
      when: binary(all.value(app.readable), '==', '0'),
      for: '15m',
      summary: a => `the sidecar ${a.label('instance')} may not read ${a.label('file')} of its application`,
      description: () =>
        'The metrics that come from it are absent. The log of the sidecar says which permission is missing; running it as the user of the application is the usual answer.',
      board: 'pillion-process',
      at: ['job', 'instance'],
    }),
    alert({
      name: 'SidecarScrapeSlow',
      severity: 'warning',
      when: binary(sum(all.value(collectorDuration), PER_INSTANCE), '>', '2'),
      for: '10m',
      summary: a => `a scrape of the sidecar ${a.label('instance')} takes ${a.value('humanizeDuration')}`,
      description: () =>
        'Gathering the numbers has taken more than two seconds for ten minutes. Near the scrape timeout they are left out.',
      board: 'pillion-sidecar',
      at: ['job', 'instance'],
    }),
    alert({
      name: 'SidecarItemsRefused',
      severity: 'warning',
      // Nobody here uses signals that are not configured; that is no loss.
      when: binary(all.rate(otlp.refused, { reason: { not: 'not_configured' } }), '>', '0'),
      for: '5m',
      summary: a => `the sidecar ${a.label('instance')} refuses ${a.label('signal')}: ${a.label('reason')}`,
      description: a =>
        `${a.value('humanize')} items per second are decoded and refused for the reason ${a.label('reason')}. That telemetry is lost.`,
      board: 'pillion-sidecar',
      at: ['job', 'instance'],
    }),
    alert({
      name: 'SidecarRequestsRefused',
      severity: 'warning',
      when: binary(all.rate(otlp.requests, { code: { notRe: '200|0' } }), '>', '0'),
      for: '10m',
      summary: a => `the sidecar ${a.label('instance')} answers ${a.label('signal')} requests with ${a.label('code')}`,
      description: a =>
        `${a.value('humanize')} OTLP requests per second over ${a.label('transport')} are answered with ${a.label('code')}. What is in them is lost, unless the sender tries again.`,
      board: 'pillion-sidecar',
      at: ['job', 'instance'],
    }),
    alert({
      name: 'SidecarSeriesOverflow',
      severity: 'warning',
      when: binary(all.increase(seriesOverflow, {}, '10m'), '>', '0'),
      for: '10m',
      summary: a => `${a.label('family')} of ${a.label('instance')} has more series than its limit`,
      description: () =>
        'New label sets are counted in one overflow series: totals are right, details are missing. A dimension or an operation name carries ids, or the limit is too low.',
      board: 'pillion-sidecar',
      at: ['job', 'instance'],
    }),
    alert({
      name: 'SidecarEventLoopLag',
      severity: 'warning',
      when: binary(quantile(0.99, sum(all.buckets(loopDelay), ['le', ...PER_INSTANCE])), '>', '0.1'),
      for: '10m',
      summary: a => `the sidecar ${a.label('instance')} is late by ${a.value('humanizeDuration')}`,
      description: () =>
        'One timer in a hundred has run more than 100 ms late for ten minutes: probes look slower than they are. It lacks CPU, or it is given too much.',
      board: 'pillion-sidecar',
      at: ['job', 'instance'],
    }),
    alert({
      name: 'SidecarMemoryHigh',
      severity: 'warning',
      when: binary(all.value(ours.residentMemory), '>', `${160 * 2 ** 20}`),
      for: '15m',
      summary: a => `the sidecar ${a.label('instance')} uses ${a.value('humanize1024')}B of memory`,
      description: () =>
        'It has used more than 160 MiB for 15 minutes, and the manifests end it at 192. Everything in it that grows is bounded, so a bound is set high, or this is a bug.',
      board: 'pillion-sidecar',
      at: ['job', 'instance'],
    }),
    alert({
      name: 'SidecarBug',
      severity: 'warning',
      when: binary(all.increase(uncaughtExceptions, {}, '15m'), '>', '0'),
      for: '0m',
      keep: '15m',
      summary: a => `the sidecar ${a.label('instance')} met an error that it does not know`,
      description: () => 'It goes on, and so does the application. Please report it with the log of the sidecar.',
      board: 'pillion-sidecar',
      at: ['job', 'instance'],
    }),
  ],
}
