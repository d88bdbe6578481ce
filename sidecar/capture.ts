// `logs.stdout: file`: the application writes its output to a regular file, which the sidecar reads and copies to its
// own. Unlike a pipe, a file never makes the application wait, and it can go on writing if the sidecar ends. Bytes
// already read are freed on the disk by punching holes (fallocate), which loses nothing; where that is not possible,
// the file is truncated when all of it has been read.

import {
  type BigIntStats,
  closeSync,
  constants,
  fstatSync,
  ftruncateSync,
  lstatSync,
  openSync,
  readSync,
  unlinkSync,
} from 'node:fs'
import { type FileHandle, open, statfs } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { SOURCE_DEFAULTS, type SourceOptions } from '../collectors/files.ts'
import type { Options } from '../parts.ts'
import type { Sidecar } from '../sidecar.ts'
import type { Clock, Log } from '../telemetry/host.ts'
import { removeLeftBehind, TOUCH_MS } from './left-behind.ts'

export const STREAMS = ['stdout', 'stderr'] as const
export type Stream = (typeof STREAMS)[number]
const DESCRIPTORS: Readonly<Record<Stream, number>> = { stdout: 1, stderr: 2 }

/** The time between two looks for output: while there is some, and while there is none. */
const BUSY_MS = 10
const IDLE_MS = 50
/** A reader of ours that does not take more is asked again after this time, which doubles while it takes nothing. */
const FULL_MS = 1
const FULL_MOST_MS = 20
const CHUNK = 64 * 1024
/** A file that has been read is truncated only if nothing was written for so long. */
const QUIET_MS = 1000
/** After the end of the application, its last output is copied until nothing was taken for so long, or it took so long. */
const DRAIN_MS = 2000
const DRAIN_MOST_MS = 8000
/** So much of what has been read stays. */
const BEFORE = 4096
/** With less room than this nothing is captured. */
const LEAST_FREE = 1 << 20
/** After an error the next try comes so much later, and the log has at most one line about it in this time. */
const AGAIN_MS = 500
const SAID_MS = 60_000

/** The files of the streams that are captured, and the options with their sources. */
export interface Captured {
  readonly options: Options
  /** The descriptors that the application gets. */
  readonly output: Readonly<Partial<Record<Stream, number>>>
  /** The application has them now. */
  given(): void
  /** Copies what is written from now on. */
  copy(sidecar: Sidecar): void
  /** The application has ended: copies the rest. */
  drain(): Promise<void>
  /** Removes the files. */
  close(): Promise<void>
}

/**
 * Undefined if nothing is captured. A stream that cannot be opened is inherited, and logged: the application comes
 * first.
 */
export async function capture(options: Options, clock: Clock, log: Log): Promise<Captured | undefined> {
  const wanted = STREAMS.filter(stream => options.logs[stream] === 'file')
  const opened: Capture[] = []
  for (const stream of wanted) {
    try {
      opened.push(await Capture.open(stream, options, clock, log))
    } catch (error) {
      log.warn(`cannot capture ${stream} in a file, so it is inherited; choose a folder with --logs.capture_dir`, {
        error,
      })
    }
  }
  if (opened.length === 0) return undefined
  return {
    options: withSources(options, opened),
    output: Object.fromEntries(opened.map(each => [each.stream, each.descriptor])),
    given() {
      for (const each of opened) each.given()
    },
    copy(sidecar) {
      for (const each of opened) each.start(sidecar)
    },
    async drain() {
      await Promise.all(opened.map(each => each.drain()))
    },
    async close() {
      await Promise.all(opened.map(each => each.close()))
    },
  }
}

/** A source of the options that names the stream and no files says how its lines are read. */
function withSources(options: Options, opened: readonly Capture[]): Options {
  const { sources } = options.files
  const named = sources.map(each => {
    const own = each.paths.some(Boolean) ? undefined : opened.find(({ stream }) => stream === each.stream)
    return own ? { ...each, paths: [own.path], start: 'beginning' as const } : each
  })
  const added = opened
    .filter(({ path }) => !named.some(each => each.paths.includes(path)))
    .map(({ stream, path }): SourceOptions => {
      const taken = named.some(each => each.name === stream)
      return { ...SOURCE_DEFAULTS, name: taken ? `run.${stream}` : stream, stream, paths: [path], start: 'beginning' }
    })
  return { ...options, files: { ...options.files, sources: [...named, ...added] } }
}

class Capture {
  readonly stream: Stream
  readonly path: string
  /** Ends with `given`. */
  readonly descriptor: number
  readonly #reader: FileHandle
  readonly #limit: number
  readonly #clock: Clock
  readonly #log: Log
  readonly #stop = new AbortController()
  /** Everything before was copied, was freed. */
  #copied = 0
  #freed = 0
  #grown = 0
  #ended = false
  /** Whether holes can be punched; undefined until it was tried. */
  #holes: boolean | undefined
  #writer: FileHandle | undefined
  #sidecar: Sidecar | undefined
  #done: Promise<void> = Promise.resolve()
  #closed = false
  /** Bytes that our own output did not take, since it last took some. */
  #uncopied = 0
  #touched = Number.NEGATIVE_INFINITY
  #saidAt = Number.NEGATIVE_INFINITY

  static async open(stream: Stream, { logs }: Options, clock: Clock, log: Log): Promise<Capture> {
    const dir = logs.capture_dir ?? tmpdir()
    const removed = await removeLeftBehind(dir, clock.now())
    if (removed.length > 0) log.info('removed captured output that killed sidecars had left behind', { dir, removed })
    const limit = await limitIn(dir, logs.capture_limit)
    if (limit < logs.capture_limit)
      log.warn(`there is little room for captured ${stream}, so its oldest is dropped sooner`, { dir, bytes: limit })
    const { path, descriptor } = create(dir, stream)
    try {
      return new Capture(stream, path, descriptor, await open(path, 'r'), limit, clock, log)
    } catch (error) {
      closeSync(descriptor)
      unlinkSync(path)
      throw error
    }
  }

  private constructor(
    stream: Stream,
    path: string,
    descriptor: number,
    reader: FileHandle,
    limit: number,
    clock: Clock,
    log: Log,
  ) {
    this.stream = stream
    this.path = path
    this.descriptor = descriptor
    this.#reader = reader
    this.#limit = limit
    this.#clock = clock
    this.#log = log
  }

  given(): void {
    closeSync(this.descriptor)
  }

  start(sidecar: Sidecar): void {
    this.#sidecar = sidecar
    this.#done = this.#run()
  }

  async drain(): Promise<void> {
    this.#ended = true
    const end = this.#clock.monotonic() + DRAIN_MOST_MS
    for (let [running, before] = [true, -1]; running && this.#copied > before && this.#clock.monotonic() < end; ) {
      before = this.#copied
      const { promise, resolve } = Promise.withResolvers<boolean>()
      const timer = setTimeout(resolve, DRAIN_MS, true)
      running = await Promise.race([this.#done.then(() => false), promise])
      clearTimeout(timer)
    }
    this.#stop.abort()
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    this.#stop.abort()
    try {
      unlinkSync(this.path)
    } catch {
      // Somebody has removed it.
    }
    await this.#reader.close().catch(() => {})
    await this.#writer?.close().catch(() => {})
  }

  async #run(): Promise<void> {
    const { signal } = this.#stop
    this.#writer = await reopened(DESCRIPTORS[this.stream])
    const buffer = Buffer.allocUnsafeSlow(CHUNK)
    while (!signal.aborted) {
      try {
        const { bytesRead } = await this.#reader.read(buffer, 0, CHUNK, this.#copied)
        if (bytesRead > 0) {
          // Before it is written, as what is not taken in time may be dropped, and the file begin anew, meanwhile.
          this.#copied += bytesRead
          await this.#write(buffer.subarray(0, bytesRead))
          this.#grown = this.#clock.monotonic()
        } else if (this.#ended) return
        await this.#free()
        await this.#touch()
        if (bytesRead < CHUNK && !this.#ended)
          await this.#clock.sleep(bytesRead > 0 ? BUSY_MS : IDLE_MS, signal).catch(() => {})
      } catch (error) {
        if (signal.aborted) return
        // Nobody else frees the file, so this goes on whatever happens.
        this.#say(`cannot read captured ${this.stream}, and tries again`, error)
        if (this.#ended) return
        await this.#clock.sleep(AGAIN_MS, signal).catch(() => {})
      }
    }
  }

  /** Shows other sidecars that the file is somebody's. */
  async #touch(): Promise<void> {
    const now = this.#clock.monotonic()
    if (now - this.#touched < TOUCH_MS) return
    this.#touched = now
    const time = this.#clock.now() / 1000
    await this.#reader.utimes(time, time)
  }

  /** Logs an error, but not each time. */
  #say(text: string, error: unknown): void {
    const now = this.#clock.monotonic()
    if (now - this.#saidAt < SAID_MS) return
    this.#saidAt = now
    this.#log.error(text, { error })
  }

  async #write(bytes: Buffer): Promise<void> {
    const { signal } = this.#stop
    let wait = FULL_MS
    let at = 0
    while (at < bytes.length && !signal.aborted) {
      try {
        at += await written(this.#writer?.fd ?? DESCRIPTORS[this.stream], bytes, at)
        wait = FULL_MS
      } catch (error) {
        const code = error instanceof Error && 'code' in error ? error.code : undefined
        // Nobody reads our output any more: there is nothing to copy it for.
        if (code === 'EPIPE') return
        if (code !== 'EAGAIN') {
          // A full disk, a terminal that is gone: waiting would only fill the application's disk too.
          this.#say(`cannot copy ${this.stream} to our own; it is still read, and copied again once that works`, error)
          this.#uncopied += bytes.length - at
          return
        }
        await this.#free()
        await this.#clock.sleep(wait, signal).catch(() => {})
        wait = Math.min(wait * 2, FULL_MOST_MS)
      }
    }
    if (at < bytes.length || this.#uncopied === 0) return
    this.#log.warn(`${this.stream} is copied again`, { lost_bytes: this.#uncopied })
    this.#uncopied = 0
  }

  /** Gives back what both have read, and what is too much. */
  async #free(): Promise<void> {
    const size = this.#size()
    const step = this.#limit / 8
    const read = Math.min(this.#copied, this.#sidecar?.capturedUpTo(this.path) ?? 0)
    if (size - this.#freed > this.#limit && size - read > this.#limit - step) {
      // Neither may take the application's disk: what is oldest is passed over.
      const start = wholeBlocks(size - Math.floor(this.#limit / 2))
      this.#log.warn(`captured ${this.stream} is not read as fast as it is written: the oldest is dropped`, {
        bytes: start - read,
      })
      await this.#skip(start)
      if (await this.#punch(start)) this.#copied = Math.max(this.#copied, start)
      else {
        // All of it goes, so all of it is counted: also what has come meanwhile, without a turn of the loop in between.
        await this.#skip(this.#size())
        this.#skipNow()
        this.#truncate()
      }
      return
    }
    // The bytes before the position show that it is still the same file.
    const end = wholeBlocks(read - BEFORE)
    if (end - this.#freed < step) return
    if (await this.#punch(end)) return
    if (read === this.#size() && this.#clock.monotonic() - this.#grown > QUIET_MS) this.#truncate()
  }

  /** Passes over what has not been read before this offset, and counts it. */
  async #skip(to: number): Promise<void> {
    const skipped = this.#sidecar?.skipCaptured(this.path, to)
    skipped?.dropped(await this.#lines(skipped.from, to))
  }

  /** The same at once, for the little that has come since: until nothing came while it was counted, or a few times. */
  #skipNow(): void {
    const bytes = Buffer.allocUnsafe(CHUNK)
    for (let n = 0; n < 8; n++) {
      const to = this.#size()
      const skipped = this.#sidecar?.skipCaptured(this.path, to)
      if (!skipped) return
      let count = 0
      for (let at = skipped.from; at < to; at += CHUNK)
        count += breaks(bytes.subarray(0, readSync(this.#reader.fd, bytes, 0, Math.min(CHUNK, to - at), at)))
      skipped.dropped(count)
    }
  }

  /** The line breaks between two offsets. */
  async #lines(from: number, to: number): Promise<number> {
    const bytes = Buffer.allocUnsafe(CHUNK)
    let count = 0
    for (let at = from; at < to; at += CHUNK) {
      const { bytesRead } = await this.#reader.read(bytes, 0, Math.min(CHUNK, to - at), at)
      count += breaks(bytes.subarray(0, bytesRead))
    }
    return count
  }

  #size(): number {
    return fstatSync(this.#reader.fd).size
  }

  #truncate(): void {
    const path = `/proc/self/fd/${this.#reader.fd}`
    const fd = openSync(path, 'r+')
    try {
      ftruncateSync(fd, 0)
    } finally {
      closeSync(fd)
    }
    this.#copied = 0
    this.#freed = 0
    this.#sidecar?.restartCaptured(this.path)
  }

  /** Frees the blocks before the offset; false if that is not possible here. */
  async #punch(end: number): Promise<boolean> {
    if (this.#holes === false) return false
    const length = end - this.#freed
    const args = ['--punch-hole', '--offset', `${this.#freed}`, '--length', `${length}`, this.path]
    const { promise, resolve } = Promise.withResolvers<boolean>()
    process
      .getBuiltinModule('node:child_process')
      .execFile('fallocate', args, { timeout: 5000 }, error => resolve(!error))
    this.#holes = await promise
    if (this.#holes) this.#freed = end
    else this.#log.info(`cannot punch holes in ${this.path} (fallocate), so it is truncated when it was read`)
    return this.#holes
  }
}

/** A disk that is full would fail the application's writes, so a stream takes a quarter of what is free at the most. */
async function limitIn(dir: string, wanted: number): Promise<number> {
  const { bavail, blocks, bsize } = await statfs(dir)
  const free = bavail * bsize
  // Some file systems do not say.
  if (blocks === 0) return wanted
  if (free < LEAST_FREE) throw new Error(`only ${free} bytes are free in ${dir}`)
  return Math.min(wanted, Math.floor(free / 4))
}

/** A file that nobody had before: in a container every start has the same pid, and the file of the last one may be there. */
function create(dir: string, stream: Stream): { readonly path: string; readonly descriptor: number } {
  const { O_WRONLY, O_APPEND, O_CREAT, O_EXCL, O_NOFOLLOW } = constants
  const random = Buffer.from(crypto.getRandomValues(new Uint8Array(4))).toString('hex')
  const paths = [process.pid, `${process.pid}-${random}`].map(who => join(dir, `pillion-${who}-${stream}.log`))
  const path = paths.find(each => !lstatSync(each, { throwIfNoEntry: false })) ?? paths[0]!
  return { path, descriptor: openSync(path, O_WRONLY | O_APPEND | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600) }
}

/**
 * Our own output, so that writing to it never blocks: a pipe is opened anew, since whoever has it too would get our flags. A
 * terminal or a file is written to as it is; the file position is shared.
 */
async function reopened(descriptor: number): Promise<FileHandle | undefined> {
  let stat: BigIntStats
  try {
    stat = fstatSync(descriptor, { bigint: true })
    if (!stat.isFIFO()) return undefined
    return await open(`/proc/self/fd/${descriptor}`, constants.O_WRONLY | constants.O_NONBLOCK)
  } catch {
    return undefined
  }
}

function breaks(bytes: Buffer): number {
  let count = 0
  for (let next = bytes.indexOf(10); next >= 0; next = bytes.indexOf(10, next + 1)) count++
  return count
}

/** Holes consist of blocks; in a part of one there would be zeros. */
function wholeBlocks(offset: number): number {
  return Math.floor(offset / 4096) * 4096
}

function written(fd: number, bytes: Buffer, at: number): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>()
  process.getBuiltinModule('node:fs').write(fd, bytes, at, (error, count) => (error ? reject(error) : resolve(count)))
  return promise
}
