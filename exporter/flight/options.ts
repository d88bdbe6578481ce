// The options of the flight recorder.

import { replacing } from '../../options/expression.ts'
import {
  bytes,
  flag,
  integer,
  type Kind,
  list,
  live,
  pattern,
  section,
  text,
  type Values,
} from '../../options/kinds.ts'

const redacted: Kind<string | undefined> = {
  ...pattern('A regular expression; each match is replaced by [redacted].'),
  verify: source => replacing(source),
}

export const FLIGHT_OPTIONS = section(
  'The flight recorder: what was known of the last minutes when the application ended, in a file.',
  {
    dir: text(
      'The folder for flight records. Without it, none are written. It should outlive the sidecar, and be shared with nobody who must not read them.',
    ),
    keep: live(
      integer('The largest number of records in the folder; the oldest are removed.', {
        default: 10,
        min: 1,
        max: 1000,
      }),
    ),
    max_bytes: live(
      bytes('The most bytes of all records together; the oldest are removed. The ring takes 2 MiB more.', {
        default: '32MiB',
        min: '1MiB',
      }),
    ),
    logs: flag('Put the newest log records of the application into records.', { default: true }),
    redact: list(
      'Regular expressions in RE2’s syntax. Whatever matches in a text is replaced by [redacted], besides what looks like a password, a token or a key.',
      redacted,
    ),
  },
)

export type FlightOptions = Values<typeof FLIGHT_OPTIONS>
