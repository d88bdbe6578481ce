// The application's command: whether it can be started, said before it is tried, and how it is started so that it has what
// it would have had without us.

import { accessSync, closeSync, constants, openSync, readFileSync, readSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { carried, type Launch } from './launch.ts'

/** Why a command cannot be started, with the exit code that shells give for it. */
export interface Refusal {
  readonly code: 126 | 127
  readonly text: string
}

/** Looks the command up as execvp(3) does; undefined if nothing stands against it. */
export function refusal(file: string, path: string | undefined): Refusal | undefined {
  const quoted = JSON.stringify(file)
  const missing = { code: 127, text: `cannot find the command: ${quoted}; check its spelling and PATH` } as const
  if (file === '') return { code: 127, text: `cannot start the command: ${quoted}; it is empty` }
  const candidates = file.includes('/')
    ? [file]
    : (path ?? '/bin:/usr/bin').split(':').map(dir => join(dir || '.', file))
  let denied: Refusal | undefined
  for (const candidate of candidates) {
    try {
      if (statSync(candidate).isDirectory()) {
        denied ??= { code: 126, text: `cannot execute the command: ${quoted}; it is a directory, name a program in it` }
        continue
      }
      accessSync(candidate, constants.X_OK)
      return badInterpreter(candidate, quoted)
    } catch (error) {
      if (error instanceof Error && 'code' in error && error.code === 'EACCES')
        denied = { code: 126, text: `cannot execute the command: ${quoted}; make it executable (chmod +x)` }
    }
  }
  // Beside a program of that name in PATH, a folder of that name is nothing.
  return denied && (file.includes('/') || !/directory/.test(denied.text)) ? denied : missing
}

/** The kernel says "no such file" of a script whose interpreter is missing, which reads as if the script were. */
function badInterpreter(path: string, quoted: string): Refusal | undefined {
  const [, interpreter] = /^#![ \t]*([^ \t\n]+)/.exec(head(path)) ?? []
  if (interpreter === undefined) return undefined
  const wrong = (why: string): Refusal => ({
    code: 126,
    text: `cannot start the command: ${quoted}; its first line names ${JSON.stringify(interpreter)}, ${why}`,
  })
  try {
    if (statSync(interpreter).isDirectory()) return wrong('which is a directory')
    accessSync(interpreter, constants.X_OK)
    return undefined
  } catch {
    if (interpreter.endsWith('\r')) return wrong('with a carriage return; save the file with Unix line ends')
    return wrong('which is not there or cannot be executed')
  }
}

function head(path: string): string {
  try {
    const fd = openSync(path, 'r')
    try {
      const bytes = Buffer.alloc(256)
      return bytes.toString('latin1', 0, readSync(fd, bytes, 0, bytes.length, 0))
    } finally {
      closeSync(fd)
    }
  } catch {
    // A program that may be executed and not read.
    return ''
  }
}

export interface Start {
  readonly file: string
  readonly args: readonly string[]
  readonly env: NodeJS.ProcessEnv
  readonly stdio: ('inherit' | 'ignore' | number)[]
}

/**
 * The way to spawn the command. Where something must be put back that Node cannot, a shell does it and becomes the
 * command.
 */
export function start(command: readonly string[], env: NodeJS.ProcessEnv, launch: Launch | undefined): Start {
  const [file = '', ...args] = command
  const stdio: Start['stdio'] = ['inherit', 'inherit', 'inherit']
  if (!launch) return { file, args, env, stdio }
  for (const fd of launch.descriptors) stdio[fd] = fd
  for (let fd = 3; fd < stdio.length; fd++) stdio[fd] ??= 'ignore'
  const steps = restoring(env, launch)
  // A shell would take it for an option of exec.
  if (steps.length === 0 || file.startsWith('-')) return { file, args, env, stdio }
  const before = file.includes('=') ? [] : carried(env, launch.bash)
  return { file: '/bin/sh', args: ['-c', steps.join('; ') + BECOME, 'sh', ...before, ...command], env, stdio }
}

const BECOME = '; exec "$@"'

/** Whether a process with this command line (as /proc has it) is still the shell between us and the application. */
export function restores(commandLine: string): boolean {
  const [file, , script] = commandLine.split('\0')
  return file === '/bin/sh' && script?.endsWith(BECOME) === true
}

function restoring(env: NodeJS.ProcessEnv, { nofile, ignored, pid }: Launch): string[] {
  const steps: string[] = []
  // 32 and 33 belong to the C library.
  const trapped = ignored.filter(number => ![9, 19, 32, 33].includes(number))
  if (trapped.length > 0) steps.push(`trap '' ${trapped.join(' ')}`)
  // Node has raised its own to the hard limit.
  if (nofile !== currentFiles()) steps.push(`ulimit -Sn ${nofile}`)
  // A program started by socket activation or with a watchdog finds its own process number in these: sd_listen_fds(3),
  // sd_watchdog_enabled(3).
  for (const name of ['LISTEN_PID', 'WATCHDOG_PID']) if (env[name] === String(pid)) steps.push(`${name}=$$`)
  return steps
}

function currentFiles(): string | undefined {
  try {
    return /^Max open files +(\S+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1]
  } catch {
    return undefined
  }
}
