// The option section `push`.

import {
  checked,
  choice,
  duration,
  type Fault,
  file,
  flag,
  list,
  section,
  text,
  url,
  type Values,
} from '../../options/kinds.ts'

const fields = section(
  'Pushes everything that /metrics shows to one receiver: for jobs that end before they are scraped, and where nothing scrapes.',
  {
    endpoint: url(
      'The URL to which the metrics are pushed, such as http://prometheus:9090/api/v1/write or http://collector:4318/v1/metrics. Without a path it is /v1/metrics for otlp, and /api/v1/write for remote-write. Without an endpoint nothing is pushed.',
    ),
    protocol: choice(
      'otlp: OTLP metrics over HTTP, in protobuf. remote-write: Prometheus remote write 2.0, or 1.0 if the receiver does not take 2.0.',
      ['otlp', 'remote-write'],
      { default: 'otlp' },
    ),
    interval: duration(
      'Time from the start of one push to the next. The metrics are pushed once more when the application ends.',
      { default: '15s', min: '1s', max: '1h' },
    ),
    timeout: duration('The deadline of one request.', { default: '10s', min: '100ms', max: '5m' }),
    stale_after: duration(
      'When the sidecar ends, its series end this long after their last value, so that graphs still show it. 0s ends them at once: use it if the next run follows with the same push.instance.',
      { default: '15s', max: '5m' },
    ),
    instance: text(
      'The label instance, or service.instance.id. By default service.instance.id of push.resource, or else the name of the host and the process id of the sidecar (shop-7d4f9:7).',
    ),
    resource: text(
      'Attributes of the resource that is pushed as OTLP, as key=value,key=value with percent-encoded values. service.name and service.instance.id hold for remote write too.',
      { otel: 'OTEL_RESOURCE_ATTRIBUTES' },
    ),
    labels: list(
      'Labels that every series gets unless it has them, each "name=value"; in OTLP, attributes of the resource.',
      text('One label.', { default: '' }),
    ),
    native_histograms: flag(
      'Whether native histograms are pushed: as exponential histograms in OTLP, and beside the classic buckets in remote write 2.0. If false, all histograms have classic buckets only.',
      { default: true },
    ),
    compression: choice('The compression of OTLP requests. Remote write always uses snappy.', ['gzip', 'none'], {
      default: 'gzip',
    }),
    headers: list('Headers of each request, each "Name: value".', text('One header.', { default: '', secret: true })),
    header_files: list(
      'Headers whose values are read from files, each "Name: FILE". A file is read again for each push.',
      text('One header.', { default: '' }),
    ),
    token_file: file('A file with a bearer token, read again for each push.'),
    username: text('The user name for basic authentication.'),
    password_file: file('A file with the password for basic authentication, read again for each push.'),
    tls_verify: flag('Whether the certificate of the receiver must be valid, trusted and issued for the name.', {
      default: true,
    }),
    tls_server_name: text('The server name to send and to verify, if it is not the host of the URL.'),
    tls_ca_file: file('A PEM file with the certificate authorities to trust instead of the well-known ones.'),
    tls_cert_file: file('A PEM file with the certificate of the client.'),
    tls_key_file: file('A PEM file with the key of that certificate.'),
  },
)

export const options = checked(fields, faults)
export type PushOptions = Values<typeof fields>

/** A name and a value, separated by `separator`; undefined if that is not there. */
export function pair(line: string, separator: string): { readonly name: string; readonly value: string } | undefined {
  const at = line.indexOf(separator)
  if (at < 1) return undefined
  return { name: line.slice(0, at).trim(), value: line.slice(at + separator.length).trim() }
}

/** Headers that the push sets itself, since the receiver would not understand the body otherwise. */
const OWN = /^(?:host|connection|content-.*|transfer-encoding|x-prometheus-remote-write-version)$/i

function faults(options: PushOptions): readonly Fault[] {
  const found: Fault[] = []
  const { endpoint, headers, header_files, labels } = options
  const given = endpoint === undefined ? null : URL.parse(endpoint)
  if (given && (given.username !== '' || given.password !== ''))
    found.push({ path: 'endpoint', message: 'must not hold a user name or password; use username and password_file' })
  for (const [name, lines] of [
    ['headers', headers],
    ['header_files', header_files],
  ] as const)
    for (const [i, line] of lines.entries()) {
      const header = pair(line, ':')
      const path = `${name}[${i}]`
      if (!header || !/^[!#$%&'*+.^_`|~\w-]+$/.test(header.name) || header.value === '' || unsafe(header.value))
        found.push({ path, message: `must be "Name: ${name === 'headers' ? 'value' : 'FILE'}"` })
      else if (OWN.test(header.name)) found.push({ path, message: `must not be ${header.name}, which the push sets` })
    }
  for (const [i, line] of labels.entries()) {
    const label = pair(line, '=')
    if (!label || !/^[a-zA-Z_]\w*$/.test(label.name) || label.name.startsWith('__'))
      found.push({ path: `labels[${i}]`, message: 'must be "name=value", with a name of letters, digits and _' })
  }
  if (options.token_file !== undefined && options.username !== undefined)
    found.push({ path: 'token_file', message: 'cannot be used together with username' })
  if ((options.username === undefined) !== (options.password_file === undefined))
    found.push({ path: 'username', message: 'and password_file need each other' })
  if ((options.tls_cert_file === undefined) !== (options.tls_key_file === undefined))
    found.push({ path: 'tls_cert_file', message: 'and tls_key_file need each other' })
  return found
}

/** Whether a text cannot stand in a header. */
export function unsafe(value: string): boolean {
  return /[\x00-\x08\x0a-\x1f\x7f]/.test(value)
}
