// Compresses bodies, on the thread pool, so that the event loop is free meanwhile.

import type { Transform } from 'node:stream'
import { constants, createGzip, createZstdCompress, gzipSync } from 'node:zlib'

export const CODINGS = ['gzip', 'none', 'zstd'] as const
export type Coding = (typeof CODINGS)[number]

/** Below this the way to the thread and back costs more than compressing. */
const SMALL = 8 * 1024
/** Compressions at a time: the pool has four threads, and name lookups and files need them too. */
const MOST_AT_ONCE = 2

/** Level 1: the next levels cost twice the time for a tenth fewer bytes. */
const LEVEL = 1
/** The largest tables: a fifth less CPU time than with the default (bench row forward). */
const MEMORY = 9

/** Telemetry shrinks to a tenth or so: of a batch, one piece comes out, and another way to the thread is saved. */
const ROOM = 64 * 1024

let running = 0
const waiting: (() => void)[] = []

/** The bytes must not change until it resolves. */
export async function compress(coding: Coding, bytes: Buffer): Promise<Buffer> {
  if (coding === 'none') return bytes
  if (coding === 'gzip' && bytes.length < SMALL) return gzipSync(bytes, { level: LEVEL })
  if (running >= MOST_AT_ONCE) await new Promise<void>(resolve => waiting.push(resolve))
  running++
  const compressor = idle[coding].pop() ?? new Compressor(MAKE[coding]())
  try {
    const made = await compressor.run(bytes)
    idle[coding].push(compressor)
    return made
  } catch (error) {
    compressor[Symbol.dispose]()
    throw error
  } finally {
    running--
    waiting.shift()?.()
  }
}

/** Gives back the memory of those that are idle. */
export function trimCompressors(): void {
  for (const each of Object.values(idle)) for (const compressor of each.splice(0)) compressor[Symbol.dispose]()
}

/** As many as were ever running at the same time. */
const idle: Readonly<Record<Exclude<Coding, 'none'>, Compressor[]>> = { gzip: [], zstd: [] }

/** All streams of zlib have `reset`; the types leave it out for these. */
interface Resettable extends Transform {
  reset(): void
}

const MAKE: Readonly<Record<Exclude<Coding, 'none'>, () => Resettable>> = {
  gzip: () =>
    createGzip({ level: LEVEL, memLevel: MEMORY, chunkSize: ROOM, flush: constants.Z_FINISH }) as unknown as Resettable,
  zstd: () =>
    createZstdCompress({
      params: { [constants.ZSTD_c_compressionLevel]: LEVEL },
      chunkSize: ROOM,
      flush: constants.ZSTD_e_end,
    }) as unknown as Resettable,
}

/**
 * A stream of zlib that makes one body after another: each write is finished by its `flush`, and then it is reset. A stream for
 * each body, which `zlib.gzip` makes, is found dead only by a collection of the whole heap: there were five times as many
 * (a tenth of the CPU time of row forward at 20 spans).
 */
class Compressor implements Disposable {
  readonly #stream: Resettable
  #made: Buffer[] = []
  #fail: ((error: Error) => void) | undefined

  constructor(stream: Resettable) {
    this.#stream = stream
    stream.on('data', (piece: Buffer) => this.#made.push(piece))
    stream.on('error', error => this.#fail?.(error))
  }

  run(bytes: Buffer): Promise<Buffer> {
    const { promise, resolve, reject } = Promise.withResolvers<Buffer>()
    this.#fail = reject
    this.#stream.write(bytes, error => {
      if (error) return
      const made = this.#made
      this.#made = []
      this.#stream.reset()
      resolve(made.length === 1 ? made[0]! : Buffer.concat(made))
    })
    return promise
  }

  [Symbol.dispose](): void {
    this.#stream.destroy()
  }
}
