// What the sidecar itself writes to standard error.

import { choice, section } from './kinds.ts'

export const log = section('What the sidecar itself writes to standard error, one line per change of state.', {
  level: choice('The least severe lines that are written.', ['info', 'warn', 'error'], { default: 'info' }),
})
