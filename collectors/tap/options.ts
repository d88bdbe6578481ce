// The option section `tap`.

import {
  bytes,
  checked,
  duration,
  type Fault,
  flag,
  integer,
  list,
  listen,
  section,
  text,
  url,
  type Values,
} from '../../options/kinds.ts'

const fields = section(
  'The tap: a TCP relay in front of the application, a process of its own, that sees HTTP/1 requests pass and makes request metrics and spans of them.',
  {
    enabled: flag('Whether the tap is used.', { default: true }),
    listen: listen(
      'Address and port where clients reach the application through the tap. Without it there is no tap.',
      {
        default: 'off',
      },
    ),
    upstream: listen('Address and port of the application. By default, those of app.url.', { default: 'off' }),
    start: flag(
      'Whether the sidecar starts the tap, and starts it again if it ends. If false, start `pillion tap` yourself, with the same options.',
      { default: true },
    ),
    status: listen('Address and port where the tap tells the sidecar what it has counted.', {
      default: '127.0.0.1:19465',
    }),
    otlp: url(
      'The OTLP receiver that the tap sends its spans to, over HTTP. By default, the sidecar at the port of otlp.http.listen.',
    ),
    traceparent: flag(
      'Whether a traceparent is written into requests that have none, so that spans of the application become children of those of the tap. This is the only change that the tap makes to requests.',
      { default: false },
    ),
    proxy_protocol: flag(
      'Whether each connection to the application begins with a line of the PROXY protocol (version 1), which tells it the address of the client. The application must expect it.',
      { default: false },
    ),
    routes: list(
      'Templates of routes, such as /users/{id}/orders or /files/*. Paths that match none have what looks like an id replaced by {id}.',
      text('A template.', { default: '' }),
    ),
    route_limit: integer(
      'The largest number of routes that are found without a template. Requests with additional ones are counted under the method alone.',
      { default: 100, max: 10_000 },
    ),
    max_connections: integer(
      'The largest number of connections of clients. Additional ones are closed at once. Where fewer files may be open, it is less.',
      { default: 4096, min: 1, max: 1_000_000 },
    ),
    max_head: bytes(
      'The longest head of a request or an answer that is read. A longer one passes and is not counted.',
      {
        default: '16KiB',
        min: '1KiB',
        max: '1MiB',
      },
    ),
    max_pending: bytes('Memory of the tap for spans while no receiver takes them. Beyond it, the oldest are dropped.', {
      default: '8MiB',
      min: '1MiB',
      max: '1GiB',
    }),
    connect_timeout: duration('How long a connection to the application may take.', {
      default: '10s',
      min: '100ms',
      max: '5m',
    }),
    half_closed_timeout: duration(
      'A connection that one side has closed, and on which nothing passes for so long, is closed.',
      { default: '5m', min: '1s', max: '1d' },
    ),
    drain: duration(
      'When the tap ends, it takes no new connections; those on which a request or an upgraded protocol is under way may go on for so long.',
      { default: '10s', max: '1h' },
    ),
  },
)

export const TAP_OPTIONS = checked(fields, tapFaults)

export type TapOptions = Values<typeof fields>

export function tapFaults({ listen, upstream, status }: TapOptions): readonly Fault[] {
  if (!listen) return []
  const same = (other: { readonly port: number } | undefined): boolean => other?.port === listen.port && listen.port > 0
  return [
    ...(same(upstream) && upstream?.host === listen.host
      ? [{ path: 'upstream', message: 'must not be the tap itself; give the address of the application' }]
      : []),
    ...(same(status) ? [{ path: 'status', message: 'must not be the port of tap.listen; choose another' }] : []),
    ...(status ? [] : [{ path: 'status', message: 'must not be off while there is a tap; give it an address' }]),
  ]
}
