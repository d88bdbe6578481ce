// The option section `files`.

import { replacing, smallExpression } from '../../options/expression.ts'
import {
  bytes,
  checked,
  choice,
  duration,
  type Fault,
  flag,
  integer,
  type Kind,
  list,
  pattern,
  section,
  share,
  shown,
  text,
  type Values,
} from '../../options/kinds.ts'
import { compileFormat } from './access/format.ts'
import { Pattern } from './pattern.ts'

export const FORMATS = ['auto', 'plain', 'json', 'logfmt', 'cri', 'docker'] as const
export const REQUESTS = ['off', 'nginx', 'apache', 'caddy', 'traefik', 'envoy', 'json', 'custom'] as const

const redacted: Kind<string | undefined> = {
  ...pattern('A regular expression; each match is replaced by [redacted].'),
  verify: source => replacing(source),
}

/** Small enough to be matched with the beginning of every line. */
function recordStart(about: string): Kind<string | undefined> {
  return { ...pattern(about), verify: source => smallExpression(source) }
}

const pathPattern: Kind<string | undefined> = {
  ...text('A path or a pattern.', { default: '' }),
  verify: async source => new Pattern(source),
}

const paths = list(
  'Files to follow: names, or patterns with *, ?, [a-z] and ** (any folders). Compressed files are left out.',
  pathPattern,
)

export const SOURCE_OPTIONS = section('Files that are read in the same way.', {
  name: text('Value of the label `source`; unique.'),
  paths,
  exclude: list('Names or patterns of files that are not followed.', pathPattern),
  service: text('The service that writes them: service.name of what is made of the lines. Without it, app.name.'),
  stream: choice(
    'The stream that the files hold, as log.iostream of the records. A source of a stream without `paths` says how the output is read that logs.stdout or logs.stderr capture.',
    ['none', 'stdout', 'stderr'],
    { default: 'none' },
  ),
  format: choice(
    'The format of the lines. auto: each line is looked at: JSON, logfmt, CRI, Docker’s json-file, or text.',
    FORMATS,
    { default: 'auto' },
  ),
  start: choice(
    'Where reading starts in files that are there when the sidecar first sees the source. Files that come later are read from their beginning.',
    ['end', 'beginning'],
    { default: 'end' },
  ),
  join: flag(
    'Whether lines of a stack trace (indented, or beginning with “at ”, “Caused by”, “... ” or “Traceback”) belong to the record before. A record has at most 500 lines.',
    { default: true },
  ),
  record_start: recordStart('A regular expression that the first line of each record matches, instead of `join`.'),
  requests: choice(
    'Which lines tell of a request to the application, and become request metrics: the format of an access log, json (a status with a method or a path), or custom (request_format).',
    REQUESTS,
    { default: 'off' },
  ),
  request_format: text(
    'The format string of the access log: nginx’s log_format ($request, $status, $request_time), Apache’s LogFormat (%r, %>s, %D), Envoy’s, or text with $method, $path, $status and $duration_ms. Other names are passed over.',
  ),
  routes: list(
    'Templates of routes, such as /users/{id}/orders or /files/*. Paths that match none have what looks like an id replaced by {id}.',
    text('A template.', { default: '' }),
  ),
  route_limit: integer(
    'The largest number of routes that are found without a template. Additional ones are counted under the method alone.',
    { default: 100, max: 10_000 },
  ),
  keep_requests: flag('Whether lines that became requests also become log records.', { default: false }),
  keep_info: share(
    'The share of records without a severity of WARN or more that is kept. The others are counted as dropped.',
    { default: 1 },
  ),
  max_lines_per_second: integer('The most log records a second. Records beyond it are counted as dropped.', { min: 1 }),
  max_line: bytes('The longest line, or record of several lines. Bytes beyond it are not read, and counted.', {
    default: '64KiB',
    min: '1KiB',
    max: '256KiB',
  }),
})

export type SourceOptions = Values<typeof SOURCE_OPTIONS>

/** A source with the defaults. Each option has the type of its own default. */
export const SOURCE_DEFAULTS = Object.fromEntries(
  Object.entries(SOURCE_OPTIONS.fields).map(([name, { default: value }]) => [name, value]),
) as unknown as SourceOptions

const FILES = section(
  'Log files of the application: lines become log records, and requests of access logs request metrics.',
  {
    enabled: flag('Whether log files are followed.', { default: true }),
    paths: list('Files to follow with the defaults of files.sources, as the source "files".', pathPattern),
    sources: list('The sources.', SOURCE_OPTIONS),
    positions: text(
      'A file that keeps how far each file was read, so that a restart goes on there. Without it, a restart starts anew, as `start` says.',
    ),
    poll: duration('How often files are looked at. One that has not changed for 30 s is looked at less often.', {
      default: '250ms',
      min: '10ms',
      max: '1m',
    }),
    max_files: integer('The largest number of files that are followed.', { default: 4096, min: 1, max: 100_000 }),
    max_open: integer(
      'The largest number of files that are kept open. A file that has been idle the longest is closed.',
      {
        default: 512,
        min: 1,
        max: 100_000,
      },
    ),
    redact: list(
      'Regular expressions in RE2’s syntax. Whatever matches in a line is replaced by [redacted], before anything else sees it. Lines are then cut at 16 KiB.',
      redacted,
    ),
  },
)

export const FILES_OPTIONS = checked(FILES, filesFaults)

export type FilesOptions = Values<typeof FILES>

/** The faults of the section that no option can tell by itself. */
export function filesFaults({ paths, sources }: Pick<FilesOptions, 'paths' | 'sources'>): readonly Fault[] {
  const found: Fault[] = []
  const names = new Set(paths.length > 0 ? ['files'] : [])
  for (const [place, source] of sources.entries()) {
    const add = (option: string, message: string): void => {
      found.push({ path: `sources[${place}].${option}`, message })
    }
    const { name = '' } = source
    if (source.name === undefined) add('name', 'is missing; give each source its own name')
    else if (!/^[\w.:/-]{1,64}$/.test(name))
      add('name', `must be 1 to 64 of letters, digits and _ . : / -, not ${shown(name)}`)
    else if (names.has(name)) add('name', `${shown(name)} is already taken; give each source its own name`)
    names.add(name)
    if (source.stream === 'none' && !source.paths.some(each => each !== ''))
      add('paths', 'is missing; give the files to follow')
    if (source.requests === 'custom' && source.request_format === undefined)
      add('request_format', 'is missing; give the format of the lines, or another value of requests')
    if (source.request_format === undefined) continue
    if (source.requests === 'off')
      add('requests', 'must not be off with a request_format; set nginx, apache, envoy or custom')
    try {
      compileFormat(source.request_format)
    } catch (error) {
      add('request_format', error instanceof Error ? error.message : String(error))
    }
  }
  return found
}
