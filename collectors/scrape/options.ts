// The option section `scrape`.

import { CLIENT_TLS } from '../../options/client-tls.ts'
import {
  bytes,
  checked,
  duration,
  type Fault,
  file,
  flag,
  integer,
  list,
  section,
  text,
  url,
  type Values,
} from '../../options/kinds.ts'
import { headerFault, urlFault } from '../health.ts'

const FIELDS = section('The application’s own /metrics, shown on the page of the sidecar as well.', {
  url: url(
    'The URL of the application’s metrics. Without it, /metrics is looked for at app.url and at the discovered port (scrape.guess).',
  ),
  guess: flag(
    'Whether to look for /metrics at app.url and at the port that the application listens on, if scrape.url is not set.',
    { default: true },
  ),
  timeout: duration(
    'The longest that a scrape of the application may take. It also ends 300 ms before the deadline of the scraper (X-Prometheus-Scrape-Timeout-Seconds).',
    { default: '2s', min: '10ms', max: '10m' },
  ),
  max_body: bytes('The largest page of the application, decompressed; a larger one is left out as a whole.', {
    default: '10MiB',
    min: '1KiB',
    max: '256MiB',
  }),
  max_samples: integer('The most samples of the application; a page with more of them is left out as a whole.', {
    default: 50_000,
    min: 1,
    max: 1_000_000,
  }),
  max_labels: integer('The most labels of a sample; a sample with more of them is left out.', {
    default: 64,
    min: 1,
    max: 256,
  }),
  max_label_value: bytes('The longest value of a label; a sample with a longer one is left out.', {
    default: '1KiB',
    min: '1B',
    max: '4KiB',
  }),
  headers: list('Headers to send, each "Name: value".', text('One header.', { default: '', secret: true })),
  bearer_token_file: file('A file with the token to send as Authorization: Bearer; it is read again for each scrape.'),
  username: text('The user name for basic authentication.'),
  password_file: file('A file with the password for basic authentication; it is read again for each scrape.'),
  ...CLIENT_TLS,
})

export type ScrapeOptions = Values<typeof FIELDS>

export const SCRAPE_OPTIONS = checked(FIELDS, scrapeFaults)

/** The faults of the section. */
export function scrapeFaults(options: ScrapeOptions): readonly Fault[] {
  const found: Fault[] = []
  const add = (path: string, message: string | undefined): void => {
    if (message !== undefined) found.push({ path, message })
  }
  if (options.url !== undefined) add('url', urlFault(options.url))
  for (const [place, line] of options.headers.entries()) add(`headers[${place}]`, headerFault(line))
  const { bearer_token_file: token, username, password_file: password } = options
  if (token !== undefined && (username !== undefined || password !== undefined))
    add('bearer_token_file', 'cannot be sent beside a user name and password; give one of them')
  if (username === undefined && password !== undefined)
    add('username', 'is missing; give the user of scrape.password_file')
  if (username?.includes(':')) add('username', 'must not contain a colon')
  if (token !== undefined || username !== undefined || options.headers.length > 0)
    if (options.url === undefined) add('url', 'is missing; headers and credentials are only sent to a URL that is set')
  return found
}
