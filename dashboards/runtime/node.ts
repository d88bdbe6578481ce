// Node.js: its event loop, its heap, and the garbage collector.

import { chosen, folded, type Row } from '../board.ts'
import { lines } from '../panels.ts'
import { copied, max, share, sum } from '../promql.ts'
import { series } from '../query.ts'
import { SATURATION_STEPS } from '../terms.ts'
import { either, PROCESS, WHO } from './measures.ts'
import { node } from './names.ts'

const NO_NODE = 'no metrics of Node.js: neither nodejs.… and v8js.… over OTLP nor prom-client’s default metrics'

export const nodeRow: Row = folded(300, 'Node.js', [
  lines({
    id: 30,
    title: 'Event loop delay',
    about:
      'How much later than due timers run, half and 99 of 100 (nodejs_eventloop_delay_…_seconds, or prom-client’s nodejs_eventloop_lag_…_seconds). Above 100 ms something blocks the loop.',
    unit: 's',
    queries: [
      series(either(max(chosen.value(node.delayP99), PROCESS), max(chosen.value(node.lagP99), PROCESS)), `${WHO} p99`),
      series(either(max(chosen.value(node.delayP50), PROCESS), max(chosen.value(node.lagP50), PROCESS)), `${WHO} p50`),
    ],
    empty: NO_NODE,
  }),
  lines({
    id: 31,
    title: 'Event loop utilization',
    about:
      'Share of the time in which the loop did not wait for events (nodejs_eventloop_utilization_ratio, or nodejs_eventloop_time_seconds_total by state). Near 100 % it is saturated.',
    unit: 'percentunit',
    queries: [
      series(
        either(
          max(chosen.value(node.utilization), PROCESS),
          share(
            sum(chosen.rate(node.time, { nodejs_eventloop_state: 'active' }), PROCESS),
            sum(chosen.rate(node.time), PROCESS),
          ),
        ),
        WHO,
      ),
    ],
    empty: NO_NODE,
    steps: SATURATION_STEPS,
  }),
  lines({
    id: 32,
    title: 'Heap of V8',
    about:
      'Memory of objects, and the limit or total (v8js_memory_heap_…_bytes, or prom-client’s nodejs_heap_size_…_bytes), and of buffers outside the heap (nodejs_external_memory_bytes). A floor that only rises is a leak.',
    unit: 'bytes',
    queries: [
      series(
        either(sum(chosen.value(node.heapUsed), PROCESS), sum(chosen.value(node.clientHeapUsed), PROCESS)),
        `${WHO} used`,
      ),
      series(
        either(sum(chosen.value(node.heapLimit), PROCESS), sum(chosen.value(node.clientHeapTotal), PROCESS)),
        `${WHO} limit or total`,
      ),
      series(sum(chosen.value(node.clientExternal), PROCESS), `${WHO} external`),
    ],
    empty: NO_NODE,
  }),
  lines({
    id: 33,
    title: 'Garbage collection of V8',
    about:
      'Share of the time that the garbage collector took, by kind (v8js_gc_duration_seconds, or prom-client’s nodejs_gc_duration_seconds). Above 10 % the heap is too small, or too much is allocated.',
    unit: 'percentunit',
    queries: [
      series(
        either(
          sum(copied(chosen.summed(node.gc), 'v8js_gc_type', 'kind'), [...PROCESS, 'kind']),
          sum(chosen.summed(node.clientGc), [...PROCESS, 'kind']),
        ),
        `${WHO} {{kind}}`,
      ),
    ],
    empty: NO_NODE,
  }),
  lines({
    id: 34,
    title: 'Active resources',
    about:
      'What keeps the event loop alive, by type: sockets, timers, requests (prom-client’s nodejs_active_resources). A type that only grows is a leak.',
    unit: 'short',
    queries: [series(sum(chosen.value(node.clientResources), [...PROCESS, 'type']), `${WHO} {{type}}`)],
    empty: 'only prom-client counts them',
  }),
])
