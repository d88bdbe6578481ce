// `pillion run -- CMD ARGS…`: starts the application and rides along without standing in its way. It writes to our own
// stdin, stdout and stderr (so it outlives us), gets our signals, and its exit code is ours.

import type { ChildProcess } from 'node:child_process'
import { constants } from 'node:os'
import { isatty } from 'node:tty'
import type { Log } from './collectors/collector.ts'

export interface Ride {
  /** The application's whole environment, as `applicationEnvironment` makes it. */
  readonly env: NodeJS.ProcessEnv
  /** Called once, as soon as the application has a pid. */
  onStart(pid: number): void
  /** Called for each error in the sidecar that nothing caught, so that it can be counted. */
  onUncaught?(): void
  readonly log: Log
}

const FORWARDED = ['SIGTERM', 'SIGHUP', 'SIGQUIT', 'SIGUSR1', 'SIGUSR2', 'SIGWINCH', 'SIGINT'] as const
/** On a terminal the kernel sends these to the whole foreground group, so to the application too: once is enough. */
const FROM_TERMINAL: readonly string[] = ['SIGINT', 'SIGQUIT']
/** After the application has ended, these cut short what the sidecar still has to finish. */
const ENDING: readonly string[] = ['SIGTERM', 'SIGINT', 'SIGQUIT']

/**
 * Runs the command and resolves with the exit code that `pillion run` must end with: the application's own, 128 + n
 * when signal n ended it, 127 if there is no such command, 126 if it cannot be executed. Never rejects. From the call on,
 * signals are the application's; after its end, SIGTERM, SIGINT and SIGQUIT end this process at once with that code.
 */
export function supervise(command: readonly string[], ride: Ride): Promise<number> {
  const { log } = ride
  const [file = '', ...args] = command
  let code: number | undefined

  // Last resort: an error in the sidecar costs it a log line, never the application its supervisor.
  process.on('uncaughtException', error => {
    quietly(() => ride.onUncaught?.())
    quietly(() => log.error('error in the sidecar, which goes on', { error, at: frame(error) }))
  })

  // Before the application starts: a signal that comes with its first line must not end us, or be lost.
  let application: ChildProcess | undefined
  const terminal = isatty(0)
  for (const signal of FORWARDED)
    process.on(signal, () => {
      if (code === undefined) {
        if (!(terminal && FROM_TERMINAL.includes(signal))) application?.kill(signal)
      } else if (ENDING.includes(signal)) process.exit(code)
    })

  const child = started(file, args, ride)
  if (typeof child === 'number') {
    code = child
    return Promise.resolve(child)
  }
  application = child

  return new Promise(resolve => {
    const ended = (exit: number): void => {
      code = exit
      resolve(exit)
    }
    child.once('exit', (exit, signal) => ended(signal ? 128 + constants.signals[signal] : (exit ?? 1)))
    child.on('error', error => {
      if (child.pid === undefined) ended(refused(file, error, log))
      else log.warn('cannot send the application a signal', { error })
    })
    const { pid } = child
    if (pid === undefined) return
    try {
      ride.onStart(pid)
    } catch (error) {
      log.error('error in the sidecar, which goes on', { error, at: frame(error) })
    }
  })
}

/** The application's process, or the exit code that stands for what spawn refused at once (a NUL in an argument, E2BIG). */
function started(file: string, args: readonly string[], ride: Ride): ChildProcess | 126 | 127 {
  try {
    return process.getBuiltinModule('node:child_process').spawn(file, args, { stdio: 'inherit', env: ride.env })
  } catch (error) {
    return refused(file, error, ride.log)
  }
}

function refused(file: string, error: unknown, log: Log): 126 | 127 {
  const code = errorCode(error)
  const missing = code === 'ENOENT' || code === 'ENOTDIR'
  if (missing) log.error(`cannot find the command: ${quoted(file)}; check its spelling and PATH`)
  else if (code === 'EACCES') log.error(`cannot execute the command: ${quoted(file)}; make it executable (chmod +x)`)
  else log.error(`cannot start the command: ${quoted(file)}`, { error })
  return missing ? 127 : 126
}

function quoted(file: string): string {
  return JSON.stringify(file)
}

function errorCode(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined
}

/** The first line of the stack: where it happened. */
function frame(error: unknown): string | undefined {
  return error instanceof Error ? error.stack?.split('\n', 2)[1]?.trim() : undefined
}

/** Runs what must not fail inside the handler of last resort, where a second error would end the process. */
function quietly(act: () => void): void {
  try {
    act()
  } catch {}
}
