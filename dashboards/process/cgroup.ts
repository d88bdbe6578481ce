// The row of the cgroup that the application runs in.

import { families as app } from '../../collectors/process.ts'
import { chosen, folded, type Row } from '../board.ts'
import { CELL } from '../links.ts'
import { lines, table } from '../panels.ts'
import { now, series } from '../query.ts'
import { NO_CGROUP } from '../terms.ts'

export const cgroupRow: Row = folded(600, 'Cgroup', [
  lines({
    id: 60,
    title: 'CPU of the cgroup',
    about:
      'Cores used by everything in the cgroup (app_cgroup_cpu_usage_seconds_total), against the quota, and time stopped by it.',
    unit: 'short',
    queries: [
      series(chosen.rate(app.cgroupCpu), '{{instance}} {{mode}}'),
      series(chosen.rate(app.cgroupThrottled), '{{instance}} stopped by the quota'),
      series(chosen.value(app.cgroupCpuLimit), '{{instance}} limit'),
    ],
    empty: NO_CGROUP,
    dashed: '.* limit',
  }),
  lines({
    id: 61,
    title: 'Memory of the cgroup',
    about:
      'Memory charged to the cgroup with and without what can be dropped (app_cgroup_memory_…), against the limit. The kubelet evicts by the working set.',
    unit: 'bytes',
    queries: [
      series(chosen.value(app.cgroupMemory), '{{instance}} usage'),
      series(chosen.value(app.cgroupWorkingSet), '{{instance}} working set'),
      series(chosen.value(app.cgroupMemoryLimit), '{{instance}} limit'),
    ],
    empty: NO_CGROUP,
    dashed: '.* limit',
  }),
  lines({
    id: 62,
    title: 'Pressure: something waited',
    about:
      'Share of the time in which at least one task waited for the resource (app_cgroup_pressure_waiting_seconds_total).',
    unit: 'percentunit',
    queries: [series(chosen.rate(app.cgroupWaiting), '{{instance}} {{resource}}')],
    empty: 'the kernel offers no pressure information for this cgroup',
  }),
  lines({
    id: 63,
    title: 'Pressure: everything waited',
    about:
      'Share of the time in which all tasks waited for the resource at once (app_cgroup_pressure_stalled_seconds_total). Above 0 the application stands still.',
    unit: 'percentunit',
    queries: [series(chosen.rate(app.cgroupStalled), '{{instance}} {{resource}}')],
    empty: 'the kernel offers no pressure information for this cgroup',
  }),
  lines({
    id: 64,
    title: 'Killed for lack of memory',
    about:
      'Processes that the out-of-memory killer ended within five minutes (app_cgroup_oom_kills_total). Above 0 is bad.',
    unit: 'short',
    queries: [series(chosen.increase(app.cgroupOomKills, {}, '5m'), '{{instance}}')],
    empty: NO_CGROUP,
  }),
  table({
    id: 65,
    title: 'Cgroups',
    about: 'The version of each cgroup and how it is read (app_cgroup_info).',
    by: { instance: 'Instance', version: 'Version', route: 'Route' },
    leads: { instance: CELL.instance },
    sorted: 'Read',
    lowest: true,
    columns: [{ title: 'Read', query: now(chosen.value(app.cgroupInfo), '{{instance}}') }],
    empty: NO_CGROUP,
    width: 8,
  }),
])
