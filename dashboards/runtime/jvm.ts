// The Java virtual machine: its heap, collections, threads and classes.

import { chosen, folded, type Row } from '../board.ts'
import { lines } from '../panels.ts'
import { copied, max, sum } from '../promql.ts'
import { series } from '../query.ts'
import { either, PROCESS, WHO } from './measures.ts'
import { jvm } from './names.ts'

const NO_JVM = 'no metrics of a JVM: neither jvm.… over OTLP nor Micrometer’s on /metrics'

/** Of the heap, by the label of either convention. */
const heap = (family: typeof jvm.used) =>
  either(
    sum(chosen.value(family, { jvm_memory_type: 'heap' }), PROCESS),
    sum(chosen.value(family, { area: 'heap' }), PROCESS),
  )

export const jvmRow: Row = folded(400, 'JVM', [
  lines({
    id: 40,
    title: 'Heap of the JVM',
    about:
      'Heap used, committed, after the last collection, and its limit (jvm_memory_…_bytes). What is left after collections and only rises is a leak.',
    unit: 'bytes',
    queries: [
      series(heap(jvm.used), `${WHO} used`),
      series(
        either(
          sum(chosen.value(jvm.afterGc, { jvm_memory_type: 'heap' }), PROCESS),
          sum(chosen.value(jvm.clientLive), PROCESS),
        ),
        `${WHO} after collection`,
      ),
      series(heap(jvm.committed), `${WHO} committed`),
      series(
        either(
          sum(chosen.value(jvm.limit, { jvm_memory_type: 'heap' }), PROCESS),
          sum(chosen.value(jvm.clientMax, { area: 'heap' }), PROCESS),
        ),
        `${WHO} limit`,
      ),
    ],
    empty: NO_JVM,
    dashed: '.* limit',
  }),
  lines({
    id: 41,
    title: 'Garbage collection of the JVM',
    about:
      'Share of the time that collections took, by action (jvm_gc_duration_seconds, or Micrometer’s jvm_gc_pause_seconds). Above 10 % the heap is too small.',
    unit: 'percentunit',
    queries: [
      series(
        either(
          sum(copied(chosen.summed(jvm.gc), 'jvm_gc_action', 'action'), [...PROCESS, 'action']),
          sum(chosen.summed(jvm.clientPause), [...PROCESS, 'action']),
        ),
        `${WHO} {{action}}`,
      ),
    ],
    empty: NO_JVM,
  }),
  lines({
    id: 42,
    title: 'Threads of the JVM',
    about:
      'Threads by state (jvm_thread_count, or Micrometer’s jvm_threads_states_threads). Many that are blocked wait for a lock; a number that only rises is a leak.',
    unit: 'short',
    queries: [
      series(
        either(
          sum(copied(chosen.value(jvm.threads), 'jvm_thread_state', 'state'), [...PROCESS, 'state']),
          sum(chosen.value(jvm.clientThreads), [...PROCESS, 'state']),
        ),
        `${WHO} {{state}}`,
      ),
    ],
    empty: NO_JVM,
    stacked: true,
  }),
  lines({
    id: 43,
    title: 'CPU of the JVM',
    about:
      'Share of all cores that the JVM has used lately (jvm_cpu_recent_utilization_ratio, or Micrometer’s process_cpu_usage).',
    unit: 'percentunit',
    queries: [series(either(max(chosen.value(jvm.cpu), PROCESS), max(chosen.value(jvm.clientCpu), PROCESS)), WHO)],
    empty: NO_JVM,
  }),
  lines({
    id: 44,
    title: 'Classes loaded',
    about:
      'Classes (jvm_class_count, or Micrometer’s jvm_classes_loaded_classes). Growth without end is a leak of class loaders.',
    unit: 'short',
    queries: [
      series(either(sum(chosen.value(jvm.classes), PROCESS), sum(chosen.value(jvm.clientClasses), PROCESS)), WHO),
    ],
    empty: NO_JVM,
  }),
])
