// The cgroup of the application, as the sampler reads it: the files whose numbers change within a request.

import type { Row } from '../../telemetry/moment.ts'
import { KeptFile, locate, type Place, readText, bytes as shared } from '../process.ts'
import { keyed, number, pressure } from './scan.ts'

const THROTTLED_TIME = Buffer.from('throttled_time ')
const THROTTLED_USEC = Buffer.from('throttled_usec ')
const NR_THROTTLED = Buffer.from('nr_throttled ')
const NR_PERIODS = Buffer.from('nr_periods ')
const USAGE_USEC = Buffer.from('usage_usec ')
const OOM_KILL = Buffer.from('oom_kill ')
const INACTIVE_V1 = Buffer.from('total_inactive_file ')
const INACTIVE_V2 = Buffer.from('inactive_file ')
const LIMIT_V1 = Buffer.from('hierarchical_memory_limit ')
/** v1 writes "no limit" as the largest number of whole pages below 2^63. */
const UNLIMITED = 2 ** 62

/** The columns of a row that the cgroup fills in. */
export type CgroupReadings = Pick<
  Row,
  | 'cgroupRun'
  | 'throttled'
  | 'throttledPeriods'
  | 'periods'
  | 'oomKills'
  | 'cpuPressure'
  | 'memoryPressure'
  | 'ioPressure'
  | 'memory'
  | 'memoryLimit'
>

export class CgroupFiles implements Disposable {
  readonly #place: Place | undefined
  readonly #v2: boolean
  readonly #cpu: KeptFile | undefined
  readonly #usage: KeptFile | undefined
  readonly #memory: KeptFile | undefined
  readonly #memoryStat: KeptFile | undefined
  readonly #memoryMax: KeptFile | undefined
  readonly #kills: KeptFile | undefined
  readonly #pressure: readonly KeptFile[]

  constructor(proc: string, pid: number) {
    const lines = readText(`${proc}/${pid}/cgroup`)
    this.#place = lines === undefined ? undefined : locate(proc, pid, lines)
    const { v1, unified } = this.#place ?? {}
    const file = (folder: { readonly path: string } | undefined, name: string): KeptFile | undefined =>
      folder && new KeptFile(`${folder.path}/${name}`)
    const cpu = v1?.get('cpu')
    const memory = v1?.get('memory')
    this.#v2 = cpu === undefined
    this.#cpu = file(cpu ?? unified, 'cpu.stat')
    this.#usage = this.#v2 ? undefined : file(v1?.get('cpuacct'), 'cpuacct.usage')
    this.#memory = memory ? file(memory, 'memory.usage_in_bytes') : file(unified, 'memory.current')
    this.#memoryStat = file(memory ?? unified, 'memory.stat')
    this.#memoryMax = memory ? undefined : file(unified, 'memory.max')
    this.#kills = memory ? file(memory, 'memory.oom_control') : file(unified, 'memory.events')
    this.#pressure = ['cpu', 'memory', 'io'].map(
      name => file(unified, `${name}.pressure`) ?? new KeptFile(`${proc}/pressure/${name}`),
    )
  }

  get found(): boolean {
    return this.#place !== undefined
  }

  /** Reads the numbers that change within a request. */
  often(into: CgroupReadings): void {
    const length = this.#cpu?.read()
    const read = typeof length === 'number' ? length : 0
    into.periods = keyed(shared, read, NR_PERIODS)
    into.throttledPeriods = keyed(shared, read, NR_THROTTLED)
    into.throttled = this.#v2 ? keyed(shared, read, THROTTLED_USEC) / 1e6 : keyed(shared, read, THROTTLED_TIME) / 1e9
    if (this.#v2) into.cgroupRun = keyed(shared, read, USAGE_USEC) / 1e6
  }

  /** Reads the numbers for which a few times a second are enough. */
  seldom(into: CgroupReadings): void {
    // A file of its own here, which nobody needs within a request.
    if (!this.#v2) into.cgroupRun = this.#one(this.#usage) / 1e9
    const used = this.#one(this.#memory)
    const length = this.#memoryStat?.read()
    const read = typeof length === 'number' ? length : 0
    const inactive = keyed(shared, read, this.#memoryMax ? INACTIVE_V2 : INACTIVE_V1)
    const above = this.#memoryMax ? Number.NaN : keyed(shared, read, LIMIT_V1)
    into.memory = used - inactive
    const limit = this.#memoryMax ? this.#one(this.#memoryMax) : above
    into.memoryLimit = limit >= UNLIMITED ? Number.NaN : limit
    const kills = this.#kills?.read()
    into.oomKills = keyed(shared, typeof kills === 'number' ? kills : 0, OOM_KILL)
    const [cpu, memory, io] = this.#pressure.map(file => {
      const length = file.read()
      return typeof length === 'number' ? pressure(shared, length) / 1e6 : Number.NaN
    })
    into.cpuPressure = cpu!
    into.memoryPressure = memory!
    into.ioPressure = io!
  }

  [Symbol.dispose](): void {
    for (const file of [this.#cpu, this.#usage, this.#memory, this.#memoryStat, this.#memoryMax, this.#kills])
      file?.[Symbol.dispose]()
    for (const file of this.#pressure) file[Symbol.dispose]()
  }

  /** A file of one number. */
  #one(file: KeptFile | undefined): number {
    const length = file?.read()
    return typeof length === 'number' ? number(shared, 0, length) : Number.NaN
  }
}
