// The head of a trace: what it is, and what must be known about it before it is read.

import { useMemo } from 'preact/hooks'
import { count, duration } from '../format.ts'
import { Badge, Service, Time } from '../parts.tsx'
import type { Source } from './source.ts'
import { longestGap, type treeOf } from './tree.ts'

/** Where less than this share of the trace passed without a span, nobody asks what it was. */
const GAP_SHARE = 0.15

export function Head(props: {
  readonly source: Source
  readonly tree: ReturnType<typeof treeOf>
  readonly errors: readonly number[]
  readonly again: (() => void) | undefined
  show(node: number): void
}) {
  const { source, tree, errors, again, show } = props
  const { columns } = source
  const root = tree.root < tree.spans ? tree.root : undefined
  const gap = useMemo(() => longestGap(tree), [tree])
  const skewed = useMemo(() => tree.skew.findIndex(each => each > 0), [tree])
  const origin = Number(BigInt(columns.startUnixNano) / 1000n) / 1000
  const nameOf = (node: number): string => columns.names[columns.name[node]!] ?? ''
  const orphans = tree.missing.length
  return (
    <>
      <header class="trace-head">
        <h1>
          {root === undefined ? (
            <>Trace without its root</>
          ) : (
            <>
              <Service name={columns.services[columns.service[root]!]!} /> <bdi>{nameOf(root)}</bdi>
            </>
          )}
        </h1>
        <p class="facts">
          <b>{duration(tree.end / 1e6)}</b> <Time ms={origin} day />{' '}
          <span>
            {count(tree.spans)} {tree.spans === 1 ? 'span' : 'spans'}
          </span>{' '}
          <span>
            {columns.services.length} {columns.services.length === 1 ? 'service' : 'services'}
          </span>{' '}
          {errors.length > 0 && (
            <Badge state="failed">
              {errors.length} {errors.length === 1 ? 'error' : 'errors'}
            </Badge>
          )}{' '}
          <code>
            <bdi>{columns.traceId}</bdi>
          </code>
        </p>
      </header>
      <ul class="notices">
        {(columns.partial !== undefined || orphans > 0) && (
          <li>
            <Badge state="warning">This trace is not complete</Badge>{' '}
            {columns.partial !== undefined && <bdi>{sentence(columns.partial)} </bdi>}
            {orphans > 0 &&
              `${orphans === 1 ? 'One parent is' : `${orphans} parents are`} missing: ${orphans === 1 ? 'its children stand' : 'their children stand'} below a row that names it. A service in between may not send its spans here, or they are not here yet.`}{' '}
            {again && (
              <button type="button" class="quiet" onClick={again}>
                Load it again
              </button>
            )}
          </li>
        )}
        {skewed >= 0 && (
          <li>
            <Badge state="warning">Clocks differ</Badge> Spans marked with ⇤ begin before their parents; the largest
            difference is {duration(tree.skew.reduce((most, each) => Math.max(most, each), 0) / 1e6)}. Nothing is
            corrected.{' '}
            <button type="button" class="quiet" onClick={() => show(skewed)}>
              Show the first
            </button>
          </li>
        )}
        {gap && gap.to - gap.from > GAP_SHARE * tree.end && (
          <li class="plain">
            The longest gap is {duration((gap.to - gap.from) / 1e6)}{' '}
            {gap.before < 0 ? 'at the beginning' : gap.after < 0 ? 'at the end' : 'in the middle'} of{' '}
            <button type="button" class="quiet" onClick={() => show(gap.span)}>
              <bdi>{nameOf(gap.span)}</bdi>
            </button>
            {gap.before >= 0 && (
              <>
                , after <bdi>{nameOf(gap.before)}</bdi>
              </>
            )}
            {gap.after >= 0 && (
              <>
                , before <bdi>{nameOf(gap.after)}</bdi>
              </>
            )}
            : no span says what happened then.
          </li>
        )}
        {columns.eventsLeftOut > 0 && (
          <li class="plain">
            {count(columns.eventsLeftOut)} events are not drawn; the side panel has those of a span.
          </li>
        )}
      </ul>
    </>
  )
}

function sentence(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}.`
}
