// Loaded into the measured process before it starts: answers each message with the bytes that are alive, after a collection:
// the heap, and what lies outside of it (buffers, whole, also where nothing was written to them yet).

import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

setFlagsFromString('--expose-gc')
const collect: () => void = runInNewContext('gc')
process.on('message', () => {
  // Twice: the first one ends what the second one frees.
  collect()
  collect()
  const { heapUsed, external } = process.memoryUsage()
  process.send?.({ alive: heapUsed + external })
})
process.channel?.unref()
