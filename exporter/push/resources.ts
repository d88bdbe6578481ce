// The resource and scope to which a metric of the page belongs. Most are numbers of the sidecar about its application.
// Metrics that the application sent as OTLP have the labels job and instance, which stand for its service, and
// otel_scope_…; target_info describes their resource.

import type { Metric } from './metric.ts'
import { PageReader } from './page.ts'

export type Attribute = readonly [key: string, value: string]

export interface Origin {
  /** Equal for equal resources and scopes. */
  readonly key: string
  readonly resource: readonly Attribute[]
  readonly scope: readonly Attribute[]
}

const SCOPE = Buffer.from('otel_scope_')
const JOB = Buffer.from('job')
const INSTANCE = Buffer.from('instance')

export class Resources {
  static readonly INFO = 'target_info'
  readonly #own: Origin
  /** The attributes of resources besides name and instance, by job and instance. */
  readonly #described = new Map<string, readonly Attribute[]>()
  readonly #origins = new Map<string, Origin>()

  /** `own` is the resource of what the sidecar measures, `version` that of the sidecar. */
  constructor(own: readonly Attribute[], version: string) {
    const scope: readonly Attribute[] = [
      ['name', 'pillion'],
      ['version', version],
    ]
    this.#own = { key: '', resource: own, scope }
  }

  /** Reads the descriptions of a page. */
  learn(page: Buffer, metric: Metric): void {
    this.#described.clear()
    this.#origins.clear()
    for (const place of new PageReader(page).named(Resources.INFO)) {
      const reader = new PageReader(page, place)
      while (reader.place.at < place.end && reader.next(metric)) {
        const labels = pairs(metric)
        const rest = labels.filter(([name]) => name !== 'job' && name !== 'instance')
        this.#described.set(identity(labels), rest)
      }
    }
  }

  of(metric: Metric): Origin {
    const { labels, at } = metric
    let key = ''
    for (let i = 0; i < at.length; i += 4)
      if (Resources.owns(labels, at[i]!, at[i + 1]!)) key += `${labels.toString('latin1', at[i], at[i + 3])}\n`
    if (key === '') return this.#own
    const known = this.#origins.get(key)
    if (known) return known
    const own = pairs(metric).filter(
      ([name]) => name === 'job' || name === 'instance' || name.startsWith('otel_scope_'),
    )
    const origin = { key, resource: this.#resource(own), scope: scopeOf(own) }
    this.#origins.set(key, origin)
    return origin
  }

  /** Whether a label says something about resource or scope, rather than about the series. */
  static owns(labels: Buffer, start: number, end: number): boolean {
    const first = labels[start]
    // j, i, o: most names are told apart by their first letter.
    if (first !== 0x6a && first !== 0x69 && first !== 0x6f) return false
    return is(labels, start, end, JOB) || is(labels, start, end, INSTANCE) || begins(labels, start, end, SCOPE)
  }

  #resource(own: readonly Attribute[]): readonly Attribute[] {
    const { job = '', instance = '' } = Object.fromEntries(own)
    if (job === '' && instance === '') return this.#own.resource
    // "namespace/name", as Prometheus makes it of the two attributes.
    const slash = job.indexOf('/')
    const [namespace, name] = slash < 0 ? ['', job] : [job.slice(0, slash), job.slice(slash + 1)]
    const all: Attribute[] = [
      ['service.name', name],
      ['service.namespace', namespace],
      ['service.instance.id', instance],
      ...(this.#described.get(identity(own)) ?? []),
    ]
    return all.filter(([, value]) => value !== '')
  }
}

function scopeOf(own: readonly Attribute[]): readonly Attribute[] {
  return own.flatMap(([name, value]) =>
    name.startsWith('otel_scope_') ? [[name.slice(SCOPE.length), value] as const] : [],
  )
}

function identity(labels: readonly Attribute[]): string {
  const { job = '', instance = '' } = Object.fromEntries(labels)
  return `${job}\n${instance}`
}

function pairs({ labels, at }: Metric): Attribute[] {
  return Array.from({ length: at.length / 4 }, (_, i) => [
    labels.toString('utf8', at[4 * i], at[4 * i + 1]),
    labels.toString('utf8', at[4 * i + 2], at[4 * i + 3]),
  ])
}

function is(labels: Buffer, start: number, end: number, name: Buffer): boolean {
  return end - start === name.length && begins(labels, start, end, name)
}

function begins(labels: Buffer, start: number, end: number, name: Buffer): boolean {
  if (end - start < name.length) return false
  for (let i = 0; i < name.length; i++) if (labels[start + i] !== name[i]) return false
  return true
}
