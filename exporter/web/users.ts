// The users of `basic_auth_users`. A password is compared with its bcrypt hash once, off the event loop; afterwards its
// HMAC, by a key that only this process has, says that it was right or wrong.

import { createHmac, randomBytes } from 'node:crypto'
import type { Clock } from '../../telemetry/host.ts'

/** Compares a password with a bcrypt hash. */
export interface Comparison extends AsyncDisposable {
  compare(password: string, hash: string): Promise<boolean>
}

/** Comparisons that may wait; each takes a tenth of a second, so a longer queue would only answer those who have left. */
const WAITING = 8
/** After a wrong password the thread rests this many times as long as the comparison took: guessing costs a tenth of a core. */
const REST = 9
/** Passwords whose outcome is remembered, right and wrong ones apart, so that wrong ones cannot push out right ones. */
const REMEMBERED = 100

/** Compared for users that do not exist, so that the time of the answer does not say so: cost 10, of a random password. */
const NOBODY = '$2y$10$X0h1gDsPszWURQaxFh.zoubFi6DXncSjhoQNJgRrnGs7EsimhC7zG'

export class Users implements AsyncDisposable {
  readonly #hashes: ReadonlyMap<string, string>
  readonly #bcrypt: Comparison
  readonly #clock: Clock
  readonly #key = randomBytes(32)
  readonly #right = new Set<string>()
  readonly #wrong = new Set<string>()
  readonly #stop = new AbortController()
  #waiting = 0
  #turn: Promise<unknown> = Promise.resolve()

  constructor(hashes: ReadonlyMap<string, string>, bcrypt: Comparison, clock: Clock) {
    this.#hashes = hashes
    this.#bcrypt = bcrypt
    this.#clock = clock
  }

  /** Whether this Authorization header names a user and the right password; 'busy' when too many are being compared. */
  async matches(authorization: string): Promise<boolean | 'busy'> {
    const [, encoded] = /^basic +([A-Za-z0-9+/]+={0,2}) *$/i.exec(authorization) ?? []
    if (encoded === undefined) return false
    const sent = Buffer.from(encoded, 'base64').toString()
    const colon = sent.indexOf(':')
    if (colon < 0) return false
    const [user, password] = [sent.slice(0, colon), sent.slice(colon + 1)]
    const mark = this.#mark(user, password)
    if (this.#right.has(mark)) return true
    if (this.#wrong.has(mark)) return false
    if (this.#waiting >= WAITING) return 'busy'
    this.#waiting++
    const verdict = this.#turn.then(() => this.#compare(user, password, mark))
    this.#turn = verdict.then(
      right => (right.ok ? undefined : this.#rest(right.ms)),
      () => {},
    )
    try {
      return (await verdict).ok
    } catch (error) {
      // The users were replaced while this request waited; if it comes again, it is compared with the new ones.
      if (this.#stop.signal.aborted) return 'busy'
      throw error
    } finally {
      this.#waiting--
    }
  }

  async #compare(user: string, password: string, mark: string): Promise<{ ok: boolean; ms: number }> {
    const begun = this.#clock.monotonic()
    const hash = this.#hashes.get(user)
    // A user that does not exist is never right, even if the comparison or the cache says so (CVE-2022-46146).
    const ok = (await this.#bcrypt.compare(password, hash ?? NOBODY)) && hash !== undefined
    remember(ok ? this.#right : this.#wrong, mark)
    return { ok, ms: this.#clock.monotonic() - begun }
  }

  async #rest(ms: number): Promise<void> {
    await this.#clock.sleep(ms * REST, this.#stop.signal).catch(() => {})
  }

  /** JSON keeps user, password and hash apart: no other three have the same mark. */
  #mark(user: string, password: string): string {
    const parts = JSON.stringify([user, password, this.#hashes.get(user) ?? null])
    return createHmac('sha256', this.#key).update(parts).digest('base64')
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort()
    await this.#bcrypt[Symbol.asyncDispose]()
  }
}

function remember(marks: Set<string>, mark: string): void {
  if (marks.size >= REMEMBERED) marks.delete(marks.values().next().value!)
  marks.add(mark)
}
