// `pillion exec`: what the sidecar tells the launcher's shell, which then becomes the application: the variables to set.

import { closeSync, readFileSync, writeSync } from 'node:fs'
import { carried, type Launch } from './launch.ts'

/** The launcher reads here until we close it. */
const REPLY = 3

let open = true

/** Gives the launcher its text; only the first one counts. */
export function handOver(script: string): void {
  if (!open) return
  open = false
  try {
    writeSync(REPLY, script)
    closeSync(REPLY)
  } catch {
    // The launcher was killed while we started.
  }
}

/** Shell text that makes the environment `before` into `after`, for the command in "$@". */
export function environmentScript(before: NodeJS.ProcessEnv, after: NodeJS.ProcessEnv, { bash }: Launch): string {
  const plain = (name: string): boolean => /^[A-Za-z_][A-Za-z0-9_]*$/.test(name)
  const set = Object.entries(after).filter(([name, value]) => plain(name) && value !== before[name])
  const unset = Object.keys(before).filter(name => plain(name) && after[name] === undefined)
  // `env` would take a command with "=" in its name for a variable.
  const around = carried(after, bash).map(quoted).join(' ')
  return [
    ...set.map(([name, value = '']) => `export ${name}=${quoted(value)}`),
    ...(unset.length > 0 ? [`unset ${unset.join(' ')}`] : []),
    ...(around ? [`case $1 in *=*) ;; *) set -- ${around} "$@" ;; esac`] : []),
  ].join('\n')
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`
}

/** Tells a process from another one with the same pid, and from the program that it was before exec. */
export function identity(pid: number): { readonly start: string; readonly command: string } | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    if (fields[0] === 'Z' || fields[0] === 'X') return undefined
    return { start: fields[19] ?? '', command: readFileSync(`/proc/${pid}/cmdline`, 'latin1') }
  } catch {
    return undefined
  }
}
