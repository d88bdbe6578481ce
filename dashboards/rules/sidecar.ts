// Alerts about the sidecars themselves: missing or wrong numbers, and limits that were reached.

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
import { PER_INSTANCE } from '../measures.ts'
import { up } from '../prometheus.ts'
import { absent, binary, count, quantile, sum } from '../promql.ts'
import { all } from './recording.ts'
import { alert, type Group } from './rule.ts'

const PER_JOB = ['job', 'namespace'] as const

export const sidecarAlerts: Group = {
  name: 'pillion-sidecar',
  rules: [
    alert({
      name: 'SidecarDown',
      severity: 'critical',
      // Targets that were sidecars within the last day, so that no job name need be known.
      when: binary(binary(all.value(up), '==', '0'), 'and', all.over('count', buildInfo, {}, '1d'), PER_INSTANCE),
      for: '2m',
      summary: a => `the sidecar ${a.label('instance')} cannot be scraped`,
      description: a =>
        `Prometheus has not reached ${a.label('instance')} for two minutes. Nothing is known about its application, which may be healthy.`,
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
      name: 'SidecarsFewer',
      severity: 'info',
      // A new version has other labels, so that they are counted without them.
      when: binary(count(all.value(buildInfo), PER_JOB), '<', count(all.value(buildInfo, {}, '1h'), PER_JOB)),
      for: '15m',
      summary: a => `fewer sidecars of ${a.label('job')} are scraped than an hour ago`,
      description: a =>
        `Prometheus scrapes ${a.value('whole')} sidecars of ${a.label('job')}, and an hour ago it scraped more. If nobody scaled it down, service discovery has lost some: the Overview lists those that are not scraped.`,
      board: 'pillion-overview',
      at: PER_JOB,
    }),
    alert({
      name: 'SidecarConfigRefused',
      severity: 'warning',
      when: binary(all.value(reload.successful), '==', '0'),
      for: '5m',
      summary: a => `the sidecar ${a.label('instance')} refuses its new configuration`,
      description: () =>
        'The configuration that it read last cannot be used, and the one before stays in effect. The log of the sidecar, and the answer to POST /-/reload, say what is wrong. A restart would fail.',
      board: 'pillion-sidecar',
      at: ['job', 'instance'],
    }),
    alert({
      name: 'SidecarMemoryRefused',
      severity: 'warning',
      when: binary(sum(all.rate(memoryRefused, {}, '10m'), [...PER_INSTANCE, 'part']), '>', '0'),
      for: '10m',
      summary: a => `${a.label('part')} of the sidecar ${a.label('instance')} gets no more memory`,
      description: a =>
        `For ten minutes ${a.label('part')} has asked for more than the memory budget (memory.budget) has left. Senders are told to come again, or the oldest is dropped; the Sidecar dashboard shows which part holds the memory.`,
      board: 'pillion-sidecar',
      at: ['job', 'instance'],
    }),
    alert({
      name: 'SidecarLogsDropped',
      severity: 'warning',
      // Sampling is wanted.
      when: binary(
        sum(all.rate(files.dropped, { reason: { not: 'sampled' } }, '10m'), [...PER_INSTANCE, 'source', 'reason']),
        '>',
        '0',
      ),
      for: '10m',
      summary: a => `lines of ${a.label('source')} beside ${a.label('instance')} are dropped: ${a.label('reason')}`,
      description: a =>
        `${a.value('humanize')} lines per second of the log files ${a.label('source')} have become no log records for ten minutes, for the reason ${a.label('reason')}.`,
      board: 'pillion-sidecar',
      at: ['job', 'instance'],
    }),
    alert({
      name: 'SidecarLogsBehind',
      severity: 'warning',
      when: binary(sum(all.over('min', files.behind, {}, '10m'), [...PER_INSTANCE, 'source']), '>', '67108864'),
      for: '5m',
      summary: a => `reading the log files ${a.label('source')} beside ${a.label('instance')} is behind`,
      description: a =>
        `${a.value('humanize1024')}B have been written and not read for more than ten minutes. An upstream that refuses, or more lines than the sidecar can read; if a file is deleted too early, they are lost.`,
      board: 'pillion-sidecar',
      at: ['job', 'instance'],
    }),
    alert({
      name: 'SidecarLogsTruncated',
      severity: 'info',
      when: binary(sum(all.increase(files.truncations, {}, '1h'), [...PER_INSTANCE, 'source']), '>', '0'),
      for: '0m',
      summary: a => `log files ${a.label('source')} beside ${a.label('instance')} are truncated while they are read`,
      description: () =>
        'Lines that are written between the copy and the truncation of copytruncate are lost. Rotate by renaming (create) instead.',
      board: 'pillion-sidecar',
      at: ['job', 'instance'],
    }),
    alert({
      name: 'SidecarLogsUnread',
      severity: 'warning',
      when: binary(sum(all.value(files.unfollowed), [...PER_INSTANCE, 'source']), '>', '0'),
      for: '10m',
      summary: a => `log files ${a.label('source')} beside ${a.label('instance')} are not followed`,
      description: a =>
        `${a.value('whole')} files match and are not read, since they cannot be opened or files.max_files is reached. The log of the sidecar says why.`,
      board: 'pillion-sidecar',
      at: ['job', 'instance'],
    }),
    alert({
      name: 'SidecarFlightFails',
      severity: 'warning',
      // A ring that cannot be written is tried again each minute.
      when: binary(sum(all.increase(flight.failures, {}, '15m'), [...PER_INSTANCE, 'what']), '>', '0'),
      for: '20m',
      summary: a => `the sidecar ${a.label('instance')} cannot write flight records`,
      description: a =>
        `For twenty minutes it could not write a ${a.label('what')} into flight.dir, which is read-only, full, or not there. If the application ends now, nothing may be left that says why. A finding of the sidecar and its log say what is wrong.`,
      board: 'pillion-sidecar',
      at: ['job', 'instance'],
    }),
    alert({
      name: 'TapDown',
      severity: 'critical',
      when: binary(all.value(tap.up), '==', '0'),
      for: '2m',
      summary: a => `the tap beside ${a.label('instance')} does not answer`,
      description: () =>
        'Clients reach the application through the tap. If it does not run, they do not reach it; the sidecar starts it again if tap.start is true, and its log says why that fails.',
      board: 'pillion-sidecar',
      at: ['job', 'instance'],
    }),
    alert({
      name: 'TapRefusesConnections',
      severity: 'critical',
      when: binary(sum(all.rate(tap.refusedConnections, {}, '5m'), PER_INSTANCE), '>', '0'),
      for: '5m',
      summary: a => `the tap beside ${a.label('instance')} refuses connections`,
      description: a =>
        `${a.value('humanize')} connections per second have been refused for five minutes, since tap.max_connections are open or no files can be opened.`,
      board: 'pillion-sidecar',
      at: ['job', 'instance'],
    }),
    alert({
      name: 'TapSpansDropped',
      severity: 'warning',
      when: binary(sum(all.rate(tap.droppedSpans, {}, '10m'), [...PER_INSTANCE, 'reason']), '>', '0'),
      for: '10m',
      summary: a => `spans of the tap beside ${a.label('instance')} are dropped: ${a.label('reason')}`,
      description: a =>
        `${a.value('humanize')} spans per second have been dropped for ten minutes, so request metrics count too few. app_tap_requests_total counts all.`,
      board: 'pillion-sidecar',
      at: ['job', 'instance'],
    }),
    alert({
      name: 'SidecarRestarting',
      severity: 'warning',
      when: binary(all.changes(ours.startTime, {}, '30m'), '>', '2'),
      for: '0m',
      keep: '15m',
      summary: a => `the sidecar ${a.label('instance')} keeps restarting`,
      description: a => `It restarted ${a.value('whole')} times within 30 minutes. Its last log lines say why.`,
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
        'Collecting the numbers has taken more than two seconds for ten minutes. Near the scrape timeout, numbers are left out.',
      board: 'pillion-sidecar',
      at: ['job', 'instance'],
    }),
    alert({
      name: 'SidecarItemsRefused',
      severity: 'warning',
      // Items of signals that are not configured are no loss.
      when: binary(all.rate(otlp.refused, { reason: { not: 'not_configured' } }), '>', '0'),
      for: '5m',
      summary: a => `the sidecar ${a.label('instance')} refuses ${a.label('signal')}: ${a.label('reason')}`,
      description: a =>
        `${a.value('humanize')} items per second are refused after decoding, for the reason ${a.label('reason')}. That telemetry is lost.`,
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
        `${a.value('humanize')} OTLP requests per second over ${a.label('transport')} are answered with ${a.label('code')}. Their telemetry is lost, unless the sender tries again.`,
      board: 'pillion-sidecar',
      at: ['job', 'instance'],
    }),
    alert({
      name: 'SidecarForwardingDrops',
      severity: 'warning',
      when: binary(all.rate(forward.dropped), '>', '0'),
      for: '5m',
      summary: a =>
        `the sidecar ${a.label('instance')} drops ${a.label('signal')} for ${a.label('upstream')}: ${a.label('reason')}`,
      description: a =>
        `${a.value('humanize')} items per second do not get to ${a.label('upstream')}, for the reason ${a.label('reason')}. That telemetry is lost there.`,
      board: 'pillion-sidecar',
      at: ['job', 'instance'],
    }),
    alert({
      name: 'SidecarUpstreamDown',
      severity: 'warning',
      when: binary(all.over('min', forward.open, {}, '5m'), '==', '1'),
      for: '5m',
      summary: a => `${a.label('upstream')} takes no ${a.label('signal')} from the sidecar ${a.label('instance')}`,
      description: () =>
        'It has failed for ten minutes, and everything waits in the queue. When that is full, or too old, telemetry is lost. The log of the sidecar and its page say what the upstream answers.',
      board: 'pillion-sidecar',
      at: ['job', 'instance'],
    }),
    alert({
      name: 'SidecarQueueGrowing',
      severity: 'warning',
      // The oldest entry has waited for more than a minute, and waits longer and longer: entries are sent more slowly
      // than they come in.
      when: binary(
        binary(all.over('min', forward.oldestSeconds, {}, '10m'), '>', '60'),
        'and',
        binary(all.predict(forward.oldestSeconds, 1800, '10m'), '>', all.value(forward.oldestSeconds)),
      ),
      for: '10m',
      summary: a =>
        `the queue of the sidecar ${a.label('instance')} for ${a.label('upstream')} grows: ${a.label('signal')} wait ${a.value('humanizeDuration')}`,
      description: a =>
        `${a.label('upstream')} takes ${a.label('signal')} more slowly than they come in. When the queue is full, or too old, telemetry is lost.`,
      board: 'pillion-sidecar',
      at: ['job', 'instance'],
    }),
    alert({
      name: 'SidecarQueueNotOnDisk',
      severity: 'warning',
      when: binary(all.value(forward.diskUsable), '==', '0'),
      for: '5m',
      summary: a => `the sidecar ${a.label('instance')} cannot write its queue for ${a.label('upstream')} to the disk`,
      description: () =>
        'For five minutes the queue has been held in memory instead of forward.queue.dir: what waits is lost if the sidecar ends, and there is room for less. The log of the sidecar says what the disk answers; it is often full.',
      board: 'pillion-sidecar',
      at: ['job', 'instance'],
    }),
    alert({
      name: 'SidecarQueuePoisoned',
      severity: 'warning',
      when: binary(all.increase(forward.poisoned, {}, '1h'), '>', '0'),
      for: '0m',
      keep: '15m',
      summary: a =>
        `the sidecar ${a.label('instance')} has set aside requests for ${a.label('upstream')} that it cannot handle`,
      description: () =>
        'Within an hour at least one request in the queue on disk could not be read, or brought down the sidecar twice. It was not sent, and stands as a file *.poison in the folder of the queue. Please report it with that file.',
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
        'New operations are counted together as the operation overflow of their service: its requests, errors and objectives stay right, the details are missing. A dimension or an operation name carries ids, or the limit is too low.',
      board: 'pillion-sidecar',
      at: ['job', 'instance'],
    }),
    alert({
      name: 'SidecarPushFailing',
      severity: 'warning',
      when: binary(all.value(pushFailing), '==', '1'),
      for: '5m',
      summary: a => `the sidecar ${a.label('instance')} cannot push its metrics`,
      description: () =>
        'No push has been delivered as a whole for five minutes, so whoever looks at the receiver of the push sees old numbers or none. The log of the sidecar says what the receiver answers.',
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
        'One timer in a hundred has run more than 100 ms late for ten minutes: probes look slower than they are. The sidecar lacks CPU, or receives too much.',
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
        'It has used more than 160 MiB for 15 minutes; the manifests limit it to 192. Everything in it that grows is bounded, so a bound is set high, or this is a bug.',
      board: 'pillion-sidecar',
      at: ['job', 'instance'],
    }),
    alert({
      name: 'SidecarBug',
      severity: 'warning',
      when: binary(all.increase(uncaughtExceptions, {}, '15m'), '>', '0'),
      for: '0m',
      keep: '15m',
      summary: a => `the sidecar ${a.label('instance')} had an unexpected error`,
      description: () =>
        'The sidecar goes on, and so does the application. Please report it with the log of the sidecar.',
      board: 'pillion-sidecar',
      at: ['job', 'instance'],
    }),
  ],
}
