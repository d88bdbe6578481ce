// OTLP's messages as data (opentelemetry-proto 1.11.0). The structural check, the JSON transcoder and the error messages
// all read this one table, so the three signals are handled by the same code.

export type Scalar =
  | 'string'
  | 'bytes'
  /** Bytes that OTLP/JSON writes as hex instead of base64: trace and span ids. */
  | 'id'
  | 'bool'
  | 'int32'
  | 'uint32'
  | 'sint32'
  | 'int64'
  | 'uint64'
  | 'fixed32'
  | 'fixed64'
  | 'sfixed64'
  | 'double'

export interface Field {
  readonly number: number
  /** As in the .proto files. */
  readonly name: string
  readonly repeated: boolean
  /** Exactly one of the two: what the value is. */
  readonly scalar: Scalar | undefined
  readonly message: Message | undefined
  /** Names of an enum's values (its scalar is int32). */
  readonly names: ReadonlyMap<string, number> | undefined
}

export interface Message {
  readonly name: string
  /** Position in MESSAGES. */
  readonly index: number
  readonly fields: readonly Field[]
  /** By lowerCamelCase name, as OTLP/JSON spells it, and by the .proto name. */
  readonly named: ReadonlyMap<string, Field>
}

// One line per message: "number name type", where * marks a repeated field and a capital another message or an enum.
const GRAMMAR = `
TracesRequest: 1 resource_spans ResourceSpans*
ResourceSpans: 1 resource Resource, 2 scope_spans ScopeSpans*, 3 schema_url string
ScopeSpans: 1 scope Scope, 2 spans Span*, 3 schema_url string
Span: 1 trace_id id, 2 span_id id, 3 trace_state string, 4 parent_span_id id, 5 name string, 6 kind SpanKind, 7 start_time_unix_nano fixed64, 8 end_time_unix_nano fixed64, 9 attributes KeyValue*, 10 dropped_attributes_count uint32, 11 events Event*, 12 dropped_events_count uint32, 13 links Link*, 14 dropped_links_count uint32, 15 status Status, 16 flags fixed32
Event: 1 time_unix_nano fixed64, 2 name string, 3 attributes KeyValue*, 4 dropped_attributes_count uint32
Link: 1 trace_id id, 2 span_id id, 3 trace_state string, 4 attributes KeyValue*, 5 dropped_attributes_count uint32, 6 flags fixed32
Status: 2 message string, 3 code StatusCode
MetricsRequest: 1 resource_metrics ResourceMetrics*
ResourceMetrics: 1 resource Resource, 2 scope_metrics ScopeMetrics*, 3 schema_url string
ScopeMetrics: 1 scope Scope, 2 metrics Metric*, 3 schema_url string
Metric: 1 name string, 2 description string, 3 unit string, 5 gauge Gauge, 7 sum Sum, 9 histogram Histogram, 10 exponential_histogram ExponentialHistogram, 11 summary Summary, 12 metadata KeyValue*
Gauge: 1 data_points NumberDataPoint*
Sum: 1 data_points NumberDataPoint*, 2 aggregation_temporality AggregationTemporality, 3 is_monotonic bool
Histogram: 1 data_points HistogramDataPoint*, 2 aggregation_temporality AggregationTemporality
ExponentialHistogram: 1 data_points ExponentialHistogramDataPoint*, 2 aggregation_temporality AggregationTemporality
Summary: 1 data_points SummaryDataPoint*
NumberDataPoint: 2 start_time_unix_nano fixed64, 3 time_unix_nano fixed64, 4 as_double double, 5 exemplars Exemplar*, 6 as_int sfixed64, 7 attributes KeyValue*, 8 flags uint32
HistogramDataPoint: 2 start_time_unix_nano fixed64, 3 time_unix_nano fixed64, 4 count fixed64, 5 sum double, 6 bucket_counts fixed64*, 7 explicit_bounds double*, 8 exemplars Exemplar*, 9 attributes KeyValue*, 10 flags uint32, 11 min double, 12 max double
ExponentialHistogramDataPoint: 1 attributes KeyValue*, 2 start_time_unix_nano fixed64, 3 time_unix_nano fixed64, 4 count fixed64, 5 sum double, 6 scale sint32, 7 zero_count fixed64, 8 positive Buckets, 9 negative Buckets, 10 flags uint32, 11 exemplars Exemplar*, 12 min double, 13 max double, 14 zero_threshold double
Buckets: 1 offset sint32, 2 bucket_counts uint64*
SummaryDataPoint: 2 start_time_unix_nano fixed64, 3 time_unix_nano fixed64, 4 count fixed64, 5 sum double, 6 quantile_values ValueAtQuantile*, 7 attributes KeyValue*, 8 flags uint32
ValueAtQuantile: 1 quantile double, 2 value double
Exemplar: 2 time_unix_nano fixed64, 3 as_double double, 4 span_id id, 5 trace_id id, 6 as_int sfixed64, 7 filtered_attributes KeyValue*
LogsRequest: 1 resource_logs ResourceLogs*
ResourceLogs: 1 resource Resource, 2 scope_logs ScopeLogs*, 3 schema_url string
ScopeLogs: 1 scope Scope, 2 log_records LogRecord*, 3 schema_url string
LogRecord: 1 time_unix_nano fixed64, 2 severity_number SeverityNumber, 3 severity_text string, 5 body AnyValue, 6 attributes KeyValue*, 7 dropped_attributes_count uint32, 8 flags fixed32, 9 trace_id id, 10 span_id id, 11 observed_time_unix_nano fixed64, 12 event_name string
Resource: 1 attributes KeyValue*, 2 dropped_attributes_count uint32, 3 entity_refs EntityRef*
EntityRef: 1 schema_url string, 2 type string, 3 id_keys string*, 4 description_keys string*
Scope: 1 name string, 2 version string, 3 attributes KeyValue*, 4 dropped_attributes_count uint32
KeyValue: 1 key string, 2 value AnyValue, 3 key_strindex int32
AnyValue: 1 string_value string, 2 bool_value bool, 3 int_value int64, 4 double_value double, 5 array_value ArrayValue, 6 kvlist_value KeyValueList, 7 bytes_value bytes, 8 string_value_strindex int32
ArrayValue: 1 values AnyValue*
KeyValueList: 1 values KeyValue*
`

// JSON senders must write enums as integers; the names are accepted, as the Collector does.
const ENUMS: Readonly<Record<string, ReadonlyMap<string, number>>> = {
  SpanKind: numbered('SPAN_KIND_', ['UNSPECIFIED', 'INTERNAL', 'SERVER', 'CLIENT', 'PRODUCER', 'CONSUMER']),
  StatusCode: numbered('STATUS_CODE_', ['UNSET', 'OK', 'ERROR']),
  AggregationTemporality: numbered('AGGREGATION_TEMPORALITY_', ['UNSPECIFIED', 'DELTA', 'CUMULATIVE']),
  SeverityNumber: numbered('SEVERITY_NUMBER_', [
    'UNSPECIFIED',
    ...['TRACE', 'DEBUG', 'INFO', 'WARN', 'ERROR', 'FATAL'].flatMap(level => ['', 2, 3, 4].map(n => `${level}${n}`)),
  ]),
}

export const MESSAGES: readonly Message[] = compile(GRAMMAR)

export function message(name: string): Message {
  const found = MESSAGES.find(each => each.name === name)
  if (!found) throw new Error(`cannot find OTLP message: ${name}`)
  return found
}

/** The request of each signal. */
export const REQUESTS = {
  traces: message('TracesRequest'),
  metrics: message('MetricsRequest'),
  logs: message('LogsRequest'),
} as const

/** Whether messages of this type are what is counted: spans, data points, log records. */
export function isItem({ name }: Message): boolean {
  return name === 'Span' || name === 'LogRecord' || name.endsWith('DataPoint')
}

function compile(grammar: string): readonly Message[] {
  const lines = grammar.trim().split('\n')
  const messages = lines.map((line, index) => ({
    name: line.slice(0, line.indexOf(':')),
    index,
    fields: [] as Field[],
    named: new Map<string, Field>(),
  }))
  for (const [index, line] of lines.entries()) {
    const { fields, named } = messages[index]!
    for (const text of line.slice(line.indexOf(':') + 2).split(', ')) {
      const [number = '', name = '', declared = ''] = text.split(' ')
      const type = declared.replace('*', '')
      const names = ENUMS[type]
      const child = messages.find(each => each.name === type)
      // Any other type is a scalar: the grammar above is the only input.
      const scalar = names ? 'int32' : child ? undefined : (type as Scalar)
      const field = { number: Number(number), name, repeated: declared.endsWith('*'), scalar, message: child, names }
      fields.push(field)
      named.set(name, field)
      named.set(camel(name), field)
    }
  }
  return messages
}

function camel(name: string): string {
  return name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase())
}

function numbered(prefix: string, names: readonly string[]): ReadonlyMap<string, number> {
  return new Map(names.map((name, value) => [prefix + name, value]))
}
