// The use of limited resources, and when they run out: memory, descriptors, threads, the disk, ports, the accept queue.

import { statfs } from 'node:fs/promises'
import { gauge } from '../../metrics/family.ts'
import type { Host } from '../../telemetry/host.ts'
import type { MomentsHost } from '../../telemetry/moment.ts'
import { readText } from './file.ts'
import { Forecast } from './saturation/forecast.ts'

/** Those whose use has a slope. The accept queue and the ports run out faster than any forecast. */
const GROWING = ['memory', 'descriptors', 'threads', 'disk'] as const
const SUDDEN = ['ports', 'accept_queue'] as const
export const RESOURCES = [...GROWING, ...SUDDEN] as const
export type Resource = (typeof RESOURCES)[number]
type Growing = (typeof GROWING)[number]

export const ratio = gauge(
  'app_saturation_ratio',
  'Use of a resource divided by its limit: memory, descriptors, threads, disk, ports, accept_queue. Absent where there is no limit, or it is not known.',
  ['resource'],
)
export const secondsToLimit = gauge(
  'app_saturation_seconds_to_limit',
  'Time until the resource reaches its limit if it grows on as in the last hour, by the slow end of its slope. Absent while it does not grow, and in the first hour.',
  ['resource'],
)

/** The use and its limit; NaN is not known, or no limit. */
export type Use = readonly [used: number, limit: number]

/** A file system is asked this often. */
const DISK_MS = 15_000

export class Saturation {
  readonly #host: Host & Partial<MomentsHost>
  readonly #uses = new Map<Resource, Use>()
  readonly #forecasts = new Map<Growing, Forecast>()
  readonly #ratio
  readonly #seconds
  #diskDue = Number.NEGATIVE_INFINITY
  /** A file system that hangs keeps one thread waiting, not more. */
  #asking = false
  #queueLimit = Number.NaN
  #overflows = Number.NaN

  constructor(host: Host & Partial<MomentsHost>) {
    this.#host = host
    this.#ratio = host.metrics.reading(ratio)
    this.#seconds = host.metrics.reading(secondsToLimit)
    host.app.uses = this.#uses
  }

  /** Another process, whose use begins anew. */
  forget(): void {
    this.#uses.clear()
    this.#forecasts.clear()
    this.#diskDue = Number.NEGATIVE_INFINITY
    this.#queueLimit = Number.NaN
    this.#overflows = Number.NaN
  }

  look(uses: Readonly<Record<Exclude<Growing, 'disk'>, Use>>): void {
    for (const resource of ['memory', 'descriptors', 'threads'] as const) this.#add(resource, uses[resource])
  }

  /** Asks the file system of the working directory, if it is time. */
  lookAtDisk(pid: number): void {
    const { clock, proc, app } = this.#host
    if (this.#asking || clock.monotonic() < this.#diskDue) return
    this.#diskDue = clock.monotonic() + DISK_MS
    this.#asking = true
    void statfs(`${proc}/${pid}/cwd`)
      .then(
        ({ blocks, bfree, bavail }) => {
          // As df counts it: what is reserved for root is neither used nor free.
          const used = blocks - bfree
          if (app.pid === pid) this.#add('disk', [used, blocks > 0 ? used + bavail : Number.NaN])
        },
        // The disk collector says why, and what to change.
        () => void this.#uses.delete('disk'),
      )
      .finally(() => {
        this.#asking = false
      })
  }

  /**
   * From the table of connections: the most connections to one destination, which take a local port each, and the
   * connections that wait to be accepted. Undefined where they could not be read.
   */
  connections(toOne: number | undefined, waiting: number | undefined): void {
    const { low, high } = portRange(this.#host.proc)
    this.#set('ports', [toOne ?? Number.NaN, high - low + 1])
    const ring = this.#host.moments?.()?.ring
    const overflows = ring && ring.next > ring.first ? ring.value('listenOverflows', ring.next - 1) : Number.NaN
    // The length of the queue is the smaller one of the program's backlog, which cannot be read, and of this limit. At an
    // overflow it was full.
    if (overflows > this.#overflows && waiting !== undefined && waiting > 0) this.#queueLimit = waiting
    this.#overflows = overflows
    const most = Number(readText(`${this.#host.proc}/sys/net/core/somaxconn`) ?? Number.NaN)
    const limit = Number.isNaN(this.#queueLimit) ? most : Math.max(this.#queueLimit, waiting ?? 0)
    this.#set('accept_queue', [waiting ?? Number.NaN, limit])
  }

  publish(): void {
    this.#ratio.clear()
    this.#seconds.clear()
    for (const [resource, [used, limit]] of this.#uses) this.#ratio.set({ resource }, used / limit)
    for (const [resource, forecast] of this.#forecasts) {
      const limit = this.#uses.get(resource)?.[1]
      this.#seconds.set({ resource }, limit === undefined ? undefined : forecast.secondsTo(limit))
    }
  }

  #add(resource: Growing, use: Use): void {
    this.#set(resource, use)
    const forecast = this.#forecasts.get(resource) ?? new Forecast()
    this.#forecasts.set(resource, forecast)
    forecast.add(this.#host.clock.monotonic(), use[0], use[1])
  }

  #set(resource: Resource, use: Use): void {
    if (use[0] >= 0 && use[1] > 0 && Number.isFinite(use[1])) this.#uses.set(resource, use)
    else this.#uses.delete(resource)
  }
}

/** Ports that the kernel chooses from for connections that go out; those of the sidecar's own network namespace. */
export function portRange(proc: string): { readonly low: number; readonly high: number } {
  const [, low, high] = /^(\d{1,5})\s+(\d{1,5})/.exec(readText(`${proc}/sys/net/ipv4/ip_local_port_range`) ?? '') ?? []
  return low === undefined ? { low: 32_768, high: 60_999 } : { low: Number(low), high: Number(high) }
}
