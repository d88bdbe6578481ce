// The state of a thread: its letter, and the kernel's function in which it sleeps (/proc/PID/wchan).

import { STATE } from '../../telemetry/moment.ts'

/** The state of a thread, from its letter and the text of its wchan; `""` and `"0"` tell nothing. */
export function state(letter: string, wchan: string): number {
  switch (letter) {
    case 'R':
      // A wchan that was read while it runs is that of its last sleep.
      return STATE.running
    case 'T':
    case 't':
      return STATE.stopped
    case 'D':
      return stopped(wchan) ? STATE.stopped : STATE.disk
    case 'S':
      return waits(wchan)
    default:
      return Number.NaN
  }
}

function stopped(wchan: string): boolean {
  return /^(?:do_signal_stop|__refrigerator|ptrace_stop)/.test(wchan)
}

/** The states of the functions that were seen; kept, since the kernel has few in which a thread waits. */
const seen = new Map<string, number>()
const SEEN = 64

function waits(wchan: string): number {
  const known = seen.get(wchan)
  if (known !== undefined) return known
  if (seen.size >= SEEN) seen.clear()
  const found = judged(wchan)
  seen.set(wchan, found)
  return found
}

function judged(wchan: string): number {
  if (/^futex|^do_futex/.test(wchan)) return STATE.lock
  if (/poll|select|io_cqring_wait/.test(wchan)) return STATE.polling
  if (/^(?:folio_wait|wait_on_page|io_schedule|blk_|jbd2_|wait_on_buffer|submit_bio)/.test(wchan)) return STATE.disk
  if (/nanosleep/.test(wchan)) return STATE.timer
  return STATE.sleeping
}

export type Kind = 'gc' | 'jit' | 'other'

/**
 * The task of a runtime's thread, by the name that the runtime gives it (comm, at most 15 bytes). Names of the JVM
 * (HotSpot), of Node from 22 on, and of .NET; Go names none. V8's workers collect garbage and compile, mostly the
 * first.
 */
export function kind(name: string): Kind {
  if (/^(?:C[12] CompilerThre|JVMCI-native|.NET Tiered)/.test(name)) return 'jit'
  if (
    /^(?:GC Thread#|G1 |ZDriver|ZWorker|XWorker|Shenandoah|ParGC|VM Thread|V8Worker|\.NET (?:Server |BG)?GC)/.test(name)
  )
    return 'gc'
  return 'other'
}
