// What is told about the application's process and its cgroup. Names are promises (docs/process.md).

import { counter, gauge } from '../../exporter/metrics.ts'

export const up = gauge('app_process_up', 'Whether the application has a main process that runs (a zombie does not).')
export const processes = gauge(
  'app_processes',
  'Running processes of the application: the main one and its descendants.',
)
export const zombies = gauge(
  'app_process_zombies',
  'Descendants that have ended and that their parent has not waited for.',
)
export const cpu = counter(
  'app_process_cpu_seconds_total',
  'CPU time of the application, with children that ended and were waited for; goes on across its restarts.',
  ['mode'],
)
export const mainThreadCpu = counter(
  'app_process_main_thread_cpu_seconds_total',
  'CPU time of the main thread of the main process: near 1 a second, an event loop is saturated.',
)
export const runQueueWait = counter(
  'app_process_run_queue_wait_seconds_total',
  'Time that threads of the application were ready to run and waited for a core, summed over live threads.',
)
export const residentMemory = gauge(
  'app_process_resident_memory_bytes',
  'Memory in RAM; pages shared between processes count in each.',
)
export const virtualMemory = gauge('app_process_virtual_memory_bytes', 'Address space.')
export const swap = gauge('app_process_swap_bytes', 'Anonymous memory that is swapped out.')
export const proportionalMemory = gauge(
  'app_process_proportional_memory_bytes',
  'Memory in RAM, shared pages divided by their users (PSS); only with process.smaps, read once a minute.',
)
export const proportionalSwap = gauge(
  'app_process_proportional_swap_bytes',
  'Swapped memory, shared pages divided by their users; only with process.smaps, read once a minute.',
)
export const privateMemory = gauge(
  'app_process_private_memory_bytes',
  'Memory in RAM that no other process shares, which ending the application would free; only with process.smaps.',
)
export const openFds = gauge('app_process_open_fds', 'Open file descriptors.')
export const maxFds = gauge(
  'app_process_max_fds',
  'Soft limit of open file descriptors of the main process; absent when unlimited.',
)
export const worstFdRatio = gauge(
  'app_process_worst_fd_ratio',
  'Open file descriptors divided by their limit, of the process of the application that is nearest to its limit.',
)
export const threads = gauge('app_process_threads', 'Threads.')
export const contextSwitches = counter(
  'app_process_context_switches_total',
  'Context switches of all threads: voluntary ones waited for something, involuntary ones lost their core.',
  ['type'],
)
export const pageFaults = counter(
  'app_process_page_faults_total',
  'Page faults: minor ones found the page in memory, major ones waited for storage.',
  ['type'],
)
export const ioRead = counter(
  'app_process_io_read_bytes_total',
  'Bytes fetched from storage (not from the page cache).',
)
export const ioWritten = counter(
  'app_process_io_written_bytes_total',
  'Bytes sent towards storage, without subtracting what was truncated before it got there.',
)
export const startTime = gauge(
  'app_process_start_time_seconds',
  'When the main process started, in seconds since the epoch; computed once for a process, so clock steps do not move it.',
)
export const uptime = gauge('app_process_uptime_seconds', 'Age of the main process by a clock that never steps.')
export const restarts = counter(
  'app_process_restarts_total',
  'How often the main process was followed by a new one since the sidecar started.',
)
export const tcpConnections = gauge(
  'app_process_tcp_connections',
  "TCP sockets in the application's network namespace by state; in a pod that is all its containers. Read every 15 s at most.",
  ['state'],
)
export const acceptQueue = gauge(
  'app_process_accept_queue_length',
  'Connections that wait for the application to accept them on its port. Read with app_process_tcp_connections.',
)
export const info = gauge('app_process_info', 'The main process: its name, and how it was found. Always 1.', [
  'name',
  'found_by',
])
export const readable = gauge(
  'app_process_readable',
  'Whether the sidecar may read this part of /proc; 0 means its metrics are absent, and the log says what to change.',
  ['file'],
)

export const childrenCpu = counter(
  'app_process_children_cpu_seconds_total',
  'CPU time of descendants, ended ones too; only with process.children: apart.',
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
  'Page faults of descendants, ended ones too; only with process.children: apart.',
  ['type'],
)
export const childrenIoRead = counter(
  'app_process_children_io_read_bytes_total',
  'Bytes that descendants fetched from storage; only with process.children: apart.',
)
export const childrenIoWritten = counter(
  'app_process_children_io_written_bytes_total',
  'Bytes that descendants sent towards storage; only with process.children: apart.',
)

export const cgroupInfo = gauge(
  'app_cgroup_info',
  "The application's cgroup: version (v1, v2, hybrid), and whether it is read through the sidecar's own mount or through the application's root. Always 1.",
  ['version', 'route'],
)
export const cgroupCpuLimit = gauge(
  'app_cgroup_cpu_limit_cores',
  'CPU quota in cores, the lowest up the visible tree; absent when there is none.',
)
export const cgroupCpu = counter('app_cgroup_cpu_usage_seconds_total', 'CPU time of everything in the cgroup.', [
  'mode',
])
export const cgroupPeriods = counter(
  'app_cgroup_cpu_periods_total',
  'Enforcement periods in which the cgroup had something to run.',
)
export const cgroupThrottledPeriods = counter(
  'app_cgroup_cpu_throttled_periods_total',
  'Periods in which the quota was used up and the cgroup had to stop.',
)
export const cgroupThrottled = counter(
  'app_cgroup_cpu_throttled_seconds_total',
  'Time for which the cgroup was stopped by its quota.',
)
export const cgroupMemoryLimit = gauge(
  'app_cgroup_memory_limit_bytes',
  'Memory limit, the lowest up the visible tree; absent when there is none.',
)
export const cgroupMemory = gauge('app_cgroup_memory_usage_bytes', 'Memory charged to the cgroup, page cache too.')
export const cgroupWorkingSet = gauge(
  'app_cgroup_memory_working_set_bytes',
  'Memory that cannot simply be dropped: usage without inactive file pages. The kubelet evicts by it.',
)
export const cgroupOomKills = counter(
  'app_cgroup_oom_kills_total',
  'Processes of the cgroup that the out-of-memory killer ended.',
)
export const cgroupPids = gauge('app_cgroup_pids', 'Processes and threads in the cgroup.')
export const cgroupPidsLimit = gauge(
  'app_cgroup_pids_limit',
  'Limit of processes and threads in the cgroup; absent when there is none.',
)
export const cgroupWaiting = counter(
  'app_cgroup_pressure_waiting_seconds_total',
  'Time in which at least one task of the cgroup waited for the resource (PSI some).',
  ['resource'],
)
export const cgroupStalled = counter(
  'app_cgroup_pressure_stalled_seconds_total',
  'Time in which all tasks of the cgroup waited for the resource at once (PSI full).',
  ['resource'],
)

export const overLimit = counter(
  'pillion_process_over_limit_total',
  'Looks that left something out because of a bound of the process collector; its metrics are then too low or absent.',
  ['what'],
)
