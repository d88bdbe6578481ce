// A trace as a waterfall: where its time went, span by span, with what the process, its logs and the kernel say on the
// same axis.

import { useEffect, useMemo, useRef, useState } from 'preact/hooks'
import { count } from '../format.ts'
import type { LogRecord } from '../logs/records.ts'
import { change, link, type Route, route as shown } from '../route.ts'
import { panned, type Window, windowOf, zoomed } from './axis.ts'
import { Rows } from './bars.tsx'
import { Head } from './head.tsx'
import { Help, useKeys } from './keys.tsx'
import { Strip } from './lanes.tsx'
import { Axis, Legend } from './legend.tsx'
import { bySpan, marksOf } from './marks.ts'
import { MiniMap } from './minimap.tsx'
import { ServicesPanel, SpanPanel } from './panel.tsx'
import { criticalPath } from './path.ts'
import { nextRow, revealed, rowsOf } from './rows.ts'
import { Save } from './save-menu.tsx'
import { deepestErrors } from './services.ts'
import { askBeside, NOTHING_BESIDE, type Source } from './source.ts'
import { type Band, bands } from './strip.ts'
import { firstWindow, treeOf } from './tree.ts'

const NO_BANDS: readonly Band[] = []
const NO_LOGS: readonly LogRecord[] = []

export function Waterfall(props: {
  readonly source: Source
  readonly route: Route
  /** Asks for the trace again: more of it may have come. */
  readonly again?: () => void
}) {
  const { source, route, again } = props
  const { columns } = source
  const tree = useMemo(() => treeOf(columns), [columns])
  const path = useMemo(() => criticalPath(tree), [tree])
  const { query } = route

  // The state that changes with each key is kept here, and goes into the address when the person pauses.
  const [selected, select] = useState<number | undefined>(() => placeOf(query.get('span')))
  const [find, look] = useState(query.get('find') ?? '')
  const [collapsed, fold] = useState<ReadonlySet<number>>(new Set())
  const [critical, setCritical] = useState(query.get('path') !== 'off')
  const [help, setHelp] = useState(false)
  const only = query.get('only') !== 'off'
  const first = useMemo(() => firstWindow(tree), [tree])
  const window = windowOf(timeOf(query.get('from')) ?? first.from, timeOf(query.get('to')) ?? first.to, tree.end)
  const narrow = window.from > 0 || window.to < tree.end

  useEffect(() => select(placeOf(query.get('span'))), [query.get('span'), columns])
  useEffect(() => look(query.get('find') ?? ''), [query.get('find')])
  const asked = `${query.get('span')} ${query.get('find')}`
  const followed = useRef(asked)
  useEffect(() => {
    // After a link or Back the address leads, and the state follows in the next rendering.
    const led = followed.current !== asked
    followed.current = asked
    if (led) return
    const timer = setTimeout(() => {
      // The next rendering is of another address.
      if (shown().hash !== route.hash) return
      const span = selected !== undefined && selected < tree.spans ? columns.spanId[selected] : undefined
      change({ span, find: find === '' ? undefined : find, path: critical ? undefined : 'off' }, { replace: true })
    }, 250)
    return () => clearTimeout(timer)
  }, [selected, find, critical, route.hash])

  const matches = useMatches(source, find, critical && query.get('filter') === 'critical' ? path.on : undefined)
  const errors = useMemo(() => deepestErrors(columns, tree), [columns, tree])
  const rows = useMemo(
    () => rowsOf(tree, { collapsed, matches, only: only && matches !== undefined }),
    [tree, collapsed, matches, only],
  )
  const beside = useBeside(source, tree.end)
  const origin = Number(BigInt(columns.startUnixNano) / 1000n) / 1000
  const logsOf = useMemo(() => bySpan(beside.logs), [beside.logs])
  const marks = useMemo(() => marksOf(source, beside.logs), [source, beside.logs])
  const bandsOf = useMemo(
    () => (beside.blame ? bands(beside.blame, origin, tree.end) : new Map<string, readonly Band[]>()),
    [beside.blame, origin, tree],
  )
  const allBands = useMemo(() => [...bandsOf.values()].flat(), [bandsOf])

  const narrowTo = (next: Window | undefined): void =>
    change(
      next && (next.from > 0 || next.to < tree.end)
        ? { from: next.from.toFixed(3), to: next.to.toFixed(3) }
        : first.to < tree.end
          ? { from: 0, to: tree.end }
          : { from: undefined, to: undefined },
      { replace: true },
    )
  const show = (node: number): void => {
    const open = revealed(tree, collapsed, node)
    if (open) fold(open)
    select(node)
  }
  const toggle = (node: number): void => {
    const next = new Set(collapsed)
    if (!next.delete(node)) next.add(node)
    fold(next)
  }
  const field = useRef<HTMLInputElement>(null)
  useKeys(key)
  // Handlers in elements that are kept call these as they are now.
  const now = useRef({ show, toggle })
  now.current = { show, toggle }
  const toggleNow = useMemo(() => (node: number) => now.current.toggle(node), [])
  const head = useMemo(
    () => <Head {...{ source, tree, errors, again }} show={node => now.current.show(node)} />,
    [source, tree, errors],
  )

  function key(event: KeyboardEvent): boolean {
    const at = selected === undefined ? -1 : rows.indexOf(selected)
    const step = (by: number): void => {
      const next = rows[Math.max(0, Math.min(rows.length - 1, at < 0 ? 0 : at + by))]
      if (next !== undefined) select(next)
    }
    switch (event.key) {
      case 'ArrowDown':
      case 'j':
        step(1)
        return true
      case 'ArrowUp':
      case 'k':
        step(-1)
        return true
      case 'PageDown':
        step(20)
        return true
      case 'PageUp':
        step(-20)
        return true
      case 'Home':
        step(-rows.length)
        return true
      case 'End':
        step(rows.length)
        return true
      case 'ArrowRight':
        if (selected === undefined) step(0)
        else if (collapsed.has(selected)) toggle(selected)
        else if (tree.child[selected]! >= 0) step(1)
        return true
      case 'ArrowLeft':
        if (selected === undefined) step(0)
        else if (tree.child[selected]! >= 0 && !collapsed.has(selected)) toggle(selected)
        else if (tree.parent[selected]! >= 0) select(tree.parent[selected]!)
        return true
      case 'Enter':
        if (selected === undefined) step(0)
        else document.querySelector<HTMLElement>('.panel button, .panel a')?.focus()
        return true
      case '/':
        field.current?.focus()
        return true
      case 'n':
      case 'N': {
        const next = nextRow(rows, at, event.key === 'n' ? 1 : -1, node => matches?.[node] === 1)
        if (next !== undefined) select(rows[next])
        return true
      }
      case 'e':
      case 'E': {
        const wanted = new Set(errors)
        // Closed spans hide none of them.
        const next = nextRow(
          tree.order,
          selected === undefined ? -1 : tree.position[selected]!,
          event.key === 'e' ? 1 : -1,
          node => wanted.has(node),
        )
        if (next !== undefined) show(tree.order[next]!)
        return true
      }
      case 'f':
        if (selected === undefined || narrow) narrowTo(undefined)
        else narrowTo(around(tree.start[selected]!, tree.duration[selected]!, tree.end))
        return true
      case '+':
      case '=':
        narrowTo(zoomed(window, centre(selected), 0.5, tree.end))
        return true
      case '-':
        narrowTo(zoomed(window, centre(selected), 2, tree.end))
        return true
      case 'a':
      case 'd':
        narrowTo(panned(window, event.key === 'a' ? -0.25 : 0.25, tree.end))
        return true
      case 'c':
        setCritical(!critical)
        return true
      case 'l':
        if (source.live)
          location.hash = link('/logs', {
            trace: columns.traceId,
            span: selected !== undefined && selected < tree.spans ? columns.spanId[selected] : undefined,
          })
        return source.live
      case '?':
        setHelp(!help)
        return true
      case 'Escape':
        if (help) setHelp(false)
        else if (narrow) narrowTo(undefined)
        else select(undefined)
        return true
    }
    return false
  }

  function centre(node: number | undefined): number {
    return node === undefined ? (window.from + window.to) / 2 : tree.start[node]! + tree.duration[node]! / 2
  }

  function placeOf(id: string | null): number | undefined {
    if (id === null) return undefined
    const at = columns.spanId.indexOf(id.toLowerCase().padStart(16, '0'))
    return at < 0 ? undefined : at
  }

  const found = useMemo(() => matches?.reduce((sum, each) => sum + each, 0), [matches])
  return (
    <div class="trace">
      {head}
      <div class="tools">
        <label class="find">
          <span class="unseen">Find in this trace</span>
          <input
            ref={field}
            type="search"
            placeholder="Find: a name, key=value, an error …"
            value={find}
            onInput={event => look(event.currentTarget.value)}
            onKeyDown={event => {
              if (event.key === 'Escape') event.currentTarget.blur()
              else if (event.key === 'Enter') {
                const next = nextRow(
                  rows,
                  selected === undefined ? -1 : rows.indexOf(selected),
                  event.shiftKey ? -1 : 1,
                  node => matches?.[node] === 1,
                )
                if (next !== undefined) select(rows[next])
              }
            }}
          />
        </label>
        {found !== undefined && (
          <span role="status">
            {count(found)} of {count(tree.spans)} spans
          </span>
        )}
        {matches && (
          <button type="button" aria-pressed={only} onClick={() => change({ only: only ? 'off' : undefined })}>
            Matches only
          </button>
        )}
        <button type="button" aria-pressed={critical} onClick={() => setCritical(!critical)}>
          Critical path
        </button>
        <button
          type="button"
          aria-pressed={query.get('filter') === 'critical'}
          disabled={!critical}
          onClick={() => change({ filter: query.get('filter') === 'critical' ? undefined : 'critical' })}
        >
          Only what is on it
        </button>
        {errors.length > 0 && (
          <button type="button" class="errors" onClick={() => key(new KeyboardEvent('keydown', { key: 'e' }))}>
            Next error <small>{errors.length}</small>
          </button>
        )}
        {narrow && (
          <button type="button" onClick={() => narrowTo(undefined)}>
            Whole trace
          </button>
        )}
        <span class="rest">
          {source.live && <a href={link('/logs', { trace: columns.traceId })}>Logs</a>}
          <Save source={source} />
          <button type="button" aria-expanded={help} onClick={() => setHelp(!help)}>
            Keys <kbd>?</kbd>
          </button>
        </span>
      </div>
      {help && <Help />}
      <div class="split">
        <section class="waterfall card" aria-label="Waterfall">
          <MiniMap {...{ columns, tree, window, matches }} choose={narrowTo} />
          {source.live && <Strip moments={beside.moments} bands={allBands} origin={origin} window={window} />}
          <Axis window={window} />
          <Rows
            {...{ columns, tree, rows, window, collapsed, matches, selected, marks, select }}
            toggle={toggleNow}
            path={critical ? path : undefined}
            bands={bandsOf}
          />
          <Legend bands={bandsOf.size > 0} marks={marks.size > 0} critical={critical} />
        </section>
        {selected !== undefined && selected < tree.spans ? (
          <SpanPanel
            key={selected}
            {...{ source, tree, path }}
            span={selected}
            logs={logsOf.get(columns.spanId[selected]!) ?? NO_LOGS}
            bands={bandsOf.get(columns.spanId[selected]!) ?? NO_BANDS}
            select={show}
            close={() => select(undefined)}
          />
        ) : (
          <ServicesPanel {...{ columns, tree, path }} choose={look} />
        )}
      </div>
    </div>
  )
}

/** A span with a little around it. */
function around(start: number, long: number, end: number): Window {
  const margin = Math.max(long * 0.05, 1)
  return windowOf(Math.max(0, start - margin), Math.min(end, start + long + margin), end)
}

function timeOf(text: string | null): number | undefined {
  return text === null ? undefined : Number(text)
}

/** The spans that have the text, and are in `also`; undefined while nothing is looked for. */
function useMatches(source: Source, text: string, also: Uint8Array | undefined): Uint8Array | undefined {
  const [found, set] = useState<Uint8Array | undefined>(undefined)
  const wanted = text.trim()
  useEffect(() => {
    if (wanted === '') {
      set(undefined)
      return
    }
    const over = new AbortController()
    const timer = setTimeout(
      () =>
        source.find(wanted, over.signal).then(set, () => {
          if (!over.signal.aborted) set(new Uint8Array(source.columns.spanId.length))
        }),
      source.live ? 150 : 0,
    )
    return () => {
      clearTimeout(timer)
      over.abort()
    }
  }, [source, wanted])
  return useMemo(() => {
    const texts = wanted === '' ? undefined : found
    return texts && also ? texts.map((each, i) => each & also[i]!) : (texts ?? also)
  }, [found, also, wanted === ''])
}

function useBeside(source: Source, end: number) {
  const [beside, set] = useState(NOTHING_BESIDE)
  useEffect(() => {
    set(NOTHING_BESIDE)
    if (!source.live) return
    const over = new AbortController()
    askBeside(source.columns, end, over.signal).then(set, () => {})
    return () => over.abort()
  }, [source, end])
  return beside
}
