// The option section `health`; faults.ts checks its values together.

import { CLIENT_TLS } from '../../options/client-tls.ts'
import { expression } from '../../options/expression.ts'
import {
  choice,
  duration,
  flag,
  integer,
  type Kind,
  list,
  live,
  pattern,
  section,
  share,
  shown,
  text,
  url,
  type Values,
} from '../../options/kinds.ts'
import { header } from './notation.ts'
import { TRACEPARENTS } from './trace.ts'

/** "Name: regular expression". */
const headerMatch: Kind<string> = {
  kind: 'scalar',
  about: 'One header and its regular expression.',
  expects: '"Name: regular expression"',
  json: { type: 'string' },
  default: '',
  parse: value => {
    if (typeof value !== 'string') throw new Error(`must be "Name: regular expression", not ${shown(value)}`)
    return value
  },
  verify: line => expression(header(line)?.value ?? ''),
}

/** "200" or "200-399"; kept as a string, parsed by `target.ts`. */
const statusRange: Kind<string> = {
  kind: 'scalar',
  about: 'One status, or a range.',
  expects: 'a status such as 204 or a range such as 200-399',
  json: { type: ['string', 'integer'], pattern: '^[1-5]\\d\\d(-[1-5]\\d\\d)?$' },
  default: '200-399',
  parse: value => {
    const range = typeof value === 'number' ? String(value) : value
    if (typeof range !== 'string' || !/^[1-5]\d\d(-[1-5]\d\d)?$/.test(range))
      throw new Error(`must be a status such as 204 or a range such as 200-399, not ${shown(value)}`)
    return range
  },
}

export const PROBE_OPTIONS = section('Times and thresholds mean the same as in Kubernetes.', {
  name: text('Value of the label `probe`; unique.'),
  kind: choice('The kind of probe.', ['http', 'tcp', 'grpc', 'exec', 'passive'], { default: 'http' }),
  url: url('http: the URL to request.'),
  address: text('tcp and grpc: HOST:PORT.'),
  command: list('exec: the program and its arguments, run without a shell.', text('One argument.', { default: '' })),
  interval: duration('Time from the start of one probe to the start of the next.', { default: '10s', min: '100ms' }),
  failing_interval: duration(
    'The interval while the last probe failed or the state is down, if it is shorter than `interval`; 0s always uses `interval`.',
    { default: '2s' },
  ),
  timeout: duration('The deadline for the whole probe, from the name lookup to the last byte.', {
    default: '2s',
    min: '10ms',
    max: '10m',
  }),
  initial_delay: duration('Time before the first probe.', { default: '0s' }),
  success_threshold: integer('The number of successes in a row after which the state is up.', { default: 1, min: 1 }),
  failure_threshold: integer('The number of failures in a row after which the state is down.', { default: 3, min: 1 }),
  method: choice('http: the request method.', ['GET', 'HEAD', 'OPTIONS'], { default: 'GET' }),
  headers: list('http: headers to send, each "Name: value".', text('One header.', { default: '', secret: true })),
  status: list('http: the statuses that count as success; redirects are not followed.', statusRange, {
    default: ['200-399'],
  }),
  header_matches: list(
    'http: headers that must match, each "Name: regular expression"; an absent header is matched as an empty string.',
    headerMatch,
  ),
  body_matches: pattern('http: a regular expression that the body must match.'),
  body_not_matches: pattern('http: a regular expression that the body must not match.'),
  document: choice(
    'http: how health documents are used (health+json, Spring Actuator, MicroProfile, Terminus, ASP.NET). auto: their components are exported; require: the body must be one, and must not say down; off: they are ignored.',
    ['auto', 'require', 'off'],
    { default: 'auto' },
  ),
  send: text('tcp: a string to send after connecting.'),
  expect: pattern('tcp: a regular expression that the received bytes, read as Latin-1, must match.'),
  service: text('grpc: the service to ask about; empty asks about the server.', { default: '' }),
  tls: flag('tcp and grpc: connect with TLS. For http the URL decides.', { default: false }),
  window: duration('passive: the time whose answers are judged, as access logs (files) or a tap have seen them.', {
    default: '30s',
    min: '1s',
    max: '10m',
  }),
  min_answers: integer(
    'passive: fewer answers than this in `window` are a failure. 0: without any answer the state stays as it is, since an application that nobody asks is not ill.',
    { default: 0 },
  ),
  max_errors: share('passive: the largest share of the answers in `window` that may have a status of 500 or more.', {
    default: 0.5,
  }),
  ...CLIENT_TLS,
})
export type ProbeOptions = Values<typeof PROBE_OPTIONS>

export const HEALTH_OPTIONS = section('Probes of the application’s health.', {
  probes: live(list('The probes. Without any, a liveness and a readiness probe are guessed.', PROBE_OPTIONS)),
  traceparent: live(
    choice(
      'The trace context that probes send. auto: sampled only if the sidecar records its own span of the probe (`self.traces`), so that a sampler that follows its parent leaves the others out; sampled and unsampled: always; off: none is sent.',
      TRACEPARENTS,
      { default: 'auto' },
    ),
  ),
  guess: live(flag('Whether to look for well-known health paths if no probe is configured.', { default: true })),
})
export type HealthOptions = Values<typeof HEALTH_OPTIONS>
