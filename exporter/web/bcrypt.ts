// Compares passwords with bcrypt hashes on a thread of its own: one comparison takes about a tenth of a second on purpose,
// during which the event loop would serve nobody. This module is both sides: the caller's, and the thread's.

import { answers, Thread } from '../../own/thread.ts'

interface Question {
  readonly password: string
  readonly hash: string
}

/** A thread that is started for the first comparison. Its owner ends it. */
export class Bcrypt implements AsyncDisposable {
  readonly #thread = new Thread<Question, boolean>(
    { url: import.meta.url, inside: 'exporter/web/bcrypt.js' },
    'compare a password',
  )

  /** One at a time. Rejects when the thread fails; the next comparison starts another. */
  async compare(password: string, hash: string): Promise<boolean> {
    return await this.#thread.ask({ password, hash })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#thread[Symbol.asyncDispose]()
  }
}

answers(async ({ password, hash }: Question) => {
  const { default: bcrypt } = await import('bcryptjs')
  return bcrypt.compareSync(password, hash)
})
