// The observed application: what to call it and how to find it. Every collector may need these, so they belong to none.

import { duration, integer, pattern, section, text, url } from './kinds.ts'

export const app = section('The observed application: what it is called, where it answers, and which process it is.', {
  name: text('What it is called in metrics and on the page.', { otel: 'OTEL_SERVICE_NAME' }),
  url: url('Its base URL. Health is probed there, and the owner of its port is the process to observe.'),
  pid: integer('Its process id, if it is known from the start.', { min: 1, max: 4_194_304 }),
  pid_file: text('A file that holds its process id; read again when the process has gone.'),
  cgroup: text(
    'The cgroup that holds it, such as /system.slice/shop.service: the oldest process there is the application.',
  ),
  match: pattern('Matches its command line: the oldest process that matches is the application.'),
  port: integer('A TCP port that it listens on, where that is not the port of app.url.', { min: 1, max: 65_535 }),
  exit_after_gone: duration(
    'Attached: the sidecar ends, with exit code 0, when the application was there and then has been gone for this long; 0s stays and waits for the next one.',
    { default: '0s' },
  ),
})

export type AppOptions = import('./kinds.ts').Values<typeof app>
