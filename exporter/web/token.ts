// The bearer token of `web.token_file`. Compared as SHA-256 digests in constant time, and read again when the file
// changes, so that a rotated secret needs no restart.

import { createHash, timingSafeEqual } from 'node:crypto'
import { open } from 'node:fs/promises'
import type { Clock, Log } from '../../telemetry/host.ts'

const LONGEST_BYTES = 4096
const REREAD_MS = 5000

export class Token {
  readonly #path: string
  readonly #clock: Pick<Clock, 'monotonic'>
  readonly #log: Log
  #digest: Buffer
  #readAt: number

  /** Throws when the file cannot be read or holds no token. */
  static async open(path: string, clock: Pick<Clock, 'monotonic'>, log: Log): Promise<Token> {
    const { digest, mode } = await readToken(path)
    if (mode & 0o007) log.warn('the token file can be read by every user; chmod 0600 it', { file: path })
    return new Token(path, digest, clock, log)
  }

  private constructor(path: string, digest: Buffer, clock: Pick<Clock, 'monotonic'>, log: Log) {
    this.#path = path
    this.#digest = digest
    this.#clock = clock
    this.#log = log
    this.#readAt = clock.monotonic()
  }

  async matches(authorization: string): Promise<boolean> {
    await this.#refresh()
    const [, token = ''] = /^bearer +(\S+) *$/i.exec(authorization) ?? []
    // Headers reach us as latin1; as such they give back the bytes that were sent.
    return timingSafeEqual(sha256(Buffer.from(token, 'latin1')), this.#digest)
  }

  async #refresh(): Promise<void> {
    const now = this.#clock.monotonic()
    if (now - this.#readAt < REREAD_MS) return
    this.#readAt = now
    try {
      this.#digest = (await readToken(this.#path)).digest
    } catch (error) {
      this.#log.warn('the token stays as it was', { error })
    }
  }
}

/** Throws when the file cannot be read or contains no token. */
export async function readToken(path: string): Promise<{ digest: Buffer; mode: number }> {
  try {
    await using file = await open(path)
    const buffer = Buffer.alloc(LONGEST_BYTES + 1)
    const { bytesRead } = await file.read(buffer)
    const token = buffer.toString('latin1', 0, bytesRead).trim()
    if (token === '') throw new Error('it is empty')
    if (bytesRead > LONGEST_BYTES) throw new Error(`it is longer than ${LONGEST_BYTES} bytes`)
    if (/\s/.test(token)) throw new Error('it must hold one line without spaces')
    return { digest: sha256(Buffer.from(token, 'latin1')), mode: (await file.stat()).mode }
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause)
    throw new Error(`cannot read the token: ${why}; put one into ${path}, or unset web.token_file`, { cause })
  }
}

function sha256(bytes: Buffer): Buffer {
  return createHash('sha256').update(bytes).digest()
}
