// `pillion run -- CMD ARGS…`: starts the application and rides along without standing in its way. It writes to our own
// stdin, stdout and stderr (so it outlives us), gets our signals, and we end as it ended.

import type { ChildProcess } from 'node:child_process'
import { closeSync } from 'node:fs'
import { constants } from 'node:os'
import { refusal, start } from './supervise/command.ts'
import { type Ended, leave } from './supervise/ended.ts'
import type { Launch } from './supervise/launch.ts'
import { hasIt, jobOf, underJobControl } from './supervise/terminal.ts'
import type { Log } from './telemetry/host.ts'

export interface Ride {
  /** The application's whole environment, as `applicationEnvironment` makes it. */
  readonly env: NodeJS.ProcessEnv
  /** The state that the launcher noted for it. */
  readonly launch?: Launch | undefined
  /** Puts the application into a session of its own, and sends signals to its whole process group. */
  readonly group?: boolean
  /** Descriptors that the application gets instead of our output. */
  readonly output?: { readonly stdout?: number; readonly stderr?: number }
  /** Called once, as soon as the application has a pid. */
  onStart(pid: number): void
  /** Called for each error in the sidecar that nothing caught, so that it can be counted. */
  onUncaught?(): void
  readonly log: Log
}

/**
 * All that Node can hear and that does not speak of Node itself: not CHLD, not PIPE and XFSZ (which our own writes raise),
 * not the faults ILL, TRAP, BUS, FPE and SEGV. Node cannot hear real-time signals: one ends us and leaves the application
 * running. `pillion exec` is for them.
 */
const FORWARDED = [
  ...(['SIGTERM', 'SIGHUP', 'SIGQUIT', 'SIGINT', 'SIGUSR1', 'SIGUSR2', 'SIGWINCH', 'SIGTSTP', 'SIGTTIN'] as const),
  ...(['SIGTTOU', 'SIGALRM', 'SIGVTALRM', 'SIGPROF', 'SIGIO', 'SIGPWR', 'SIGURG', 'SIGXCPU', 'SIGSTKFLT'] as const),
  ...(['SIGSYS', 'SIGABRT', 'SIGCONT'] as const),
].filter(signal => signal in constants.signals)
/** After the application has ended, these cut short what the sidecar still has to finish. */
const ENDING: readonly string[] = ['SIGTERM', 'SIGINT', 'SIGQUIT']

/**
 * Runs the command and resolves with how it ended: 127 if there is no such command, 126 if it cannot be executed. Never
 * rejects. From the call on, signals are the application's; after its end, SIGTERM, SIGINT and SIGQUIT end this process at
 * once in the same way.
 */
export function supervise(command: readonly string[], ride: Ride): Promise<Ended> {
  const { log } = ride
  const [file = ''] = command
  const begun = performance.now()
  let ended: Ended | undefined

  // Last resort: an error in the sidecar costs it a log line, never the application its supervisor.
  process.on('uncaughtException', error => {
    quietly(() => ride.onUncaught?.())
    quietly(() => log.error('error in the sidecar, which goes on', { error, at: frame(error) }))
  })

  // Before the application starts: a signal that comes with its first line must not end us, or be lost.
  let application: ChildProcess | undefined
  for (const signal of FORWARDED)
    process.on(signal, () => {
      if (ended) {
        if (ENDING.includes(signal)) leave(ended)
      } else if (application?.pid !== undefined) forward(signal, application, application.pid, ride)
    })

  const refused = refusal(file, ride.env['PATH'])
  if (refused) {
    log.error(refused.text)
    ended = { code: refused.code, signal: undefined, seconds: 0, pid: undefined }
    return Promise.resolve(ended)
  }
  const child = started(command, ride)
  if (typeof child === 'number') {
    ended = { code: child, signal: undefined, seconds: 0, pid: undefined }
    return Promise.resolve(ended)
  }
  application = child
  // Ours would keep a pipe open that the application closes.
  for (const fd of ride.launch?.descriptors ?? []) quietly(() => closeSync(fd))

  return new Promise(resolve => {
    const end = (code: number, signal?: NodeJS.Signals): void => {
      ended = { code, signal, seconds: (performance.now() - begun) / 1000, pid: child.pid }
      resolve(ended)
    }
    child.once('exit', (exit, signal) => (signal ? end(128 + constants.signals[signal], signal) : end(exit ?? 1)))
    child.on('error', error => {
      if (child.pid === undefined) end(notStarted(file, error, log))
      else log.warn('cannot send the application a signal', { error })
    })
    const { pid } = child
    if (pid === undefined) return
    process.on('SIGCHLD', () => stopWith(pid))
    // It ran before this process did: it may have been stopped already, of which nothing will tell again.
    stopWith(pid)
    try {
      ride.onStart(pid)
    } catch (error) {
      log.error('error in the sidecar, which goes on', { error, at: frame(error) })
    }
  })
}

function forward(signal: NodeJS.Signals, child: ChildProcess, pid: number, { group, log }: Ride): void {
  if (hasIt(signal, pid)) return
  // The shell that lets us go on has told the whole job; the application may have been stopped alone.
  if (signal === 'SIGCONT' && underJobControl(jobOf('self')) && jobOf(pid)?.state !== 'T') return
  if (!group) {
    child.kill(signal)
    return
  }
  try {
    process.kill(-pid, signal)
  } catch (error) {
    log.warn('cannot send the application a signal', { error })
  }
}

/** A shell waits for us, not for the application: when that stops (Ctrl-Z), we stop too, so that it gives its prompt. */
function stopWith(pid: number): void {
  if (jobOf(pid)?.state === 'T' && underJobControl(jobOf('self'))) process.kill(process.pid, 'SIGSTOP')
}

/** The application's process, or the exit code that stands for what spawn refused at once (a NUL in an argument, E2BIG). */
function started(
  command: readonly string[],
  { env, launch, output, group = false, log }: Ride,
): ChildProcess | 126 | 127 {
  const { file, args, stdio } = start(command, env, launch)
  if (output?.stdout !== undefined) stdio[1] = output.stdout
  if (output?.stderr !== undefined) stdio[2] = output.stderr
  try {
    return process.getBuiltinModule('node:child_process').spawn(file, args, { stdio, env, detached: group })
  } catch (error) {
    return notStarted(command[0] ?? '', error, log)
  }
}

/** The exit code for a failed start that the look at the command did not foresee. */
function notStarted(file: string, error: unknown, log: Log): 126 | 127 {
  log.error(`cannot start the command: ${JSON.stringify(file)}`, { error })
  return error instanceof Error && 'code' in error && error.code === 'ENOENT' ? 127 : 126
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
