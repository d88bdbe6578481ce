// Metrics that applications have, declared as if they were ours: by OpenTelemetry's semantic conventions, as the sidecar shows
// what comes over OTLP (docs/otlp-metrics.md), and by the names of the usual libraries for Prometheus (prom-client,
// Micrometer, prometheus_client, client_golang), as it shows the application's own /metrics (docs/scrape.md).
// https://opentelemetry.io/docs/specs/semconv/runtime/

import * as family from '../../metrics/family.ts'

/** The service that sent it over OTLP; Prometheus renames its `job`, unless the scrape says `honor_labels`. */
const SENDER = 'exported_job'
type Sender = typeof SENDER

function gauge<const L extends string = never>(name: string, help: string, labels: readonly L[] = []) {
  return family.gauge<L | Sender>(name, help, [...labels, SENDER])
}
function counter<const L extends string = never>(name: `${string}_total`, help: string, labels: readonly L[] = []) {
  return family.counter<L | Sender>(name, help, [...labels, SENDER])
}
function histogram<const L extends string = never>(name: string, help: string, labels: readonly L[] = []) {
  return family.histogram<L | Sender>(name, help, [...labels, SENDER], [])
}

const OTEL = 'By the semantic conventions of OpenTelemetry.'
const of = (library: string) => `As ${library} names it.`
const PROM_CLIENT = of('prom-client')
const MICROMETER = of('Micrometer')
const PYTHON = of('prometheus_client')
const GOLANG = of('client_golang')

export const http = {
  server: histogram('http_server_request_duration_seconds', OTEL, [
    'http_request_method',
    'http_route',
    'http_response_status_code',
    'error_type',
  ]),
  /** Before the conventions were stable. */
  oldServer: histogram('http_server_duration_milliseconds', OTEL, ['http_method', 'http_route', 'http_status_code']),
  micrometer: histogram('http_server_requests_seconds', MICROMETER, ['method', 'uri', 'status']),
  active: gauge('http_server_active_requests', OTEL, ['http_request_method']),
  client: histogram('http_client_request_duration_seconds', OTEL, [
    'http_request_method',
    'server_address',
    'http_response_status_code',
    'error_type',
  ]),
  micrometerClient: histogram('http_client_requests_seconds', MICROMETER, ['method', 'client_name', 'status']),
} as const

export const db = {
  operation: histogram('db_client_operation_duration_seconds', OTEL, ['db_system_name', 'db_operation_name']),
  connections: gauge('db_client_connection_count', OTEL, ['db_client_connection_state']),
  pending: gauge('db_client_connection_pending_requests', OTEL),
  hikariActive: gauge('hikaricp_connections_active', MICROMETER),
  hikariIdle: gauge('hikaricp_connections_idle', MICROMETER),
  hikariPending: gauge('hikaricp_connections_pending', MICROMETER),
} as const

export const node = {
  delayP50: gauge('nodejs_eventloop_delay_p50_seconds', OTEL),
  delayP99: gauge('nodejs_eventloop_delay_p99_seconds', OTEL),
  lagP50: gauge('nodejs_eventloop_lag_p50_seconds', PROM_CLIENT),
  lagP99: gauge('nodejs_eventloop_lag_p99_seconds', PROM_CLIENT),
  utilization: gauge('nodejs_eventloop_utilization_ratio', OTEL),
  time: counter('nodejs_eventloop_time_seconds_total', OTEL, ['nodejs_eventloop_state']),
  heapUsed: gauge('v8js_memory_heap_used_bytes', OTEL, ['v8js_heap_space_name']),
  heapLimit: gauge('v8js_memory_heap_limit_bytes', OTEL, ['v8js_heap_space_name']),
  gc: histogram('v8js_gc_duration_seconds', OTEL, ['v8js_gc_type']),
  clientHeapUsed: gauge('nodejs_heap_size_used_bytes', PROM_CLIENT),
  clientHeapTotal: gauge('nodejs_heap_size_total_bytes', PROM_CLIENT),
  clientExternal: gauge('nodejs_external_memory_bytes', PROM_CLIENT),
  clientGc: histogram('nodejs_gc_duration_seconds', PROM_CLIENT, ['kind']),
  clientResources: gauge('nodejs_active_resources', PROM_CLIENT, ['type']),
} as const

export const jvm = {
  /** Both have this name, with labels of their own. */
  used: gauge('jvm_memory_used_bytes', OTEL, ['jvm_memory_type', 'area']),
  committed: gauge('jvm_memory_committed_bytes', OTEL, ['jvm_memory_type', 'area']),
  limit: gauge('jvm_memory_limit_bytes', OTEL, ['jvm_memory_type']),
  afterGc: gauge('jvm_memory_used_after_last_gc_bytes', OTEL, ['jvm_memory_type']),
  gc: histogram('jvm_gc_duration_seconds', OTEL, ['jvm_gc_name', 'jvm_gc_action']),
  threads: gauge('jvm_thread_count', OTEL, ['jvm_thread_state']),
  cpu: gauge('jvm_cpu_recent_utilization_ratio', OTEL),
  classes: gauge('jvm_class_count', OTEL),
  clientMax: gauge('jvm_memory_max_bytes', MICROMETER, ['area']),
  clientLive: gauge('jvm_gc_live_data_size_bytes', MICROMETER),
  clientPause: histogram('jvm_gc_pause_seconds', MICROMETER, ['action', 'cause']),
  clientThreads: gauge('jvm_threads_states_threads', MICROMETER, ['state']),
  clientCpu: gauge('process_cpu_usage', MICROMETER),
  clientClasses: gauge('jvm_classes_loaded_classes', MICROMETER),
} as const

export const python = {
  collections: counter('cpython_gc_collections_total', OTEL, ['cpython_gc_generation']),
  collected: counter('cpython_gc_collected_objects_total', OTEL, ['cpython_gc_generation']),
  uncollectable: counter('cpython_gc_uncollectable_objects_total', OTEL, ['cpython_gc_generation']),
  threads: gauge('process_thread_count', OTEL),
  clientCollections: counter('python_gc_collections_total', PYTHON, ['generation']),
  clientCollected: counter('python_gc_objects_collected_total', PYTHON, ['generation']),
  clientUncollectable: counter('python_gc_objects_uncollectable_total', PYTHON, ['generation']),
} as const

export const go = {
  goroutines: gauge('go_goroutine_count', OTEL),
  used: gauge('go_memory_used_bytes', OTEL, ['go_memory_type']),
  goal: gauge('go_memory_gc_goal_bytes', OTEL),
  limit: gauge('go_memory_limit_bytes', OTEL),
  allocated: counter('go_memory_allocated_bytes_total', OTEL),
  schedule: histogram('go_schedule_duration_seconds', OTEL),
  clientGoroutines: gauge('go_goroutines', GOLANG),
  clientThreads: gauge('go_threads', GOLANG),
  clientHeap: gauge('go_memstats_heap_inuse_bytes', GOLANG),
  clientStack: gauge('go_memstats_stack_inuse_bytes', GOLANG),
  clientGoal: gauge('go_memstats_next_gc_bytes', GOLANG),
  clientLimit: gauge('go_gc_gomemlimit_bytes', GOLANG),
  clientAllocated: counter('go_memstats_alloc_bytes_total', GOLANG),
  clientSchedule: histogram('go_sched_latencies_seconds', GOLANG),
  /** A summary; its largest quantile is the longest pause. */
  clientPause: gauge('go_gc_duration_seconds', GOLANG, ['quantile']),
} as const
