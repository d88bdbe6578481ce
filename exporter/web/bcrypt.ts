// Compares passwords with bcrypt hashes on a thread of its own: one comparison takes about a tenth of a second on purpose,
// during which the event loop would serve nobody. This module is both sides: who asks, and the thread.

import { once } from 'node:events'
import { isMainThread, type MessagePort, parentPort, Worker } from 'node:worker_threads'
import { embedded } from '../../own/files.ts'

/** Where this module is inside the single executable, bundled as a program. */
const INSIDE = 'exporter/web/bcrypt.js'

/** A thread that is started for the first comparison. Whoever made it ends it. */
export class Bcrypt implements AsyncDisposable {
  #worker: Worker | undefined
  #ended = false

  /** One at a time. Rejects when the thread fails; the next comparison starts another. */
  async compare(password: string, hash: string): Promise<boolean> {
    if (this.#ended) throw new Error('cannot compare a password: these users are no longer in effect')
    const worker = this.#worker ?? this.#start()
    this.#worker = worker
    const done = new AbortController()
    try {
      const ended = once(worker, 'exit', { signal: done.signal }).then(() => {
        throw new Error('cannot compare a password: the thread for it has ended')
      })
      const answer = once(worker, 'message', { signal: done.signal })
      worker.postMessage({ password, hash })
      const [same] = await Promise.race([answer, ended])
      return same === true
    } catch (error) {
      this.#worker = undefined
      throw error
    } finally {
      done.abort()
    }
  }

  #start(): Worker {
    // A thread cannot be started from a module inside the single executable, which has this one as a program for that.
    const program = embedded(INSIDE)
    const worker = new Worker(program ?? new URL(import.meta.url), {
      eval: program !== undefined,
      resourceLimits: { maxOldGenerationSizeMb: 32 },
      // It needs nothing of what this process was started with, and none of its secrets.
      execArgv: [],
      env: {},
    })
    worker.unref()
    // An error in the thread ends it, which is noticed by who waits for it.
    worker.on('error', () => {})
    return worker
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const worker = this.#worker
    this.#ended = true
    this.#worker = undefined
    await worker?.terminate()
  }
}

if (!isMainThread && parentPort) void answer(parentPort)

async function answer(port: MessagePort): Promise<void> {
  const { default: bcrypt } = await import('bcryptjs')
  port.on('message', ({ password, hash }: { password: string; hash: string }) => {
    port.postMessage(bcrypt.compareSync(password, hash))
  })
}
