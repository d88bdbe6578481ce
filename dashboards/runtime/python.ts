// CPython: its garbage collector and threads.

import { chosen, folded, type Row } from '../board.ts'
import { lines } from '../panels.ts'
import { copied, sum } from '../promql.ts'
import { series } from '../query.ts'
import { either, PROCESS, WHO } from './measures.ts'
import { python } from './names.ts'

const NO_PYTHON = 'no metrics of Python: neither cpython.gc.… over OTLP nor those of prometheus_client'
const BY = `${WHO} generation {{generation}}` as const

/** By generation, which either convention names in its own way. */
const generations = (otel: typeof python.collections, client: typeof python.clientCollections) =>
  either(
    sum(copied(chosen.rate(otel), 'cpython_gc_generation', 'generation'), [...PROCESS, 'generation']),
    sum(chosen.rate(client), [...PROCESS, 'generation']),
  )

export const pythonRow: Row = folded(500, 'Python', [
  lines({
    id: 50,
    title: 'Collections by generation',
    about:
      'Garbage collections per second (cpython_gc_collections_total, or python_gc_collections_total). Each of generation 2 looks at all objects, and stops the program for it.',
    unit: 'cps',
    queries: [series(generations(python.collections, python.clientCollections), BY)],
    empty: NO_PYTHON,
  }),
  lines({
    id: 51,
    title: 'Objects collected',
    about:
      'Objects per second that only the collector could free, since they refer to each other (cpython_gc_collected_objects_total, or python_gc_objects_collected_total).',
    unit: 'cps',
    queries: [series(generations(python.collected, python.clientCollected), BY)],
    empty: NO_PYTHON,
  }),
  lines({
    id: 52,
    title: 'Objects that cannot be collected',
    about:
      'Per second (cpython_gc_uncollectable_objects_total, or python_gc_objects_uncollectable_total). Above 0 is a leak.',
    unit: 'cps',
    queries: [series(generations(python.uncollectable, python.clientUncollectable), BY)],
    empty: NO_PYTHON,
  }),
  lines({
    id: 53,
    title: 'Threads of the process',
    about: 'Threads, as the SDK counts them (process_thread_count). A number that only rises is a leak.',
    unit: 'short',
    queries: [series(sum(chosen.value(python.threads), PROCESS), WHO)],
    empty: 'process.thread.count is not sent; the Process dashboard counts threads by itself',
  }),
])
