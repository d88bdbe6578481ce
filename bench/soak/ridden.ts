// One application of the soak through all its restarts: alone, or as the child of `pillion run`.

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { Account } from './application.ts'

const APPLICATION = fileURLToPath(new URL('application.ts', import.meta.url))
const DEADLINE_MS = 30_000

/** Processes that may be left when this process ends: our own, and applications that have lost their parent. */
const left = new Set<number>()
process.on('exit', () => {
  for (const pid of left) kill(pid, 'SIGKILL')
})

export type Spans = Omit<Account, 'pid'>

export interface Ridden {
  readonly name: string
  readonly port: number
  /** Variables that tell its SDK where to send spans, in addition to those of `pillion run`. */
  readonly env?: NodeJS.ProcessEnv
  /** The words before its command, for instance `pillion run --`. */
  readonly before?: readonly string[]
}

export class Application {
  readonly name: string
  readonly port: number
  readonly #way: Ridden
  /** Accounts of the instances that have ended. */
  readonly #settled = { sent: 0, taken: 0, failed: 0 }
  /** Our child: the application itself, or `pillion run`. */
  #child: ChildProcess | undefined
  #exit: Promise<number> | undefined
  #said = ''
  #complaint = ''
  #pid = 0
  starts = 0
  /** Endings other than with exit code 0 and an account, in words. */
  readonly wrong: string[] = []
  restarting = false

  constructor(way: Ridden) {
    this.#way = way
    this.name = way.name
    this.port = way.port
  }

  /** The pid of our child: with `pillion run`, the sidecar. */
  get childPid(): number {
    return this.#child?.pid ?? 0
  }

  async start(): Promise<void> {
    const { before = [], env } = this.#way
    const [command = '', ...args] = [...before, process.execPath, APPLICATION]
    const more = { PORT: String(this.port), SOAK_PID: String(process.pid), OTEL_BSP_SCHEDULE_DELAY: '500' }
    const signals = { OTEL_METRICS_EXPORTER: 'none', OTEL_LOGS_EXPORTER: 'none', OTEL_EXPORTER_OTLP_TIMEOUT: '3000' }
    const child = spawn(command, args, {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...signals, ...more, ...env },
    })
    this.#said = ''
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      this.#said += text
    })
    this.#complaint = ''
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.#complaint = (this.#complaint + text).slice(-2000)
    })
    this.#exit = once(child, 'exit').then(([code, signal]) => {
      left.delete(child.pid!)
      return signal ? 128 : code
    })
    await once(child, 'spawn')
    left.add(child.pid!)
    this.#child = child
    const end = performance.now() + DEADLINE_MS
    for (let account: Account | undefined; !account; account = await this.#ask()) {
      if (child.exitCode !== null || performance.now() > end)
        throw new Error(`${this.name} does not start:\n${this.#complaint}`)
      await sleep(20)
    }
    this.starts++
  }

  async #ask(): Promise<Account | undefined> {
    try {
      const answer = await fetch(`http://127.0.0.1:${this.port}/account`, { signal: AbortSignal.timeout(5000) })
      // Answered by application.ts.
      const account = (await answer.json()) as Account
      this.#pid = account.pid
      left.add(account.pid)
      return account
    } catch {
      return undefined
    }
  }

  /** The spans of all its processes; undefined while it does not answer. */
  async account(): Promise<Spans | undefined> {
    const settled = { ...this.#settled }
    const now = await this.#ask()
    if (!now || this.restarting) return undefined
    return { sent: settled.sent + now.sent, taken: settled.taken + now.taken, failed: settled.failed + now.failed }
  }

  /** The result of `act` and the account, once no spans were sent or answered meanwhile; repeated until then. */
  async quietly<T>(act: () => Promise<T>): Promise<[T, Spans]> {
    const end = performance.now() + DEADLINE_MS
    while (performance.now() < end) {
      const before = await this.account()
      if (before && before.taken + before.failed === before.sent) {
        const done = await act()
        if ((await this.account())?.sent === before.sent) return [done, before]
      }
      await sleep(20)
    }
    throw new Error(`the spans of ${this.name} are never all answered`)
  }

  /** Kills `pillion run`, but not its application. */
  async orphan(): Promise<void> {
    this.#child?.kill('SIGKILL')
    await this.#exit
  }

  /** Ends it as an operator does, and waits for its account. */
  async stop(): Promise<void> {
    const orphan = this.#child?.exitCode !== null || this.#child.signalCode !== null
    const pid = this.#pid
    const late = setTimeout(() => {
      for (const each of [pid, this.childPid]) kill(each, 'SIGKILL')
    }, DEADLINE_MS)
    if (orphan) kill(pid, 'SIGTERM')
    else this.#child?.kill('SIGTERM')
    const code = orphan ? 0 : await this.#exit
    while (alive(pid)) await sleep(20)
    clearTimeout(late)
    left.delete(pid)
    // Its last line may still be on its way through the pipe.
    for (let i = 0; i < 50 && !this.#said.endsWith('}\n'); i++) await sleep(20)
    const line = this.#said.trimEnd().split('\n').at(-1) ?? ''
    if (code !== 0 || !line.startsWith('{')) {
      this.wrong.push(
        `start ${this.starts} ended with code ${code}, saying ${JSON.stringify(line)} and ${JSON.stringify(this.#complaint)}`,
      )
      return
    }
    // Written by application.ts when it ends.
    const { sent, taken, failed } = JSON.parse(line) as Account
    this.#settled.sent += sent
    this.#settled.taken += taken
    this.#settled.failed += failed
  }
}

/** Whether it runs; a process that has ended may stay as a zombie if it has no parent to wait for it. */
function alive(pid: number): boolean {
  try {
    return !/\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, 'latin1'))
  } catch {
    return false
  }
}

function kill(pid: number, signal: NodeJS.Signals): void {
  if (pid <= 0) return
  try {
    process.kill(pid, signal)
  } catch {}
}
