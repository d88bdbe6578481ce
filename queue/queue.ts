// The contract between the sender of an upstream and its queue, in memory (memory.ts) or on disk (disk/). Each upstream has a
// queue of its own, and a queue counts what it loses, so that this holds at every moment, for each signal:
//
//   recovered + items appended = items done + items lost + items held

import type { Host } from '../telemetry/host.ts'
import type { Allotment } from '../telemetry/memory.ts'
import type { Request, Signal } from '../telemetry/request.ts'

/** The size of a batch that a queue aims at: requests are joined until it is reached. */
export const BATCH = 256 * 1024
/**
 * The largest batch of joined requests: 1 MB is the lowest limit of the known back ends. A request that is larger by itself is
 * a batch alone; the sender divides it.
 */
export const MOST = 900_000

export const PLACES = ['memory', 'disk'] as const
export type Place = (typeof PLACES)[number]

/**
 * Why a queue loses items: there was no room for newer ones, they were older than the upstream takes, their bytes on disk are
 * not what was written, they are but cannot be read or have brought down two processes, or there was no time to send them
 * before the end (of a queue in memory).
 */
export const QUEUE_LOSSES = ['queue_full', 'too_old', 'corrupt', 'poison', 'shutdown'] as const
export type QueueLoss = (typeof QUEUE_LOSSES)[number]

/** Told of each loss in the same step in which the items cease to be held. */
export type Lose = (signal: Signal, reason: QueueLoss, items: number) => void

/** Requests of one signal, joined to one: top-level fields of protobuf are repeated, so a joint body is a request again. */
export interface Batch {
  readonly signal: Signal
  /** Plain protobuf, exactly the bytes that were appended. Lent until `done` or `giveBack`. */
  readonly bytes: Buffer
  readonly items: number
  /** When its oldest request came in, in milliseconds since the epoch. */
  readonly received: number
}

export interface Held {
  /** Items in the queue, those in batches that are handed out included. */
  readonly items: number
  /** Their bytes as they were appended, by where they are. */
  readonly bytes: Readonly<Record<Place, number>>
  /** When the oldest of them came in, in milliseconds since the epoch; undefined if nothing is held. */
  readonly oldest: number | undefined
}

/** All methods are called on the event loop and return at once, unless they give a promise. None of them throws or rejects. */
export interface Queue extends AsyncDisposable {
  /** Whether the request would be taken without losing anything. Asked when a full queue is to refuse; changes nothing. */
  room(request: Request): boolean

  /**
   * Takes over a request: its bytes are lent, and copied here. If there is no room, the oldest requests that are not handed
   * out are lost, of the signals that hold more than their share, and if that is not enough, this one. Requests without items
   * are not appended.
   */
  append(request: Request): void

  /**
   * Resolves with true when everything that was appended before is as safe from a sudden end as this queue makes it, and
   * with false when the queue has given up on its disk and holds it in memory. In memory it resolves with true at once.
   */
  sync(): Promise<boolean>

  /** Bytes of this signal that are not handed out. */
  waiting(signal: Signal): number

  /**
   * Hands out the oldest requests of a signal that are not handed out: at least one, until BATCH bytes are reached, and no
   * more than MOST bytes. Undefined if there is none. Any number of batches can be out; for a signal it is called again only
   * when the call before has resolved.
   */
  next(signal: Signal): Batch | undefined | Promise<Batch | undefined>

  /** The batch has been dealt with (sent, or refused for good) and is forgotten. The caller counts its items in the same step. */
  done(batch: Batch): void

  /** Takes a batch back, as it was: it is handed out again before all others of its signal. */
  giveBack(batch: Batch): void

  /** Loses what came in before `time`, in milliseconds since the epoch, and is not handed out. Called about once a second. */
  expire(time: number): void

  held(signal: Signal): Held

  /** Items that an earlier process has left, counted once, when they were found. */
  recovered(signal: Signal): number

  /** The state of its disk; a queue in memory has none. */
  disk?(): DiskState

  /** Ends. Batches that are still out are as if given back. On disk what is held stays; in memory it is lost (`shutdown`). */
  [Symbol.asyncDispose](): Promise<void>
}

export interface DiskState {
  /** Appended batches are written; otherwise they are held in memory, and writing is tried again each 5 s. */
  readonly usable: boolean
  /** Why not: the code of the system's error, such as ENOSPC. */
  readonly fault: string | undefined
  /** Bytes of its files. */
  readonly files: number
  /** Bytes in files that were no record: a write that ended in the middle, or a disk that gave back something else. */
  readonly corrupt: number
  /** Records that were set aside. */
  readonly poisoned: number
}

/**
 * `interval`: what was appended is safe when it has been written, and is synced each 500 ms, so that a sudden end of the
 * process loses nothing, and one of the machine what came in since. `request`: it is safe when the disk has it.
 */
export const SYNCS = ['interval', 'request'] as const

/** The surroundings of a queue on disk besides its folder. */
export interface DiskSurroundings extends Pick<Host, 'clock' | 'log'> {
  readonly sync: (typeof SYNCS)[number]
  /** Whether a record of an earlier process can be read as a request of its signal; one that cannot is set aside. */
  readonly readable?: (signal: Signal, bytes: Buffer) => boolean
  readonly lose: Lose
  /** For what it holds in memory: batches that are out, and what it cannot write. */
  readonly memory: Allotment
}
