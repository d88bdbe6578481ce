// The metrics of the application's process and its cgroup. Names are promises (docs/process.md).

import { counter, gauge } from '../../metrics/family.ts'

export const up = gauge(
  'app_process_up',
  'Whether the main process of the application runs. 0 only if it is known not to run; absent if there is nothing to look for, or if it cannot be seen from here.',
)
export const processes = gauge(
  'app_processes',
  'Running processes of the application: the main one and its descendants. Absent where app_process_up is.',
)
export const state = gauge(
  'app_process_state',
  'Processes of the application in each state: running, sleeping, waiting (uninterruptible, mostly for storage), stopped (by SIGSTOP or a debugger), zombie, other.',
  ['state'],
)
export const zombies = gauge(
  'app_process_zombies',
  'Descendants that have ended, but whose parent has not waited for them.',
)
export const cpu = counter(
  'app_process_cpu_seconds_total',
  'CPU time of the application, including children that ended and were waited for. Continues across its restarts.',
  ['mode'],
)
export const mainThreadCpu = counter(
  'app_process_main_thread_cpu_seconds_total',
  'CPU time of the main thread of the main process. At a rate near 1, an event loop is saturated.',
)
export const runQueueWait = counter(
  'app_process_run_queue_wait_seconds_total',
  'Time during which threads of the application were ready to run but waited for a core.',
)
export const residentMemory = gauge(
  'app_process_resident_memory_bytes',
  'Resident memory (RSS): memory in RAM. Pages that processes share are counted for each of them.',
)
export const virtualMemory = gauge('app_process_virtual_memory_bytes', 'Virtual memory: the size of the address space.')
export const swap = gauge('app_process_swap_bytes', 'Anonymous memory that is swapped out.')
export const proportionalMemory = gauge(
  'app_process_proportional_memory_bytes',
  'Memory in RAM, with shared pages divided among the processes that share them (PSS). Only with process.smaps, read once a minute.',
)
export const proportionalSwap = gauge(
  'app_process_proportional_swap_bytes',
  'Swapped memory, with shared pages divided among the processes that share them. Only with process.smaps, read once a minute.',
)
export const privateMemory = gauge(
  'app_process_private_memory_bytes',
  'Memory in RAM that no other process shares, and that would be free if the application ended. Only with process.smaps.',
)
export const openFds = gauge('app_process_open_fds', 'Number of open file descriptors.')
export const maxFds = gauge(
  'app_process_max_fds',
  'Soft limit of open file descriptors of the main process; absent when unlimited.',
)
export const worstFdRatio = gauge(
  'app_process_worst_fd_ratio',
  'Open file descriptors divided by their limit, for the process that is nearest to its limit.',
)
export const threads = gauge('app_process_threads', 'Number of threads.')
export const contextSwitches = counter(
  'app_process_context_switches_total',
  'Context switches of all threads. Voluntary: the thread waited for something. Involuntary: it lost its core.',
  ['type'],
)
export const pageFaults = counter(
  'app_process_page_faults_total',
  'Page faults. Minor: the page was in memory. Major: it was read from storage.',
  ['type'],
)
export const ioRead = counter('app_process_io_read_bytes_total', 'Bytes read from storage, not from the page cache.')
export const ioWritten = counter(
  'app_process_io_written_bytes_total',
  'Bytes written to storage, including data that was deleted before it was written.',
)
export const startTime = gauge(
  'app_process_start_time_seconds',
  'Start of the main process, in seconds since the epoch. Computed once for each process, so clock steps do not move it.',
)
export const uptime = gauge('app_process_uptime_seconds', 'Age of the main process, by the monotonic clock.')
export const restarts = counter('app_process_restarts_total', 'Restarts of the main process since the sidecar started.')
export const tcpConnections = gauge(
  'app_process_tcp_connections',
  "TCP sockets in the application's network namespace, by state; in a pod, those of all its containers. Read every 15 s at most.",
  ['state'],
)
export const acceptQueue = gauge(
  'app_process_accept_queue_length',
  'Connections on the port of the application that it has not accepted yet. Read with app_process_tcp_connections.',
)
export const info = gauge('app_process_info', 'The name of the main process, and how it was found. Always 1.', [
  'name',
  'found_by',
])
export const readable = gauge(
  'app_process_readable',
  'Whether the sidecar may read this file in /proc. If 0, its metrics are absent, and the log says what to change.',
  ['file'],
)

export const childrenCpu = counter(
  'app_process_children_cpu_seconds_total',
  'CPU time of descendants, including ended ones. Only with process.children: apart.',
  ['mode'],
)
export const childrenResidentMemory = gauge(
  'app_process_children_resident_memory_bytes',
  'Memory in RAM of descendants; only with process.children: apart.',
)
export const childrenSwap = gauge(
  'app_process_children_swap_bytes',
  'Swapped memory of descendants; only with process.children: apart.',
)
export const childrenOpenFds = gauge(
  'app_process_children_open_fds',
  'Open file descriptors of descendants; only with process.children: apart.',
)
export const childrenThreads = gauge(
  'app_process_children_threads',
  'Threads of descendants; only with process.children: apart.',
)
export const childrenContextSwitches = counter(
  'app_process_children_context_switches_total',
  'Context switches of descendants; only with process.children: apart.',
  ['type'],
)
export const childrenRunQueueWait = counter(
  'app_process_children_run_queue_wait_seconds_total',
  'Time that threads of descendants waited for a core; only with process.children: apart.',
)
export const childrenPageFaults = counter(
  'app_process_children_page_faults_total',
  'Page faults of descendants, including ended ones. Only with process.children: apart.',
  ['type'],
)
export const childrenIoRead = counter(
  'app_process_children_io_read_bytes_total',
  'Bytes that descendants read from storage; only with process.children: apart.',
)
export const childrenIoWritten = counter(
  'app_process_children_io_written_bytes_total',
  'Bytes that descendants wrote to storage; only with process.children: apart.',
)

export const cgroupInfo = gauge(
  'app_cgroup_info',
  "The application's cgroup: version (v1, v2, hybrid), and whether it is read through the sidecar's own mount or through the application's root. Always 1.",
  ['version', 'route'],
)
export const cgroupCpuLimit = gauge(
  'app_cgroup_cpu_limit_cores',
  'CPU quota in cores: the lowest one of the cgroup and those above it. Absent if there is none.',
)
export const cgroupCpu = counter('app_cgroup_cpu_usage_seconds_total', 'CPU time of everything in the cgroup.', [
  'mode',
])
export const cgroupPeriods = counter(
  'app_cgroup_cpu_periods_total',
  'CPU quota periods in which the cgroup had something to run.',
)
export const cgroupThrottledPeriods = counter(
  'app_cgroup_cpu_throttled_periods_total',
  'CPU quota periods in which the quota was used up and the cgroup was stopped.',
)
export const cgroupThrottled = counter(
  'app_cgroup_cpu_throttled_seconds_total',
  'Time for which the quota stopped the cgroup.',
)
export const cgroupMemoryLimit = gauge(
  'app_cgroup_memory_limit_bytes',
  'Memory limit: the lowest one of the cgroup and those above it. Absent if there is none.',
)
export const cgroupMemory = gauge(
  'app_cgroup_memory_usage_bytes',
  'Memory charged to the cgroup, including page cache.',
)
export const cgroupWorkingSet = gauge(
  'app_cgroup_memory_working_set_bytes',
  'Memory usage without inactive file pages, which can be dropped at any time. The kubelet evicts pods by it.',
)
export const cgroupOomKills = counter(
  'app_cgroup_oom_kills_total',
  'Processes of the cgroup that the out-of-memory killer ended, including the last one before the cgroup was removed.',
)
export const cgroupPids = gauge('app_cgroup_pids', 'Processes and threads in the cgroup.')
export const cgroupPidsLimit = gauge(
  'app_cgroup_pids_limit',
  'Limit of processes and threads in the cgroup; absent when there is none.',
)
export const cgroupWaiting = counter(
  'app_cgroup_pressure_waiting_seconds_total',
  'Time during which at least one task of the cgroup waited for the resource (PSI some).',
  ['resource'],
)
export const cgroupStalled = counter(
  'app_cgroup_pressure_stalled_seconds_total',
  'Time during which all tasks of the cgroup waited for the resource at once (PSI full).',
  ['resource'],
)

export const overLimit = counter(
  'pillion_process_over_limit_total',
  'Reads that left something out because of a limit of the process collector. Its metrics are then too low or absent.',
  ['what'],
)
