// The choices of a person for this page, kept in the browser where that is possible.

import type { Zone } from './format.ts'
import { Store } from './store.ts'

export type Theme = 'system' | 'light' | 'dark'

export const theme = new Store<Theme>(kept('theme', ['system', 'light', 'dark']))
export const zone = new Store<Zone>(kept('zone', ['local', 'utc']))
/** While it is paused, the numbers on the page stay as they are. */
export const paused = new Store(false)
/** The amount that came since the page was paused, in words ("12 new requests"); undefined if nothing did. */
export const missed = new Store<string | undefined>(undefined)
/** The words before the view's name in the title of the window: set by a view, and taken back when it is left. */
export const subtitle = new Store<string | undefined>(undefined)

theme.watch(() => {
  keep('theme', theme.value)
  applyTheme()
})
zone.watch(() => keep('zone', zone.value))
paused.watch(() => missed.set(undefined))

export function applyTheme(): void {
  const { documentElement: root } = document
  if (theme.value === 'system') root.removeAttribute('data-theme')
  else root.setAttribute('data-theme', theme.value)
}

/** The first of `known` if nothing is kept. */
function kept<T extends string>(name: string, known: readonly [T, ...T[]]): T {
  let value: string | null = null
  try {
    value = localStorage.getItem(`pillion.${name}`)
  } catch {
    // Storage may be switched off.
  }
  return known.find(each => each === value) ?? known[0]
}

function keep(name: string, value: string): void {
  try {
    localStorage.setItem(`pillion.${name}`, value)
  } catch {
    // It is then forgotten with the tab.
  }
}
