// One process for a queue. Node has no flock, so there are two locks.
//
// A socket in the kernel's abstract namespace, named after the folder's device and inode: it is free at once when its process
// has ended, however it ended. But each network namespace has names of its own, so two pods on one volume do not see each
// other's. Therefore there is a file LOCK as well, which says who holds it, and which is touched every 5 s: if another
// network namespace has touched it less than 20 s ago, its process is alive. Ages are differences of two times of the volume,
// so that the clocks of two machines do not have to agree.

import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { readFileSync, readlinkSync } from 'node:fs'
import { open, rename, rm, stat } from 'node:fs/promises'
import type { Clock } from '../../telemetry/host.ts'
import { codeOf } from './files.ts'

const HEARTBEAT_MS = 5000
const STALE_MS = 20_000

export interface Identity {
  readonly boot: string
  readonly network: string
  readonly pid: number
  /** Tells two processes with the same number apart. */
  readonly instance: string
}

/**
 * Locks the folder, which must be there, until it is disposed of. Rejects with a message for an operator if another process
 * has it. `onLost` is called if another one takes it later, because this one stood still for too long.
 */
export async function lock(folder: string, clock: Clock, onLost: () => void = () => {}): Promise<AsyncDisposable> {
  const { dev, ino } = await stat(folder)
  const socket = await listen(`pillion-queue-${dev}-${ino}`, folder)
  try {
    const mine = await claim(folder, identity())
    const over = new AbortController()
    const state = { held: true }
    beat(`${folder}/LOCK`, mine, clock, over.signal).then(lost => {
      state.held = !lost
      if (lost) onLost()
    })
    return {
      async [Symbol.asyncDispose]() {
        over.abort()
        if (state.held) await rm(`${folder}/LOCK`, { force: true }).catch(() => {})
        socket?.close()
      },
    }
  } catch (error) {
    socket?.close()
    throw error
  }
}

export function identity(): Identity {
  const orUnknown = (read: () => string): string => {
    try {
      return read().trim()
    } catch {
      return 'unknown'
    }
  }
  return {
    boot: orUnknown(() => readFileSync('/proc/sys/kernel/random/boot_id', 'utf8')),
    network: orUnknown(() => readlinkSync('/proc/self/ns/net')),
    pid: process.pid,
    instance: randomUUID(),
  }
}

/** Undefined where there are no abstract sockets. */
async function listen(name: string, folder: string): Promise<{ close(): void } | undefined> {
  if (process.platform !== 'linux') return undefined
  const { createServer } = process.getBuiltinModule('node:net')
  const server = createServer(socket => socket.destroy())
  server.listen({ path: `\0${name}` })
  try {
    await once(server, 'listening')
  } catch (error) {
    if (codeOf(error) !== 'EADDRINUSE') throw error
    throw taken(folder, 'another process of this machine has it open')
  }
  server.unref()
  return server
}

/** The inode of our lock file. */
async function claim(folder: string, self: Identity): Promise<number> {
  const path = `${folder}/LOCK`
  const draft = `${path}.${self.instance}`
  const file = await open(draft, 'wx', 0o600)
  try {
    const written = await file.writeFile(textOf(self)).then(
      () => true,
      error => {
        if (!FULL.includes(codeOf(error) ?? '')) throw error
        return false
      },
    )
    const mine = await file.stat()
    const other = await holder(path)
    // The socket would have shown a living process of our own network namespace; where there is none, its number does.
    const here = other?.boot === self.boot && other.network === self.network
    const seen = here && (process.platform === 'linux' || !alive(other.pid))
    // A clock that was set back makes it negative.
    const age = other ? Math.abs(mine.mtimeMs - other.mtimeMs) : Infinity
    if (other && !seen && age < STALE_MS)
      throw taken(folder, `process ${other.pid} of another pod or machine touched LOCK ${Math.round(age)} ms ago`)
    // A full disk must not keep what is in the queue from being sent: nothing else will make room.
    if (!written) {
      const ino = await overwrite(path, self)
      if (ino !== undefined) {
        await rm(draft, { force: true })
        return ino
      }
    }
    await rename(draft, path)
    return mine.ino
  } catch (error) {
    await rm(draft, { force: true })
    throw error
  } finally {
    await file.close()
  }
}

const FULL = ['ENOSPC', 'EDQUOT']

function textOf({ boot, network, pid, instance }: Identity): string {
  return `${boot} ${network} ${pid} ${instance}\n`
}

/** Writes over a lock that is there, in the space that it has already. Its inode; undefined if that is not possible. */
async function overwrite(path: string, self: Identity): Promise<number | undefined> {
  try {
    const file = await open(path, 'r+')
    try {
      const { ino, size } = await file.stat()
      if (size === 0) return undefined
      const text = Buffer.from(textOf(self))
      await file.write(text, 0, text.length, 0)
      await file.truncate(text.length)
      return ino
    } finally {
      await file.close()
    }
  } catch {
    return undefined
  }
}

function alive(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch (error) {
    return codeOf(error) === 'EPERM'
  }
}

interface Holder extends Omit<Identity, 'instance'> {
  readonly mtimeMs: number
}

/** The holder of the lock; undefined if there is none, or if the file is not ours. */
async function holder(path: string): Promise<Holder | undefined> {
  try {
    const file = await open(path, 'r')
    try {
      const { mtimeMs } = await file.stat()
      const { buffer, bytesRead } = await file.read(Buffer.alloc(512), 0, 512, 0)
      const [boot = '', network = '', pid = ''] = buffer.toString('latin1', 0, bytesRead).trim().split(' ')
      return /^\d+$/.test(pid) ? { boot, network, pid: Number(pid), mtimeMs } : undefined
    } finally {
      await file.close()
    }
  } catch {
    return undefined
  }
}

/** Resolves when the lock is another's, or when the signal aborts; with whether it is another's. */
async function beat(path: string, mine: number, clock: Clock, signal: AbortSignal): Promise<boolean> {
  for (;;) {
    try {
      await clock.sleep(HEARTBEAT_MS, signal)
    } catch {
      return false
    }
    // A full or failing disk is not another process: then the file is just not touched.
    const ino = await touch(path, mine).catch(() => undefined)
    if (ino !== undefined && ino !== mine) return true
  }
}

/** Has the volume set the time of the file, if it is ours, by writing a byte of it again. Returns its inode. */
async function touch(path: string, mine: number): Promise<number> {
  const file = await open(path, 'r+')
  try {
    const { ino } = await file.stat()
    const { buffer } = await file.read(Buffer.alloc(1), 0, 1, 0)
    if (ino === mine) await file.write(buffer, 0, 1, 0)
    return ino
  } finally {
    await file.close()
  }
}

function taken(folder: string, why: string): Error {
  return new Error(
    `cannot use ${folder} as a queue: ${why}; give each sidecar a folder of its own with --forward.queue.dir`,
  )
}
