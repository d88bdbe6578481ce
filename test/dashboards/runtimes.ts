// An application that has a runtime of every kind at once: its metrics by OpenTelemetry's conventions, as an Export…Request in
// JSON, and by the names of the libraries for Prometheus, as a page.

type Attributes = Readonly<Record<string, string | number>>
type Instrument = readonly [
  kind: 'gauge' | 'updown' | 'counter' | 'histogram',
  name: string,
  unit: string,
  attributes?: Attributes,
]

/** https://opentelemetry.io/docs/specs/semconv/: http, database, runtime. */
const INSTRUMENTS: readonly Instrument[] = [
  ...['200', '500'].map(
    (status): Instrument => [
      'histogram',
      'http.server.request.duration',
      's',
      { 'http.request.method': 'GET', 'http.route': '/orders', 'http.response.status_code': Number(status) },
    ],
  ),
  ['histogram', 'http.server.duration', 'ms', { 'http.route': '/old', 'http.status_code': 500 }],
  ['updown', 'http.server.active_requests', '{request}', { 'http.request.method': 'GET' }],
  ['histogram', 'http.client.request.duration', 's', { 'server.address': 'payment.example' }],
  ['histogram', 'db.client.operation.duration', 's', { 'db.system.name': 'postgresql' }],
  ['updown', 'db.client.connection.count', '{connection}', { 'db.client.connection.state': 'used' }],
  ['updown', 'db.client.connection.pending_requests', '{request}'],
  ['gauge', 'nodejs.eventloop.delay.p50', 's'],
  ['gauge', 'nodejs.eventloop.delay.p99', 's'],
  ['gauge', 'nodejs.eventloop.utilization', '1'],
  ...['active', 'idle'].map(
    (state): Instrument => ['counter', 'nodejs.eventloop.time', 's', { 'nodejs.eventloop.state': state }],
  ),
  ['gauge', 'v8js.memory.heap.used', 'By', { 'v8js.heap.space.name': 'new_space' }],
  ['gauge', 'v8js.memory.heap.limit', 'By', { 'v8js.heap.space.name': 'new_space' }],
  ['histogram', 'v8js.gc.duration', 's', { 'v8js.gc.type': 'minor' }],
  ['updown', 'jvm.memory.used', 'By', { 'jvm.memory.type': 'heap' }],
  ['updown', 'jvm.memory.used', 'By', { area: 'heap' }],
  ['updown', 'jvm.memory.committed', 'By', { 'jvm.memory.type': 'heap' }],
  ['updown', 'jvm.memory.committed', 'By', { area: 'heap' }],
  ['updown', 'jvm.memory.limit', 'By', { 'jvm.memory.type': 'heap' }],
  ['updown', 'jvm.memory.used_after_last_gc', 'By', { 'jvm.memory.type': 'heap' }],
  ['histogram', 'jvm.gc.duration', 's', { 'jvm.gc.name': 'G1', 'jvm.gc.action': 'end of minor GC' }],
  ['updown', 'jvm.thread.count', '{thread}', { 'jvm.thread.state': 'runnable' }],
  ['gauge', 'jvm.cpu.recent_utilization', '1'],
  ['updown', 'jvm.class.count', '{class}'],
  ['counter', 'cpython.gc.collections', '{collection}', { 'cpython.gc.generation': 0 }],
  ['counter', 'cpython.gc.collected_objects', '{object}', { 'cpython.gc.generation': 0 }],
  ['counter', 'cpython.gc.uncollectable_objects', '{object}', { 'cpython.gc.generation': 0 }],
  ['updown', 'process.thread.count', '{thread}'],
  ['updown', 'go.goroutine.count', '{goroutine}'],
  ['updown', 'go.memory.used', 'By', { 'go.memory.type': 'other' }],
  ['updown', 'go.memory.gc.goal', 'By'],
  ['updown', 'go.memory.limit', 'By'],
  ['counter', 'go.memory.allocated', 'By'],
  ['histogram', 'go.schedule.duration', 's'],
]

const started = BigInt(Date.now()) * 1_000_000n

/** The n-th report of all of them, as service `orders`. */
export function otlpMetrics(n: number): string {
  const now = BigInt(Date.now()) * 1_000_000n
  const times = { startTimeUnixNano: String(started), timeUnixNano: String(now) }
  const attribute = ([key, value]: [string, string | number]) => ({
    key,
    value: typeof value === 'number' ? { intValue: String(value) } : { stringValue: value },
  })
  const metrics = INSTRUMENTS.map(([kind, name, unit, attributes = {}]) => {
    const point = { ...times, attributes: Object.entries(attributes).map(attribute) }
    const number = { dataPoints: [{ ...point, asDouble: n }] }
    const common = { name, unit }
    if (kind === 'gauge') return { ...common, gauge: number }
    if (kind !== 'histogram')
      return { ...common, sum: { aggregationTemporality: 2, isMonotonic: kind === 'counter', ...number } }
    const shape = { explicitBounds: [0.1, 1], bucketCounts: [String(n), String(n), '0'], count: String(2 * n), sum: n }
    return { ...common, histogram: { aggregationTemporality: 2, dataPoints: [{ ...point, ...shape }] } }
  })
  const resource = { attributes: [attribute(['service.name', 'orders'])] }
  return JSON.stringify({ resourceMetrics: [{ resource, scopeMetrics: [{ metrics }] }] })
}

/** The n-th page of an application with prom-client, Micrometer, prometheus_client and client_golang. */
export function page(n: number): string {
  const gauge = (name: string, labels = '') => [`# TYPE ${name} gauge`, `${name}${labels} ${n}`]
  const counter = (name: string, labels = '') => [`# TYPE ${name} counter`, `${name}${labels} ${n}`]
  const histogram = (name: string, labels: string) => {
    const bucket = (le: string, count: number) =>
      `${name}_bucket{${[labels, `le="${le}"`].filter(Boolean).join(',')}} ${count}`
    const braces = labels && `{${labels}}`
    return [
      `# TYPE ${name} histogram`,
      ...[bucket('0.1', n), bucket('1', 2 * n), bucket('+Inf', 2 * n)],
      ...[`${name}_sum${braces} ${n}`, `${name}_count${braces} ${2 * n}`],
    ]
  }
  return [
    ...histogram('http_server_requests_seconds', 'method="GET",uri="/carts",status="500"'),
    ...histogram('http_client_requests_seconds', 'method="GET",client_name="stock.example",status="200"'),
    ...['hikaricp_connections_active', 'hikaricp_connections_idle', 'hikaricp_connections_pending'].flatMap(name =>
      gauge(name),
    ),
    ...['nodejs_eventloop_lag_p50_seconds', 'nodejs_eventloop_lag_p99_seconds'].flatMap(name => gauge(name)),
    ...['nodejs_heap_size_used_bytes', 'nodejs_heap_size_total_bytes', 'nodejs_external_memory_bytes'].flatMap(name =>
      gauge(name),
    ),
    ...gauge('nodejs_active_resources', '{type="Timeout"}'),
    ...histogram('nodejs_gc_duration_seconds', 'kind="minor"'),
    ...gauge('jvm_memory_max_bytes', '{area="heap"}'),
    ...gauge('jvm_gc_live_data_size_bytes'),
    ...histogram('jvm_gc_pause_seconds', 'action="end of minor GC",cause="G1"'),
    ...gauge('jvm_threads_states_threads', '{state="runnable"}'),
    ...['process_cpu_usage', 'jvm_classes_loaded_classes'].flatMap(name => gauge(name)),
    ...[
      'python_gc_collections_total',
      'python_gc_objects_collected_total',
      'python_gc_objects_uncollectable_total',
    ].flatMap(name => counter(name, '{generation="0"}')),
    ...['go_goroutines', 'go_threads', 'go_memstats_heap_inuse_bytes', 'go_memstats_stack_inuse_bytes'].flatMap(name =>
      gauge(name),
    ),
    ...['go_memstats_next_gc_bytes', 'go_gc_gomemlimit_bytes'].flatMap(name => gauge(name)),
    ...counter('go_memstats_alloc_bytes_total'),
    ...histogram('go_sched_latencies_seconds', ''),
    '# TYPE go_gc_duration_seconds summary',
    ...[
      `go_gc_duration_seconds{quantile="1"} ${n}`,
      `go_gc_duration_seconds_sum ${n}`,
      `go_gc_duration_seconds_count ${n}`,
    ],
  ]
    .map(line => `${line}\n`)
    .join('')
}

/** Sends the reports of all of them all the time. */
export function reporter(otlp: string): AsyncDisposable {
  let n = 0
  const timer = setInterval(() => {
    const headers = { 'content-type': 'application/json' }
    fetch(`${otlp}/v1/metrics`, { method: 'POST', headers, body: otlpMetrics(++n) }).then(
      answer => answer.text(),
      () => {},
    )
  }, 500)
  return {
    async [Symbol.asyncDispose]() {
      clearInterval(timer)
    },
  }
}
