// The log of the sidecar itself.

import { choice, flag, live, section } from './kinds.ts'

export const log = section('The log that the sidecar writes to standard error, one line for each change of state.', {
  level: live(choice('The lowest severity that is written.', ['info', 'warn', 'error'], { default: 'info' })),
  format: choice('The form of the lines: logfmt, or one JSON object for each.', ['logfmt', 'json'], {
    default: 'logfmt',
  }),
  quiet: flag('Leave out the banner and the lines of level info; --quiet is short for it.', { default: false }),
})
