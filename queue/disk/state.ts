// The state of a line and its records, for the files beside this one that each do one thing with it.

import type { Clock, Log } from '../../telemetry/host.ts'
import type { Allotment } from '../../telemetry/memory.ts'
import type { Signal } from '../../telemetry/request.ts'
import type { QueueLoss } from '../queue.ts'
import { Chunks } from './chunks.ts'
import type { DiskBatch, Entry } from './entry.ts'
import type { Files } from './files.ts'
import type { Marks } from './marks.ts'
import { Ranges } from './ranges.ts'
import type { Scan } from './scan.ts'
import type { Segment } from './segment.ts'

/** The surroundings that a line shares with the other lines of its queue. */
export interface Common {
  readonly files: Files
  readonly clock: Clock
  readonly log: Log
  readonly memory: Allotment
  /** Bytes of a segment, after which the next one begins. */
  readonly segmentBytes: number
  /** Bytes that may be kept in memory to be sent without being read. */
  readonly windowBytes: number
  /** Whether `sync` waits for the disk rather than for the write. */
  readonly durable: boolean
  lose(signal: Signal, reason: QueueLoss, items: number): void
  /** Frees memory: what is oldest of all signals is lost. False if nothing is left that could be. */
  dropOldest(): boolean
  /** Whether a record can be read as a request of its signal. */
  readable(signal: Signal, bytes: Buffer): boolean
  /** The files of all lines grow or shrink. */
  grow(bytes: number): void
  /** Something was written, and is not on the disk yet. */
  dirty(signal: Signal): void
  /** The disk can be written no more, or again. */
  changed(): void
}

/** The state found in the folder of a signal. */
export interface Recovered {
  readonly segments: readonly Segment[]
  readonly acked: Ranges
  readonly next: number
  readonly marks: Marks
}

export class LineState {
  readonly signal: Signal
  readonly folder: string
  /** All that is held. */
  items = 0
  /** Bytes of payloads that are not acknowledged, in files and only in memory. */
  diskBytes = 0
  memoryBytes = 0
  /** Bytes that the unwritten records will take. */
  unwrittenBytes = 0
  /** Bytes of them that are not handed out. */
  waiting = 0
  recovered = 0
  /** Bytes in files that were no record. */
  corruptBytes = 0
  poisoned = 0
  /** Why the disk cannot be written; undefined if it can. */
  fault: string | undefined
  readonly common: Common
  readonly chunks: Chunks
  segments: Segment[] = []
  active: Segment | undefined
  unwritten: Entry[] = []
  /** To be written before them. */
  urgent: Entry[] = []
  /** The number of the unwritten that have been dealt with meanwhile. */
  gone = 0
  /** The number of the unwritten that are not in the window: those at its end. */
  loose = 0
  window: Entry[] = []
  windowBytes = 0
  returned: DiskBatch[] = []
  readonly out = new Set<DiskBatch>()
  readonly acked = new Ranges()
  marks: Marks | undefined
  /** The number of the next record. */
  next = 1
  /** Where what is only in the files begins; undefined if there is nothing. */
  resume: { segment: Segment; at: number } | undefined
  scan: { readonly scan: Scan; readonly segment: Segment; readonly fd: number } | undefined
  writing = false
  slowUntil = 0
  scratch: Buffer | undefined
  /** Appended and written records, counted, so that one can wait for the other. */
  appendedCount = 0
  writtenCount = 0
  syncedCount = 0
  /** Those with bytes that are not on the disk. */
  readonly dirty = new Set<Segment>()
  dirtyBytes = 0
  folderDirty = false
  syncing: Promise<void> | undefined
  syncFailures = 0
  waiters: { readonly count: number; readonly resolve: (safe: boolean) => void }[] = []
  retired: Segment[] = []
  /** Deletions to make when so many records are safe, which replace what is deleted. */
  afterwards: { readonly count: number; readonly run: () => void }[] = []
  /** Files that are dropped, of which something is written again first. */
  readonly replacing = new Set<Segment>()
  readonly removals = new Set<Promise<void>>()
  cursorDirty = false
  /** A file may hold records that are in memory behind ones that are not. */
  mixed = false
  expired = -Infinity
  closed = false
  /** The folder is another process's now. */
  foreign = false
  /** Tells those who wait for what was written, or for the disk, how it went. */
  readonly settle: () => void

  constructor(signal: Signal, folder: string, common: Common, settle: (line: LineState) => void) {
    this.signal = signal
    this.folder = folder
    this.common = common
    this.chunks = new Chunks(common.memory)
    this.settle = () => settle(this)
  }

  /** Something was written that is not on the disk. */
  get unsynced(): boolean {
    return this.dirty.size > 0 || this.folderDirty
  }

  /** The number of appended records that are as safe as was asked for. */
  get safe(): number {
    return this.common.durable ? this.syncedCount : this.writtenCount
  }
}
