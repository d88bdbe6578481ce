// traces_target_info: one series of value 1 for each resource that sends spans, with its attributes as labels, to join to
// other metrics. Attributes of resources (process ids, host names, versions) change with every start of the application,
// so a resource that no longer sends spans is removed.

import type { CounterFamily, GaugeFamily } from '../../metrics/family.ts'
import type { Metrics } from '../../metrics/registry.ts'
import { KeyValue } from '../../otlp/key-value.ts'
import { SERVICE_NAME } from '../../otlp/service.ts'
import { valueText } from '../../otlp/value.ts'
import { field, LENGTH, Reader } from '../../otlp/wire.ts'
import { ABSENT, STRING } from '../../telemetry/attribute.ts'
import type { SpanView } from '../../telemetry/consumer.ts'
import { labelName } from './label.ts'

/** Bounds of one resource, and so of its cost on each scrape. */
const LABELS = 64
const VALUE_BYTES = 256
/** A larger resource is ignored, since its bytes would have to be kept as its key. */
const RESOURCE_BYTES = 16_384

/** After this many resources without room, further ones of the same request are ignored. */
const REFUSALS = 1000

interface Target {
  /** Undefined if the resource is not shown. */
  readonly labels: Readonly<Record<string, string>> | undefined
  /** The labels as one text: resources of different bytes may have the same labels. */
  readonly identity: string
  /** When it last sent spans. */
  seen: number
}

export class Targets {
  readonly name: string
  readonly help: string
  readonly type = 'gauge'
  readonly #limit: number
  readonly #expiry: number
  /** Counted here, and published on a scrape. */
  readonly #dropped = { full: 0, large: 0, labels: 0 }
  readonly #publish: () => void
  /** By the bytes of the resource. */
  readonly #targets = new Map<string, Target>()
  #now = 0
  /** Whether room has been made during this request. */
  #swept = false
  #refused = 0
  #serial = -1
  // The previous resource: most applications have only one.
  #previous = Buffer.alloc(0)
  #target: Target | undefined

  /** `limit` resources are kept, for `expiry` milliseconds after their last span. */
  constructor(
    { limit, expiry }: { readonly limit: number; readonly expiry: number },
    metrics: Metrics,
    family: GaugeFamily,
    droppedFamily: CounterFamily<'reason'>,
  ) {
    this.name = family.name
    this.help = family.help
    this.#limit = limit
    this.#expiry = expiry
    if (limit > 0) metrics.add(this)
    const dropped = metrics.counter(droppedFamily)
    this.#publish = () => {
      for (const reason of ['full', 'large', 'labels'] as const) {
        dropped.inc({ reason }, this.#dropped[reason])
        this.#dropped[reason] = 0
      }
    }
    this.#publish()
  }

  begin(now: number): void {
    this.#now = now
    this.#swept = false
    this.#refused = 0
    this.#serial = -1
  }

  span(view: SpanView): void {
    if (view.resourceSerial === this.#serial || this.#limit === 0) return
    this.#serial = view.resourceSerial
    if (this.#refused < REFUSALS) this.#enter(view)
    else this.#dropped.full++
  }

  publish(): void {
    this.#publish()
  }

  expire(now: number): void {
    for (const [key, target] of this.#targets) {
      if (now - target.seen < this.#expiry) continue
      this.#targets.delete(key)
      if (target === this.#target) this.#target = undefined
    }
  }

  /** The metric as prom-client gives it: the labels differ from series to series. */
  async get(): Promise<object> {
    const distinct = new Map<string, Target>()
    for (const target of this.#targets.values()) distinct.set(target.identity, target)
    const values = [...distinct.values()].flatMap(({ labels }) => (labels ? { labels, value: 1 } : []))
    return { name: this.name, help: this.help, type: this.type, aggregator: 'first', values }
  }

  #enter({ bytes, resourceSpansStart, resourceSpansEnd }: SpanView): void {
    // No SDK sends more than one Resource, but protobuf allows it, and merges them.
    let size = 0
    let pieces = 0
    const reader = READER.over(bytes, resourceSpansStart, resourceSpansEnd)
    let [start, end] = [0, 0]
    while (reader.next()) {
      if (reader.tag !== field(1, LENGTH)) continue
      start = reader.start
      end = reader.end
      size += end - start
      pieces++
    }
    if (size > RESOURCE_BYTES) {
      this.#dropped.large++
      return
    }
    const resource = pieces < 2 ? bytes.subarray(start, end) : merged(bytes, resourceSpansStart, resourceSpansEnd)
    // Fast path: the same resource as in the request before.
    if (this.#target && this.#previous.equals(resource)) this.#target.seen = this.#now
    else this.#look(resource)
  }

  #look(resource: Buffer): void {
    const key = resource.toString('latin1')
    const known = this.#targets.get(key)
    if (known) {
      this.#remember(known, resource)
      return
    }
    if (this.#targets.size >= this.#limit && !this.#swept) {
      this.#swept = true
      this.expire(this.#now)
    }
    if (this.#targets.size >= this.#limit) {
      this.#dropped.full++
      this.#refused++
      return
    }
    const found = labelsOf(resource)
    if (found?.cut) this.#dropped.labels++
    const identity = JSON.stringify(Object.entries(found?.pairs ?? {}).sort())
    const target: Target = { labels: found?.pairs, identity, seen: this.#now }
    this.#targets.set(key, target)
    this.#remember(target, resource)
  }

  #remember(target: Target, resource: Buffer): void {
    target.seen = this.#now
    this.#target = target
    this.#previous = Buffer.from(resource)
  }
}

const READER = new Reader()
const PAIR = new KeyValue()

/** The labels of a resource; undefined if it names neither service nor instance, since nothing could be joined to it. */
function labelsOf(resource: Buffer): { pairs: Record<string, string>; cut: boolean } | undefined {
  const attributes = attributesOf(resource)
  const name = attributes.get(SERVICE_NAME)
  const space = attributes.get('service.namespace')
  const instance = attributes.get('service.instance.id')
  if (!name && !instance) return undefined
  const pairs: Record<string, string> = {}
  if (name) {
    pairs['service'] = name
    pairs['job'] = space ? `${space}/${name}` : name
  }
  if (instance) pairs['instance'] = instance
  let cut = false
  for (const [key, value] of attributes) {
    if (value === '' || key === '' || IDENTITY.includes(key)) continue
    const label = labelName(key, RESERVED)
    // If two keys make the same label, the first wins.
    if (Object.hasOwn(pairs, label)) continue
    if (Object.keys(pairs).length === LABELS) {
      cut = true
      break
    }
    pairs[label] = value
  }
  return { pairs, cut }
}

const IDENTITY = [SERVICE_NAME, 'service.namespace', 'service.instance.id']
const RESERVED = ['service', 'job', 'instance', 'quantile']

/** All attributes with their values as texts, cut to their bound; if a key occurs twice, the first wins. */
function attributesOf(resource: Buffer): Map<string, string> {
  const found = new Map<string, string>()
  const attributes = new Reader().over(resource, 0, resource.length)
  while (attributes.next()) {
    if (attributes.tag !== field(1, LENGTH)) continue
    const pair = PAIR.read(resource, attributes.start, attributes.end)
    if (pair.type === ABSENT) continue
    const key = resource.toString('utf8', pair.keyStart, pair.keyEnd)
    if (!found.has(key)) found.set(key, textOf(resource, pair))
  }
  return found
}

function textOf(bytes: Buffer, { type, start, end }: KeyValue): string {
  return type === STRING ? cutText(bytes, start, end) : valueText(bytes, start, end, VALUE_BYTES)
}

function cutText(bytes: Buffer, start: number, end: number): string {
  let stop = Math.min(end, start + VALUE_BYTES)
  // Not in the middle of a character: continuation bytes are 10xxxxxx.
  if (stop < end) while (stop > start && (bytes[stop]! & 0xc0) === 0x80) stop--
  return bytes.toString('utf8', start, stop)
}

function merged(bytes: Buffer, start: number, end: number): Buffer {
  const pieces: Buffer[] = []
  const reader = new Reader().over(bytes, start, end)
  while (reader.next()) if (reader.tag === field(1, LENGTH)) pieces.push(bytes.subarray(reader.start, reader.end))
  return Buffer.concat(pieces)
}
