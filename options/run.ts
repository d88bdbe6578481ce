// The options of `pillion run` and `pillion exec` for the application that they start.

import { duration, flag, section } from './kinds.ts'

export const run = section(
  'How pillion run and pillion exec start the application and follow its end. A listener on port 0 takes a free port, which the banner names.',
  {
    strict: flag(
      'Do not start the application if a listener of the sidecar cannot be opened. Otherwise the application starts, a default port that is taken is replaced by a free one, and a configured port that is taken leaves its listener off.',
      { default: false },
    ),
    linger: duration(
      'How long /metrics stays up after the application has ended, so that its last numbers are scraped; SIGTERM or SIGINT ends the wait.',
      { default: '0s', max: '1h' },
    ),
    group: flag(
      'Send signals to the whole process group of the application instead of its first process. The application then runs in a session of its own, without a controlling terminal. Only for pillion run.',
      { default: false },
    ),
  },
)
