// The application's process and cgroup in depth: for those who know that it is the machine.

import { families as app } from '../collectors/process.ts'
import { type Board, chosen, EVENTS, folded, open } from './board.ts'
import { CELL, to } from './links.ts'
import { cpuOfLimit, mainThread, memoryOfLimit, throttled } from './measures.ts'
import { lines, stat, table, timeline, UP_OR_DOWN } from './panels.ts'
import { apartRow } from './process/apart.ts'
import { cgroupRow } from './process/cgroup.ts'
import { diskRow } from './process/disk.ts'
import { endsRow } from './process/ends.ts'
import { jobsRow } from './process/jobs.ts'
import { saturationRow } from './process/saturation.ts'
import { binary, labelled, max, min, sum } from './promql.ts'
import { now, series } from './query.ts'
import { NO_PROCESS, NOT_LIMITED, SATURATION_STEPS } from './terms.ts'

export const processBoard: Board = {
  uid: 'pillion-process',
  title: 'Pillion / Process',
  about: 'CPU, memory, files, I/O, threads, connections and cgroup of the application, as the kernel counts them.',
  annotations: EVENTS,
  rows: [
    open(100, 'Is it well?', [
      stat({
        id: 1,
        title: 'Running',
        about:
          'Whether the main process of every application runs (app_process_up). Down is bad; no data: nothing is looked for, or it cannot be seen.',
        unit: 'none',
        queries: [now(min(chosen.value(app.up)), 'Running')],
        more: to('pillion-application'),
        empty: NO_PROCESS,
        words: UP_OR_DOWN,
        steps: ['red', [1, 'green']],
        mode: 'colour',
      }),
      stat({
        id: 2,
        title: 'CPU of the quota',
        about:
          'CPU used as a share of the quota, of the worst instance (app_cgroup_cpu_usage_seconds_total). Near 100 % it is throttled.',
        unit: 'percentunit',
        queries: [series(max(cpuOfLimit(chosen)), 'CPU of the quota')],
        empty: NOT_LIMITED,
        steps: SATURATION_STEPS,
        decimals: 0,
      }),
      stat({
        id: 3,
        title: 'Throttled',
        about:
          'Share of the periods in which the quota stopped the worst instance (app_cgroup_cpu_throttled_periods_total). Above 25 % is bad.',
        unit: 'percentunit',
        queries: [series(max(throttled(chosen)), 'Throttled')],
        empty: NOT_LIMITED,
        steps: ['green', [0.05, 'yellow'], [0.25, 'red']],
        decimals: 0,
      }),
      stat({
        id: 4,
        title: 'Memory of limit',
        about:
          'Memory that cannot be dropped as a share of the limit, of the worst instance (app_cgroup_memory_working_set_bytes). Near 100 % it is killed.',
        unit: 'percentunit',
        queries: [series(max(memoryOfLimit(chosen)), 'Memory of limit')],
        empty: NOT_LIMITED,
        steps: SATURATION_STEPS,
        decimals: 0,
      }),
      stat({
        id: 5,
        title: 'Files of limit',
        about:
          'Open file descriptors divided by their limit, of the worst process (app_process_worst_fd_ratio). Near 100 % it cannot accept connections.',
        unit: 'percentunit',
        queries: [series(max(chosen.value(app.worstFdRatio)), 'Files of limit')],
        empty: 'the open files cannot be read',
        steps: SATURATION_STEPS,
        decimals: 0,
      }),
      stat({
        id: 6,
        title: 'Pids of limit',
        about:
          'Processes and threads divided by their limit, of the worst cgroup (app_cgroup_pids). Near 100 % it cannot start threads.',
        unit: 'percentunit',
        queries: [series(max(binary(chosen.value(app.cgroupPids), '/', chosen.value(app.cgroupPidsLimit))), 'Pids')],
        empty: NOT_LIMITED,
        steps: SATURATION_STEPS,
        decimals: 0,
      }),
      timeline({
        id: 7,
        title: 'Running, over time',
        about: 'Whether the application has a running main process (app_process_up). Red is down.',
        unit: 'none',
        queries: [series(chosen.value(app.up), '{{instance}}')],
        empty: NO_PROCESS,
        words: UP_OR_DOWN,
        steps: ['red', [1, 'green']],
        width: 12,
        height: 6,
      }),
      table({
        id: 8,
        title: 'Main processes',
        about:
          'Name of each main process and how it was found (app_process_info), with its start (app_process_start_time_seconds). A wrong name means that app.url or app.match points elsewhere.',
        by: { instance: 'Instance', name: 'Name', found_by: 'Found by' },
        leads: { instance: CELL.instance },
        sorted: 'Started',
        columns: [
          {
            title: 'Started',
            query: now(
              labelled(
                max(chosen.value(app.info), ['instance', 'name', 'found_by']),
                binary(max(chosen.value(app.startTime), ['instance']), '*', '1000'),
                ['instance'],
              ),
              '{{instance}}',
            ),
            unit: 'dateTimeAsIso',
          },
        ],
        empty: NO_PROCESS,
        width: 12,
        height: 6,
      }),
    ]),
    open(200, 'CPU', [
      lines({
        id: 20,
        title: 'CPU by mode',
        about:
          'Cores used in user code and in the kernel (app_process_cpu_seconds_total). Much system time means many small system calls.',
        unit: 'short',
        queries: [series(chosen.rate(app.cpu), '{{instance}} {{mode}}')],
        empty: NO_PROCESS,
        stacked: true,
      }),
      lines({
        id: 21,
        title: 'Main thread',
        about:
          'Share of the time that the main thread was on a core (app_process_main_thread_cpu_seconds_total). Near 100 % an event loop is saturated.',
        unit: 'percentunit',
        queries: [series(mainThread(chosen), '{{instance}}')],
        more: to('pillion-runtime'),
        empty: NO_PROCESS,
        steps: SATURATION_STEPS,
      }),
      lines({
        id: 22,
        title: 'Waiting for a core',
        about:
          'Seconds per second that threads were ready and waited for a core (app_process_run_queue_wait_seconds_total). Much of it: the machine is too small or too full.',
        unit: 'short',
        queries: [series(chosen.rate(app.runQueueWait), '{{instance}}')],
        empty: 'the run-queue wait cannot be read',
      }),
    ]),
    open(300, 'Memory', [
      lines({
        id: 30,
        title: 'Memory in RAM',
        about: 'Resident, proportional (shared pages divided), and private memory. Growth that never ends is bad.',
        unit: 'bytes',
        queries: [
          series(chosen.value(app.residentMemory), '{{instance}} resident'),
          series(chosen.value(app.proportionalMemory), '{{instance}} proportional'),
          series(chosen.value(app.privateMemory), '{{instance}} private'),
        ],
        empty: NO_PROCESS,
      }),
      lines({
        id: 31,
        title: 'Swapped out',
        about:
          'Memory that was written to swap (app_process_swap_bytes). Anything that grows makes requests wait for storage.',
        unit: 'bytes',
        queries: [
          series(chosen.value(app.swap), '{{instance}}'),
          series(chosen.value(app.proportionalSwap), '{{instance}} proportional'),
        ],
        empty: NO_PROCESS,
      }),
      lines({
        id: 32,
        title: 'Page faults',
        about:
          'Page faults per second (app_process_page_faults_total): minor ones found the page in memory, major ones waited for storage. Major ones are bad.',
        unit: 'cps',
        queries: [series(chosen.rate(app.pageFaults), '{{instance}} {{type}}')],
        empty: NO_PROCESS,
      }),
    ]),
    folded(400, 'Files, storage and connections', [
      lines({
        id: 40,
        title: 'Open files',
        about: 'Open file descriptors (app_process_open_fds) against their limit. A line that only rises is a leak.',
        unit: 'short',
        queries: [
          series(chosen.value(app.openFds), '{{instance}} open'),
          series(chosen.value(app.maxFds), '{{instance}} limit'),
        ],
        empty: 'the open files cannot be read',
        dashed: '.* limit',
      }),
      lines({
        id: 41,
        title: 'Storage',
        about:
          'Bytes fetched from and sent to storage per second, without what the page cache answered (app_process_io_…_bytes_total).',
        unit: 'Bps',
        queries: [
          series(chosen.rate(app.ioRead), '{{instance}} read'),
          series(chosen.rate(app.ioWritten), '{{instance}} written'),
        ],
        empty: 'the I/O counters cannot be read; give the sidecar the application’s user',
      }),
      lines({
        id: 42,
        title: 'TCP sockets by state',
        about:
          'Sockets of its network namespace (app_process_tcp_connections). Many close_wait: it forgets to close; many time_wait: it does not reuse connections.',
        unit: 'short',
        queries: [series(sum(chosen.value(app.tcpConnections), ['state']), '{{state}}')],
        empty: 'the connections are not read (process.tcp)',
      }),
      lines({
        id: 43,
        title: 'Waiting to be accepted',
        about:
          'Connections that the application has not accepted yet (app_process_accept_queue_length). Above 0 for long: it does not keep up.',
        unit: 'short',
        queries: [series(chosen.value(app.acceptQueue), '{{instance}}')],
        empty: 'the connections are not read (process.tcp)',
      }),
    ]),
    diskRow,
    folded(500, 'Processes and threads', [
      lines({
        id: 50,
        title: 'Processes',
        about:
          'The main process and its descendants (app_processes), and those that ended and were not waited for (app_process_zombies). Zombies that grow are a leak.',
        unit: 'short',
        queries: [
          series(chosen.value(app.processes), '{{instance}} running'),
          series(chosen.value(app.zombies), '{{instance}} zombies'),
        ],
        empty: NO_PROCESS,
      }),
      lines({
        id: 54,
        title: 'States',
        about:
          'Processes by state (app_process_state). Stopped ones do nothing until SIGCONT; many that wait: storage is slow.',
        unit: 'short',
        queries: [series(sum(chosen.value(app.state), ['state']), '{{state}}')],
        empty: NO_PROCESS,
        stacked: true,
      }),
      lines({
        id: 51,
        title: 'Threads',
        about: 'Threads (app_process_threads). A line that only rises is a leak.',
        unit: 'short',
        queries: [series(chosen.value(app.threads), '{{instance}}')],
        empty: NO_PROCESS,
      }),
      lines({
        id: 52,
        title: 'Context switches',
        about:
          'Context switches per second (app_process_context_switches_total): voluntary ones waited for something, involuntary ones lost their core. Many involuntary ones: too few cores.',
        unit: 'cps',
        queries: [series(chosen.rate(app.contextSwitches), '{{instance}} {{type}}')],
        empty: NO_PROCESS,
      }),
      lines({
        id: 53,
        title: 'Address space',
        about: 'Virtual memory (app_process_virtual_memory_bytes). Large is normal; it matters where it is limited.',
        unit: 'bytes',
        queries: [series(chosen.value(app.virtualMemory), '{{instance}}')],
        empty: NO_PROCESS,
      }),
    ]),
    cgroupRow,
    apartRow,
    folded(800, 'What the sidecar could read', [
      timeline({
        id: 80,
        title: 'Readable parts of /proc',
        about:
          'Whether the sidecar may read each part (app_process_readable). Red: its metrics are absent; the log of the sidecar says what to change.',
        unit: 'none',
        queries: [series(chosen.value(app.readable), '{{instance}} {{file}}')],
        empty: NO_PROCESS,
        words: { 1: { text: 'Readable', color: 'green' }, 0: { text: 'Not permitted', color: 'red' } },
        steps: ['red', [1, 'green']],
        width: 16,
        height: 8,
      }),
      lines({
        id: 81,
        title: 'Left out because of a bound',
        about:
          'Readings per second that left something out (pillion_process_over_limit_total). Above 0: raise process.processes_limit or process.threads_limit.',
        unit: 'cps',
        queries: [series(chosen.rate(app.overLimit), '{{instance}} {{what}}')],
        empty: NO_PROCESS,
      }),
    ]),
    saturationRow,
    endsRow,
    jobsRow,
  ],
}
