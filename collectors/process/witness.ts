// Learns the exit status of a process that is not our child, by a program that holds a descriptor of it until its end
// (host/exit-status.c). There is one witness for the main process, and none for its workers.

import type { ChildProcess } from 'node:child_process'
import type { Socket } from 'node:net'
import { getSystemErrorName } from 'node:util'

/** Its two lines are shorter. */
const LONGEST = 100
/** The answers of kernels before 6.15: no such call, no such request, no status. */
const OLD = ['ENOSYS', 'ENOTTY', 'EINVAL', 'ESRCH']
const FORBIDDEN = ['EPERM', 'EACCES']

export class Witness implements Disposable {
  /** As wait(2) gives it; undefined before the end, and if it is not known. */
  status: number | undefined
  /** Why it will not be known. */
  trouble: string | undefined
  /** The program did not start, or ended too early; another one may do better. */
  lost = false
  /** Resolves when it has told all that it will. */
  readonly done: Promise<void>
  readonly #program: string
  readonly #resolve: () => void
  #child: ChildProcess | undefined
  #said = ''

  /** `startTicks`: of the process, from boot to its start, so that another one with its number is not taken for it. */
  constructor(program: string, pid: number, startTicks: number) {
    const { promise, resolve } = Promise.withResolvers<void>()
    this.done = promise
    this.#program = program
    this.#resolve = resolve
    try {
      this.#start([String(pid), String(startTicks)])
    } catch (error) {
      // spawn throws some errors (too many processes), and emits others (no such file).
      this.#fail(error)
    }
  }

  /** Whether it may still tell the status. */
  get waiting(): boolean {
    return this.status === undefined && this.trouble === undefined
  }

  /** Ends the program, also one that hangs. */
  [Symbol.dispose](): void {
    for (const pipe of this.#child?.stdio ?? []) pipe?.destroy()
    this.#child?.kill('SIGKILL')
  }

  #start(args: readonly string[]): void {
    const child = process.getBuiltinModule('node:child_process').spawn(this.#program, args, {
      // It ends when its stdin is closed, so it cannot outlive us.
      stdio: ['pipe', 'pipe', 'ignore'],
      // A signal to our group or from our terminal must not end it before the application.
      detached: true,
      env: {},
      cwd: '/',
    })
    this.#child = child
    child.on('error', error => this.#fail(error))
    // That is told in the next turn. With EMFILE there are no pipes.
    if (child.pid === undefined) return
    child.stdout.on('data', (bytes: Buffer) => {
      this.#said = (this.#said + bytes.toString('latin1')).slice(0, LONGEST)
    })
    child.once('close', (code, signal) => this.#end(signal ?? `exit code ${code}`))
    child.unref()
    for (const pipe of [child.stdin, child.stdout]) {
      pipe.on('error', () => {})
      // Pipes of a child are sockets (child_process, options.stdio).
      ;(pipe as Socket).unref()
    }
  }

  #end(how: string): void {
    const [, status] = /^ended (\d{1,5})$/m.exec(this.#said) ?? []
    const [, what, error] = /^cannot (\w+) (\d{1,3})$/m.exec(this.#said) ?? []
    if (status !== undefined) this.status = Number(status)
    else if (what !== undefined) this.trouble ??= refusal(what, Number(error))
    else {
      this.lost = this.trouble === undefined
      this.trouble ??= `${this.#program} has ended early (${how})`
    }
    this.#resolve()
  }

  #fail(error: unknown): void {
    this.lost = true
    this.trouble ??= `cannot start ${this.#program}: ${error instanceof Error ? error.message : error}`
    this.#resolve()
  }
}

/** The call that the kernel refused, and why. */
function refusal(what: string, error: number): string {
  const name = error === 0 ? 'ENOTTY' : getSystemErrorName(-error)
  if (name === 'ESRCH' && !what.startsWith('PIDFD')) return 'it had ended before it could be watched'
  const refused = `the kernel refuses ${what} (${name})`
  if (OLD.includes(name)) return `${refused}: it needs Linux 6.15 or later`
  return FORBIDDEN.includes(name) ? `${refused}: seccomp or a security module forbids it` : refused
}
