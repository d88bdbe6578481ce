// The state of the page is its address: #/traces?q=…&since=15m. A link to a state is a link, and Back works.

import { Store, useStore } from './store.ts'

export interface Route {
  /** As it stands in the address. */
  readonly hash: string
  /** "/trace/4bf9…", decoded piece by piece. */
  readonly path: string
  /** The pieces of the path: ["trace", "4bf9…"]. */
  readonly pieces: readonly string[]
  readonly query: URLSearchParams
}

const current = new Store(read())
addEventListener('hashchange', () => current.set(read()))

export function useRoute(): Route {
  return useStore(current)
}

export function route(): Route {
  return current.value
}

/** The address of a state. Values that are undefined or empty are left out. */
export function link(path: string, query: Query = {}): string {
  const known = Object.entries(query).filter(([, value]) => value !== undefined && value !== '')
  const search = new URLSearchParams(known.map(([name, value]) => [name, String(value)])).toString()
  return `#${path}${search === '' ? '' : `?${search}`}`
}

export type Query = Readonly<Record<string, string | number | undefined>>

/** Goes there. `replace` makes no entry in the history: for what changes while a person types. */
export function go(path: string, query: Query = {}, { replace = false } = {}): void {
  const hash = link(path, query)
  if (hash === location.hash) return
  if (!replace) {
    location.hash = hash
    return
  }
  history.replaceState(null, '', hash)
  current.set(read())
}

/** Changes some values of the address that is shown, and leaves the others. */
export function change(query: Query, options: { readonly replace?: boolean } = {}): void {
  // The person has just gone elsewhere, and the views are told in a moment: what changes by itself must not lead back.
  if (options.replace && location.hash !== current.value.hash) return
  const { path, query: before } = current.value
  go(path, { ...Object.fromEntries(before), ...query }, options)
}

function read(): Route {
  const { hash: whole } = location
  const hash = whole.slice(1)
  const at = hash.indexOf('?')
  const path = (at < 0 ? hash : hash.slice(0, at)) || '/overview'
  const pieces = path.split('/').filter(Boolean).map(decoded)
  return { hash: whole, path, pieces, query: new URLSearchParams(at < 0 ? '' : hash.slice(at + 1)) }
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}
