// When V8 may use its optimizing compiler.

/** The share of a core that the sidecar takes at rest, with some room; below it, faster code would save nothing to speak of. */
const AT_REST = 0.02
/** CPU time beyond that share that is no load yet: a page that is opened, a collection of the heap. */
const SPIKE_MS = 200
/** Often, since until then a load takes several times the CPU time. */
const EACH_MS = 250

/**
 * Optimized code is made from the first load on. At rest there is nothing to gain: the CPU time is the same with and without
 * it, but the pages of the compiler in Node's program, and its data, are 7 MiB of resident memory. So the first line of
 * main.ts starts Node with `--no-opt`, and this takes it back when the process, all its threads together, has used SPIKE_MS of
 * CPU time beyond its share at rest. V8 reads the flag anew for each function that has become hot.
 */
export function optimizeUnderLoad(): Disposable {
  let used = cpuMs()
  let left = SPIKE_MS
  const timer = setInterval(() => {
    const now = cpuMs()
    left = Math.min(SPIKE_MS, left + AT_REST * EACH_MS - (now - used))
    used = now
    if (left >= 0) return
    process.getBuiltinModule('node:v8').setFlagsFromString('--opt')
    clearInterval(timer)
  }, EACH_MS)
  timer.unref()
  return { [Symbol.dispose]: () => clearInterval(timer) }
}

function cpuMs(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1000
}
