// The names of tags, and the values of one. Loaded with the first request for them.

import type { Outcome } from './answer.ts'
import type { Asked } from './asked.ts'
import { type Params, shown } from './params.ts'
import { INTRINSICS, SCOPES, type TagValue, tagNames, tagOf, tagValues } from './tags.ts'
import type { Which } from './walk.ts'

/** Grafana asks for 5000. */
const TAGS = 5000
const MOST_TAGS = 10_000

export async function tagsAnswer({ params, source, pace, answer }: Asked, version: 1 | 2): Promise<Outcome> {
  const scope = params.text('scope')
  const limit = params.integer('limit', TAGS, 0, MOST_TAGS) || TAGS
  const scopes = SCOPES.filter(each => scope === undefined || scope === 'none' || scope === each)
  if (scopes.length === 0 && scope !== 'intrinsic')
    return answer.text(
      400,
      `invalid scope: must be one of ${['none', 'intrinsic', ...SCOPES].join(', ')}, not ${shown(scope ?? '')}`,
    )
  const { scopes: found, inspectedBytes } = await tagNames(source, scopes, limit, await whichOf(params), pace)
  if (version === 1)
    return answer.json(
      `{"tagNames":${JSON.stringify([...new Set([...found.values()].flat())].sort().slice(0, limit))},"metrics":${metrics(inspectedBytes)}}`,
    )
  const intrinsics = scope === undefined || scope === 'none' || scope === 'intrinsic'
  const all = [
    ...(intrinsics ? [['intrinsic', INTRINSICS] as const] : []),
    ...[...found].filter(([, tags]) => tags.length > 0),
  ]
  const text = all.map(([name, tags]) => JSON.stringify({ name, tags }))
  return answer.json(`{"scopes":[${text.join(',')}],"metrics":${metrics(inspectedBytes)}}`)
}

export async function valuesAnswer(
  { params, source, pace, answer }: Asked,
  tag: string,
  version: 1 | 2,
): Promise<Outcome> {
  const limit = params.integer('limit', TAGS, 0, MOST_TAGS) || TAGS
  // The first version has no scopes, and names its intrinsics as the second one does.
  const name = version === 1 && !INTRINSICS.includes(tag) ? `.${tag}` : tag
  const values = await tagValues(source, tagOf(name), limit, await whichOf(params), pace)
  const list =
    version === 1
      ? JSON.stringify([...new Set(values.map(({ value }) => value))])
      : JSON.stringify(values satisfies readonly TagValue[])
  return answer.json(`{"tagValues":${list},"metrics":{}}`)
}

/** The tag of a path, which may hold slashes, and may have lost some: the parameter has them all, encoded once more. */
export function tagNamed(inPath: string, params: Params): string {
  const encoded = params.text('tag')
  return encoded === undefined ? decoded(inPath) : decoded(encoded)
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

async function whichOf(params: Params): Promise<Which> {
  const filter = params.text('q') === undefined ? undefined : await (await import('./search.ts')).filterOf(params)
  return { ...params.range(), filter }
}

function metrics(inspectedBytes: number): string {
  return inspectedBytes === 0 ? '{}' : `{"inspectedBytes":"${inspectedBytes}"}`
}
