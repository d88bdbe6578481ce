// The head of a column by which a table can be sorted. The choice is part of the address.

import type { ComponentChildren } from 'preact'
import { change, type Route } from './route.ts'

export interface Sorting {
  readonly by: string
  readonly down: boolean
}

/** "sort=-p95" in the address is p95, the largest first. */
export function sortingOf(route: Route, otherwise: string): Sorting {
  const text = route.query.get('sort') ?? otherwise
  return text.startsWith('-') ? { by: text.slice(1), down: true } : { by: text, down: false }
}

export function sorted<T>(
  rows: readonly T[],
  { by, down }: Sorting,
  of: (row: T, by: string) => string | number,
): readonly T[] {
  const sign = down ? -1 : 1
  return [...rows].sort((a, b) => {
    const [one, other] = [of(a, by), of(b, by)]
    if (typeof one === 'number' && typeof other === 'number') return sign * (one - other)
    return sign * String(one).localeCompare(String(other))
  })
}

export function SortHead(props: {
  readonly by: string
  readonly sorting: Sorting
  readonly text?: boolean
  readonly children: ComponentChildren
}) {
  const { by, sorting, text = false, children } = props
  const active = sorting.by === by
  const next = active ? !sorting.down : !text
  return (
    <th
      scope="col"
      class={text ? 'text sortable' : 'sortable'}
      aria-sort={active ? (sorting.down ? 'descending' : 'ascending') : 'none'}
    >
      <button type="button" onClick={() => change({ sort: `${next ? '-' : ''}${by}` }, { replace: true })}>
        {children}
        <span aria-hidden="true" class="arrow">
          {active ? (sorting.down ? ' ▾' : ' ▴') : ''}
        </span>
      </button>
    </th>
  )
}
