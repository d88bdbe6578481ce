// Shared by the health tests: a host, clocks, option values as the schema gives them, servers on free ports, and the
// numbers that stand in the registry.

import { once } from 'node:events'
import type { AddressInfo, Server } from 'node:net'
import { withDeadline } from '../../collectors/health/deadline.ts'
import { type HealthOptions, PROBE_OPTIONS, type ProbeOptions } from '../../collectors/health/options.ts'
import { probe } from '../../collectors/health/prober.ts'
import type { ActiveTarget } from '../../collectors/health/target.ts'
import { readProbes } from '../../collectors/health/target.ts'
import type { Verdict } from '../../collectors/health/verdict.ts'
import { Metrics } from '../../metrics/registry.ts'
import type { Application, Clock, Host } from '../../telemetry/host.ts'
import { Memory } from '../../telemetry/memory.ts'
import { UNRECORDED } from '../../telemetry/tracer.ts'

export const realClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  sleep: (ms, signal) =>
    new Promise((resolve, reject) => {
      if (signal.aborted) return reject(signal.reason)
      const abort = (): void => {
        clearTimeout(timer)
        reject(signal.reason)
      }
      const timer = setTimeout(() => {
        signal.removeEventListener('abort', abort)
        resolve()
      }, ms)
      signal.addEventListener('abort', abort, { once: true })
    }),
}

/** The real clock, so many times as fast: a schedule of seconds is tested in less, with real sockets. */
export function hastened(times: number): Clock {
  return {
    now: realClock.now,
    monotonic: () => realClock.monotonic() * times,
    sleep: (ms, signal) => realClock.sleep(ms / times, signal),
  }
}

/** Time that passes only in `advance`, from one sleeper's hour to the next. */
export class FakeClock implements Clock {
  #ms = 0
  #sleepers: { at: number; wake: () => void }[] = []

  now = (): number => 1_700_000_000_000 + this.#ms
  monotonic = (): number => this.#ms

  sleep = (ms: number, signal: AbortSignal): Promise<void> =>
    new Promise((resolve, reject) => {
      if (signal.aborted) return reject(signal.reason)
      const sleeper = {
        at: this.#ms + ms,
        wake: () => {
          signal.removeEventListener('abort', abort)
          resolve()
        },
      }
      const abort = (): void => {
        this.#sleepers = this.#sleepers.filter(each => each !== sleeper)
        reject(signal.reason)
      }
      signal.addEventListener('abort', abort, { once: true })
      this.#sleepers.push(sleeper)
    })

  async advance(ms: number): Promise<void> {
    const end = this.#ms + ms
    for (;;) {
      await settled()
      const next = this.#sleepers.filter(each => each.at <= end).sort((a, b) => a.at - b.at)[0]
      if (!next) break
      this.#sleepers = this.#sleepers.filter(each => each !== next)
      this.#ms = Math.max(this.#ms, next.at)
      next.wake()
    }
    this.#ms = end
    await settled()
  }

  /** Time passes and nobody is woken: what a held-up event loop looks like. */
  freeze(ms: number): void {
    this.#ms += ms
  }
}

/** All that follows from what is already resolved has happened. */
async function settled(): Promise<void> {
  for (let n = 0; n < 3; n++) await new Promise(setImmediate)
}

export interface TestHost extends Host {
  readonly lines: string[]
  readonly app: Application & { url: string | undefined }
}

export function testHost(clock: Clock = realClock): TestHost {
  const lines: string[] = []
  const line =
    (level: string) =>
    (message: string, fields: Readonly<Record<string, unknown>> = {}): void => {
      lines.push([level, message, ...Object.entries(fields).map(([key, value]) => `${key}=${value}`)].join(' '))
    }
  return {
    proc: '/proc',
    clock,
    log: { info: line('info'), warn: line('warn'), error: line('error') },
    metrics: new Metrics(),
    memory: new Memory(2 ** 30),
    app: { select: {}, url: undefined, child: undefined, pid: undefined, port: undefined },
    lines,
  }
}

/** The options of one probe as the schema would read them. */
export function probeOptions(given: Partial<ProbeOptions> = {}): ProbeOptions {
  const defaults = Object.fromEntries(
    Object.entries(PROBE_OPTIONS.fields).map(([name, field]) => [name, 'default' in field ? field.default : undefined]),
  )
  // The schema's own defaults, under the schema's own names.
  return { ...(defaults as ProbeOptions), name: 'test', ...given }
}

/** The options of the section as the schema would read them. */
export function healthOptions(given: Partial<HealthOptions>): HealthOptions {
  return { probes: [], guess: true, traceparent: 'auto', ...given }
}

export async function target(given: Partial<ProbeOptions>): Promise<ActiveTarget> {
  const [setup] = await readProbes([probeOptions(given)])
  if (setup?.target.kind === 'passive') throw new Error('a passive probe asks nobody')
  return setup!.target
}

/** One probe with its deadline, as a prober makes it. */
export async function ask(given: Partial<ProbeOptions>, timeoutMs = 300): Promise<Verdict> {
  return (await askTarget(await target(given), timeoutMs)).result
}

export function askTarget(asked: ActiveTarget, timeoutMs: number): Promise<{ result: Verdict; loopDelayMs: number }> {
  const context = {
    clock: realClock,
    userAgent: 'pillion-health/test',
    traceparent: UNRECORDED.begin('test', 'client').traceparent,
    tracestate: 'pillion=probe',
  }
  return withDeadline(realClock, timeoutMs, new AbortController().signal, signal => probe(asked, signal, context))
}

/** Listens on a free port of the loopback. */
export async function listen(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  // A server that listens on TCP has this kind of address.
  return (server.address() as AddressInfo).port
}

/** A port on which nobody listens. */
export async function freePort(): Promise<number> {
  const { createServer } = await import('node:net')
  const server = createServer()
  const port = await listen(server)
  await new Promise(resolve => server.close(resolve))
  return port
}

/** The value of one series; undefined when it is not there. */
export async function value(
  host: Host,
  name: string,
  labels: Readonly<Record<string, string>>,
): Promise<number | undefined> {
  return (await values(host, name)).find(each =>
    Object.entries(labels).every(([key, text]) => each.labels[key] === text),
  )?.value
}

interface Sample {
  readonly metricName?: string
  readonly labels: Partial<Record<string, string | number>>
  readonly value: number
}

export async function values(host: Host, name: string): Promise<readonly Sample[]> {
  const base = name.replace(/_(bucket|sum|count)$/, '')
  const metrics = await host.metrics.registry.getMetricsAsJSON()
  const metric = metrics.find(each => each.name === name) ?? metrics.find(each => each.name === base)
  const samples: readonly Sample[] = metric?.values ?? []
  return samples.filter(each => each.metricName === undefined || each.metricName === name)
}

/** Waits for a condition, for as long as a loaded machine may need. */
export async function until(condition: () => unknown, what: string): Promise<void> {
  const end = performance.now() + 60_000
  while (!(await condition())) {
    if (performance.now() > end) throw new Error(`waited in vain until ${what}`)
    await new Promise(resolve => setTimeout(resolve, 10))
  }
}
