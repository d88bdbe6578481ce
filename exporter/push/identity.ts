// The identity of the sender: the resource in OTLP, and the labels that stand for it in remote write.

import { type PushOptions, pair } from './options.ts'
import type { Attribute } from './resources.ts'

/** Attributes of the resource; the name and the instance of the service are always among them. */
export function resourceOf(
  options: Pick<PushOptions, 'resource' | 'instance' | 'labels'>,
  service: string | undefined,
  fallback: string,
): readonly Attribute[] {
  const given = new Map(
    (options.resource ?? '').split(',').flatMap(each => {
      const found = pair(each, '=')
      return found ? [[found.name, decoded(found.value)] as const] : []
    }),
  )
  const name = service ?? given.get('service.name') ?? 'unknown_service'
  const instance = options.instance ?? given.get('service.instance.id') ?? fallback
  const labels = options.labels.map(line => pair(line, '=')).filter(each => each !== undefined)
  return [
    ...new Map([
      ...given,
      ['service.name', name] as const,
      ['service.instance.id', instance] as const,
      ...labels.map(({ name, value }) => [name, value] as const),
    ]),
  ]
}

/** The labels of remote write: job, instance, and those that were configured. In the order of their names. */
export function extraLabels(
  resource: readonly Attribute[],
  labels: readonly string[],
): readonly { readonly name: string; readonly value: string }[] {
  const of = new Map(resource)
  const namespace = of.get('service.namespace')
  const name = of.get('service.name') ?? ''
  const all = new Map([
    ['job', namespace ? `${namespace}/${name}` : name],
    ['instance', of.get('service.instance.id') ?? ''],
  ])
  for (const line of labels) {
    const label = pair(line, '=')
    if (label) all.set(label.name, label.value)
  }
  return [...all]
    .map(([name, value]) => ({ name, value }))
    .sort((a, b) => Buffer.compare(Buffer.from(a.name), Buffer.from(b.name)))
}

/** Percent-encoded, as in W3C Baggage; a value that is not stays as it is. */
function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}
