// A recorder in a room whose machine and clock the test controls, and records to look at.

import type { Test } from 'tap'
import { type FlightRecord, FORMAT } from '../../exporter/flight/record.ts'
import { type FlightHost, flight } from '../../exporter/flight.ts'
import type { RememberedLog } from '../../telemetry/flight.ts'
import type { Application } from '../../telemetry/host.ts'
import { emptyRow, type Mark, MomentRing, type Moments, type Row } from '../../telemetry/moment.ts'
import { until } from '../e2e/child.ts'
import { type World, world } from '../world.ts'

export const OPTIONS = { dir: undefined, keep: 10, max_bytes: 32 * 2 ** 20, logs: true, redact: [] } as const

export interface Room {
  readonly host: World & { readonly app: Application }
  readonly dir: string
  readonly marks: Mark[]
  readonly ring: MomentRing
  readonly logs: RememberedLog[]
  /** Requests that were offered to the intake. */
  readonly offered: Buffer[]
  /** Takes a row, so many milliseconds after the last. */
  row(values?: Partial<Row>, ms?: number): void
  /** Lets the recorder look, and waits until it has written. */
  look(): Promise<void>
  names(): Promise<readonly string[]>
  record(name: string): Promise<FlightRecord>
  metric(name: string, labels?: Readonly<Record<string, string>>): Promise<number | undefined>
  readonly recorder: import('../../exporter/flight/recorder.ts').Recorder
}

export async function openRoom(
  t: Test,
  given: { readonly dir?: string; readonly redact?: string[]; readonly recall?: FlightHost['recall'] } = {},
): Promise<Room> {
  const { Recorder } = await import('../../exporter/flight/recorder.ts')
  const { redaction } = await import('../../exporter/flight/redact.ts')
  const { extracted } = await import('../../exporter/flight/record.ts')
  const dir = given.dir ?? t.testdir({})
  const base = world('/proc')
  const ring = new MomentRing(1024)
  const marks: Mark[] = []
  const logs: RememberedLog[] = []
  const offered: Buffer[] = []
  const moments: Moments = { ring, marks, note() {}, ended: undefined, wake() {} }
  const host: FlightHost & typeof base = {
    ...base,
    service: 'shop',
    version: '1.2.3',
    moments: () => moments,
    recall: given.recall ?? (async () => ({ logs, traces: [], episodes: [] })),
    intake: () => ({
      offer(_, bytes) {
        offered.push(Buffer.from(bytes))
        return { kind: 'taken', rejected: 0, text: '' }
      },
    }),
    status: () => ({ version: '1.2.3', uptimeSeconds: 1, application: {}, parts: [], ledger: [] }),
  }
  const recorder = new Recorder({ ...OPTIONS, dir }, host, await redaction(given.redact ?? []))
  t.teardown(() => recorder[Symbol.asyncDispose]())
  return {
    host,
    dir,
    marks,
    ring,
    logs,
    offered,
    recorder,
    row(values = {}, ms = 100) {
      base.clock.skip(ms)
      ring.add(base.clock.now(), base.clock.monotonic(), Object.assign(emptyRow(), { process: 1 }, values))
    },
    async look() {
      recorder.look()
      await recorder.written()
    },
    names: async () => (await recorder.kept()).map(({ name }) => name),
    record: async name => extracted((await recorder.files.read(name))!.toString('utf8')),
    async metric(name, labels = {}) {
      const values = (await base.metrics.registry.getSingleMetric(name)?.get())?.values ?? []
      return values.find(each => Object.entries(labels).every(([key, value]) => each.labels[key] === value))?.value
    },
  }
}

/** A record with something in each of its places. */
export function sample(change: Partial<FlightRecord> = {}): FlightRecord {
  const at = Date.UTC(2026, 10, 28, 12, 3, 41, 200)
  return {
    format: FORMAT,
    trigger: 'gone',
    at,
    written: at + 300,
    application: {
      name: 'shop',
      pid: 4711,
      port: 8080,
      url: 'http://127.0.0.1:8080/',
      since: at - 11_520_000,
      startTicks: 98_765,
    },
    cause: {
      reason: 'oom',
      evidence: 'oom_counter',
      text: "the application's process 4711 ended; its cgroup counted a kill for lack of memory",
    },
    samples: {
      times: [at - 2000, at - 1000, at - 100],
      columns: {
        process: [1, 1, 1],
        memory: [100e6, 200e6, 250e6],
        memoryLimit: [256e6, 256e6, 256e6],
        allRun: [1, 1.5, 2],
        threads: [11, 11, 12],
      },
    },
    marks: [{ at: at - 31_000, kind: 'health', text: 'ready failed (timeout: no answer in 1 s)' }],
    episodes: [
      { from: at - 60_000, to: null, cause: 'gc', sentence: 'POST /import took up to 2.1 s instead of 31 ms' },
    ],
    traces: [
      { traceId: 'a'.repeat(32), at: at - 3000, ms: 1800, service: 'shop', name: 'POST /import', spans: 7, errors: 1 },
    ],
    logs: [{ at: at - 500, severity: 'ERROR', service: 'shop', body: 'heap is nearly full', traceId: '' }],
    parts: [
      {
        name: 'process',
        state: 'warning',
        facts: [
          { name: 'pid', value: '4711' },
          { name: 'threads', value: 12 },
          { name: 'memory', value: 250e6, unit: 'bytes' },
        ],
        findings: [{ level: 'warning', text: 'it has ended' }],
      },
    ],
    missing: [],
    sidecar: { version: '0.1.0' },
    ...change,
  }
}

/** Starts the part itself in a folder, beside nothing. */
export async function started(dir: string | undefined) {
  const host = world('/proc')
  const running = await flight.start(
    { ...OPTIONS, dir },
    {
      ...host,
      moments: () => undefined,
      recall: async () => ({}),
      intake: () => ({ offer: () => ({ kind: 'taken', rejected: 0, text: '' }) }),
      status: () => ({ version: '', uptimeSeconds: 0, application: {}, parts: [], ledger: [] }),
    },
  )
  return { host, running }
}

export { until }
