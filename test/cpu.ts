// CPU time in place of time on the wall, in milliseconds: other programs that want the processor do not count. It is always that of
// both modes: the kernel divides a short time between them by where its ticks happened to fall, so one of them may be 0.

/** The CPU time of this process during the work, with V8's helper threads. */
export function cpuOf(work: () => unknown): number {
  const before = process.cpuUsage()
  work()
  return milliseconds(process.cpuUsage(before))
}

/** The most that this thread used in one turn of the event loop during the work: for so long it was held. */
export async function longestTurn(work: () => Promise<unknown>): Promise<number> {
  let longest = 0
  let last = process.threadCpuUsage()
  let over = false
  const look = (): void => {
    longest = Math.max(longest, milliseconds(process.threadCpuUsage(last)))
    last = process.threadCpuUsage()
    if (!over) setImmediate(look)
  }
  setImmediate(look)
  await work()
  over = true
  look()
  return longest
}

function milliseconds({ user, system }: NodeJS.CpuUsage): number {
  return (user + system) / 1000
}
