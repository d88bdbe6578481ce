// Publishes what was read as metrics. All values are replaced at once, so that a scrape never sees half of a look, and
// a number that could not be read has no series.

import type { CounterFamily, GaugeFamily } from '../../metrics/family.ts'
import type { Metrics, Reading } from '../../metrics/registry.ts'
import type { FileAccess } from './access.ts'
import { type Account, Sum } from './account.ts'
import type { Cgroup } from './cgroup.ts'
import { RESOURCES } from './controllers.ts'
import type { Absence } from './discovery.ts'
import * as family from './families.ts'
import { TICKS_PER_SECOND } from './parse.ts'
import type { Rare } from './rare.ts'
import { STATES } from './sockets.ts'
import type { Subject } from './subject.ts'
import { type Gauges, STATES as PROCESS_STATES } from './tree.ts'

/** Everything that a scrape publishes. */
export interface Observed {
  readonly subject: Subject
  /** The meaning of it if there is no process. */
  readonly absence: Absence
  readonly rare: Rare
  readonly cgroup: Cgroup
  readonly access: FileAccess
  readonly nowMs: number
}

/** Readings of one group of processes. */
type Usage = ReturnType<typeof usage>

export class Readings {
  readonly #all: Reading<string>[] = []
  readonly #main: ReturnType<typeof mainReadings>
  readonly #usage: Usage
  readonly #children: Usage
  readonly #cgroup: ReturnType<typeof cgroupReadings>

  constructor(metrics: Metrics) {
    const make: Make = each => {
      const reading = metrics.reading(each)
      this.#all.push(reading)
      return reading
    }
    this.#main = mainReadings(make)
    this.#usage = usage(make, {
      cpu: family.cpu,
      contextSwitches: family.contextSwitches,
      runQueueWait: family.runQueueWait,
      pageFaults: family.pageFaults,
      ioRead: family.ioRead,
      ioWritten: family.ioWritten,
      residentMemory: family.residentMemory,
      swap: family.swap,
      openFds: family.openFds,
      threads: family.threads,
    })
    this.#children = usage(make, {
      cpu: family.childrenCpu,
      contextSwitches: family.childrenContextSwitches,
      runQueueWait: family.childrenRunQueueWait,
      pageFaults: family.childrenPageFaults,
      ioRead: family.childrenIoRead,
      ioWritten: family.childrenIoWritten,
      residentMemory: family.childrenResidentMemory,
      swap: family.childrenSwap,
      openFds: family.childrenOpenFds,
      threads: family.childrenThreads,
    })
    this.#cgroup = cgroupReadings(make)
  }

  publish(observed: Observed): void {
    for (const each of this.#all) each.clear()
    const { tree, mine, theirs } = observed.subject
    const apart = mine !== theirs
    const of = apart ? 'main' : 'all'
    const gauges = tree?.gauges(of)
    setUsage(this.#usage, mine, gauges, tree?.denied('io', of) ?? false)
    if (apart) setUsage(this.#children, theirs, tree?.gauges('children'), tree?.denied('io', 'children') ?? false)
    this.#setPresence(observed)
    this.#setMain(observed, gauges)
    this.#setCgroup(observed.cgroup)
  }

  /** Nothing is said of a process that is not looked for, or that may run where it cannot be seen. */
  #setPresence({ subject, absence }: Observed): void {
    const { up, processes, state, restarts } = this.#main
    const { tree, lives } = subject
    if (lives > 0 || absence === 'not_running') restarts.set({}, Math.max(0, lives - 1))
    if (!tree && absence === 'unknown') return
    up.set({}, tree ? 1 : 0)
    processes.set({}, tree?.gauges('all').processes ?? 0)
    const states = tree?.states()
    for (const each of PROCESS_STATES) state.set({ state: each }, states?.get(each) ?? 0)
  }

  #setMain({ subject, rare, access, nowMs }: Observed, gauges: Gauges | undefined): void {
    const main = this.#main
    const { tree, incarnation, mine } = subject
    const { tcp, acceptQueue, smaps } = rare
    main.zombies.set({}, tree?.zombies)
    main.mainThreadCpu.set({}, mine.sums[Sum.mainThread])
    main.virtualMemory.set({}, gauges?.virtualBytes)
    main.maxFds.set({}, tree?.main.maxFds)
    main.worstFdRatio.set({}, gauges?.worstFdRatio)
    main.acceptQueue.set({}, acceptQueue)
    main.proportionalMemory.set({}, smaps?.proportionalBytes)
    main.proportionalSwap.set({}, smaps?.proportionalSwapBytes)
    main.privateMemory.set({}, smaps?.privateBytes)
    if (tcp) for (const each of STATES) main.tcpConnections.set({ state: each }, tcp.get(each) ?? 0)
    for (const [file, yes] of access.files) main.readable.set({ file }, yes ? 1 : 0)
    if (!incarnation) return
    main.info.set({ name: incarnation.name, found_by: incarnation.foundBy }, 1)
    main.startTime.set({}, incarnation.startSeconds)
    main.uptime.set({}, incarnation.uptimeSeconds(nowMs))
  }

  #setCgroup({ gauges, totals, place }: Cgroup): void {
    const cgroup = this.#cgroup
    cgroup.cpu.set({ mode: 'user' }, totals.user)
    cgroup.cpu.set({ mode: 'system' }, totals.system)
    cgroup.periods.set({}, totals.periods)
    cgroup.throttledPeriods.set({}, totals.throttledPeriods)
    cgroup.throttled.set({}, totals.throttled)
    cgroup.oomKills.set({}, totals.oomKills)
    for (const resource of RESOURCES) {
      cgroup.waiting.set({ resource }, totals[`${resource}Waiting`])
      cgroup.stalled.set({ resource }, totals[`${resource}Stalled`])
    }
    if (place) cgroup.info.set({ version: place.version, route: place.route }, 1)
    if (!gauges) return
    cgroup.cpuLimit.set({}, gauges.cpuLimitCores)
    cgroup.memoryLimit.set({}, gauges.memoryLimitBytes)
    cgroup.memory.set({}, gauges.memoryBytes)
    cgroup.workingSet.set({}, gauges.workingSetBytes)
    cgroup.pids.set({}, gauges.pids)
    cgroup.pidsLimit.set({}, gauges.pidsLimit)
  }
}

type Make = <Label extends string>(each: CounterFamily<Label> | GaugeFamily<Label>) => Reading<Label>

function mainReadings(make: Make) {
  return {
    up: make(family.up),
    processes: make(family.processes),
    state: make(family.state),
    zombies: make(family.zombies),
    mainThreadCpu: make(family.mainThreadCpu),
    virtualMemory: make(family.virtualMemory),
    maxFds: make(family.maxFds),
    worstFdRatio: make(family.worstFdRatio),
    startTime: make(family.startTime),
    uptime: make(family.uptime),
    restarts: make(family.restarts),
    tcpConnections: make(family.tcpConnections),
    acceptQueue: make(family.acceptQueue),
    proportionalMemory: make(family.proportionalMemory),
    proportionalSwap: make(family.proportionalSwap),
    privateMemory: make(family.privateMemory),
    info: make(family.info),
    readable: make(family.readable),
  }
}

function cgroupReadings(make: Make) {
  return {
    info: make(family.cgroupInfo),
    cpuLimit: make(family.cgroupCpuLimit),
    cpu: make(family.cgroupCpu),
    periods: make(family.cgroupPeriods),
    throttledPeriods: make(family.cgroupThrottledPeriods),
    throttled: make(family.cgroupThrottled),
    memoryLimit: make(family.cgroupMemoryLimit),
    memory: make(family.cgroupMemory),
    workingSet: make(family.cgroupWorkingSet),
    oomKills: make(family.cgroupOomKills),
    pids: make(family.cgroupPids),
    pidsLimit: make(family.cgroupPidsLimit),
    waiting: make(family.cgroupWaiting),
    stalled: make(family.cgroupStalled),
  }
}

interface UsageFamilies {
  readonly cpu: CounterFamily<'mode'>
  readonly contextSwitches: CounterFamily<'type'>
  readonly runQueueWait: CounterFamily<never>
  readonly pageFaults: CounterFamily<'type'>
  readonly ioRead: CounterFamily<never>
  readonly ioWritten: CounterFamily<never>
  readonly residentMemory: GaugeFamily<never>
  readonly swap: GaugeFamily<never>
  readonly openFds: GaugeFamily<never>
  readonly threads: GaugeFamily<never>
}

function usage(make: Make, families: UsageFamilies) {
  return {
    cpu: make(families.cpu),
    contextSwitches: make(families.contextSwitches),
    runQueueWait: make(families.runQueueWait),
    pageFaults: make(families.pageFaults),
    ioRead: make(families.ioRead),
    ioWritten: make(families.ioWritten),
    residentMemory: make(families.residentMemory),
    swap: make(families.swap),
    openFds: make(families.openFds),
    threads: make(families.threads),
  }
}

/** Counters stay while there is no process; gauges go with it. */
function setUsage(usage: Usage, { sums }: Account, gauges: Gauges | undefined, ioDenied: boolean): void {
  usage.cpu.set({ mode: 'user' }, sums[Sum.user]! / TICKS_PER_SECOND)
  usage.cpu.set({ mode: 'system' }, sums[Sum.system]! / TICKS_PER_SECOND)
  usage.pageFaults.set({ type: 'minor' }, sums[Sum.minorFaults])
  usage.pageFaults.set({ type: 'major' }, sums[Sum.majorFaults])
  usage.contextSwitches.set({ type: 'voluntary' }, sums[Sum.voluntary])
  usage.contextSwitches.set({ type: 'involuntary' }, sums[Sum.involuntary])
  usage.runQueueWait.set({}, sums[Sum.wait])
  if (!ioDenied) {
    usage.ioRead.set({}, sums[Sum.read])
    usage.ioWritten.set({}, sums[Sum.written])
  }
  usage.residentMemory.set({}, gauges?.residentBytes)
  usage.swap.set({}, gauges?.swapBytes)
  usage.openFds.set({}, gauges?.openFds)
  usage.threads.set({}, gauges?.threads)
}
