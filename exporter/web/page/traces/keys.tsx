// The keys of the waterfall: a list for people, and the listener.

import { useEffect, useRef } from 'preact/hooks'

const KEYS: readonly (readonly [keys: string, what: string])[] = [
  ['↓ ↑, j k', 'next and previous row'],
  ['→ ←', 'open or close, go to the parent'],
  ['Home End', 'first and last row'],
  ['Enter', 'into the side panel'],
  ['/', 'find in this trace; n N next and previous match'],
  ['e E', 'next and previous error'],
  ['f', 'fit the selected span; again for the whole trace'],
  ['+ − a d', 'zoom and move'],
  ['c', 'critical path'],
  ['l', 'logs of the span'],
  ['Esc', 'back, step by step'],
]

export function Help() {
  return (
    <section class="keys card" aria-label="Keys">
      <dl>
        {KEYS.map(([keys, what]) => (
          <div key={keys}>
            <dt>
              <kbd>{keys}</kbd>
            </dt>
            <dd>{what}</dd>
          </div>
        ))}
      </dl>
    </section>
  )
}

/** Keys anywhere on the page, but where a person writes. */
export function useKeys(handle: (event: KeyboardEvent) => boolean): void {
  const latest = useRef(handle)
  latest.current = handle
  useEffect(() => {
    const listen = (event: KeyboardEvent): void => {
      if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return
      const target = event.target as HTMLElement
      if (target.closest('input, textarea, select, [contenteditable]')) return
      // These keys belong to buttons and links while they have the focus.
      if (event.key === 'Enter' && target.closest('button, a, summary')) return
      if (/^(?:Arrow|Page|Home|End)/.test(event.key) && target.closest('.panel, pre')) return
      if (latest.current(event)) event.preventDefault()
    }
    addEventListener('keydown', listen)
    return () => removeEventListener('keydown', listen)
  }, [])
}
