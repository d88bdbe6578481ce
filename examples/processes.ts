// The processes of a demonstration: started one by one, stopped in the opposite order, none left behind.

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'

/** Long enough for a service to finish its requests and to send its last spans. */
const PATIENCE_MS = 8000
/** The lines of each process's output that are kept, to be shown if it fails. */
const KEPT_LINES = 30

export interface Program {
  readonly name: string
  readonly command: string
  readonly args: readonly string[]
  readonly env?: NodeJS.ProcessEnv
  /** Its output is copied to ours, line by line with its name in front. */
  readonly aloud: boolean
  /** Its output when it is ready; if absent, it is ready when it has started. */
  readonly ready?: RegExp
}

/** Disposing stops the processes, the latest first. */
export class Processes implements AsyncDisposable {
  /** Rejects when a process ends unexpectedly. */
  readonly failure: Promise<never>
  readonly #fail: (error: Error) => void
  readonly #running: { name: string; child: ChildProcess; kept: string[] }[] = []
  #stopping = false

  constructor() {
    const { promise, reject } = Promise.withResolvers<never>()
    this.failure = promise
    this.#fail = reject
    // It may not be awaited at the moment; awaiting it later still gives the rejection.
    promise.catch(() => {})
  }

  /** Starts a program and waits until it is ready. The match of `ready` is returned. */
  async start(program: Program): Promise<RegExpExecArray | null> {
    const { name, command, args, env, aloud, ready } = program
    if (this.#stopping) throw new Error(`cannot start ${name}: everything is being stopped`)
    // In a group of its own: Ctrl-C at the terminal would otherwise reach every process at once, in no order.
    const child = spawn(command, args, {
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    })
    const kept: string[] = []
    const { promise: heard, resolve } = Promise.withResolvers<RegExpExecArray | null>()
    if (!ready) resolve(null)
    const hear = (line: string) => {
      kept.push(line)
      if (kept.length > KEPT_LINES) kept.shift()
      if (aloud) console.log(`${name.padEnd(8)}| ${line}`)
      const found = ready?.exec(line)
      if (found) resolve(found)
    }
    for (const stream of [child.stdout, child.stderr]) byLine(stream, hear)
    child.on('error', cause => this.#fail(new Error(`cannot start ${name}: ${command}: ${cause.message}`, { cause })))
    child.on('close', (code, signal) => {
      if (this.#stopping || child.pid === undefined) return
      this.#fail(new Error(`${name} ended by itself (${signal ?? code}):\n${kept.join('\n')}`))
    })
    if (child.pid !== undefined) this.#running.push({ name, child, kept })
    return await Promise.race([heard, this.failure])
  }

  /** The last lines that a program wrote. */
  said(name: string): string {
    return this.#running.find(each => each.name === name)?.kept.join('\n') ?? ''
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopping = true
    for (const { name, child } of this.#running.reverse()) await stop(name, child)
  }
}

async function stop(name: string, child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const closed = once(child, 'close')
  child.kill('SIGTERM')
  const ended = await Promise.race([closed, sleep(PATIENCE_MS, undefined, { ref: false })])
  if (ended) return
  console.error(`${name} did not stop within ${PATIENCE_MS / 1000} s and is killed`)
  child.kill('SIGKILL')
  await closed
}

function byLine(stream: NodeJS.ReadableStream, hear: (line: string) => void): void {
  let rest = ''
  stream.setEncoding('utf8')
  stream.on('data', (text: string) => {
    const lines = (rest + text).split('\n')
    rest = lines.pop() ?? ''
    for (const line of lines) hear(line)
  })
  stream.on('end', () => rest && hear(rest))
}
