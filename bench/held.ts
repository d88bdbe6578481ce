// Loaded into the measured process before it starts: answers any message with the longest that its event loop has been held
// since the message before, in milliseconds of the main thread's own CPU. A timer fires each millisecond; what the thread has
// used since it fired last is what nothing else could run beside.

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
