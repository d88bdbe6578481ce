// Asks the sidecar for JSON: once, or again and again while somebody looks. A hidden tab asks nothing.

import { useEffect, useRef, useState } from 'preact/hooks'
import { paused } from './settings.ts'
import { Store, useStore } from './store.ts'

/** An answer that is not 2xx. Its message is what the sidecar said. */
export class Refused extends Error {
  readonly status: number
  constructor(status: number, message: string) {
    super(message)
    this.status = status
  }
}

/** Whether the last answer came: what the head of the page says of the connection. */
export const reached = new Store<'yes' | 'no' | 'unknown'>('unknown')

interface Kept {
  readonly tag: string
  readonly value: unknown
}

/** The last answer to each address that had an ETag: an answer that has not changed is not sent again. */
const answers = new Map<string, Kept>()
const MOST_ANSWERS = 24

/**
 * The JSON at a path of the sidecar. Rejects with Refused, with the signal's reason, or with a TypeError when nobody
 * answers.
 */
export async function ask<T>(path: string, signal?: AbortSignal): Promise<T> {
  const known = answers.get(path)
  let response: Response
  try {
    response = await fetch(path, {
      headers: { Accept: 'application/json', ...(known && { 'If-None-Match': known.tag }) },
      // The cache of the browser keeps nothing of this; the ETag is ours.
      cache: 'no-store',
      credentials: 'same-origin',
      ...(signal && { signal }),
    })
  } catch (error) {
    if (!signal?.aborted) reached.set('no')
    throw error
  }
  reached.set('yes')
  if (response.status === 304 && known) return known.value as T
  if (!response.ok) throw new Refused(response.status, (await response.text()).trim() || `answered ${response.status}`)
  const value = (await response.json()) as T
  const tag = response.headers.get('ETag')
  answers.delete(path)
  if (tag !== null) {
    answers.set(path, { tag, value })
    const [oldest] = answers.keys()
    if (answers.size > MOST_ANSWERS && oldest !== undefined) answers.delete(oldest)
  }
  return value
}

export interface Answer<T> {
  /** The one to show: undefined until the first came; the one before while the page is paused. */
  readonly data: T | undefined
  /** The newest one, also while the page is paused. */
  readonly newest: T | undefined
  readonly error: Error | undefined
  /** Whether an answer to this very path has come yet. */
  readonly fresh: boolean
  /** Asks at once. */
  again(): void
}

export interface Asking {
  /** Milliseconds between an answer and the next question; undefined asks once. */
  readonly every?: number | undefined
  /** False shows each answer even while the page is paused: what a person asks for himself. */
  readonly pauses?: boolean
}

/** Asks for a path while the component is there; undefined asks for nothing. After an error it asks ever more seldom. */
export function useAsk<T>(path: string | undefined, { every, pauses = true }: Asking = {}): Answer<T> {
  const [answer, show] = useState<{ path?: string; data?: T; error?: Error }>({})
  const stopped = useStore(paused) && pauses
  const now = useRef<() => void>(() => {})
  useEffect(() => {
    if (path === undefined) return
    const over = new AbortController()
    let timer: ReturnType<typeof setTimeout> | undefined
    let underway = false
    let failures = 0
    const next = async (): Promise<void> => {
      clearTimeout(timer)
      if (underway || over.signal.aborted || document.hidden) return
      underway = true
      try {
        const data = await ask<T>(path, over.signal)
        failures = 0
        show(before => (before.path === path && before.data === data && !before.error ? before : { path, data }))
      } catch (error) {
        if (over.signal.aborted) return
        failures++
        show(before => ({ ...before, path, error: error instanceof Error ? error : new Error(String(error)) }))
      } finally {
        underway = false
      }
      if (every === undefined && failures === 0) return
      timer = setTimeout(next, Math.min((every ?? 1000) * 2 ** failures, 30_000))
    }
    const visible = (): void => void (document.hidden ? clearTimeout(timer) : next())
    now.current = () => void next()
    document.addEventListener('visibilitychange', visible)
    void next()
    return () => {
      over.abort(new Error('nobody looks at this any more'))
      clearTimeout(timer)
      document.removeEventListener('visibilitychange', visible)
    }
  }, [path, every])
  const frozen = useRef<T | undefined>(undefined)
  if (!stopped) frozen.current = answer.data
  return {
    data: stopped ? (frozen.current ?? answer.data) : answer.data,
    newest: answer.data,
    error: answer.error,
    fresh: answer.path === path,
    again: () => now.current(),
  }
}
