// A queue on disk in a folder of a test, and a file system under it that fails when the test wants it to.

import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'tap'
import { type Files, files as real } from '../../../queue/disk/files.ts'
import type { DiskQueue } from '../../../queue/disk/queue.ts'
import { openDisk } from '../../../queue/disk/queue.ts'
import type { Batch, DiskSurroundings } from '../../../queue/queue.ts'
import { Memory } from '../../../telemetry/memory.ts'
import type { Request, Signal } from '../../../telemetry/request.ts'
import { FakeClock } from '../../world.ts'
import { all, Losses } from '../contract.ts'

export interface Settings extends Partial<DiskSurroundings> {
  /** Bytes of files. */
  readonly most?: number
  readonly files?: Files
  readonly losses?: Losses
}

export interface Opened {
  readonly queue: DiskQueue
  /** "signal reason" → items. */
  readonly lost: ReadonlyMap<string, number>
  readonly logged: readonly string[]
  readonly clock: FakeClock
  readonly memory: Memory
}

/** A folder of the test, removed after everything that the test opened in it has been closed. */
export function root(t: Test): string {
  const path = mkdtempSync(join(tmpdir(), 'pillion-queue-'))
  t.teardown(() => rmSync(path, { recursive: true, force: true }))
  return path
}

/** Opens the queue in a folder below `root`; it is closed at the end of the test. */
export async function open(t: Test, root: string, settings: Settings = {}): Promise<Opened> {
  const { most = 64 << 20, files, losses = new Losses(), ...rest } = settings
  const clock = new FakeClock()
  const memory = new Memory(256 << 20)
  const logged: string[] = []
  const line = (level: string) => (message: string) => void logged.push(`${level} ${message}`)
  const log = { info: line('info'), warn: line('warn'), error: line('error') }
  const around: DiskSurroundings = {
    ...{ clock, log, lose: losses.lose, sync: 'interval', memory: memory.allot('forward', 32 << 20) },
    ...rest,
  }
  const queue = await openDisk(`${root}/queue`, most, around, files)
  t.teardown(() => queue[Symbol.asyncDispose]())
  return { queue, lost: losses.lost, logged, clock, memory }
}

/** The names of the segments of a signal, in order. */
export function segments(root: string, signal: Signal = 'traces'): string[] {
  const folder = `${root}/queue/${signal}`
  return existsSync(folder)
    ? readdirSync(folder)
        .filter(name => name.endsWith('.q'))
        .sort()
    : []
}

export function segmentPath(root: string, index = 0, signal: Signal = 'traces'): string {
  return `${root}/queue/${signal}/${segments(root, signal).at(index)}`
}

/** All files below the folder of the queue, by name, as text. */
export function contents(root: string): Record<string, string> {
  const found: Record<string, string> = {}
  for (const name of readdirSync(`${root}/queue`, { recursive: true, encoding: 'utf8' }).sort()) {
    const path = `${root}/queue/${name}`
    if (statSync(path).isFile()) found[name] = readFileSync(path, 'latin1')
  }
  return found
}

/** A request of one item whose bytes say which one it is, filled up to a length. */
export function numbered(number: number, length = 100, signal: Signal = 'traces'): Request {
  return { signal, items: 1, received: 1_750_000_000_000, bytes: Buffer.from(`<${number}>`.padEnd(length, '.')) }
}

/** The numbers in batches of such requests, in order. */
export function numbers(batches: readonly Batch[]): number[] {
  return batches.flatMap(({ bytes }) =>
    [...bytes.toString('latin1').matchAll(/<(\d+)>/g)].map(([, number]) => Number(number)),
  )
}

/** The numbers of everything that is waiting, which is dealt with. */
export async function drain(queue: DiskQueue, signal: Signal = 'traces'): Promise<number[]> {
  const batches = await all(queue, signal)
  const found = numbers(batches)
  for (const batch of batches) queue.done(batch)
  return found
}

/** Appends requests and waits until they are safe. */
export async function write(queue: DiskQueue, requests: readonly Request[]): Promise<void> {
  for (const each of requests) queue.append(each)
  await queue.sync()
}

/** Lets time pass, and the disk work, until something is so; throws if that takes too long. */
export async function until(clock: FakeClock, condition: () => boolean): Promise<void> {
  for (let i = 0; i < 5000; i++) {
    if (condition()) return
    await clock.pass(500)
    await new Promise(resolve => setTimeout(resolve, i < 50 ? 0 : 2))
  }
  throw new Error(`this has not become true: ${condition}`)
}

/**
 * The real file system, until a number of bytes has been written: the write that reaches it is cut off there. Then either
 * the process is dead, and nothing happens any more, or the disk is full, until there is room again.
 */
export class Faulty implements Files {
  /** Bytes that may still be written. */
  left = Infinity
  dead = false
  /** The code with which everything that writes fails. */
  fault: string | undefined
  /** The number of syncs that fail, from the next one on; their data is not on the disk. */
  failingSyncs = 0
  syncs = 0
  /** The event at which `left` is 0: the end of the process, or a full disk. */
  after: 'crash' | 'full' = 'full'

  open: Files['open'] = async (path, how) => {
    this.#alive()
    if (how === 'create' || how === 'replace') this.#check()
    return real.open(path, how)
  }
  close: Files['close'] = fd => real.close(fd)
  write: Files['write'] = (fd, buffers) => {
    this.#alive()
    this.#check()
    const bytes = Buffer.concat(buffers)
    const some = bytes.subarray(0, this.left)
    if (some.length < bytes.length && some.length === 0) this.#ended()
    const written = real.write(fd, [some])
    this.left -= written
    if (written < bytes.length && this.after === 'crash') this.#ended()
    return written
  }
  writeLater: Files['writeLater'] = async (fd, buffers) => this.write(fd, buffers)
  read: Files['read'] = (fd, into, length, position) => real.read(fd, into, length, position)
  size: Files['size'] = fd => real.size(fd)
  truncate: Files['truncate'] = async (fd, length) => {
    this.#alive()
    this.#check()
    await real.truncate(fd, length)
  }
  sync: Files['sync'] = async fd => {
    this.#alive()
    this.syncs++
    if (this.failingSyncs > 0) {
      this.failingSyncs--
      throw failure('EIO')
    }
    await real.sync(fd)
  }
  syncFolder: Files['syncFolder'] = async path => {
    this.#alive()
    await real.syncFolder(path)
  }
  rename: Files['rename'] = async (from, to) => {
    this.#alive()
    this.#check()
    await real.rename(from, to)
  }
  unlink: Files['unlink'] = async path => {
    this.#alive()
    if (this.fault === 'EROFS') throw failure('EROFS')
    await real.unlink(path)
  }
  names: Files['names'] = path => real.names(path)

  #alive(): void {
    if (this.dead) throw failure('EDEAD')
  }

  #check(): void {
    if (this.fault !== undefined && this.fault !== 'ENOSPC') throw failure(this.fault)
  }

  #ended(): never {
    if (this.after === 'full') throw failure(this.fault ?? 'ENOSPC')
    this.dead = true
    throw failure('EDEAD')
  }
}

function failure(code: string): Error {
  return Object.assign(new Error(`${code}: as the test wants`), { code })
}

/** A disk that forgets, when the power goes, all that it was not told to keep. */
export class Powered extends Faulty {
  /** The state of the disk after a crash at its worst: names and contents. */
  readonly #durable = new Map<string, Buffer>()
  readonly #paths = new Map<number, string>()
  /** Content that has been synced, of names that may not be. */
  readonly #synced = new Map<string, Buffer>()

  constructor() {
    super()
    const { open, sync, syncFolder, rename } = this
    this.open = async (path, how) => {
      const fd = await open(path, how)
      this.#paths.set(fd, path)
      if (how === 'create' || how === 'replace') this.#synced.set(path, Buffer.alloc(0))
      return fd
    }
    this.sync = async fd => {
      const path = this.#paths.get(fd)!
      const failing = this.failingSyncs > 0
      const content = existsSync(path) ? readFileSync(path) : undefined
      await sync(fd)
      if (failing || !content) return
      this.#synced.set(path, content)
      if (this.#durable.has(path)) this.#durable.set(path, content)
    }
    this.rename = async (from, to) => {
      await rename(from, to)
      const content = this.#synced.get(from)
      this.#synced.delete(from)
      if (content) this.#synced.set(to, content)
    }
    this.syncFolder = async path => {
      const names = readdirSync(path).map(name => `${path}/${name}`)
      await syncFolder(path)
      for (const known of [...this.#durable.keys()])
        if (known.startsWith(`${path}/`) && !names.includes(known)) this.#durable.delete(known)
      for (const name of names) {
        const content = this.#synced.get(name)
        if (content) this.#durable.set(name, content)
      }
    }
  }

  /** The power goes: below `folder` there is what is durable, and nothing else. */
  off(folder: string): void {
    this.dead = true
    for (const name of readdirSync(folder, { recursive: true, encoding: 'utf8' })) {
      const path = `${folder}/${name}`
      if (statSync(path).isFile()) rmSync(path)
    }
    for (const [path, content] of this.#durable) writeFileSync(path, content)
  }

  /** Everything that was there before is on the disk. */
  keep(folder: string): void {
    if (!existsSync(folder)) return
    for (const name of readdirSync(folder, { recursive: true, encoding: 'utf8' })) {
      const path = `${folder}/${name}`
      if (statSync(path).isFile()) this.#durable.set(path, readFileSync(path))
    }
  }
}
