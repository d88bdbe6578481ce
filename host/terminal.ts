// Standard error that is a terminal shared with the application. Lines are written when they disturb nobody: not into a
// full-screen program, which would be painted over, and not from the background of a terminal that stops whoever writes
// there (`stty tostop`): our handler of SIGTTOU would return to the same write again and again.

import { isatty } from 'node:tty'
import type { Write } from './log.ts'

export interface Modes {
  /** The terminal gives whole lines; full-screen programs and line editors take single keys. */
  readonly lines: boolean
  /** Writing from the background stops the writer. */
  readonly stopsWriters: boolean
}

/** Lines that wait for the answer of stty; more are not kept. */
const MOST_WAITING = 64

export class TerminalWriter {
  readonly #write: Write
  readonly #foreground: () => boolean
  readonly #modes: () => Promise<Modes | undefined>
  #waiting: string[] = []
  #asking: Promise<void> | undefined

  constructor(write: Write, foreground: () => boolean, modes = (): Promise<Modes | undefined> => terminalModes(2)) {
    this.#write = write
    this.#foreground = foreground
    this.#modes = modes
  }

  /** Writes when it is known that it disturbs nobody, or never; false if too much waits already. */
  write(text: string): boolean {
    if (this.#waiting.length >= MOST_WAITING) return false
    this.#waiting.push(text)
    this.#asking ??= this.#ask()
    return true
  }

  /** Resolves when nothing waits any more. */
  async settled(): Promise<void> {
    await this.#asking
  }

  async #ask(): Promise<void> {
    const modes = await this.#modes()
    this.#asking = undefined
    const lines = this.#waiting
    this.#waiting = []
    if (modes && !modes.lines) return
    if (modes?.stopsWriters && !this.#foreground()) return
    for (const line of lines) this.#write(line)
  }
}

/** Asks stty(1), since Node has no call for it; undefined if it is no terminal or there is no stty. */
export function terminalModes(fd: number): Promise<Modes | undefined> {
  if (!isatty(fd)) return Promise.resolve(undefined)
  return new Promise(resolve => {
    const child = process
      .getBuiltinModule('node:child_process')
      .spawn('stty', ['-a'], { stdio: [fd, 'pipe', 'ignore'] })
    let said = ''
    child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      said += text
    })
    child.once('error', () => resolve(undefined))
    child.once('close', code =>
      resolve(
        code === 0 ? { lines: !/(?<!\S)-icanon\b/.test(said), stopsWriters: /(?<!\S)tostop\b/.test(said) } : undefined,
      ),
    )
  })
}
