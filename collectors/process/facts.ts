// The few numbers of the application's process that a person wants to see first.

import type { Metrics } from '../../metrics/registry.ts'
import type { Fact } from '../../telemetry/status.ts'
import { residentMemory, restarts, threads } from './families.ts'

export async function processFacts(metrics: Metrics): Promise<readonly Fact[]> {
  const [memory, threadCount, restartCount] = await Promise.all(
    [residentMemory, threads, restarts].map(family => metrics.samples(family)),
  )
  return [
    ...(memory ?? []).map(({ value }) => ({ name: 'memory', value, unit: 'bytes' }) as const),
    ...(threadCount ?? []).map(({ value }) => ({ name: 'threads', value })),
    ...(restartCount ?? []).map(({ value }) => ({ name: 'restarts', value })),
  ]
}
