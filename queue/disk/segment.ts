// One file of the queue, as it is known in memory: what in it is not acknowledged, and what of that is still to be read.

import { HEAD } from './format.ts'

export class Segment {
  readonly path: string
  /** The number of its first record, and the largest one. */
  readonly first: number
  last: number
  /** In milliseconds since the epoch. */
  readonly created: number
  readonly salt: number
  /** While it is open: for writing, or for reading by whoever opened it. */
  fd: number | undefined
  /** The end of the last record that was written as a whole. */
  size = HEAD
  /** Up to here it is on the disk. */
  synced = 0
  /** Records that are not acknowledged, their items, and the bytes of their payloads. */
  records = 0
  items = 0
  bytes = 0
  /** Those of them that are only in the file, and were not read yet. */
  unread = { records: 0, items: 0, bytes: 0 }
  /** When its oldest and its newest record came in, in milliseconds since the epoch. */
  oldest = Infinity
  newest = -Infinity
  /**
   * Its counts are exact: it was written by this process, or read to its end. Until then they are those of heads whose
   * checksums nobody has looked at.
   */
  exact: boolean
  /** Written by this process. */
  own = false
  /** The number of times that it could not be read. */
  failures = 0
  /** The number of times that its end is being written again to other files; until then it stays. */
  replaced = 0
  /** Being synced: its descriptor must stay. */
  syncing = false

  constructor(path: string, first: number, created: number, salt: number, exact: boolean) {
    this.path = path
    this.first = first
    this.last = first - 1
    this.created = created
    this.salt = salt
    this.exact = exact
  }

  add(items: number, bytes: number, received: number): void {
    this.records++
    this.items += items
    this.bytes += bytes
    this.oldest = Math.min(this.oldest, received)
    this.newest = Math.max(this.newest, received)
  }

  remove(items: number, bytes: number): void {
    this.records--
    this.items -= items
    this.bytes -= bytes
  }

  /** A record that is only in the file. */
  leave(items: number, bytes: number): void {
    this.unread.records++
    this.unread.items += items
    this.unread.bytes += bytes
  }

  /** Such a record has been read. */
  read(items: number, bytes: number): void {
    this.unread.records--
    this.unread.items -= items
    this.unread.bytes -= bytes
  }
}
