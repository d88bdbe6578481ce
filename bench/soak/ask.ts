// Questions to a child process: the measuring process asks, and a module that it has started answers. The child ends by itself
// when its parent has ended.

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'

const DEADLINE_MS = 30_000

const running = new Set<ChildProcess>()
process.on('exit', () => {
  for (const each of running) each.kill('SIGKILL')
})

export class Asked<Question, Answer> implements AsyncDisposable {
  readonly #process: ChildProcess
  readonly #ended: Promise<unknown>
  readonly #waiting = new Map<number, PromiseWithResolvers<Answer>>()
  #asked = 0

  private constructor(process: ChildProcess) {
    this.#process = process
    // Sent by `answering` below.
    process.on('message', ({ n, answer }: { n: number; answer: Answer }) => {
      this.#waiting.get(n)?.resolve(answer)
      this.#waiting.delete(n)
    })
    this.#ended = once(process, 'exit').then(([code, signal]) => {
      running.delete(process)
      const error = new Error(`${process.spawnargs.at(-1)} has ended: ${signal ?? code}`)
      for (const { reject } of this.#waiting.values()) reject(error)
    })
  }

  static async start<Question, Answer>(module: string): Promise<Asked<Question, Answer>> {
    const child = spawn(process.execPath, [module], { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] })
    running.add(child)
    await once(child, 'spawn')
    return new Asked(child)
  }

  async ask(question: Question): Promise<Answer> {
    const waiting = Promise.withResolvers<Answer>()
    const n = this.#asked++
    this.#waiting.set(n, waiting)
    this.#process.send({ n, question })
    const late = setTimeout(
      () => waiting.reject(new Error(`no answer within ${DEADLINE_MS / 1000} s to ${JSON.stringify(question)}`)),
      DEADLINE_MS,
    )
    return await waiting.promise.finally(() => clearTimeout(late))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#process.kill('SIGKILL')
    await this.#ended
  }
}

/** Answers every question in the process that was started. */
export function answering<Question, Answer>(answer: (question: Question) => Answer | Promise<Answer>): void {
  // Sent by `ask` above.
  process.on('message', async ({ n, question }: { n: number; question: Question }) => {
    process.send?.({ n, answer: await answer(question) })
  })
  process.on('disconnect', () => process.exit())
}
