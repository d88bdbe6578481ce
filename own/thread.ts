// A thread for work that would hold the event loop too long. It runs a module of ours that is both sides: the caller, and the
// thread, which answers when the module finds itself started as one.

import { once } from 'node:events'
import { isMainThread, parentPort, Worker } from 'node:worker_threads'
import { embedded } from './files.ts'

/** Where a module that is run as a thread stands. */
export interface Place {
  /** Its `import.meta.url`. */
  readonly url: string
  /** Its name inside the single executable, where it is bundled as a program of its own. */
  readonly inside: string
}

/** Started for the first question. Its owner ends it. */
export class Thread<Question, Answer> implements AsyncDisposable {
  readonly #place: Place
  /** For messages: "cannot …". */
  readonly #what: string
  #worker: Worker | undefined
  #ended = false

  constructor(place: Place, what: string) {
    this.#place = place
    this.#what = what
  }

  /** One at a time. The thread is given the memory in `given`. Rejects when the thread fails; the next question starts another. */
  async ask(question: Question, given: readonly ArrayBuffer[] = []): Promise<Answer> {
    if (this.#ended) throw new Error(`cannot ${this.#what}: its owner has ended it`)
    this.#worker ??= start(this.#place)
    const worker = this.#worker
    const done = new AbortController()
    try {
      const ended = once(worker, 'exit', { signal: done.signal }).then(() => {
        throw new Error(`cannot ${this.#what}: the thread for it has ended`)
      })
      const answer = once(worker, 'message', { signal: done.signal })
      worker.postMessage(question, given)
      const [found] = await Promise.race([answer, ended])
      return found
    } catch (error) {
      this.#worker = undefined
      throw error
    } finally {
      done.abort()
    }
  }

  /** Gives back its memory until the next question. */
  async rest(): Promise<void> {
    const worker = this.#worker
    this.#worker = undefined
    await worker?.terminate()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ended = true
    await this.rest()
  }
}

/** Has a module answer when it is run as a thread. The memory in `given` of an answer goes with it. */
export function answers<Question, Answer>(
  answer: (question: Question) => Answer | Promise<Answer>,
  given: (answer: Answer) => readonly ArrayBuffer[] = () => [],
): void {
  if (isMainThread) return
  parentPort?.on('message', async (question: Question) => {
    const found = await answer(question)
    parentPort?.postMessage(found, given(found))
  })
}

function start({ url, inside }: Place): Worker {
  // A thread cannot be started from a module inside the single executable, which has it as a program for that.
  const program = embedded(inside)
  const worker = new Worker(program ?? new URL(url), {
    eval: program !== undefined,
    resourceLimits: { maxOldGenerationSizeMb: 32 },
    // It needs neither the flags nor the environment of this process, which may hold secrets.
    execArgv: [],
    env: {},
  })
  worker.unref()
  // An error in the thread ends it, which rejects the question that waits for it.
  worker.on('error', () => {})
  return worker
}
