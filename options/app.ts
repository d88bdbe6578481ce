// The observed application: its name and how to find it. Every collector may need these options, so they belong to none.

import { duration, integer, pattern, section, text, url } from './kinds.ts'

export const app = section('The observed application: its name, its address, and how to find its process.', {
  name: text('The name of the application in metrics and on the page.', { otel: 'OTEL_SERVICE_NAME' }),
  url: url(
    'The base URL of the application. Health is probed there, and the process that listens on its port is observed.',
  ),
  pid: integer('The process id of the application, if it is known when the sidecar starts.', {
    min: 1,
    max: 4_194_304,
  }),
  pid_file: text(
    'A file that contains the process id of the application; it is read again when that process has ended.',
  ),
  cgroup: text('The cgroup of the application, such as /system.slice/shop.service; its oldest process is observed.'),
  match: pattern(
    'A regular expression for the command line of the application; the oldest process that matches is observed.',
  ),
  port: integer('A TCP port on which the application listens, if it is not the port of app.url.', {
    min: 1,
    max: 65_535,
  }),
  exit_after_gone: duration(
    'Without run: the sidecar ends with exit code 0 when the application has been gone for this long; with 0s it waits for the next one.',
    { default: '0s' },
  ),
})
