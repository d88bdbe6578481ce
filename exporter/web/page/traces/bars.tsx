// The rows of the waterfall. Only those in sight are in the document, so that a trace of any size scrolls alike.

import type { VNode } from 'preact'
import { useEffect, useMemo, useRef, useState } from 'preact/hooks'
import type { TraceColumns } from '../../../../telemetry/trace-columns.ts'
import { hueOf } from '../colour.ts'
import { duration } from '../format.ts'
import { bar, clusters, type Window } from './axis.ts'
import type { CriticalPath, PathPart } from './path.ts'
import { type Band, causeClass, causeText } from './strip.ts'
import { eachOwn, type Tree } from './tree.ts'

export const ROW_HEIGHT = 26
/** Rows above and below those in sight. */
const BESIDE = 8
/** More parts of a bar than this are not drawn: they would lie upon each other. */
const MOST_PARTS = 60
/** In a box of fewer pixels, a duration takes a larger share of the width. */
const NARROW = 640
/** Rows that are kept while nothing but the place of scrolling changes. */
const MOST_MADE = 2000

/** A mark on a bar: an event of the span, or a log record. */
export interface BarMark {
  /** Microseconds. */
  readonly time: number
  readonly log: boolean
  readonly failed: boolean
  readonly text: string
}

export interface RowsProps {
  readonly columns: TraceColumns
  readonly tree: Tree
  readonly path: CriticalPath | undefined
  readonly rows: Int32Array
  readonly window: Window
  readonly collapsed: ReadonlySet<number>
  readonly matches: Uint8Array | undefined
  readonly selected: number | undefined
  /** By span; ascending times. */
  readonly marks: ReadonlyMap<number, readonly BarMark[]>
  readonly bands: ReadonlyMap<string, readonly Band[]>
  select(node: number): void
  toggle(node: number): void
}

export function Rows(props: RowsProps) {
  const { columns, tree, path, rows, window, collapsed, matches, selected, marks, bands } = props
  // As many as can be in sight: the box is not measured yet.
  const [view, look] = useState(() => ({
    first: 0,
    count: Math.ceil(innerHeight / ROW_HEIGHT) - BESIDE,
    narrow: innerWidth < NARROW,
  }))
  // A row that looks as before is the same element, which is not gone through again: scrolling makes only the new ones.
  const made = useMemo(
    () => new Map<string, VNode>(),
    [columns, tree, path, rows, window.from, window.to, collapsed, matches, marks, bands, view.narrow],
  )
  const box = useRef<HTMLDivElement>(null)
  const at = selected === undefined ? -1 : rows.indexOf(selected)

  useEffect(() => {
    const element = box.current
    if (!element) return
    const measure = (): void => {
      const first = Math.floor(element.scrollTop / ROW_HEIGHT)
      const count = Math.ceil(element.clientHeight / ROW_HEIGHT) + 1
      const narrow = element.clientWidth < NARROW
      look(before =>
        before.first === first && before.count === count && before.narrow === narrow
          ? before
          : { first, count, narrow },
      )
    }
    measure()
    const sizes = new ResizeObserver(measure)
    sizes.observe(element)
    element.addEventListener('scroll', measure, { passive: true })
    return () => {
      sizes.disconnect()
      element.removeEventListener('scroll', measure)
    }
  }, [])

  // The selected row comes into sight, with some rows around it.
  useEffect(() => {
    const element = box.current
    if (!element || at < 0) return
    const top = at * ROW_HEIGHT
    const margin = Math.min(3 * ROW_HEIGHT, element.clientHeight / 3)
    if (top < element.scrollTop + margin) element.scrollTop = Math.max(0, top - margin)
    else if (top + ROW_HEIGHT > element.scrollTop + element.clientHeight - margin)
      element.scrollTop = top + ROW_HEIGHT + margin - element.clientHeight
  }, [at, rows])

  const from = Math.max(0, view.first - BESIDE)
  const to = Math.min(rows.length, view.first + view.count + BESIDE)
  const shown = [...rows.subarray(from, to)]
  const inSight = at >= from && at < to
  return (
    <div
      ref={box}
      class="rows"
      role="treegrid"
      aria-label="Spans"
      aria-rowcount={rows.length}
      aria-colcount={2}
      tabIndex={0}
      style={{ '--all': `${Math.max(4, rows.length) * ROW_HEIGHT + 4}px` }}
      {...(inSight && { 'aria-activedescendant': `row-${selected}` })}
    >
      <div class="sheet" role="presentation" style={{ height: `${rows.length * ROW_HEIGHT}px` }}>
        {shown.map((node, i) => {
          const key = node === selected ? `${node}!` : `${node}`
          const known = made.get(key)
          if (known) return known
          if (made.size > MOST_MADE) made.clear()
          const row = <Row key={node} node={node} place={from + i} narrow={view.narrow} {...props} />
          made.set(key, row)
          return row
        })}
        {rows.length === 0 && (
          <div role="row" class="none">
            <span role="gridcell">No span matches.</span>
          </div>
        )}
      </div>
    </div>
  )
}

interface RowProps extends RowsProps {
  readonly node: number
  /** Its place among all rows. */
  readonly place: number
  readonly narrow: boolean
}

function Row({
  node,
  place,
  narrow,
  columns,
  tree,
  path,
  window,
  collapsed,
  matches,
  selected,
  marks,
  bands,
  select,
  toggle,
}: RowProps) {
  const isSpan = node < tree.spans
  const service = isSpan ? columns.services[columns.service[node]!]! : ''
  const name = isSpan ? columns.names[columns.name[node]!]! : `missing parent ${tree.missing[node - tree.spans]}`
  const failed = isSpan && columns.status[node] === 2
  const children = tree.child[node]! >= 0
  const closed = collapsed.has(node)
  const dim = matches !== undefined && (!isSpan || matches[node] === 0)
  const depth = tree.depth[node]!
  const skewed = isSpan && tree.skew[node]! > 0
  const classes = ['row', node === selected && 'selected', dim && 'dim', failed && 'error', !isSpan && 'absent']
  return (
    <div
      id={`row-${node}`}
      class={classes.filter(Boolean).join(' ')}
      role="row"
      aria-level={depth + 1}
      aria-rowindex={place + 1}
      aria-selected={node === selected}
      {...(children && { 'aria-expanded': !closed })}
      style={{ transform: `translateY(${place * ROW_HEIGHT}px)`, '--hue': isSpan ? hueOf(service) : 'var(--soft)' }}
      onClick={() => select(node)}
    >
      <span class="span-name" role="gridcell" style={{ '--depth': Math.min(depth, 40) }}>
        <i
          class="fold"
          aria-hidden="true"
          onClick={event => {
            event.stopPropagation()
            if (children) toggle(node)
          }}
        >
          {children ? (closed ? '▸' : '▾') : ''}
        </i>
        {failed && (
          <b class="sign">
            ✕<span class="unseen"> error</span>
          </b>
        )}
        {skewed && (
          <b
            class="sign skewed"
            title={`starts ${duration(tree.skew[node]! / 1e6)} before its parent: the clocks differ`}
          >
            ⇤<span class="unseen"> clocks differ</span>
          </b>
        )}
        {isSpan && tree.circular[node] === 1 && (
          <b class="sign">
            ↻<span class="unseen"> its parents form a circle</span>
          </b>
        )}
        {isSpan && <bdi class="of">{service === '' ? '(no name)' : service}</bdi>}
        <bdi class="what">{name === '' ? '(no name)' : name}</bdi>
        {closed && <small>{tree.lastPosition[node]! - tree.position[node]!} below</small>}
      </span>
      <span class="place" role="gridcell">
        <Bar
          node={node}
          isSpan={isSpan}
          narrow={narrow}
          tree={tree}
          window={window}
          closed={closed}
          parts={path && isSpan && path.own[node]! > 0 ? partsOf(path, node) : NONE}
          marks={(isSpan && marks.get(node)) || NO_MARKS}
          bands={(isSpan && bands.get(columns.spanId[node]!)) || NO_BANDS}
        />
      </span>
    </div>
  )
}

const NONE: readonly PathPart[] = []
const NO_MARKS: readonly BarMark[] = []
const NO_BANDS: readonly Band[] = []

interface BarProps {
  readonly node: number
  readonly isSpan: boolean
  readonly narrow: boolean
  readonly tree: Tree
  readonly window: Window
  readonly closed: boolean
  readonly parts: readonly PathPart[]
  readonly marks: readonly BarMark[]
  readonly bands: readonly Band[]
}

function Bar({ node, isSpan, narrow, tree, window, closed, parts, marks, bands }: BarProps) {
  const start = tree.start[node]!
  const long = tree.duration[node]!
  const drawn = bar(window, start, long)
  const text = duration(long / 1e6)
  if (!drawn)
    return (
      <small class={start > window.to ? 'out after' : 'out'}>{start > window.to ? `${text} →` : `← ${text}`}</small>
    )
  const right = drawn.left + drawn.width
  // A line for what goes on below a closed span after its own end.
  const end = tree.subtreeEnd[node]!
  const beyond = closed && end > start + long ? bar(window, start + long, end - start - long) : undefined
  const own = isSpan && tree.child[node]! >= 0 ? ownParts(tree, node, window) : undefined
  // The share of the width that a duration needs.
  const room = narrow ? 0.3 : 0.14
  const label =
    right < 1 - room
      ? { left: `${right * 100}%` }
      : drawn.left > room
        ? { right: `${(1 - drawn.left) * 100}%` }
        : { left: `${drawn.left * 100}%` }
  return (
    <>
      {beyond && <i class="beyond" style={at(beyond)} />}
      <i class={own ? 'span-bar with-children' : 'span-bar'} style={at(drawn)} />
      {own?.map((each, i) => (
        <i key={i} class="own" style={at(each)} />
      ))}
      {parts.map(({ from, to }, i) => {
        const each = bar(window, from, to - from)
        return each && <i key={i} class="critical" style={at(each)} />
      })}
      {bands.map(({ cause, start: from, duration: time, seconds }, i) => {
        const each = bar(window, from, time)
        return (
          each && (
            <i
              key={i}
              class={`band ${causeClass(cause)}`}
              style={at(each)}
              title={`${causeText(cause)}: ${duration(seconds)}`}
            />
          )
        )
      })}
      {clusters(
        window,
        marks.map(({ time }) => time),
        0.006,
      ).map(({ at: x, marks: all }) => {
        const first = marks[all[0]!]!
        const failed = all.some(each => marks[each]!.failed)
        const log = all.every(each => marks[each]!.log)
        return (
          <i
            key={x}
            class={`mark ${log ? 'log' : 'event'} ${failed ? 'failed' : ''}`}
            style={{ left: `${x * 100}%` }}
            title={all.length === 1 ? first.text : `${all.length} events and logs: ${first.text} …`}
          />
        )
      })}
      <small class={right >= 1 - room && drawn.left <= room ? 'length inside' : 'length'} style={label}>
        {text}
      </small>
    </>
  )
}

function at({ left, width }: { readonly left: number; readonly width: number }): { left: string; width: string } {
  return { left: `${left * 100}%`, width: `${width * 100}%` }
}

/** The parts of a bar in which no child runs, as far as they can be seen. */
function ownParts(tree: Tree, node: number, window: Window): { left: number; width: number }[] {
  const found: { left: number; width: number }[] = []
  eachOwn(tree, node, (from, to) => {
    if (found.length === MOST_PARTS) return
    const each = bar(window, from, to - from)
    if (each && each.width > 0.0005) found.push(each)
  })
  return found
}

/** The parts of the critical path that are a span's own, by span; made once for each path. */
function partsOf(path: CriticalPath, span: number): readonly PathPart[] {
  let known = PARTS.get(path)
  if (!known) {
    known = new Map()
    for (const part of path.parts) {
      const all = known.get(part.span)
      if (!all) known.set(part.span, [part])
      else if (all.length < MOST_PARTS) all.push(part)
    }
    PARTS.set(path, known)
  }
  return known.get(span) ?? NONE
}

const PARTS = new WeakMap<CriticalPath, Map<number, PathPart[]>>()
