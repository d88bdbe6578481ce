// The notes that launcher.sh took before Node started: the state of the process that Node has changed since, so that the
// application is given the state that it would have had without us.

import { readFileSync, readlinkSync } from 'node:fs'

export interface Launch {
  /** The launcher's process: ours for `run`, the application's for `exec`. */
  readonly pid: number
  /** Soft limit of open files, a number or "unlimited". */
  readonly nofile: string
  /** Numbers of the signals that were ignored. */
  readonly ignored: readonly number[]
  /** Inherited descriptors above 2. */
  readonly descriptors: readonly number[]
  /** Whether /bin/sh is bash, which sets variables of its own. */
  readonly bash: boolean
}

/** The launcher's notes and the environment as it was; without a launcher, no notes and the environment as it is. */
export interface Origin {
  readonly launch: Launch | undefined
  readonly environment: NodeJS.ProcessEnv
}

const NOTES = '_PILLION_LAUNCH'
const ENVIRONMENT = '_PILLION_ENVIRON'
const NODE_OPTIONS = '_PILLION_NODE_OPTIONS'

export function origin(env: NodeJS.ProcessEnv = process.env): Origin {
  const { [NOTES]: notes, [ENVIRONMENT]: dump, [NODE_OPTIONS]: nodeOptions, ...rest } = env
  const launch = notes === undefined ? undefined : readNotes(notes)
  if (dump) return { launch, environment: readDump(dump) }
  return { launch, environment: nodeOptions === undefined ? rest : { ...rest, NODE_OPTIONS: nodeOptions } }
}

/** The environment that a process was started with, as the kernel keeps it; undefined where it cannot be read. */
export function environmentOf(pid: number): NodeJS.ProcessEnv | undefined {
  try {
    return parseEnvironment(readFileSync(`/proc/${pid}/environ`, 'utf8'))
  } catch {
    return undefined
  }
}

/** Names and values separated by NUL; if a name occurs twice, the first wins, as in getenv(3). */
function parseEnvironment(text: string): NodeJS.ProcessEnv {
  const env: NodeJS.ProcessEnv = {}
  for (const each of text.split('\0')) {
    const equals = each.indexOf('=', 1)
    if (equals > 0) env[each.slice(0, equals)] ??= each.slice(equals + 1)
  }
  return env
}

/**
 * Arguments of env(1) that put back what a shell between us and the application loses or adds: variables whose names it
 * could not use, and bash's own. Empty when there is nothing to put back.
 */
export function carried(env: NodeJS.ProcessEnv, bash: boolean): readonly string[] {
  const odd = Object.entries(env).filter(([name]) => !/^[A-Za-z_][A-Za-z0-9_]*$/.test(name))
  const own = bash ? ['_', 'SHLVL', 'PWD', 'OLDPWD'] : []
  const unset = own.filter(name => env[name] === undefined).flatMap(name => ['-u', name])
  const set = [...own.map(name => [name, env[name]] as const), ...odd].filter(([, value]) => value !== undefined)
  if (unset.length + set.length === 0) return []
  return ['env', ...unset, ...set.map(([name, value]) => `${name}=${value}`)]
}

function readNotes(notes: string): Launch | undefined {
  const note = Object.fromEntries(notes.split(' ').map(each => each.split('=') as [string, string | undefined]))
  const pid = Number(note['pid'])
  if (!Number.isInteger(pid)) return undefined
  const descriptors = (note['descriptors'] ?? '').split(',').filter(Boolean).map(Number)
  return {
    pid,
    nofile: note['nofile'] || 'unlimited',
    ignored: signalsIn(note['ignored'] ?? ''),
    descriptors: descriptors.filter(fd => Number.isInteger(fd) && fd > 2 && fd < MOST_DESCRIPTORS && inherited(fd)),
    bash: note['shell'] === 'bash',
  }
}

/** spawn() takes a list with a place for each number. */
const MOST_DESCRIPTORS = 65_536

/** False for what Node has opened itself in the meantime under this number. */
function inherited(fd: number): boolean {
  try {
    return !/^anon_inode:\[event/.test(readlinkSync(`/proc/self/fd/${fd}`))
  } catch {
    return false
  }
}

/** proc_pid_status(5): bit n - 1 of the hexadecimal mask stands for signal n. */
function signalsIn(mask: string): readonly number[] {
  const bits = /^[0-9a-f]+$/i.test(mask) ? BigInt(`0x${mask}`) : 0n
  const all = Array.from({ length: 64 }, (_, at) => at + 1)
  return all.filter(number => (bits >> BigInt(number - 1)) & 1n)
}

/** od(1) -An -v -tx1. */
function readDump(dump: string): NodeJS.ProcessEnv {
  return parseEnvironment(Buffer.from(dump.replace(/\s+/g, ''), 'hex').toString())
}
