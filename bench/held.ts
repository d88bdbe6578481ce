// Loaded into the measured process before it starts: answers each message with the longest time for which the event loop was
// blocked since the previous message, in milliseconds of the main thread's CPU. A timer fires each millisecond; between two of
// its turns nothing else could run.

let cpu = 0
let used = threadMs()

setInterval(() => {
  const spent = threadMs()
  cpu = Math.max(cpu, spent - used)
  used = spent
}, 1).unref()
process.on('message', () => {
  process.send?.({ cpu })
  cpu = 0
})
process.channel?.unref()

function threadMs(): number {
  const { user, system } = process.threadCpuUsage()
  return (user + system) / 1000
}
