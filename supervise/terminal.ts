// Finds out whether the application has a signal of the terminal already: the kernel sends Ctrl-C, Ctrl-\, Ctrl-Z and a
// change of its size to every process of the foreground group.

import { readFileSync } from 'node:fs'
import { isatty } from 'node:tty'

export interface Job {
  /** As in proc_pid_stat(5): R running, S sleeping, T stopped, Z ended … */
  readonly state: string
  readonly group: number
  readonly session: number
  /** The controlling terminal; 0 if there is none. */
  readonly terminal: number
  /** The foreground group of that terminal. */
  readonly foreground: number
}

/** Undefined where there is no /proc, or no such process. */
export function jobOf(pid: number | 'self', proc = '/proc'): Job | undefined {
  try {
    const stat = readFileSync(`${proc}/${pid}/stat`, 'latin1')
    // The name may contain spaces and ")".
    const [state = '', , group, session, terminal, foreground] = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return {
      state,
      group: Number(group),
      session: Number(session),
      terminal: Number(terminal),
      foreground: Number(foreground),
    }
  } catch {
    return undefined
  }
}

const FROM_TERMINAL: readonly NodeJS.Signals[] = ['SIGINT', 'SIGQUIT', 'SIGTSTP', 'SIGWINCH']

/**
 * Whether the application has the signal already. Process 1 and the leader of a session are sent such signals by others
 * too (`docker stop` with STOPSIGNAL SIGINT): there, one too many is better than none.
 */
export function hasIt(signal: NodeJS.Signals, application: number): boolean {
  if (!FROM_TERMINAL.includes(signal)) return false
  const [own, theirs] = [jobOf('self'), jobOf(application)]
  if (!own || !theirs) return isatty(0)
  return underJobControl(own) && inForeground(own) && inForeground(theirs)
}

/** Whether a shell looks after us as a job: it waits until we stop when Ctrl-Z is pressed, and lets us go on. */
export function underJobControl(own: Job | undefined): boolean {
  return own !== undefined && own.terminal !== 0 && own.session !== process.pid && process.pid !== 1
}

function inForeground({ terminal, group, foreground }: Job): boolean {
  return terminal !== 0 && group === foreground
}
