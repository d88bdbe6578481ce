// A schema with one of everything, so that these tests do not change when a part gets an option.

import {
  bytes,
  choice,
  duration,
  flag,
  integer,
  list,
  listen,
  pattern,
  section,
  text,
  url,
} from '../../options/kinds.ts'

export const schema = section('A schema with one of everything.', {
  app: section('The application.', {
    name: text('Its name.', { otel: 'OTEL_SERVICE_NAME' }),
    url: url('Its base URL.'),
    port: integer('Its port.', { min: 1, max: 65_535 }),
    match: pattern('Its command line.'),
  }),
  health: section('Its health.', {
    probes: list(
      'The probes.',
      section('One probe.', {
        name: text('Its name.'),
        url: url('What to ask for.'),
        interval: duration('How often.', { default: '10s', min: '1s' }),
        verify: flag('Whether to verify.', { default: true }),
        status: list('Which statuses are good.', integer('A status.', { min: 100, max: 599, default: 200 }), {
          default: [200],
        }),
      }),
    ),
    guess: flag('Whether to guess.', { default: true }),
  }),
  spans: section('Request metrics.', {
    dimensions: list('Attributes.', text('An attribute.'), { default: [] }),
    naming: choice('Names.', ['tempo', 'otel'], { default: 'tempo' }),
    limit: integer('Label sets.', { default: 2000, min: 1 }),
  }),
  web: section('The web server.', {
    listen: listen('Where it listens.', { default: '127.0.0.1:19464' }),
    token: text('Who knows it may read everything.', { secret: true }),
    keys: list('More of them.', text('One.', { default: '', secret: true })),
    body: bytes('Largest body.', { default: '16MiB', max: '64MiB' }),
    memory: bytes('All bodies.', { min: '1MiB' }),
  }),
})
