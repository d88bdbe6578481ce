// Signals that ask the sidecar to end, heard from the program's first line on: the first one asks, the second one ends it at
// once. Process 1 is not ended by a signal that it does not handle, so one that came before this stood would be lost. Loaded
// before the Node version is checked, so it uses nothing that an old Node lacks.

import { constants } from 'node:os'

const STOPPING = ['SIGTERM', 'SIGINT'] as const

export class Stop {
  #asked: NodeJS.Signals | undefined
  #answer: ((signal: NodeJS.Signals, code: number) => void) | undefined
  readonly #hear = (signal: NodeJS.Signals): void => {
    if (this.#asked) process.exit(codeOf(signal))
    this.#asked = signal
    this.#answer?.(signal, codeOf(signal))
  }

  constructor() {
    for (const signal of STOPPING) process.on(signal, this.#hear)
  }

  /**
   * Sets the answer to the first SIGTERM or SIGINT, one that has come before included; `code` is 128 + its number.
   * A second one ends the process at once with that code.
   */
  answer(answer: (signal: NodeJS.Signals, code: number) => void): void {
    this.#answer = answer
    if (this.#asked) answer(this.#asked, codeOf(this.#asked))
  }

  /**
   * Leaves the signals to others. One that has come is heard in a turn of the event loop, and lost if its listener goes before:
   * a start that reads everything from memory takes no turn by itself.
   */
  async release(): Promise<void> {
    await new Promise(resolve => setImmediate(resolve))
    for (const signal of STOPPING) process.off(signal, this.#hear)
  }
}

function codeOf(signal: NodeJS.Signals): number {
  return 128 + constants.signals[signal]
}
