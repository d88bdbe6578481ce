// A host on the real machine, and processes to watch there.

import { type ChildProcess, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Application, Finding, Host } from '../../collectors/collector.ts'
import { type ProcessOptions, process as processCollector } from '../../collectors/process.ts'
import { Scrape } from '../../exporter/metrics.ts'
import { world } from '../world.ts'

export const DEFAULTS: ProcessOptions = {
  children: 'together',
  interval: 1000,
  processes_limit: 512,
  threads_limit: 256,
  tcp: true,
  smaps: false,
  smaps_limit: 2 ** 30,
}

export interface Ride extends AsyncDisposable {
  readonly app: Application
  scrape(): Promise<string>
  findings(): readonly Finding[]
  /** Scrapes until it is so; fails after 30 s. */
  until(done: (text: string) => boolean): Promise<string>
}

export async function ride(app: Partial<Application>, options: Partial<ProcessOptions> = {}): Promise<Ride> {
  const clock = {
    now: Date.now,
    monotonic: () => performance.now(),
    sleep: (ms: number, signal: AbortSignal) => sleep(ms, undefined, { signal, ref: false }),
  }
  const host: Host = { ...world('/proc', app), clock }
  const running = await processCollector.start({ ...DEFAULTS, ...options }, host)
  const scrape = new Scrape(host.metrics, [])
  const ride: Ride = {
    app: host.app,
    findings: () => running.findings?.() ?? [],
    async scrape() {
      await running.collect?.(new AbortController().signal)
      const { chunks } = await scrape.scrape(undefined, AbortSignal.timeout(5000))
      return Buffer.concat(chunks).toString()
    },
    async until(done) {
      for (const deadline = performance.now() + 30_000; ; await sleep(50)) {
        const text = await ride.scrape()
        if (done(text)) return text
        if (performance.now() > deadline) throw new Error(`not so within 30 s:\n${text}`)
      }
    },
    [Symbol.asyncDispose]: () => running[Symbol.asyncDispose](),
  }
  return ride
}

/** A started program that is told what to do by lines, and answers by lines. */
export interface Program extends Disposable {
  readonly child: ChildProcess
  readonly pid: number
  /** The next line it writes. */
  line(): Promise<string>
  say(line: string): void
  readonly ended: Promise<number | null>
}

export function program(command: string, args: readonly string[]): Program {
  const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'inherit'] })
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  return {
    child,
    pid: child.pid!,
    async line() {
      const { value, done } = await lines.next()
      if (done) throw new Error(`${command} ended before it said anything`)
      return value
    },
    say: line => void child.stdin.write(`${line}\n`),
    ended: new Promise(resolve => child.once('exit', resolve)),
    [Symbol.dispose]: () => void child.kill('SIGKILL'),
  }
}
