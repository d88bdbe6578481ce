// From what was read to metric objects: all values are replaced in one go, so that a scrape never sees half of a look, and
// what could not be read has no series.

import type { CounterFamily, GaugeFamily, Metrics, Reading } from '../../exporter/metrics.ts'
import type { Access } from './access.ts'
import { type Account, Sum } from './account.ts'
import { type Cgroup, RESOURCES } from './cgroup.ts'
import * as family from './families.ts'
import { TICKS_PER_SECOND } from './parse.ts'
import type { Rare } from './rare.ts'
import { STATES } from './sockets.ts'
import type { Moment, Tree } from './tree.ts'

/** What of the main process does not change while it lives. */
export interface Incarnation {
  readonly name: string
  readonly foundBy: string
  /** Seconds since the epoch, and age at a moment of the monotonic clock; NaN when /proc's clock makes no sense. */
  readonly startSeconds: number
  readonly ageSeconds: number
  readonly ageAtMs: number
}

export interface State {
  readonly tree: Tree | undefined
  readonly incarnation: Incarnation | undefined
  readonly restarts: number
  readonly mine: Account
  /** The account of descendants; the same as `mine` when they are counted in. */
  readonly theirs: Account
  readonly rare: Rare
  readonly cgroup: Cgroup
  readonly access: Access
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

  publish(state: State): void {
    for (const each of this.#all) each.clear()
    const { tree, mine, theirs } = state
    const apart = mine !== theirs
    const of = apart ? 'main' : 'all'
    const moment = tree?.moment(of)
    setUsage(this.#usage, mine, moment, tree?.denied('io', of) ?? false)
    if (apart) setUsage(this.#children, theirs, tree?.moment('children'), tree?.denied('io', 'children') ?? false)
    this.#setMain(state, moment)
    this.#setCgroup(state.cgroup)
  }

  #setMain(state: State, moment: Moment | undefined): void {
    const main = this.#main
    const { tree, incarnation, mine } = state
    const { tcp, acceptQueue, smaps } = state.rare
    main.up.set({}, tree ? 1 : 0)
    main.processes.set({}, tree?.moment('all').processes ?? 0)
    main.zombies.set({}, tree?.zombies)
    main.mainThreadCpu.set({}, mine.sums[Sum.mainThread])
    main.virtualMemory.set({}, moment?.virtualBytes)
    main.maxFds.set({}, tree?.main.maxFds)
    main.worstFdRatio.set({}, moment?.worstFdRatio)
    main.restarts.set({}, state.restarts)
    main.acceptQueue.set({}, acceptQueue)
    main.proportionalMemory.set({}, smaps?.proportionalBytes)
    main.proportionalSwap.set({}, smaps?.proportionalSwapBytes)
    main.privateMemory.set({}, smaps?.privateBytes)
    if (tcp) for (const each of STATES) main.tcpConnections.set({ state: each }, tcp.get(each) ?? 0)
    for (const [file, yes] of state.access.files) main.readable.set({ file }, yes ? 1 : 0)
    if (!incarnation) return
    main.info.set({ name: incarnation.name, found_by: incarnation.foundBy }, 1)
    main.startTime.set({}, incarnation.startSeconds)
    main.uptime.set({}, incarnation.ageSeconds + (state.nowMs - incarnation.ageAtMs) / 1000)
  }

  #setCgroup({ moment, totals, place }: Cgroup): void {
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
    if (!moment) return
    cgroup.cpuLimit.set({}, moment.cpuLimitCores)
    cgroup.memoryLimit.set({}, moment.memoryLimitBytes)
    cgroup.memory.set({}, moment.memoryBytes)
    cgroup.workingSet.set({}, moment.workingSetBytes)
    cgroup.pids.set({}, moment.pids)
    cgroup.pidsLimit.set({}, moment.pidsLimit)
  }
}

type Make = <Label extends string>(each: CounterFamily<Label> | GaugeFamily<Label>) => Reading<Label>

function mainReadings(make: Make) {
  return {
    up: make(family.up),
    processes: make(family.processes),
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

/** Counters stay while there is no process; what is of the moment goes with it. */
function setUsage(usage: Usage, { sums }: Account, moment: Moment | undefined, ioDenied: boolean): void {
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
  usage.residentMemory.set({}, moment?.residentBytes)
  usage.swap.set({}, moment?.swapBytes)
  usage.openFds.set({}, moment?.openFds)
  usage.threads.set({}, moment?.threads)
}
