// A real process under test: started, listened to, waited for, and never left behind.

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'

/**
 * Generous, since the machine may be busy; nothing waits longer than its condition needs. DEADLINE gives more seconds, for a
 * machine that has much else to do.
 */
const DEADLINE_MS = Number(process.env['DEADLINE'] ?? 60) * 1000

/** Processes that still run when a test is interrupted are killed with it. */
const left = new Set<Child>()
process.on('exit', () => {
  for (const child of left) child.kill('SIGKILL')
})

export interface Ending {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

export class Child implements AsyncDisposable {
  readonly ended: Promise<Ending>
  /** Its output so far. */
  stdout = ''
  stderr = ''
  readonly #process: ChildProcess
  #running = true

  private constructor(process: ChildProcess) {
    this.#process = process
    process.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.stdout += text
    })
    process.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.stderr += text
    })
    // 'close' rather than 'exit': by then everything it wrote has been read.
    this.ended = once(process, 'close').then(([code, signal]) => {
      this.#running = false
      left.delete(this)
      return { code, signal }
    })
    // If a program cannot be started, `start` rejects, and its end is not awaited.
    this.ended.catch(() => left.delete(this))
    left.add(this)
  }

  static async start(
    command: string,
    args: readonly string[],
    env: NodeJS.ProcessEnv = {},
    cwd: string = tmpdir(),
  ): Promise<Child> {
    const started = spawn('env', [...without(env), command, ...args], {
      cwd,
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    const child = new Child(started)
    await once(started, 'spawn')
    return child
  }

  get pid(): number {
    return this.#process.pid!
  }

  get running(): boolean {
    return this.#running
  }

  kill(signal: NodeJS.Signals): void {
    this.#process.kill(signal)
  }

  /** Waits until its output matches, and returns the match. */
  async says(wanted: RegExp): Promise<RegExpExecArray> {
    return await until(`${wanted} in the output`, () => {
      const found = wanted.exec(this.stdout) ?? wanted.exec(this.stderr)
      if (!found && !this.#running) throw new Error(`it ended before it said ${wanted}:\n${this.stdout}${this.stderr}`)
      return found ?? undefined
    })
  }

  /** Ends it as an operator would; a process that does not end then is killed, and that is an error. */
  async stop(): Promise<Ending> {
    this.kill('SIGTERM')
    const timer = AbortSignal.timeout(DEADLINE_MS)
    timer.onabort = () => this.kill('SIGKILL')
    const ending = await this.ended
    timer.onabort = null
    if (ending.signal === 'SIGKILL') throw new Error(`did not end on SIGTERM:\n${this.stdout}${this.stderr}`)
    return ending
  }

  /** Ends what it started too: an application outlives its sidecar, and would hold our pipes open for ever. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#running) {
      const descendants = below(this.pid)
      this.kill('SIGKILL')
      for (const pid of descendants)
        try {
          process.kill(pid, 'SIGKILL')
        } catch {
          // It has ended by itself.
        }
    }
    await this.ended
  }
}

/**
 * Arguments of env(1) that unset variables of the test runner and of the developer's shell. tap adds NODE_OPTIONS to the
 * environment of every process that is spawned, so only a program in between can keep it from the program
 * under test; env(1) keeps the pid.
 */
function without(wanted: NodeJS.ProcessEnv): string[] {
  const foreign = Object.keys(process.env).filter(name => /^(_?TAP|OTEL_|PILLION_)/.test(name))
  const names = ['NODE_OPTIONS', 'NODE_V8_COVERAGE', ...foreign].filter(name => wanted[name] === undefined)
  return names.flatMap(name => ['--unset', name])
}

/** The processes that a process has started, and theirs. */
function below(pid: number): number[] {
  let threads: string[]
  try {
    threads = readdirSync(`/proc/${pid}/task`)
  } catch {
    return []
  }
  const started = threads.flatMap(thread => {
    try {
      return readFileSync(`/proc/${pid}/task/${thread}/children`, 'utf8').trim().split(' ').filter(Boolean).map(Number)
    } catch {
      return []
    }
  })
  return started.flatMap(each => [each, ...below(each)])
}

/** Polls until `read` returns a value; otherwise fails with its last error or the name of the condition. */
export async function until<T>(condition: string, read: () => T | undefined | Promise<T | undefined>): Promise<T> {
  const end = performance.now() + DEADLINE_MS
  let last: unknown
  while (performance.now() < end) {
    try {
      const value = await read()
      if (value !== undefined) return value
      last = undefined
    } catch (error) {
      last = error
    }
    await new Promise(resolve => setTimeout(resolve, 50))
  }
  throw new Error(`waited ${DEADLINE_MS / 1000} s in vain for ${condition}`, { cause: last })
}

/** A port that nobody listens on at the moment. */
export async function freePort(): Promise<number> {
  await using server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('cannot find a free port: no TCP address')
  return address.port
}
