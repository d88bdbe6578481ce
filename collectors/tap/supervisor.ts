// The sidecar's side: sees to it that a tap runs. One that runs already with the same options is adopted, since a tap
// outlives a sidecar that was killed; one that has ended is started again. An orderly end of the sidecar ends it, after its
// open requests.

import type { ChildProcess } from 'node:child_process'
import { readFileSync, statSync } from 'node:fs'
import { ownProgram } from '../../own/program.ts'
import type { Clock, Log } from '../../telemetry/host.ts'
import type { TapSettings } from './running.ts'
import { askStatus, listensAt, type TapStatus } from './status.ts'

/**
 * The environment variable that holds the settings of a tap, instead of options; main.ts looks for it before it loads
 * anything.
 */
const SETTINGS_VARIABLE = '_PILLION_TAP'
const ASK_MS = 1000
/** The time between two looks for the process of an adopted tap, and the time that a new tap has to answer. */
const LOOK_MS = 250
const START_MS = 10_000
const LAST_SPANS_MS = 1000
const FIRST_PAUSE_MS = 100
const LONGEST_PAUSE_MS = 5000
/** A tap that has run so long has started well. */
const WELL_MS = 10_000

export class Supervisor {
  readonly #settings: () => TapSettings | undefined
  readonly #clock: Clock
  readonly #log: Log
  readonly #stop = new AbortController()
  readonly #done: Promise<void>
  /**
   * A sidecar that is asked to end while it starts ends without more ado, and a second signal ends it at once. A crash is no
   * such end: the tap outlives it.
   */
  readonly #exit = (code: number): void => {
    if ((code === 0 || code > 128) && this.#pid !== undefined) this.#terminate(this.#pid)
  }
  #pid: number | undefined
  restarts = 0
  /** Why there is no tap. */
  trouble: string | undefined
  /** The trouble that was logged last, until a tap has started well. */
  #logged: string | undefined

  /** `settings` are undefined while the receiver is not open yet. */
  constructor(settings: () => TapSettings | undefined, clock: Clock, log: Log) {
    this.#settings = settings
    this.#clock = clock
    this.#log = log
    process.on('exit', this.#exit)
    this.#done = this.#run()
  }

  /**
   * Asks the tap to end, and waits a little for its last spans. It goes on by itself until its open requests are answered. Safe
   * to call twice.
   */
  async end(signal: AbortSignal): Promise<void> {
    this.#stop.abort()
    await this.#done
    process.off('exit', this.#exit)
    const pid = this.#pid
    this.#pid = undefined
    if (pid === undefined || !alive(pid) || !this.#terminate(pid)) return
    const bounded = AbortSignal.any([signal, AbortSignal.timeout(LAST_SPANS_MS)])
    while (!bounded.aborted && alive(pid)) await this.#clock.sleep(20, bounded).catch(() => {})
  }

  async #run(): Promise<void> {
    const { signal } = this.#stop
    try {
      const settings = await this.#ready()
      let pause = FIRST_PAUSE_MS
      for (let first = true; !signal.aborted; first = false) {
        const began = this.#clock.monotonic()
        if (!first) this.restarts++
        await this.#once(settings, first)
        if (signal.aborted) return
        this.#pid = undefined
        if (this.#clock.monotonic() - began > WELL_MS) pause = FIRST_PAUSE_MS
        await this.#clock.sleep(pause, signal)
        pause = Math.min(LONGEST_PAUSE_MS, pause * 2)
      }
    } catch (error) {
      if (!signal.aborted) this.#log.error('cannot look after the tap any more', { error })
    }
  }

  /** Resolves when the tap has ended. */
  async #once(settings: TapSettings, first: boolean): Promise<void> {
    const { status } = settings.options
    const { signal } = this.#stop
    const found = status && (await askStatus(status, AbortSignal.timeout(ASK_MS), this.#clock))
    if (signal.aborted) return
    if (found?.identity === settings.identity && alive(found.pid)) {
      this.#log.info('the tap runs already, and is looked after', { pid: found.pid })
      this.#pid = found.pid
      this.trouble = undefined
      while (alive(found.pid)) await this.#clock.sleep(LOOK_MS, signal)
      this.#log.warn('the tap has ended; it is started again', { pid: found.pid })
      return
    }
    if (found && !listensAt(found, settings.options.listen)) {
      // Ended, it would be started again by its own sidecar, which would end ours.
      const { pid, listen } = found
      this.#log.warn('another tap answers at tap.status, and is left alone; choose another tap.status for this one', {
        pid,
        listen: `${listen.host}:${listen.port}`,
      })
    } else if (found) {
      this.#log.warn('a tap with other options runs; it is ended', { pid: found.pid })
      if (first) this.restarts = 0
      const ends = this.#terminate(found.pid)
      for (let waited = 0; ends && waited < START_MS && alive(found.pid); waited += LOOK_MS)
        if (!(await askStatus(status, AbortSignal.timeout(ASK_MS), this.#clock))) break
        else await this.#clock.sleep(LOOK_MS, signal)
    }
    await this.#start(settings)
  }

  #start(settings: TapSettings): Promise<void> {
    const { file, args } = ownProgram()
    const { promise, resolve } = Promise.withResolvers<void>()
    const { PATH, TZ, LD_LIBRARY_PATH } = process.env
    const env = { PATH, TZ, LD_LIBRARY_PATH, [SETTINGS_VARIABLE]: JSON.stringify(settings) }
    const child: ChildProcess = process.getBuiltinModule('node:child_process').spawn(file, [...args, 'tap'], {
      // In a session of its own: what ends the sidecar, a signal to its group among it, leaves the tap alone.
      detached: true,
      stdio: ['ignore', 'ignore', 'pipe'],
      cwd: '/',
      env,
    })
    child.unref()
    let said = ''
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      said = (said + text).slice(-2000)
    })
    child.stderr?.on('error', () => {})
    const pipe = child.stderr as { unref?(): void } | null
    pipe?.unref?.()
    this.#pid = child.pid
    if (child.pid !== undefined) {
      this.trouble = undefined
      if (this.#logged === undefined) this.#log.info('the tap was started', { pid: child.pid })
    }
    const well = setTimeout(() => {
      if (this.#logged !== undefined) this.#log.info('the tap runs again', { pid: child.pid })
      this.#logged = undefined
    }, WELL_MS).unref()
    const ended = (how: string): void => {
      clearTimeout(well)
      resolve()
      if (this.#stop.signal.aborted) return
      const last = said.trim().split('\n').at(-1) ?? ''
      this.trouble = `the tap has ended (${how}): ${last}`
      // One that cannot start is tried again and again; its reason is said once.
      if (this.trouble !== this.#logged) this.#log.error('the tap has ended; it is started again', { how, said: last })
      this.#logged = this.trouble
    }
    child.once('error', error => ended(error.message))
    child.once('exit', (code, signal) => ended(signal ?? `exit code ${code}`))
    this.#stop.signal.addEventListener('abort', () => resolve(), { once: true })
    return promise
  }

  async #ready(): Promise<TapSettings> {
    for (;;) {
      const settings = this.#settings()
      if (settings) return settings
      await this.#clock.sleep(20, this.#stop.signal)
    }
  }

  #terminate(pid: number): boolean {
    if (!isTap(pid)) {
      this.#log.warn('cannot end the tap: it is not a process of this program here', { pid })
      return false
    }
    try {
      process.kill(pid, 'SIGTERM')
      return true
    } catch (error) {
      this.#log.warn('cannot end the tap', { pid, error })
      return false
    }
  }
}

/** The numbers of a tap are asked for at each scrape. */
export function ask(settings: Pick<TapSettings['options'], 'status'>, signal: AbortSignal, clock: Clock) {
  const { status } = settings
  const bounded = AbortSignal.any([signal, AbortSignal.timeout(ASK_MS)])
  return status ? askStatus(status, bounded, clock) : Promise.resolve<TapStatus | undefined>(undefined)
}

function alive(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
    return !/[ZX]/.test(stat[stat.lastIndexOf(')') + 2] ?? 'X')
  } catch {
    return false
  }
}

/**
 * Whether a process is a tap of this program and this user. Anybody on this host can listen at a port and name a process; a
 * signal must not go to any other.
 */
function isTap(pid: number): boolean {
  try {
    const words = readFileSync(`/proc/${pid}/cmdline`, 'latin1').split('\0')
    return statSync(`/proc/${pid}`).uid === process.getuid?.() && words.includes('tap') && words[0] === process.execPath
  } catch {
    return false
  }
}
