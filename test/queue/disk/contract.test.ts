// The promises of every queue, kept by the queue on disk: as long as everything is in memory too, and when it must be read.

import t from 'tap'
import { Memory } from '../../../telemetry/memory.ts'
import { testQueue } from '../contract.ts'
import { open, root } from './folder.ts'

testQueue(t, 'disk', async (t, most) => await open(t, root(t), { most }))

// Nearly everything is only in the files.
testQueue(t, 'disk with little memory', async (t, most) => {
  const memory = new Memory(256 << 20).allot('forward', 1 << 20)
  return await open(t, root(t), { most, memory })
})
