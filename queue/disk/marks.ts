// Which records of an earlier process are being looked at. A record that brings the process down as soon as it is touched
// would do so for ever, one start after the other; the file `trying` says which ones were touched when the process ended.
//
//   17-23 0      these were handed out together
//   -            and nothing happened
//   19-19 1      this one was handed out alone, for the second time
//
// The last line counts. It stands there only as long as the event loop is busy with what was handed out, so the end of a
// process at another moment says nothing about a record. Records that were in a mark at the end are handed out one by one;
// one that has ended two processes alone is set aside.

import type { Files } from './files.ts'

/** Ends of a process, with this record alone in the mark, after which it is set aside. */
const MOST_TRIES = 2
const MOST_BYTES = 64 * 1024

export interface Mark {
  readonly first: number
  readonly last: number
  /** The number of processes that have ended with this mark alone. */
  readonly tries: number
}

export class Marks {
  readonly #files: Files
  readonly #path: string
  /** The mark that the process before has left. */
  readonly #found: Mark | undefined
  #fd: number | undefined
  #written = 0

  private constructor(files: Files, path: string, found: Mark | undefined) {
    this.#files = files
    this.#path = path
    this.#found = found
  }

  static async read(files: Files, folder: string): Promise<Marks> {
    const path = `${folder}/trying`
    return new Marks(files, path, parseMark(await text(files, path)))
  }

  /** Must be handed out alone. */
  suspect(seq: number): boolean {
    const { first, last } = this.#found ?? NONE
    return seq >= first && seq <= last
  }

  /** Has ended as many processes as one record may. */
  guilty(seq: number): boolean {
    return this.suspect(seq) && this.#found?.first === this.#found?.last && (this.#found?.tries ?? 0) >= MOST_TRIES
  }

  /** Opens the file; without it nothing is marked. */
  async open(): Promise<void> {
    try {
      this.#fd = await this.#files.open(this.#path, 'replace')
      // Until the suspects have been handed out, they stay suspects.
      if (this.#found) this.#write(line(this.#found))
    } catch {
      // A disk that cannot be written is said elsewhere.
    }
  }

  begin(first: number, last: number): void {
    const alone = first === last && this.suspect(first)
    const before = this.#found?.first === this.#found?.last ? (this.#found?.tries ?? 0) : 0
    this.#write(line({ first, last, tries: alone ? before + 1 : first === last ? 1 : 0 }))
  }

  end(): void {
    this.#write('-\n')
  }

  async close(): Promise<void> {
    const fd = this.#fd
    this.#fd = undefined
    if (fd !== undefined) await this.#files.close(fd)
  }

  #write(line: string): void {
    if (this.#fd === undefined) return
    try {
      this.#written += this.#files.write(this.#fd, [Buffer.from(line)])
    } catch {
      // As above.
    }
    if (this.#written < MOST_BYTES) return
    this.#written = 0
    this.#files.truncate(this.#fd, 0).catch(() => {})
  }
}

const NONE = { first: Infinity, last: -Infinity }

function line({ first, last, tries }: Mark): string {
  return `${first}-${last} ${tries}\n`
}

/** The mark that the last whole line says; undefined if it says that nothing happened. */
export function parseMark(text: string): Mark | undefined {
  const last = text.slice(0, text.lastIndexOf('\n')).split('\n').at(-1) ?? ''
  const [, first, end, tries] = /^(\d{1,16})-(\d{1,16}) (\d{1,3})$/.exec(last) ?? []
  return first && end && tries ? { first: Number(first), last: Number(end), tries: Number(tries) } : undefined
}

async function text(files: Files, path: string): Promise<string> {
  let fd: number | undefined
  try {
    fd = await files.open(path, 'read')
    const size = (await files.size(fd)) ?? 0
    const bytes = Buffer.alloc(Math.min(size, 256))
    const read = await files.read(fd, bytes, bytes.length, size - bytes.length)
    return bytes.toString('latin1', 0, read)
  } catch {
    return ''
  } finally {
    if (fd !== undefined) await files.close(fd)
  }
}
