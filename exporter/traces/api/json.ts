// The engine's results as the JSON that Tempo answers: 64-bit numbers are strings, and what is zero or empty is left out.
// Grafana reads it strictly, so nothing of our own may be added. A large answer is written in slices.

import type { Pace } from '../../../traceql/reading.ts'
import type {
  FoundSeries,
  FoundSpan,
  FoundSpanset,
  FoundTrace,
  Labelled,
  SearchResult,
  SeriesResult,
} from '../../../traceql/results.ts'
import { durationText, type Static } from '../../../traceql/static.ts'
import { double } from '../json.ts'

/** These take some milliseconds to write. */
const SPANS_A_TURN = 1000
const SAMPLES_A_TURN = 5000

const NO_ROOT = '<root span not yet received>'

export async function searchJson(
  { traces, inspectedBytes, partial }: SearchResult,
  withSets: boolean,
  pace: Pace,
): Promise<string> {
  const parts: string[] = []
  let spans = 0
  for (const trace of traces) {
    for (const set of trace.spansets) spans += set.spans.length
    if (spans > SPANS_A_TURN) {
      await pace.turn()
      spans = 0
    }
    parts.push(traceJson(trace, withSets))
  }
  return `{"traces":[${parts.join(',')}],"metrics":${searched(traces.length, inspectedBytes, partial !== undefined)}}`
}

/** A search that is not complete has a job more than it has completed: Grafana refuses answers with fields of our own. */
function searched(traces: number, bytes: number, partial: boolean): string {
  const inspected = traces > 0 ? `"inspectedTraces":${traces},` : ''
  return `{${inspected}"inspectedBytes":"${bytes}","completedJobs":1,"totalJobs":${partial ? 2 : 1}}`
}

function traceJson(trace: FoundTrace, withSets: boolean): string {
  const { id, rootService = NO_ROOT, rootName, startNanos, durationNanos, spansets, services } = trace
  const ms = Math.floor(durationNanos / 1e6)
  const sets = withSets ? spansets.map(setJson) : []
  return object([
    `"traceID":"${id}"`,
    `"rootServiceName":${JSON.stringify(rootService)}`,
    rootName ? `"rootTraceName":${JSON.stringify(rootName)}` : '',
    `"startTimeUnixNano":"${startNanos}"`,
    ms > 0 ? `"durationMs":${ms}` : '',
    sets.length > 0 ? `"spanSet":${sets[0]}` : '',
    sets.length > 0 ? `"spanSets":[${sets.join(',')}]` : '',
    `"serviceStats":{${[...services].map(([name, { spans, errors }]) => `${JSON.stringify(name)}:${object([`"spanCount":${spans}`, errors > 0 ? `"errorCount":${errors}` : ''])}`).join(',')}}`,
  ])
}

function setJson({ matched, spans, attributes }: FoundSpanset): string {
  return object([
    spans.length > 0 ? `"spans":[${spans.map(spanJson).join(',')}]` : '',
    matched > 0 ? `"matched":${matched}` : '',
    attributes.length > 0 ? `"attributes":${labelsJson(attributes)}` : '',
  ])
}

function spanJson({ id, name, startNanos, durationNanos, attributes }: FoundSpan): string {
  return object([
    `"spanID":"${id}"`,
    name === '' ? '' : `"name":${JSON.stringify(name)}`,
    `"startTimeUnixNano":"${startNanos}"`,
    durationNanos > 0 ? `"durationNanos":"${durationNanos}"` : '',
    attributes.length > 0 ? `"attributes":${labelsJson(attributes)}` : '',
  ])
}

export async function seriesJson({ series, inspectedBytes, partial }: SeriesResult, pace: Pace): Promise<string> {
  const parts: string[] = []
  let samples = 0
  for (const each of series) {
    samples += each.samples.length
    if (samples > SAMPLES_A_TURN) {
      await pace.turn()
      samples = 0
    }
    parts.push(oneSeries(each))
  }
  return `{"series":[${parts.join(',')}],"metrics":${job(inspectedBytes)}${status(partial)}}`
}

/** The last sample of each series, for a query at one time. */
export function instantJson({ series, inspectedBytes, partial }: SeriesResult): string {
  const parts = series.map(({ labels, samples }) => {
    const value = samples.at(-1)?.value ?? 0
    return object([`"labels":${labelsJson(labels)}`, value === 0 ? '' : `"value":${double(value)}`])
  })
  return `{"series":[${parts.join(',')}],"metrics":${job(inspectedBytes)}${status(partial)}}`
}

function job(bytes: number): string {
  return `{"inspectedBytes":"${bytes}","completedJobs":1,"totalJobs":1}`
}

function status(partial: string | undefined): string {
  return partial === undefined ? '' : `,"status":"PARTIAL","message":${JSON.stringify(partial)}`
}

function oneSeries({ labels, samples, exemplars }: FoundSeries): string {
  const points = samples.map(({ ms, value }) =>
    object([`"timestampMs":"${ms}"`, value === 0 ? '' : `"value":${double(value)}`]),
  )
  const marks = exemplars.map(each =>
    object([
      `"labels":${labelsJson(each.labels)}`,
      each.value === 0 ? '' : `"value":${double(each.value)}`,
      `"timestampMs":"${each.ms}"`,
    ]),
  )
  return object([
    `"labels":${labelsJson(labels)}`,
    `"samples":[${points.join(',')}]`,
    marks.length > 0 ? `"exemplars":[${marks.join(',')}]` : '',
  ])
}

function labelsJson(labels: readonly Labelled[]): string {
  return `[${labels.map(([key, value]) => `{"key":${JSON.stringify(key)},"value":${valueJson(value)}}`).join(',')}]`
}

/** An AnyValue; what OTLP has no type for is text. */
function valueJson(value: Static): string {
  switch (value.type) {
    case 'nil':
      return '{"stringValue":"nil"}'
    case 'int':
      return `{"intValue":"${value.value}"}`
    case 'float':
      return `{"doubleValue":${double(value.value)}}`
    case 'boolean':
      return `{"boolValue":${value.value}}`
    case 'duration':
      return `{"stringValue":${JSON.stringify(durationText(value.value))}}`
    case 'array':
      return `{"arrayValue":{"values":[${value.value.map(valueJson).join(',')}]}}`
    case 'string':
    case 'status':
    case 'kind':
      return `{"stringValue":${JSON.stringify(value.value)}}`
  }
}

function object(members: readonly string[]): string {
  return `{${members.filter(each => each !== '').join(',')}}`
}
