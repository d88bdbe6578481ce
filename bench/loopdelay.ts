// Loaded into the measured process before it starts: answers each message with the delay of its event loop since the
// previous message. Timers fire each millisecond, so a free loop shows about 1 ms.

import { monitorEventLoopDelay } from 'node:perf_hooks'

const histogram = monitorEventLoopDelay({ resolution: 1 })
histogram.enable()
process.on('message', () => {
  process.send?.({ p99: histogram.percentile(99) / 1e6, most: histogram.max / 1e6 })
  histogram.reset()
})
process.channel?.unref()
