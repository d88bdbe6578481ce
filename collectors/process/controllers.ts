// The files of one cgroup: limits, usage, throttling, out-of-memory kills, pressure. v1 and v2 say the same things in
// other words and units; both become one set of seconds, cores and bytes. "max" and "-1" are no limit: absent.

import { KeptFile, text } from './file.ts'
import type { Folder, Place } from './hierarchy.ts'
import { TICKS_PER_SECOND } from './parse.ts'

export const RESOURCES = ['cpu', 'memory', 'io'] as const

export interface CgroupGauges {
  readonly cpuLimitCores: number
  readonly memoryLimitBytes: number
  readonly memoryBytes: number
  readonly workingSetBytes: number
  readonly pids: number
  readonly pidsLimit: number
}

/** Counters of a cgroup, in seconds or events. Each is NaN where the kernel does not have it. */
export const COUNTERS = [
  'user',
  'system',
  'periods',
  'throttledPeriods',
  'throttled',
  'oomKills',
  'cpuWaiting',
  'cpuStalled',
  'memoryWaiting',
  'memoryStalled',
  'ioWaiting',
  'ioStalled',
] as const
export type CgroupCounters = Record<(typeof COUNTERS)[number], number>

/** The open files of one cgroup. */
export class Controllers implements Disposable {
  readonly #place: Place
  readonly #open = new Map<string, KeptFile>()

  constructor(place: Place) {
    this.#place = place
  }

  /** The file whose change tells of a kill; v1 has none. */
  get eventsPath(): string | undefined {
    const { v1, unified } = this.#place
    return v1.has('memory') || !unified ? undefined : `${unified.path}/memory.events`
  }

  /** The cgroup above, if it is visible and counts what happens below it, as v2 does. */
  get parentPath(): string | undefined {
    const { unified } = this.#place
    if (this.eventsPath === undefined || !unified || unified.path === unified.top) return undefined
    return unified.path.slice(0, unified.path.lastIndexOf('/'))
  }

  gauges(): CgroupGauges {
    const { v1, unified } = this.#place
    const memory = v1.get('memory')
    const usage = memory ? this.#number(memory, 'memory.usage_in_bytes') : this.#number(unified, 'memory.current')
    const stat = this.#text(memory ?? unified, 'memory.stat')
    const inactive = parseKeyed(stat, memory ? 'total_inactive_file' : 'inactive_file')
    const pids = v1.get('pids') ?? unified
    return {
      cpuLimitCores: v1.has('cpu') ? this.#lowest(v1.get('cpu')!, quotaV1) : this.#lowest(unified, quotaV2),
      memoryLimitBytes: memory
        ? smaller(
            this.#number(memory, 'memory.limit_in_bytes'),
            unlimitedV1(parseKeyed(stat, 'hierarchical_memory_limit')),
          )
        : this.#lowest(unified, read => parseNumber(read('memory.max'))),
      memoryBytes: usage,
      workingSetBytes: Math.max(0, usage - inactive),
      pids: this.#number(pids, 'pids.current'),
      pidsLimit: this.#number(pids, 'pids.max'),
    }
  }

  counters(): CgroupCounters {
    const { v1, unified } = this.#place
    const counters = unread()
    const cpu = this.#text(v1.get('cpu') ?? unified, 'cpu.stat')
    counters.periods = parseKeyed(cpu, 'nr_periods')
    counters.throttledPeriods = parseKeyed(cpu, 'nr_throttled')
    counters.throttled = v1.has('cpu')
      ? parseKeyed(cpu, 'throttled_time') / 1e9
      : parseKeyed(cpu, 'throttled_usec') / 1e6
    const accounting = v1.get('cpuacct')
    const usage = accounting ? this.#text(accounting, 'cpuacct.stat') : this.#text(unified, 'cpu.stat')
    counters.user = accounting ? parseKeyed(usage, 'user') / TICKS_PER_SECOND : parseKeyed(usage, 'user_usec') / 1e6
    counters.system = accounting
      ? parseKeyed(usage, 'system') / TICKS_PER_SECOND
      : parseKeyed(usage, 'system_usec') / 1e6
    counters.oomKills = this.oomKills()
    for (const resource of RESOURCES) {
      const { some, full } = parsePressure(this.#text(unified, `${resource}.pressure`))
      counters[`${resource}Waiting`] = some
      counters[`${resource}Stalled`] = full
    }
    return counters
  }

  /** Processes that the out-of-memory killer ended. */
  oomKills(): number {
    const { v1, unified } = this.#place
    const memory = v1.get('memory')
    // oom_kill, not oom: that one may be charged to the parent only.
    return parseKeyed(
      memory ? this.#text(memory, 'memory.oom_control') : this.#text(unified, 'memory.events'),
      'oom_kill',
    )
  }

  /** Usage and the limit of this level alone, in two small reads. */
  memory(): { readonly usedBytes: number; readonly limitBytes: number } {
    const { v1, unified } = this.#place
    const memory = v1.get('memory')
    return memory
      ? {
          usedBytes: this.#number(memory, 'memory.usage_in_bytes'),
          limitBytes: this.#number(memory, 'memory.limit_in_bytes'),
        }
      : { usedBytes: this.#number(unified, 'memory.current'), limitBytes: this.#number(unified, 'memory.max') }
  }

  [Symbol.dispose](): void {
    for (const file of this.#open.values()) file[Symbol.dispose]()
  }

  /** The lowest limit of the folder and of those above it, as far as they can be seen. */
  #lowest(folder: Folder | undefined, limit: (read: (name: string) => string) => number): number {
    if (!folder) return Number.NaN
    let lowest = Number.NaN
    for (let path = folder.path, depth = 0; path.length >= folder.top.length && depth < 16; depth++) {
      lowest = smaller(
        lowest,
        limit(name => this.#read(`${path}/${name}`)),
      )
      path = path.slice(0, path.lastIndexOf('/'))
    }
    return lowest
  }

  #number(folder: Folder | undefined, name: string): number {
    return unlimitedV1(parseNumber(this.#text(folder, name)))
  }

  #text(folder: Folder | undefined, name: string): string {
    return folder ? this.#read(`${folder.path}/${name}`) : ''
  }

  #read(path: string): string {
    const file = this.#open.get(path) ?? new KeptFile(path)
    this.#open.set(path, file)
    const length = file.read()
    return typeof length === 'string' ? '' : text(length)
  }
}

function quotaV2(read: (name: string) => string): number {
  return parseCpuMax(read('cpu.max'))
}

function quotaV1(read: (name: string) => string): number {
  // "-1" is no quota, and not a number to parseNumber.
  return parseNumber(read('cpu.cfs_quota_us')) / parseNumber(read('cpu.cfs_period_us'))
}

/** v1 writes "no limit" as the largest number of whole pages below 2^63. */
function unlimitedV1(bytes: number): number {
  return bytes >= 2 ** 62 ? Number.NaN : bytes
}

function smaller(a: number, b: number): number {
  return Number.isNaN(a) || b < a ? b : a
}

/** "max 100000" or "150000 100000" as cores. */
export function parseCpuMax(text: string): number {
  const [, quota, period] = /^(\d{1,15}) ([1-9]\d{0,9})\n/.exec(text) ?? []
  return quota === undefined ? Number.NaN : Number(quota) / Number(period)
}

/** A file of one number. */
export function parseNumber(text: string): number {
  const [, digits] = /^(\d{1,20})\n$/.exec(text) ?? []
  return digits === undefined ? Number.NaN : Number(digits)
}

/** The number of a "key number" line; their order differs between kernels. */
export function parseKeyed(text: string, key: string): number {
  const start = text.startsWith(`${key} `) ? 0 : text.indexOf(`\n${key} `) + 1
  if (start === 0 && !text.startsWith(`${key} `)) return Number.NaN
  const end = text.indexOf('\n', start)
  const digits = text.slice(start + key.length + 1, end < 0 ? start : end)
  return /^\d{1,20}$/.test(digits) ? Number(digits) : Number.NaN
}

/** The totals of a pressure file (docs.kernel.org/accounting/psi.html), in seconds. */
export function parsePressure(text: string): { some: number; full: number } {
  const total = (line: string) => {
    const [, us] =
      new RegExp(`^${line} avg10=[\\d.]+ avg60=[\\d.]+ avg300=[\\d.]+ total=(\\d{1,20})$`, 'm').exec(text) ?? []
    return us === undefined || !text.endsWith('\n') ? Number.NaN : Number(us) / 1e6
  }
  return { some: total('some'), full: total('full') }
}

/** Counters of which none has been read. */
export function unread(): CgroupCounters {
  return Object.fromEntries(COUNTERS.map(name => [name, Number.NaN])) as CgroupCounters
}
