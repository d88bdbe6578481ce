// Walks the metrics of a request and brings each data point to its series. The series of a point is found by the bytes
// of the point; names and labels are made only for a new series.
//
//   request = ResourceMetrics* 1      ResourceMetrics = Resource 1, ScopeMetrics* 2, schema URL 3
//   ScopeMetrics = Scope 1, Metric* 2, schema URL 3
//   Metric = name 1, description 2, unit 3, gauge 5 | sum 7 | histogram 9 | exponential histogram 10 | summary 11
//   gauge … summary = point* 1, temporality 2 (1 delta, 2 cumulative), monotonic 3

import { createHash } from 'node:crypto'
import type { ImportedFamily, ImportedSource, Shortage } from '../../metrics/imported.ts'
import type { ImportedType } from '../../metrics/sample.ts'
import { SERVICE_NAME } from '../../otlp/service.ts'
import { field, LENGTH, Reader, VARINT } from '../../otlp/wire.ts'
import type { Dropped } from '../../telemetry/consumer.ts'
import type { Request } from '../../telemetry/request.ts'
import { type Accumulator, isRefusal, type Outcome } from './accumulator.ts'
import { attributes, keyValuesOf, Labels, LONGEST_LABELS, MOST_LABELS, type Ranges } from './labels.ts'
import { metricName } from './names.ts'
import { Point, type PointKind } from './point.ts'
import { type Reason, Refusals } from './refusals.ts'
import { Resource, Scope, Stream } from './streams.ts'

const KINDS: ReadonlyMap<number, PointKind> = new Map([
  [field(5, LENGTH), 'number'],
  [field(7, LENGTH), 'number'],
  [field(9, LENGTH), 'histogram'],
  [field(10, LENGTH), 'exponential'],
  [field(11, LENGTH), 'summary'],
])
const GAUGE = field(5, LENGTH)
const SUM = field(7, LENGTH)
const SUMMARY = field(11, LENGTH)
const DELTA = 1
const CUMULATIVE = 2

/** Longer names are refused; OpenTelemetry allows 255 characters. */
const LONGEST_NAME = 255
const LONGEST_HELP = 1024
/** Bytes of the attributes of one point; longer ones would exceed the limit of labels. */
const LONGEST_ATTRIBUTES = 2 * LONGEST_LABELS
/** Longer keys of resources, scopes and metrics are kept as their hash. */
const LONGEST_KEY = 1024
/**
 * New series of one request that are examined before they are refused. If there is no room, further ones are refused at
 * once.
 */
const MOST_LOOKS = 1000
/** Attributes of a resource that become job and instance. */
const IDENTITY = ['service.namespace', SERVICE_NAME, 'service.instance.id']

interface PointOptions {
  readonly scope_labels: boolean
}

/** The metric that is being read. */
interface Current {
  readonly stream: Stream
  readonly name: string
  /** Why no series can be added to its family. */
  refused: Reason | undefined
}

export class PointIntake {
  /** Data points accepted so far; the refusals of a request count the others. */
  accepted = 0
  readonly #options: PointOptions
  readonly #source: ImportedSource
  readonly #accumulator: Accumulator
  #bytes: Buffer = Buffer.alloc(0)
  #refusals = new Refusals()
  #looks = 0
  // The pieces of the current ScopeMetrics' scope, and its schema URL.
  #scope: Ranges = []
  #schema = ''
  readonly #request = new Reader()
  readonly #resource = new Reader()
  readonly #scopes = new Reader()
  readonly #metric = new Reader()
  readonly #body = new Reader()
  readonly #inner = new Reader()
  readonly #point = new Point()

  constructor(options: PointOptions, source: ImportedSource, accumulator: Accumulator) {
    this.#options = options
    this.#source = source
    this.#accumulator = accumulator
  }

  take({ bytes }: Request): readonly Dropped[] | undefined {
    this.#bytes = bytes
    this.#refusals = new Refusals()
    this.#looks = 0
    this.#accumulator.begin()
    for (const request = this.#request.over(bytes, 0, bytes.length); request.next(); )
      if (request.tag === field(1, LENGTH)) this.#resourceMetrics(request.start, request.end)
    this.#bytes = Buffer.alloc(0)
    return this.#refusals.list()
  }

  /**
   * Why further new series of this request are refused at once: they are cheap to send, so they must be cheap to
   * refuse.
   */
  get #spent(): Shortage | undefined {
    return this.#looks >= MOST_LOOKS ? this.#source.shortage : undefined
  }

  #resourceMetrics(start: number, end: number): void {
    // The resource may come after its metrics, and in several pieces, so it is read first.
    const pieces: number[] = []
    for (const each = this.#resource.over(this.#bytes, start, end); each.next(); )
      if (each.tag === field(1, LENGTH)) addPiece(pieces, each.start, each.end)
    const key = this.#key(pieces)
    const known = this.#accumulator.resources.held.get(key)
    const resource = known ?? (this.#spent ? undefined : this.#newResource(key, pieces))
    const before = this.accepted
    for (const each = this.#resource.over(this.#bytes, start, end); each.next(); )
      if (each.tag === field(2, LENGTH)) this.#scopeMetrics(resource, each.start, each.end)
    if (resource && this.accepted > before)
      this.#accumulator.target(resource, () => this.#targetLabels(resource, pieces))
  }

  #newResource(key: string, pieces: Ranges): Resource {
    const found = new Map(attributes(this.#bytes, keyValuesOf(this.#bytes, pieces, 1), LONGEST_LABELS))
    const [namespace = '', name = '', instance = ''] = IDENTITY.map(each => found.get(each))
    const job = namespace === '' || name === '' ? name : `${namespace}/${name}`
    return new Resource(this.#accumulator.resources, key, job, instance)
  }

  /** Labels of target_info; undefined if there are none to add, or no job and instance to join them by. */
  #targetLabels({ job, instance }: Resource, pieces: Ranges): string | undefined {
    if (job === '' && instance === '') return undefined
    const labels = new Labels().own('job', job).own('instance', instance)
    const identity = labels.size
    // These labels only describe, so long values may be cut; labels of a series identify it, so they may not.
    labels.attributes(this.#bytes, keyValuesOf(this.#bytes, pieces, 1).slice(0, 2 * MOST_LABELS), {
      except: IDENTITY,
      cut: 256,
    })
    return labels.size === identity ? undefined : labels.text()
  }

  #scopeMetrics(resource: Resource | undefined, start: number, end: number): void {
    const pieces: number[] = []
    let [schemaStart, schemaEnd] = [0, 0]
    for (const each = this.#scopes.over(this.#bytes, start, end); each.next(); )
      if (each.tag === field(1, LENGTH)) addPiece(pieces, each.start, each.end)
      else if (each.tag === field(3, LENGTH)) [schemaStart, schemaEnd] = [each.start, each.end]
    this.#scope = pieces
    this.#schema = this.#bytes.toString('utf8', schemaStart, schemaEnd)
    const key = this.#key([...pieces, schemaStart, schemaEnd])
    const scope = resource && (resource.scopes.get(key) ?? new Scope(resource, key))
    for (const each = this.#scopes.over(this.#bytes, start, end); each.next(); )
      if (each.tag === field(2, LENGTH)) this.#metricAt(scope, each.start, each.end)
  }

  #metricAt(scope: Scope | undefined, start: number, end: number): void {
    const bytes = this.#bytes
    let [nameStart, nameEnd, helpStart, helpEnd, unitStart, unitEnd] = [0, 0, 0, 0, 0, 0]
    // The data: pieces of one kind are one message. In a oneof the last kind wins, and earlier data of another kind is
    // ignored.
    let [type, since, points, temporality, monotonic] = [0, 0, 0, 0, false]
    for (const each = this.#metric.over(bytes, start, end); each.next(); )
      if (each.tag === field(1, LENGTH)) [nameStart, nameEnd] = [each.start, each.end]
      else if (each.tag === field(2, LENGTH)) [helpStart, helpEnd] = [each.start, each.end]
      else if (each.tag === field(3, LENGTH)) [unitStart, unitEnd] = [each.start, each.end]
      else if (KINDS.has(each.tag)) {
        if (each.tag !== type) {
          this.#refuse('invalid_point', points, 'a metric with two kinds of data')
          type = each.tag
          since = each.start
          points = temporality = 0
          monotonic = false
        }
        for (const body = this.#body.over(bytes, each.start, each.end); body.next(); )
          if (body.tag === field(1, LENGTH)) points++
          else if (body.tag === field(2, VARINT)) temporality = body.int32
          else if (body.tag === field(3, VARINT)) monotonic = body.low !== 0 || body.high !== 0
      }
    const kind = KINDS.get(type)
    if (!kind || points === 0) return
    const name = bytes.toString('utf8', nameStart, Math.min(nameEnd, nameStart + 4 * LONGEST_NAME))
    if (type === GAUGE || type === SUMMARY) temporality = CUMULATIVE
    if (temporality !== DELTA && temporality !== CUMULATIVE) {
      this.#refuse('unspecified_temporality', points, name)
      return
    }

    const key = `${type} ${temporality} ${monotonic} ${this.#key([nameStart, nameEnd, unitStart, unitEnd])}`
    let stream = scope?.streams.get(key)
    if (!stream) {
      const spent = this.#spent
      if (!scope || spent) {
        this.#refuse(spent ?? 'series_limit', points, name)
        return
      }
      if (this.#looks >= MOST_LOOKS && this.#source.crowded) {
        this.#refuse('family_limit', points, name)
        return
      }
      const unit = bytes.toString('utf8', unitStart, Math.min(unitEnd, unitStart + LONGEST_NAME))
      const family: ImportedFamily = {
        ...metricName(name, unit, type === GAUGE ? 'gauge' : type === SUM && monotonic ? 'counter' : 'other'),
        type: typeOf(type, monotonic),
        help: bytes.toString('utf8', helpStart, Math.min(helpEnd, helpStart + LONGEST_HELP)),
      }
      if (family.name === '' || family.name.length > LONGEST_NAME) {
        this.#refuse('invalid_name', points, name)
        return
      }
      stream = new Stream(scope, key, family, temporality === DELTA)
    }
    const current: Current = { stream, name, refused: undefined }
    for (const each = this.#metric.over(bytes, start, end); each.next(); )
      if (each.tag === type && each.start >= since)
        for (const body = this.#body.over(bytes, each.start, each.end); body.next(); )
          if (body.tag === field(1, LENGTH)) this.#take(current, kind, body.start, body.end)
  }

  #take(current: Current, kind: PointKind, start: number, end: number): void {
    this.#point.read(kind, this.#bytes, start, end)
    const outcome = this.#pointAt(current)
    if (!isRefusal(outcome)) this.accepted++
    else this.#refuse(outcome, 1, outcome === 'invalid_point' ? `${current.name} ${this.#point.problem}` : current.name)
  }

  #pointAt(current: Current): Outcome {
    const { stream } = current
    const point = this.#point
    const { attributes } = point
    if (!point.ended) {
      if (stream.family.type === 'counter' && !(Number(point.value) >= 0))
        point.problem ||= 'is a counter and below 0, or not a number'
      // Added once, it would never leave the sum.
      if (stream.delta && typeof point.value === 'number' && !Number.isFinite(point.value))
        point.problem ||= 'is a delta that is not finite'
      if (point.problem !== '') return 'invalid_point'
    }
    const [first = 0, last = 0] = [attributes[0], attributes.at(-1)]
    if (last - first > LONGEST_ATTRIBUTES) return 'label_limit'
    // The bytes from the first to the last attribute. Fields in between become part of the key, which does no harm.
    const key = this.#bytes.toString('latin1', first, last)
    const held = stream.points.get(key)
    if (held && !held.series.gone) return this.#accumulator.update(held, stream, key, point, this.#bytes)
    if (point.ended) return 'taken'
    if (current.refused) return current.refused
    const spent = this.#spent
    if (spent) return spent
    const labels = this.#labels(stream, attributes)
    const outcome =
      labels === undefined ? 'label_limit' : this.#accumulator.learn(labels, stream, key, point, this.#bytes)
    if (isRefusal(outcome)) this.#looks++
    if (outcome === 'name_collision' || outcome === 'type_conflict' || outcome === 'family_limit')
      current.refused = outcome
    return outcome
  }

  /** The labels of a new series; undefined if they are too many or too long. */
  #labels({ scope }: Stream, own: Ranges): string | undefined {
    const bytes = this.#bytes
    const labels = new Labels().own('job', scope.resource.job).own('instance', scope.resource.instance)
    if (this.#options.scope_labels) {
      let [name, version] = ['', '']
      for (let i = 0; i < this.#scope.length; i += 2)
        for (const each = this.#inner.over(bytes, this.#scope[i]!, this.#scope[i + 1]!); each.next(); )
          if (each.tag === field(1, LENGTH)) name = bytes.toString('utf8', each.start, each.end)
          else if (each.tag === field(2, LENGTH)) version = bytes.toString('utf8', each.start, each.end)
      labels.own('otel_scope_name', name).own('otel_scope_version', version)
      labels.own('otel_scope_schema_url', this.#schema)
      labels.attributes(bytes, keyValuesOf(bytes, this.#scope, 3), { prefix: 'otel_scope_' })
    }
    labels.attributes(bytes, own)
    if (labels.size > MOST_LABELS) return undefined
    const text = labels.text()
    return Buffer.byteLength(text) > LONGEST_LABELS ? undefined : text
  }

  #refuse(reason: Reason, items: number, which: string): void {
    if (items > 0) this.#refusals.add(reason, items, which)
  }

  /** The bytes of these pieces as a key of a map. */
  #key(pieces: Ranges): string {
    let text = ''
    for (let i = 0; i < pieces.length; i += 2) {
      const [start, end] = [pieces[i]!, pieces[i + 1]!]
      text += `${end - start}:`
      text +=
        end - start <= LONGEST_KEY
          ? this.#bytes.toString('latin1', start, end)
          : createHash('sha256').update(this.#bytes.subarray(start, end)).digest('base64')
    }
    return text
  }
}

/** Protobuf merges a message that comes in pieces. No sender needs many, so more are ignored. */
function addPiece(pieces: number[], start: number, end: number): void {
  if (start < end && pieces.length < 2 * MOST_PIECES) pieces.push(start, end)
}

const MOST_PIECES = 64

function typeOf(tag: number, monotonic: boolean): ImportedType {
  if (tag === GAUGE) return 'gauge'
  if (tag === SUM) return monotonic ? 'counter' : 'gauge'
  return tag === SUMMARY ? 'summary' : 'histogram'
}
