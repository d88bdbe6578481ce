// The memory budget of the sidecar: how it follows from the limit of the cgroup, and who holds how much of it.

import { counter, gauge } from '../metrics/family.ts'
import { bytes, section, type Values } from '../options/kinds.ts'
import type { Host } from '../telemetry/host.ts'
import type { Part, Running } from '../telemetry/part.ts'

export const memoryBudget = gauge(
  'pillion_memory_budget_bytes',
  'The memory budget, which requests, answers and stores of the sidecar share (memory.budget).',
)
export const memoryUsed = gauge(
  'pillion_memory_used_bytes',
  'Bytes of the memory budget in use, by part: otlp = requests being received or processed, web = answers that nobody has read yet, metrics = series of OTLP metrics, logs = log records, scrape = the application’s own /metrics, traces = the newest traces, page = the recent numbers behind the page.',
  ['part'],
)
export const memoryRefused = counter(
  'pillion_memory_refused_total',
  'Times a part asked for more than the memory budget, or its own share of it, had left, and was refused.',
  ['part'],
)

const MIB = 2 ** 20
/**
 * Memory of the sidecar beside it: 50 MiB that count at rest, the heap and garbage under load, the thread for large requests
 * with the largest one in it, and what the store of traces, the critical path and blame add while they take all that comes
 * (test/load/crowd.timing.ts).
 */
const BESIDE = 152 * MIB
/** A body is in memory once more while it is processed, and the allocator keeps some of what it got back. */
const OVERHEAD = 1.5
const LEAST = 16 * MIB
/** Without a limit of the cgroup. */
const USUAL = 96 * MIB
const MOST = 256 * MIB

export const options = section('The memory budget, which requests, answers and stores of the sidecar share.', {
  budget: bytes(
    'The size of the budget. Anything that does not fit is refused, and senders are told to try again. By default it follows from the memory limit of the sidecar’s cgroup: two thirds of what is above 152 MiB, at least 16 MiB and at most 256 MiB; 96 MiB if there is no limit.',
    { min: '8MiB' },
  ),
})

export type MemoryOptions = Values<typeof options>

/** The bytes of the budget; `limit` is that of the sidecar's own cgroup, if it has one. */
export function budgetOf({ budget }: Pick<MemoryOptions, 'budget'>, limit: number | undefined): number {
  if (budget !== undefined) return budget
  if (limit === undefined) return USUAL
  return Math.min(MOST, Math.max(LEAST, Math.floor((limit - BESIDE) / OVERHEAD)))
}

export const memory = {
  name: 'memory',
  about: 'The memory budget of the sidecar, and what its parts hold of it.',
  families: [memoryBudget, memoryUsed, memoryRefused],
  options,
  start(_options: MemoryOptions, { metrics, memory }: Pick<Host, 'metrics' | 'memory'>): Running {
    metrics.gauge(memoryBudget).set(memory.total)
    const used = metrics.reading(memoryUsed)
    const refused = metrics.reading(memoryRefused)
    const publish = (): void => {
      for (const [part, each] of memory.parts) {
        used.set({ part }, each.used)
        refused.set({ part }, each.refused)
      }
    }
    return {
      collect: publish,
      facts: () => [
        { name: 'budget', value: memory.total, unit: 'bytes' },
        { name: 'in use', value: memory.used, unit: 'bytes' },
      ],
      async [Symbol.asyncDispose]() {},
    }
  },
} satisfies Part<MemoryOptions>
