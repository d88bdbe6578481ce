// The queue on disk in a process of its own, under a stream of requests: what it takes of the CPU to write them (and to read
// them again, if the upstream is behind), and for how long it holds the event loop.

import { mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { clock } from '../host/clock.ts'
import { openDisk } from '../queue/disk/queue.ts'
import { Memory } from '../telemetry/memory.ts'
import { say, task } from './errand.ts'

export interface QueueTask {
  readonly folder: string
  /** Bytes of a request, and of all together. */
  readonly request: number
  readonly total: number
  readonly sync: 'interval' | 'request'
  /** Everything is read from the files, after it has been written. */
  readonly behind: boolean
}

export interface QueueResult {
  /** CPU milliseconds of the process for each megabyte that was written, and that was read again. */
  readonly writing: number
  readonly reading: number
  /** The longest time for which the event loop was held, in milliseconds of the main thread's CPU. */
  readonly held: number
}

/** Connections that wait for their answers at the same time. */
const AT_ONCE = 8

const { folder, request, total, sync, behind }: QueueTask = JSON.parse(task())
const silent = { info() {}, warn() {}, error() {} }
const directory = mkdtempSync(join(folder, 'queue-'))
const queue = await openDisk(join(directory, 'queue'), 1 << 30, {
  ...{ clock, log: silent, sync, lose: () => {} },
  memory: new Memory(1 << 30).allot('queue', 32 << 20),
})
const bytes = Buffer.alloc(request, 7)
let held = 0
let turn = mainThreadMs()
const timer = setInterval(() => {
  const now = mainThreadMs()
  held = Math.max(held, now - turn)
  turn = now
}, 1)
let written = 0
const begin = cpuMs()
while (written < total) {
  for (let i = 0; i < AT_ONCE; i++) {
    queue.append({ signal: 'traces', bytes, items: 1, received: clock.now() })
    written += request
  }
  await queue.sync()
  if (!behind && queue.waiting('traces') > 256 * 1024) await drain()
}
const middle = cpuMs()
await drain()
const end = cpuMs()
clearInterval(timer)
await queue[Symbol.asyncDispose]()
rmSync(directory, { recursive: true })
say({
  writing: ((middle - begin) / written) * 1e6,
  reading: ((end - middle) / written) * 1e6,
  held,
} satisfies QueueResult)

async function drain(): Promise<void> {
  for (let batch = await queue.next('traces'); batch; batch = await queue.next('traces')) queue.done(batch)
}

function cpuMs(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1000
}

function mainThreadMs(): number {
  const { user, system } = process.threadCpuUsage()
  return (user + system) / 1000
}
