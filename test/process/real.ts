// A host on the real machine, and processes to watch there.

import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { type ProcessOptions, process as processCollector } from '../../collectors/process.ts'
import { Scrape } from '../../exporter/prometheus.ts'
import type { Application, Host } from '../../telemetry/host.ts'
import type { Finding } from '../../telemetry/part.ts'
import { world } from '../world.ts'

export const DEFAULTS: ProcessOptions = {
  children: 'together',
  interval: 1000,
  processes_limit: 512,
  threads_limit: 256,
  tcp: true,
  smaps: false,
  smaps_limit: 2 ** 30,
  exit_helper: 'off',
}

export interface Ride extends AsyncDisposable {
  readonly app: Application
  scrape(): Promise<string>
  findings(): readonly Finding[]
  /** Scrapes until it is so; fails after a minute. */
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
      const { chunks } = await scrape.scrape(undefined, AbortSignal.timeout(60_000))
      return Buffer.concat(chunks).toString()
    },
    async until(done) {
      for (const deadline = performance.now() + 60_000; ; await sleep(50)) {
        const text = await ride.scrape()
        if (done(text)) return text
        if (performance.now() > deadline) throw new Error(`not so within a minute:\n${text}`)
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

/** The program that looks in another namespace, or as another user. */
export const ALONE: string = join(import.meta.dirname, 'alone.ts')
/** Arguments of setpriv for a user without any rights. */
export const NOBODY = ['--reuid', '65534', '--regid', '65534', '--clear-groups', '--inh-caps=-all', '--no-new-privs']

/** False, or why a command cannot be run here. */
export function impossible(command: string, args: readonly string[], remedy: string): string | false {
  const { status, error, stderr } = spawnSync(command, args, { encoding: 'utf8' })
  if (error) return `no ${command}; apt-get install util-linux`
  return status !== 0 && `${command} ${args.join(' ')} fails (${stderr.trim()}); ${remedy}`
}

export const NO_SETSID: string | false = impossible('setsid', ['true'], 'run on Linux')
export const NO_OTHER_USER: string | false = impossible(
  'setpriv',
  [...NOBODY, 'test', '-r', ALONE, '-a', '-x', process.execPath],
  'run as root, with the repository readable for all',
)
