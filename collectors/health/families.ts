// The metrics of the probes. Their names are promised to users.

import { counter, gauge, histogram } from '../../metrics/family.ts'
import { COMPONENT_CAP } from './document.ts'

export const healthUp = gauge(
  'app_health_up',
  'Whether the application is healthy by this probe, after its thresholds: 1 or 0; absent until the first decision.',
  ['probe'],
)
export const probeSuccess = gauge('app_health_probe_success', 'Whether the last probe succeeded: 1 or 0.', ['probe'])
export const probes = counter('app_health_probes_total', 'Probes made, successful or not.', ['probe'])
export const probeFailures = counter(
  'app_health_probe_failures_total',
  'Failed probes by the first reason that was found. local: the sidecar itself could not probe; this does not change app_health_up.',
  ['probe', 'reason'],
)
// OpenTelemetry's advice for HTTP, with smaller buckets added: a probe over loopback takes well under a millisecond.
export const probeDuration = histogram(
  'app_health_probe_duration_seconds',
  'Time from the start of a probe to its verdict, failed probes included.',
  ['probe'],
  [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
)
export const probePhase = counter(
  'app_health_probe_phase_seconds_total',
  'Time that probes spent in each phase; the phases add up to the duration. A failed probe counts its time in the phase in which it failed.',
  ['probe', 'phase'],
)
export const probeLoopDelay = counter(
  'app_health_probe_loop_delay_seconds_total',
  'Time during probes in which the event loop of the sidecar was blocked; it may be part of their duration, but it is not the application’s.',
  ['probe'],
)
export const statusCode = gauge(
  'app_health_status_code',
  'HTTP status, gRPC status or exit code of the last probe; absent if it got none.',
  ['probe'],
)
export const consecutiveFailures = gauge(
  'app_health_consecutive_failures',
  'Failed probes since the last successful one.',
  ['probe'],
)
export const stateChanges = counter(
  'app_health_state_changes_total',
  'Changes of app_health_up after its first decision.',
  ['probe'],
)
export const lastProbe = gauge(
  'app_health_last_probe_timestamp_seconds',
  'When the last probe ended. Probes run on their own schedule, not on scrapes.',
  ['probe'],
)
export const firstSuccess = gauge(
  'app_health_time_to_first_success_seconds',
  'Time from the start of the sidecar to the first successful probe; absent until then.',
  ['probe'],
)
export const certificateExpiry = gauge(
  'app_health_tls_cert_not_after_timestamp_seconds',
  'When the first certificate of the chain that the application presents expires.',
  ['probe'],
)
export const componentUp = gauge(
  'app_health_component_up',
  `Whether a component is up by the application’s health document: 1 or 0; the first ${COMPONENT_CAP} of each probe.`,
  ['probe', 'component'],
)
export const componentValue = gauge(
  'app_health_component_observed_value',
  `A number that the health document gives for a component, in the unit that it names; the first ${COMPONENT_CAP} of each probe.`,
  ['probe', 'component', 'unit'],
)
export const componentsDropped = counter(
  'app_health_components_dropped_total',
  `Components and values of health documents that were not exported because a document had more than ${COMPONENT_CAP}.`,
  ['probe'],
)
export const probeInfo = gauge('app_health_probe_info', 'The kind and target of each probe. Always 1.', [
  'probe',
  'kind',
  'target',
])

export const healthFamilies = [
  healthUp,
  probeSuccess,
  probes,
  probeFailures,
  probeDuration,
  probePhase,
  probeLoopDelay,
  statusCode,
  consecutiveFailures,
  stateChanges,
  lastProbe,
  firstSuccess,
  certificateExpiry,
  componentUp,
  componentValue,
  componentsDropped,
  probeInfo,
] as const
