// The option section `health`, and what it means: each entry of `health.probes[]` becomes a Setup, or a message that
// says what to mend.

import {
  choice,
  duration,
  flag,
  integer,
  type Kind,
  list,
  pattern,
  section,
  shown,
  text,
  url,
  type Values,
} from '../../options/kinds.ts'

/** "200" or "200-399"; kept as text, read by `target.ts`. */
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

export const PROBE_OPTIONS = section('One probe. Times and thresholds mean what they mean in Kubernetes.', {
  name: text('Value of the label `probe`; unique.'),
  kind: choice('What is asked.', ['http', 'tcp', 'grpc', 'exec'], { default: 'http' }),
  url: url('http: what to request.'),
  address: text('tcp and grpc: HOST:PORT.'),
  command: list('exec: the program and its arguments, run without a shell.', text('One argument.', { default: '' })),
  interval: duration('Time from the start of one probe to the start of the next.', { default: '10s', min: '100ms' }),
  failing_interval: duration(
    'The same while the last probe failed or the state is down, when that is shorter; 0s keeps `interval`.',
    { default: '2s' },
  ),
  timeout: duration('One deadline over everything from the lookup of the name to the last byte.', {
    default: '2s',
    min: '10ms',
    max: '10m',
  }),
  initial_delay: duration('Time before the first probe.', { default: '0s' }),
  success_threshold: integer('Successes in a row that make it up.', { default: 1, min: 1 }),
  failure_threshold: integer('Failures in a row that make it down.', { default: 3, min: 1 }),
  method: choice('http: the request method.', ['GET', 'HEAD', 'OPTIONS'], { default: 'GET' }),
  headers: list('http: headers to send, each "Name: value".', text('One header.', { default: '', secret: true })),
  status: list('http: the statuses that count as success; redirects are not followed.', statusRange, {
    default: ['200-399'],
  }),
  header_matches: list(
    'http: headers that must match, each "Name: regular expression"; an absent header is matched as an empty text.',
    text('One header and its pattern.', { default: '' }),
  ),
  body_matches: pattern('http: the body must match.'),
  body_not_matches: pattern('http: the body must not match.'),
  document: choice(
    'http: health documents (health+json, Spring Actuator, MicroProfile, Terminus, ASP.NET). auto: their components are exported; require: the answer must be one, and must not say down.',
    ['auto', 'require', 'off'],
    { default: 'auto' },
  ),
  send: text('tcp: a text to send after connecting.'),
  expect: pattern('tcp: what must be received.'),
  service: text('grpc: the service to ask about; empty asks about the server.', { default: '' }),
  tls: flag('tcp and grpc: speak TLS. For http the URL decides.', { default: false }),
  tls_verify: flag('Whether the certificate must be valid, trusted and made for the name.', { default: true }),
  tls_server_name: text('The name to send and to verify, when it is not the host of the URL or address.'),
  tls_ca_file: text('PEM file of the authorities to trust instead of the well-known ones.'),
})
export type ProbeOptions = Values<typeof PROBE_OPTIONS>

export const HEALTH_OPTIONS = section('Probes of the application’s health.', {
  probes: list('The probes. Without any, a liveness and a readiness probe are guessed.', PROBE_OPTIONS),
  guess: flag('Whether to look for well-known health paths when no probe is configured.', { default: true }),
})
export type HealthOptions = Values<typeof HEALTH_OPTIONS>
