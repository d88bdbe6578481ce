// The options of the web server.

import { checked, duration, file, list, listen, live, section, text, type Values } from '../../options/kinds.ts'

const fields = section('The web server: /metrics, /-/healthy, /-/ready, the page and /api/status.', {
  listen: listen('Address and port of the web server.', { default: '127.0.0.1:19464' }),
  allowed_hosts: live(
    list(
      'Names, besides localhost and IP addresses, that the Host header of a request may have ("shop", "*.example.com", "*"); others are refused, which stops DNS rebinding.',
      text('A host name.'),
    ),
  ),
  token_file: live(
    file(
      'A file with a bearer token that requests need for every path except /-/healthy and /-/ready. Without a token, other hosts may read /metrics, but not use the page, /api/… or /-/reload. While web.listen is a loopback address, this host needs no token.',
    ),
  ),
  config: live(
    section('The web configuration that Prometheus exporters share.', {
      file: file(
        'A file with tls_server_config, http_server_config, basic_auth_users and rate_limit, as the Prometheus exporter-toolkit describes it. It and the certificates that it names are read again when they change.',
      ),
    }),
  ),
  scrape_timeout: duration(
    'The deadline of a scrape. The X-Prometheus-Scrape-Timeout-Seconds header can make it shorter.',
    { default: '10s', min: '100ms', max: '10m' },
  ),
})

export type WebOptions = Values<typeof fields>

export const options = checked(fields, async values => (await import('./faults.ts')).webFaults(values))
