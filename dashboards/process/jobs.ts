// The row of jobs: how the applications ended that `pillion run` started. They are pushed, since a job is over before it is
// scraped; a series that has ended is looked for over the time shown.

import * as job from '../../collectors/process.ts'
import { chosen, folded, type Row } from '../board.ts'
import { lines } from '../panels.ts'
import { series } from '../query.ts'

const NO_JOB = 'no application of pillion run has ended (push.endpoint shows those that end)'

export const jobsRow: Row = folded(900, 'Jobs', [
  lines({
    id: 90,
    title: 'Exit codes',
    about: 'The exit code of each application that has ended (app_run_exit_code); 128 + n if signal n ended it.',
    unit: 'none',
    queries: [series(chosen.value(job.exitCode), '{{instance}}')],
    empty: NO_JOB,
  }),
  lines({
    id: 91,
    title: 'Duration and CPU',
    about:
      'From start to end (app_run_duration_seconds), and the CPU time of it with all that it waited for (app_run_cpu_seconds).',
    unit: 's',
    queries: [
      series(chosen.value(job.jobDuration), '{{instance}} duration'),
      series(chosen.value(job.cpuTime), '{{instance}} CPU'),
    ],
    empty: NO_JOB,
  }),
  lines({
    id: 92,
    title: 'Peak memory',
    about: 'The most memory in RAM that one process of the application held (app_run_peak_memory_bytes).',
    unit: 'bytes',
    queries: [series(chosen.value(job.peakMemory), '{{instance}}')],
    empty: NO_JOB,
  }),
  lines({
    id: 93,
    title: 'Ends',
    about: 'When each application ended (app_run_end_timestamp_seconds).',
    unit: 'dateTimeAsIso',
    queries: [series(chosen.value(job.endTime), '{{instance}}')],
    empty: NO_JOB,
  }),
])
